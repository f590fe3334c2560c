"""A registry of named classes, filled by decorators and by installed packages' entry points."""

import difflib
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from pydantic import JsonValue, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from finegrid.records.base import NAME_PATTERN
from finegrid.records.identity import canonical_json

T = TypeVar("T")


class UnknownNameError(LookupError):
    """A name that nothing is registered under; the message names the nearest and all allowed."""


class RegistrationError(ValueError):
    """A registration that is refused: a taken name, a wrong class, a plug-in that does not load."""


def unknown_name(kind: str, name: str, allowed: list[str]) -> str:
    """One sentence on an unknown name, with the nearest allowed one where there is one."""
    near = difflib.get_close_matches(name, allowed, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}: {hint}allowed: {', '.join(sorted(allowed)) or 'none'}"


class Registry(Generic[T]):
    """Names of one kind ("method", "task") and the classes they stand for.

    `package` is the room whose modules register themselves on import; installed packages add
    theirs by the entry-point group, by default `finegrid.<kind>s`. Nothing is imported before the
    first use.
    """

    def __init__(
        self, kind: str, base: type[Any], package: str, *, group: str | None = None
    ) -> None:
        self._kind, self._base, self._package = kind, base, package
        self._group = group or f"finegrid.{kind}s"
        self._entries: dict[str, type[T]] = {}
        self._adapters: dict[str, TypeAdapter[T]] = {}
        self._distributions: dict[str, str] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """A class decorator. Raises RegistrationError for a taken name or a wrong class."""

        def decorate(entry: type[T]) -> type[T]:
            self._add(name, entry)
            return entry

        return decorate

    def get(self, name: str) -> type[T]:
        """The class of that name. Raises UnknownNameError."""
        self._load()
        if name not in self._entries:
            raise UnknownNameError(unknown_name(self._kind, name, list(self._entries)))
        return self._entries[name]

    def type_adapter(self, name: str) -> TypeAdapter[T]:
        """What pydantic makes of the class. Raises UnknownNameError, RegistrationError."""
        entry = self.get(name)
        try:
            if name not in self._adapters:
                self._adapters[name] = TypeAdapter(entry)
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            raise RegistrationError(
                f"{self._kind} {name!r}: the fields of {_path(entry)} cannot be checked: "
                f"{_one_line(error)}"
            ) from error
        return self._adapters[name]

    def build(self, name: str, settings: Mapping[str, JsonValue]) -> T:
        """An instance with those settings, strictly checked; absent ones take their default.

        Raises UnknownNameError, or pydantic.ValidationError that names the setting.
        """
        adapter = self.type_adapter(name)
        return adapter.validate_json(canonical_json(dict(settings)), strict=True)

    def origin(self, name: str) -> str:
        """Who brings that name: a file of ours, or an installed distribution with its version."""
        module = self.get(name).__module__
        is_package = hasattr(sys.modules[module], "__path__")
        file = module.replace(".", "/") + ("/__init__.py" if is_package else ".py")
        return self._distributions.get(name, file)

    def distributions(self, name: str) -> list[str]:
        """The installed distributions that bring that name, finegrid aside.

        They are the plug-in's own, and the library that a bridge names its family after.
        """
        self.get(name)
        plug_in = [self._distributions[name].split()[0]] if name in self._distributions else []
        family, bridged, _ = name.partition(":")
        return [*plug_in, family] if bridged else plug_in

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))

    def _add(self, name: str, entry: type[T], distribution: str | None = None) -> None:
        if problem := self._problem(name, entry):
            source = f" of {distribution}" if distribution else ""
            raise RegistrationError(f"{self._kind} {name!r}{source}: {problem}")
        held = self._entries.get(name)
        if held is not None and held is not entry:
            first = _place(held, self._distributions.get(name))
            raise RegistrationError(
                f"{self._kind} {name!r} is registered twice: {first} and "
                f"{_place(entry, distribution)}"
            )
        self._entries[name] = entry
        if distribution:
            self._distributions[name] = distribution

    def _problem(self, name: str, entry: type[T]) -> str | None:
        # One colon sets a family apart: the names that a bridge to another library brings.
        if not all(re.fullmatch(NAME_PATTERN, part) for part in name.split(":", 1)):
            return "allowed are a-z, 0-9, '.', '_' and '-', a letter or digit first"
        if not (isinstance(entry, type) and issubclass(entry, self._base)):
            return f"{entry!r} is no subclass of {self._base.__name__}"
        parameters: Any = getattr(entry, "__dataclass_params__", None)
        if parameters is None or not parameters.frozen:
            return f"{_path(entry)} is no frozen dataclass"
        missing = sorted(getattr(entry, "__abstractmethods__", ()))
        return f"{_path(entry)} does not define {', '.join(missing)}" if missing else None

    def import_own(self) -> None:
        """Import the room; what installed packages add is left to the first use."""
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__, f"{self._package}."):
            importlib.import_module(module.name)

    def _load(self) -> None:
        if self._loaded:
            return
        self.import_own()
        for point in _installed(self._group, tuple(sys.path)):
            self._load_plugin(point)
        self._loaded = True

    def _load_plugin(self, point: EntryPoint) -> None:
        distribution = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        try:
            entry = point.load()
        except Exception as error:
            raise RegistrationError(
                f"{self._kind} plug-in {point.name!r} of {distribution} does not load: "
                f"{_one_line(error)}"
            ) from error
        self._add(point.name, entry, distribution)


def _installed(group: str, places: tuple[str, ...]) -> Iterable[EntryPoint]:
    return _all_installed(places).select(group=group)  # type: ignore[no-any-return]


@cache
def _all_installed(places: tuple[str, ...]) -> Any:
    """The entry points of all packages in these places: one look at them serves all registries."""
    return entry_points()


def _path(entry: type[Any]) -> str:
    return f"{entry.__module__}.{entry.__qualname__}"


def _place(entry: type[Any], distribution: str | None) -> str:
    return f"{_path(entry)} of {distribution}" if distribution else _path(entry)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
