"""Names of resource classes and traits: what Placement accepts, and what becomes of a name that it would not."""

from __future__ import annotations

import re

import msgspec

CUSTOM = "CUSTOM_"
LONGEST = 255

_FORM = re.compile(r"[A-Z0-9_]{1,255}")
_FOREIGN = re.compile(r"[^A-Z0-9_]+")
_PUNCTUATION = re.compile(r"[^A-Z0-9]+")


class Names(msgspec.Struct, frozen=True, gc=False):
    """The standard names, those that every Placement knows."""

    classes: frozenset[str]
    traits: frozenset[str]


def is_custom(name: str) -> bool:
    """Tell whether a name is a cloud's own: CUSTOM_ with something after it."""
    return name.startswith(CUSTOM) and name != CUSTOM


def fault(name: str, standard: frozenset[str]) -> str | None:
    """Say why Placement would not take a name («is …»), or None for a good one."""
    if not _FORM.fullmatch(name):
        return f"is not 1 to {LONGEST} characters of A-Z, 0-9 and _"
    if name in standard or is_custom(name):
        return None
    return "is neither a standard name nor CUSTOM_ with something after it"


def normal_class(name: str, standard: frozenset[str]) -> str:
    """Return the resource class that a text means: a standard one in any case of its letters, else one of CUSTOM_.

    Only its length can still be at fault, or that the text is empty.
    """
    upper = name.upper()
    return upper if upper in standard else _customised(upper)


def normal_trait(name: str, standard: frozenset[str]) -> str:
    """Return the trait that a text means: a standard one as it is written, else one of CUSTOM_.

    Only its length can still be at fault, or that the text is empty. Other than with classes a standard name
    in small letters means one of CUSTOM_, as in Nova: flavors ask for that one.
    """
    return name if name in standard else _customised(name.upper())


def _customised(upper: str) -> str:
    """Put CUSTOM_ before a name that has it not; what no name may have becomes an underscore, a run of it one."""
    if upper.startswith(CUSTOM):
        return _FOREIGN.sub("_", upper)
    return CUSTOM + _PUNCTUATION.sub("_", upper)
