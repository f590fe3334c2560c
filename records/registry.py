"""A registry of named classes, filled by decorators and by installed packages' entry points."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from pydantic import JsonValue, TypeAdapter

from records.identity import canonical_json

T = TypeVar("T")


class UnknownNameError(LookupError):
    """A name that nothing is registered under; the message names the nearest and all allowed."""


class RegistrationError(ValueError):
    """A registration that is refused: a taken name, a wrong base, a plug-in that does not load."""


def unknown_name(kind: str, name: str, allowed: list[str]) -> str:
    """One sentence on an unknown name, with the nearest allowed one where there is one."""
    near = difflib.get_close_matches(name, allowed, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}: {hint}allowed: {', '.join(sorted(allowed)) or 'none'}"


class Registry(Generic[T]):
    """Names of one kind ("method", "task") and the classes they stand for.

    `package` is the room whose modules register themselves on import; installed packages add
    theirs by the entry-point group `finegrid.<kind>s`. Nothing is imported before the first use.
    """

    def __init__(self, kind: str, base: type[Any], package: str) -> None:
        self._kind, self._base, self._package = kind, base, package
        self._entries: dict[str, type[T]] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """A class decorator. Raises RegistrationError for a taken name or a wrong base."""

        def decorate(entry: type[T]) -> type[T]:
            self._check(name, entry)
            self._entries[name] = entry
            return entry

        return decorate

    def get(self, name: str) -> type[T]:
        """The class of that name. Raises UnknownNameError."""
        self._load()
        if name not in self._entries:
            raise UnknownNameError(unknown_name(self._kind, name, list(self._entries)))
        return self._entries[name]

    def build(self, name: str, settings: Mapping[str, JsonValue]) -> T:
        """An instance with those settings, strictly checked; absent ones take their default.

        Raises UnknownNameError, or pydantic.ValidationError that names the setting.
        """
        adapter = TypeAdapter(self.get(name))
        return adapter.validate_json(canonical_json(dict(settings)), strict=True)

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))

    def _check(self, name: str, entry: type[T]) -> None:
        if not (isinstance(entry, type) and issubclass(entry, self._base)):
            raise RegistrationError(
                f"{self._kind} {name!r}: {entry!r} is no subclass of {self._base.__name__}"
            )
        held = self._entries.get(name)
        if held is not None and held is not entry:
            raise RegistrationError(
                f"{self._kind} {name!r} is registered twice: "
                f"{held.__module__}.{held.__qualname__} and {entry.__module__}.{entry.__qualname__}"
            )

    def _load(self) -> None:
        if self._loaded:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__, f"{self._package}."):
            importlib.import_module(module.name)
        for point in entry_points(group=f"finegrid.{self._kind}s"):
            self._load_plugin(point.name, point.load)
        self._loaded = True

    def _load_plugin(self, name: str, load: Callable[[], type[T]]) -> None:
        try:
            entry = load()
        except Exception as error:
            raise RegistrationError(
                f"{self._kind} plug-in {name!r} does not load: {error}"
            ) from error
        self._check(name, entry)
        self._entries[name] = entry
