"""A registry of named entries: formats, judges, methods, refiners, ..."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from qaclims_path.errors import NotRegistered

T = TypeVar("T")


def suggest(wrong: str, known: list[str]) -> str:
    """Suggest the known name that is closest to a wrong one, and list the known names.

    Examples:
        >>> suggest("paar", ["par", "crf"])
        "Did you mean 'par'? Known: crf, par."
    """
    close = get_close_matches(wrong, known, n=1, cutoff=0.6)
    meant = f"Did you mean '{close[0]}'? " if close else ""
    names = sorted(known)
    shown = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
    return f"{meant}Known: {shown or 'none'}."


class Registry(Generic[T]):
    """Named entries: those of this package by decorator, those of other packages by entry point.

    Args:
        kind: What an entry is, for messages.
        group: Entry-point group of other packages.
        modules: Modules by the name of the entry that each registers; one is imported when its entry is asked for, so
            that a name is checked without loading any library.

    Examples:
        >>> REFINERS: Registry[object] = Registry("refiner")
        >>> @REFINERS.add("none")
        ... def keep(maps): return maps
        >>> REFINERS["nonee"]
        Traceback (most recent call last):
        qaclims_path.errors.NotRegistered: There is no refiner 'nonee'. Did you mean 'none'? Known: none.
    """

    def __init__(self, kind: str, group: str | None = None, modules: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.group = group
        self.modules = modules or {}
        self._entries: dict[str, T] = {}

    def add(self, name: str) -> Callable[[T], T]:
        """Register the decorated entry under a name."""

        def register(entry: T) -> T:
            self._entries[name] = entry
            return entry

        return register

    def __getitem__(self, name: str) -> T:
        if name not in self._entries and name in self.modules:
            import_module(self.modules[name])
        if name in self._entries:
            return self._entries[name]
        for point in self._points():
            if point.name == name:
                self._entries[name] = point.load()
                return self._entries[name]
        raise NotRegistered(f"There is no {self.kind} '{name}'. {suggest(name, list(self))}")

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._entries, *self.modules, *(point.name for point in self._points())}))

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def _points(self) -> list[EntryPoint]:
        return list(entry_points(group=self.group)) if self.group else []
