"""How long text, lists and dicts may be; an operator may change each of them."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The longest that is read: characters of text, entries of lists and dicts."""

    string_length: int = 255
    text_length: int = 4096
    list_length: int = 65536
    dict_length: int = 65536
    cells: int = 64
    audit_instances: int = 20000


DEFAULT = Limits()
