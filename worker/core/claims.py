"""Does it fit: every class against what a node has left; all or nothing."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from worker.core import node_tree, records, resources

ALL = "all"
LOCAL = "local"
NONE = "none"


class Policy(msgspec.Struct, frozen=True, gc=False):
    """What the operator decided; durations in microseconds.

    ``claims``: ``all`` tests every class, ``local`` only what no flavor says (Placement has decided on the rest),
    ``none`` nothing at all. ``trees`` are the rules for what is below the nodes' root providers.
    """

    claims: str = ALL
    audit_grace: int = 60_000_000
    migration_deadline: int = 86_400_000_000
    trees: node_tree.Rules = node_tree.Rules()


def lacking(
    inventories: Mapping[str, records.Inventory],
    used_by_others: resources.Amounts,
    kept: resources.Amounts,
    wanted: resources.Amounts,
) -> tuple[str, ...]:
    """Return one reason for each class of ``wanted`` that a node cannot give.

    ``kept`` is what the same instance holds there besides (the other side of a move on one node); with
    ``used_by_others`` it is in the way of ``wanted``.
    """
    reasons = []
    for name in sorted(wanted):
        asked = wanted[name]
        inventory = inventories.get(name)
        taken = used_by_others.get(name, 0) + kept.get(name, 0)
        reason = shortage(inventory, taken, asked)
        if reason:
            reasons.append(f"{name}: asked {asked}, {reason}")
    return tuple(reasons)


def shortage(inventory: records.Inventory | None, taken: int, asked: int) -> str | None:
    """Return why an inventory of which so much is taken cannot give what is asked, or None."""
    if inventory is None:
        return "available 0 (the node has none)"
    if taken + asked > inventory.capacity:
        return f"available {max(inventory.capacity - taken, 0)} (capacity {inventory.capacity}, used {taken})"
    return _misfit(inventory, asked)


def _misfit(inventory: records.Inventory, asked: int) -> str | None:
    if asked < inventory.min_unit:
        return f"min_unit is {inventory.min_unit}"
    if asked > inventory.max_unit:
        return f"max_unit is {inventory.max_unit}"
    if asked % inventory.step_size:
        return f"step_size is {inventory.step_size}"
    return None


def tested(policy: Policy, amounts: resources.Amounts, extra: resources.Amounts) -> resources.Amounts:
    """Return those of the amounts that a claim tests under the policy; ``extra`` is what no flavor says."""
    if policy.claims == ALL:
        return amounts
    if policy.claims == LOCAL:
        return {name: amounts[name] for name in extra if name in amounts}
    return resources.NOTHING
