"""The state of every PCI device of a node: worked out from the report and from who holds what, never stored.

A device that is part of another one (a VF or vdpa of a PF) and the other one exclude each other. So the state of a
device that nobody holds follows from its relatives: its parent, and the functions that are a part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from worker.core import pci, records

AVAILABLE = "available"
CLAIMED = "claimed"
ALLOCATED = "allocated"
UNCLAIMABLE = "unclaimable"
UNAVAILABLE = "unavailable"
REMOVED = "removed"

CLAIM = "claim"
ALLOCATE = "allocate"
FREE = "free"
RELATIVE_CLAIMED = "relative_claimed"
RELATIVE_ALLOCATED = "relative_allocated"
RELATIVES_FREED = "relatives_freed"
LOST = "lost"
REPORTED = "reported"

TRANSITIONS: Mapping[tuple[str, str], str] = {
    (AVAILABLE, CLAIM): CLAIMED,
    (AVAILABLE, ALLOCATE): ALLOCATED,
    (AVAILABLE, RELATIVE_CLAIMED): UNCLAIMABLE,
    (AVAILABLE, RELATIVE_ALLOCATED): UNAVAILABLE,
    (AVAILABLE, LOST): REMOVED,
    (CLAIMED, ALLOCATE): ALLOCATED,
    (CLAIMED, FREE): AVAILABLE,
    (CLAIMED, LOST): CLAIMED,
    (CLAIMED, REPORTED): CLAIMED,
    (ALLOCATED, FREE): AVAILABLE,
    (ALLOCATED, LOST): ALLOCATED,
    (ALLOCATED, REPORTED): ALLOCATED,
    (UNCLAIMABLE, RELATIVE_ALLOCATED): UNAVAILABLE,
    (UNCLAIMABLE, RELATIVES_FREED): AVAILABLE,
    (UNCLAIMABLE, LOST): REMOVED,
    (UNAVAILABLE, RELATIVE_CLAIMED): UNCLAIMABLE,
    (UNAVAILABLE, RELATIVES_FREED): AVAILABLE,
    (UNAVAILABLE, LOST): REMOVED,
    (REMOVED, REPORTED): AVAILABLE,
}
"""(state, event) -> state. Nothing steps along this table: it says how the states that are found follow each other.

The events of relatives tell what holds them now: the strongest is claimed, is allocated, or there is none. A change may
be several events, one after the other: a new VF of a PF that is held is ``reported``, then ``relative_allocated``.
``lost`` is a device that the report lacks; one that is held stays what it is until it is free.
"""


class State(msgspec.Struct, frozen=True, gc=False):
    """The state of a device; ``missing``: it is held, and the report lacks it."""

    status: str
    missing: bool = False
    owner: pci.Owner | None = None


UNTOUCHED = State(AVAILABLE)


def states(devices: Sequence[records.Device], grants: pci.Grants) -> Mapping[str, State]:
    """Return the state of every device by its address, in the report's order; those that it lacks come last.

    A device that nobody holds and no report has is ``removed``: it is not in the answer.
    """
    found = dict.fromkeys((device.address for device in devices), UNTOUCHED)
    if not grants:
        return found
    held = _held_relatives(devices, grants)
    for address in found.keys() & (grants.keys() | held.keys()):
        found[address] = _state(address, grants, held, missing=False)
    for address in sorted(grants.keys() - found.keys()):
        found[address] = _state(address, grants, held, missing=True)
    return found


def _state(address: str, grants: pci.Grants, held: Mapping[str, bool], *, missing: bool) -> State:
    if address in grants:
        _, owner = grants[address]
        return State(ALLOCATED if owner.allocated else CLAIMED, missing, owner)
    return State(UNAVAILABLE if held[address] else UNCLAIMABLE)


def _held_relatives(devices: Sequence[records.Device], grants: pci.Grants) -> dict[str, bool]:
    """Return the addresses with a relative that is held -> whether one of these is allocated.

    What a report says of a device counts; the facts of the grant speak for a device that the report lacks.
    """
    present = {device.address: device for device in devices if device.address in grants}
    held: dict[str, bool] = {}
    for address, (given, owner) in grants.items():
        above = pci.parent(present.get(address, given))
        if above is not None:
            held[above] = held.get(above, False) or owner.allocated
    whole = {address for address, (given, _) in grants.items() if pci.parent(present.get(address, given)) is None}
    for device in devices if whole else ():
        above = pci.parent(device)
        if above is not None and above in grants:
            held[device.address] = held.get(device.address, False) or grants[above][1].allocated
    return held


def diagram() -> str:
    """Return the table as a Mermaid state diagram."""
    edges = [f"    {before} --> {after}: {event}" for (before, event), after in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {AVAILABLE}: {REPORTED}", *edges]) + "\n"
