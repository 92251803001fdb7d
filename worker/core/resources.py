"""Whole amounts by resource class: add, subtract, compare.

Amounts are plain dictionaries ``class -> whole number`` that are never changed in place; a class that is absent and a
class with amount 0 mean the same, and the functions here leave zeros out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Amounts = Mapping[str, int]

VCPU = "VCPU"
PCPU = "PCPU"
MEMORY_MB = "MEMORY_MB"
DISK_GB = "DISK_GB"

NOTHING: Amounts = {}


def without_zeros(amounts: Amounts) -> Amounts:
    """Return the amounts that are not 0."""
    return amounts if all(amounts.values()) else {name: amount for name, amount in amounts.items() if amount}


def add(left: Amounts, right: Amounts) -> Amounts:
    """Return left + right."""
    if not right:
        return left
    total = dict(left)
    for name, amount in right.items():
        total[name] = total.get(name, 0) + amount
    return without_zeros(total)


def subtract(left: Amounts, right: Amounts) -> Amounts:
    """Return left - right; amounts may become negative."""
    if not right:
        return left
    total = dict(left)
    for name, amount in right.items():
        total[name] = total.get(name, 0) - amount
    return without_zeros(total)


def total(parts: Iterable[Amounts]) -> Amounts:
    """Return the sum of all parts."""
    result = NOTHING
    for part in parts:
        result = add(result, part) if result else without_zeros(part)
    return result
