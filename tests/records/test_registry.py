"""The registry, on a package made for the test."""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ConfigDict, ValidationError

from finegrid.records import registry
from finegrid.records.registry import RegistrationError, Registry, UnknownNameError


class Shape:
    """The base of the kind."""

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Circle(Shape):
    """One registered class."""

    radius: float = 1.0


class Plain(Shape):
    """No dataclass."""


@dataclass
class Open(Shape):
    """A dataclass that can be changed."""


@dataclass(frozen=True)
class Half(Shape, ABC):
    """A class that leaves something out."""

    @abstractmethod
    def area(self) -> float:
        """Never written."""


@dataclass(frozen=True)
class Odd(Shape):
    """A field that no benchmark file can hold."""

    other: SimpleNamespace | None = None


class Point:
    """An entry point of the installed distribution `shapely 1.2`."""

    dist = SimpleNamespace(name="shapely", version="1.2")
    value = "shapely:Entry"

    def __init__(self, name: str, entry: Any) -> None:
        self.name, self.entry = name, entry

    def load(self) -> Any:
        if isinstance(self.entry, Exception):
            raise self.entry
        return self.entry


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Shape]:
    """A registry of an empty package, which holds the circle."""
    (tmp_path / "shapes_of_the_test").mkdir()
    (tmp_path / "shapes_of_the_test" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("shapes_of_the_test", "shapes_of_the_test.square"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    made: Registry[Shape] = Registry("shape", Shape, "shapes_of_the_test")
    made.register("circle")(Circle)
    return made


def plug_in(monkeypatch: pytest.MonkeyPatch, *points: Point) -> list[str]:
    groups: list[str] = []

    def installed(group: str, places: tuple[str, ...]) -> tuple[Point, ...]:
        groups.append(group)
        return points

    monkeypatch.setattr(registry, "_installed", installed)
    return groups


def test_a_taken_name_is_refused(shapes: Registry[Shape]) -> None:
    @dataclass(frozen=True)
    class Other(Shape):
        """Another circle."""

    with pytest.raises(RegistrationError, match=r"'circle' is registered twice: .*Circle and .*Ot"):
        shapes.register("circle")(Other)
    assert shapes.register("circle")(Circle) is Circle
    assert shapes.get("circle") is Circle


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (int, "shape 'other': <class 'int'> is no subclass of Shape"),
        (Circle(), "is no subclass of Shape"),
        (Plain, r"Plain is no frozen dataclass"),
        (Open, r"Open is no frozen dataclass"),
        (Half, r"Half does not define area"),
    ],
)
def test_a_wrong_class_is_refused(shapes: Registry[Shape], entry: Any, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        shapes.register("other")(entry)
    assert list(shapes) == ["circle"]


@pytest.mark.parametrize("name", ["other:lora", "peft:ln_tuning", "a.b:0-1"])
def test_a_name_may_have_one_family(shapes: Registry[Shape], name: str) -> None:
    shapes.register(name)(Circle)
    assert shapes.build(name, {"radius": 2.0}) == Circle(2.0)
    assert shapes.distributions(name) == [name.split(":")[0]]
    assert shapes.distributions("circle") == []


@pytest.mark.parametrize(
    "name", [":", ":circle", "round:", "a:b:c", "round::circle", "Round:circle", "round:_x", "a: b"]
)
def test_a_family_is_a_name_before_the_only_colon(shapes: Registry[Shape], name: str) -> None:
    with pytest.raises(RegistrationError, match=r"a letter or digit first"):
        shapes.register(name)(Circle)
    assert list(shapes) == ["circle"]


@pytest.mark.parametrize("name", ["Circle", "a b", "../x", "", "_x"])
def test_a_name_that_is_no_safe_path_is_refused(shapes: Registry[Shape], name: str) -> None:
    with pytest.raises(RegistrationError, match=r"a letter or digit first"):
        shapes.register(name)(Circle)


def test_a_field_that_cannot_be_checked_is_refused_at_its_use(shapes: Registry[Shape]) -> None:
    shapes.register("odd")(Odd)
    with pytest.raises(RegistrationError, match=r"shape 'odd': the fields of .*Odd cannot be"):
        shapes.build("odd", {})


def test_an_unknown_name_gets_a_hint(shapes: Registry[Shape]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        shapes.get("circel")
    assert str(caught.value) == ("unknown shape 'circel': did you mean 'circle'? allowed: circle")
    with pytest.raises(UnknownNameError, match=r"unknown shape 'zzz': allowed: circle$"):
        shapes.get("zzz")


def test_settings_are_checked_strictly(shapes: Registry[Shape]) -> None:
    assert shapes.build("circle", {"radius": 2.5}) == Circle(2.5)
    assert shapes.build("circle", {}) == Circle()
    for settings in ({"radius": "2"}, {"radius": True}, {"raduis": 2.0}):
        with pytest.raises(ValidationError, match=next(iter(settings))):
            shapes.build("circle", settings)


def test_the_packages_modules_are_loaded_at_the_first_use(
    shapes: Registry[Shape], tmp_path: Path
) -> None:
    (tmp_path / "shapes_of_the_test" / "square.py").write_text("SIDES = 4\n")
    assert "shapes_of_the_test.square" not in sys.modules
    assert list(shapes) == ["circle"]
    assert "shapes_of_the_test.square" in sys.modules


def test_plug_ins_are_listed_in_order(
    shapes: Registry[Shape], monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Arc(Shape):
        """A plug-in."""

    groups = plug_in(monkeypatch, Point("zigzag", Arc), Point("arc", Arc))
    assert list(shapes) == ["arc", "circle", "zigzag"]
    assert shapes.get("arc") is Arc
    assert groups == ["finegrid.shapes"]
    assert shapes.origin("arc") == "shapely 1.2"
    assert shapes.distributions("arc") == ["shapely"]
    assert shapes.origin("circle") == f"{Circle.__module__.replace('.', '/')}.py"


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        (
            "broken",
            ImportError("no module\n'x'"),
            "shape plug-in 'broken' of shapely 1.2 does not load: ImportError: no module 'x'",
        ),
        (
            "wrong",
            int,
            "shape 'wrong' of shapely 1.2: <class 'int'> is no subclass of Shape",
        ),
        (
            "circle",
            Odd,
            f"shape 'circle' is registered twice: {__name__}.Circle and "
            f"{__name__}.Odd of shapely 1.2",
        ),
    ],
)
def test_a_plug_in_that_does_not_fit_names_itself(
    shapes: Registry[Shape], monkeypatch: pytest.MonkeyPatch, name: str, entry: Any, message: str
) -> None:
    plug_in(monkeypatch, Point(name, entry))
    for _ in range(2):
        with pytest.raises(RegistrationError) as caught:
            list(shapes)
        assert str(caught.value) == message
