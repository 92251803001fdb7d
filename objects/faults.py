"""How a checker says no: one error that collects its path while it rises."""

from __future__ import annotations

from typing import Any

_SHOWN = 60
_WORDS = {type(None): "null", list: "a list", tuple: "a list", set: "a set", dict: "a dict"}


class Fault(ValueError):
    """A value that breaks a rule; ``path`` is relative to whoever catches it."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def within(self, segment: str) -> Fault:
        """Put the step that led here before the path."""
        self.path = segment + self.path
        return self


def shown(value: Any) -> str:
    """Return the value as an error may show it: short, printable, one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return ascii(value) if len(value) <= _SHOWN else ascii(value[:_SHOWN]) + "..."
    if isinstance(value, int | float):
        return repr(value)
    return _WORDS.get(type(value), f"a {type(value).__name__}")


def member(name: Any) -> str:
    """Return the path segment of a field: ``.name``, or ``['odd name']``."""
    if isinstance(name, str) and name.isascii() and name.isidentifier() and len(name) <= _SHOWN:
        return "." + name
    return item(name)


def item(key: Any) -> str:
    """Return the path segment of a list index or dict key."""
    return f"[{shown(key)}]"
