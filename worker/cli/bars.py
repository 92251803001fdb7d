"""Used of total as a bar for people and as numbers for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TextIO

from cliff import columns

CELLS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Glyphs:
    """One character each for a cell that is in use and for one that is free."""

    full: str
    free: str


BLOCKS = Glyphs("█", "░")
ASCII = Glyphs("#", ".")


def glyphs(stream: TextIO) -> Glyphs:
    """Return blocks for a terminal that can show them, plain characters for everything else."""
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
    return BLOCKS if encoding == "utf8" and stream.isatty() else ASCII


def drawn(used: int, capacity: int, with_glyphs: Glyphs, *, firm: bool = True) -> str:
    """Return ``###....... 3/10``; what is over a ``firm`` capacity is marked by an exclamation mark."""
    share = used / capacity if capacity > 0 else float(used > 0)
    full = min(max(round(share * CELLS), int(used > 0)), CELLS)
    over = "!" if firm and used > max(capacity, 0) else ""
    return f"{with_glyphs.full * full}{with_glyphs.free * (CELLS - full)} {used}/{capacity}{over}"


class Bar(columns.FormattableColumn[Mapping[str, int]]):
    """Figures of one resource class: used, settled, in_move, capacity."""

    def __init__(self, figures: Mapping[str, int], with_glyphs: Glyphs) -> None:
        super().__init__(figures)
        self._glyphs = with_glyphs

    def __lt__(self, other: object) -> bool:
        """Sort by the share that is in use."""
        return isinstance(other, Bar) and self.share < other.share

    @property
    def share(self) -> float:
        """The part of the capacity that is in use."""
        return self._value["used"] / max(self._value["capacity"], 1)

    def human_readable(self) -> str:
        """Return the bar, and what of it is in move."""
        moving = self._value.get("in_move", 0)
        bar = drawn(self._value["used"], self._value["capacity"], self._glyphs)
        return f"{bar} ({moving} in move)" if moving else bar


class Bars(columns.FormattableColumn[Mapping[str, Mapping[str, int]]]):
    """Figures of several resource classes, a line each."""

    def __init__(self, usages: Mapping[str, Mapping[str, int]], with_glyphs: Glyphs) -> None:
        super().__init__(usages)
        self._glyphs = with_glyphs

    def human_readable(self) -> str:
        """Return one bar a line, the name of the class before it."""
        width = max(map(len, self._value), default=0)
        lines = (f"{name:{width}} {Bar(figures, self._glyphs)}" for name, figures in sorted(self._value.items()))
        return "\n".join(lines)


class Amounts(columns.FormattableColumn[Mapping[str, Any]]):
    """Amounts by resource class, or any other names and values, in a row."""

    def human_readable(self) -> str:
        """Return ``MEMORY_MB 512, VCPU 1``."""
        return ", ".join(f"{name} {amount}" for name, amount in sorted(self._value.items())) or "-"


class Changes(columns.FormattableColumn[Mapping[str, int]]):
    """Amounts by resource class with their sign."""

    def human_readable(self) -> str:
        """Return ``MEMORY_MB +512, VCPU +1``."""
        return ", ".join(f"{name} {amount:+d}" for name, amount in sorted(self._value.items())) or "-"


class Maybe(columns.FormattableColumn[Any]):
    """A value that may be missing, or a yes that may be a no."""

    def __lt__(self, other: object) -> bool:
        """Sort what is there by its text, what is not first."""
        return isinstance(other, Maybe) and self.human_readable() < other.human_readable()

    def human_readable(self) -> str:
        """Return the value, ``yes``, or ``-``."""
        if self._value is None or self._value is False:
            return "-"
        return "yes" if self._value is True else str(self._value)


class Lines(columns.FormattableColumn[Any]):
    """A nested value: for people a few lines, for programs as it is."""

    def human_readable(self) -> str:
        """Return ``path: values`` lines; what has no parts of its own shares a line with its neighbours."""
        return "\n".join(f"{path}: {text}" if path else text for path, text in _flat("", self._value)) or "-"


def _flat(path: str, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping | list):
        return [] if value is None and not path else [(path, str(value))]
    parts: list[tuple[Any, Any]] = list(value.items() if isinstance(value, Mapping) else enumerate(value))
    if parts and not any(isinstance(part, Mapping | list) for _, part in parts):
        named = isinstance(value, Mapping)
        return [(path, ", ".join(f"{name} {part}" if named else str(part) for name, part in parts))]
    shown = (f"[{name}]" if isinstance(value, list) else f".{name}" if path else str(name) for name, _ in parts)
    return [line for name, (_, part) in zip(shown, parts, strict=True) for line in _flat(f"{path}{name}", part)]
