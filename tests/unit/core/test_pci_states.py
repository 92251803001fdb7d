"""States of PCI devices follow from the report and from who holds what."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tests import builders
from tests.unit.core import devices
from worker.core import pci, pci_states, records

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "pci-states.md"
UPDATE = (
    "put what this prints between the fences: python -c 'from worker.core import pci_states as s; print(s.diagram())'"
)

FAMILY = (devices.pf(1), devices.vf(1, 0), devices.vf(1, 1, dev_type="vdpa"))
OTHERS = (devices.pf(2), devices.vf(2, 0), devices.plain(3))


def _statuses(report: tuple[records.Device, ...], grants: pci.Grants) -> dict[str, str]:
    return {address[5:]: state.status for address, state in pci_states.states(report, grants).items()}


def test_what_nobody_holds_is_available() -> None:
    assert set(_statuses(FAMILY + OTHERS, {}).values()) == {"available"}


@pytest.mark.parametrize(("allocated", "own", "relatives"), [
    (False, "claimed", "unclaimable"), (True, "allocated", "unavailable"),
])  # fmt: skip
def test_a_held_pf_keeps_all_its_functions(allocated: bool, own: str, relatives: str) -> None:
    found = _statuses(FAMILY + OTHERS, devices.held(devices.pf(1), allocated=allocated))

    assert found == {
        "01:00.0": own, "01:02.0": relatives, "01:02.1": relatives,
        "02:00.0": "available", "02:02.0": "available", "03:00.0": "available",
    }  # fmt: skip


@pytest.mark.parametrize("number", [1, 2])
def test_a_held_function_keeps_its_pf_and_leaves_the_other_functions(number: int) -> None:
    found = _statuses(FAMILY, devices.held(FAMILY[number]))

    assert found == {"01:00.0": "unavailable", "01:02.0": "available", "01:02.1": "available"} | {
        FAMILY[number].address[5:]: "allocated"
    }


def test_an_allocated_function_is_stronger_than_a_claimed_one_whatever_their_order() -> None:
    claimed, allocated = devices.held(FAMILY[1], allocated=False), devices.held(FAMILY[2])

    for grants in (claimed | allocated, allocated | claimed):
        assert _statuses(FAMILY, grants)["01:00.0"] == "unavailable"
    assert _statuses(FAMILY, claimed)["01:00.0"] == "unclaimable"


def test_a_plain_device_below_another_one_is_no_part_of_it() -> None:
    below = devices.plain(3, parent_addr="0000:01:00.0")

    assert _statuses((*FAMILY, below), devices.held(devices.pf(1)))["03:00.0"] == "available"
    assert _statuses((*FAMILY, below), devices.held(below))["01:00.0"] == "available"


def test_a_held_device_tells_its_owner() -> None:
    found = pci_states.states(FAMILY, devices.held(devices.pf(1)))

    owner = pci.Owner(builders.VM, builders.uid(70), allocated=True)
    assert found["0000:01:00.0"] == pci_states.State("allocated", missing=False, owner=owner)
    assert found["0000:01:02.0"] == pci_states.State("unavailable", missing=False, owner=None)


def test_held_devices_that_the_report_lacks_are_missing_and_come_last() -> None:
    grants = devices.held(devices.vf(1, 1), devices.vf(1, 0), allocated=False)

    found = pci_states.states(OTHERS, grants)

    assert [*found][len(OTHERS) :] == ["0000:01:02.0", "0000:01:02.1"]
    assert found["0000:01:02.0"] == pci_states.State("claimed", True, grants["0000:01:02.0"][1])


def test_free_devices_that_the_report_lacks_are_in_no_figure() -> None:
    assert _statuses((), {}) == {}


def test_a_missing_function_keeps_its_pf() -> None:
    assert _statuses((FAMILY[0], FAMILY[2]), devices.held(FAMILY[1])) == {
        "01:00.0": "unavailable", "01:02.1": "available", "01:02.0": "allocated",
    }  # fmt: skip


def test_a_missing_pf_keeps_its_functions() -> None:
    found = _statuses(FAMILY[1:], devices.held(FAMILY[0], allocated=False))

    assert found == {"01:02.0": "unclaimable", "01:02.1": "unclaimable", "01:00.0": "claimed"}


def test_the_report_speaks_for_the_parent_of_a_device_that_it_has() -> None:
    now = (devices.pf(1), devices.pf(2), devices.vf(1, 0, parent_addr="0000:02:00.0"))

    assert _statuses(now, devices.held(devices.vf(1, 0))) == {
        "01:00.0": "available", "02:00.0": "unavailable", "01:02.0": "allocated",
    }  # fmt: skip


def test_a_pf_is_only_unclaimable_again_when_its_last_allocated_function_is_free() -> None:
    claimed = devices.held(FAMILY[1], allocated=False)

    before = _statuses(FAMILY, claimed | devices.held(FAMILY[2]))
    after = _statuses(FAMILY, claimed)

    assert (before["01:00.0"], after["01:00.0"]) == ("unavailable", "unclaimable")


def test_functions_of_a_missing_pf_are_free_when_it_is_given_back() -> None:
    assert set(_statuses(FAMILY[1:], {}).values()) == {"available"}


def _level(address: str, known: tuple[records.Device, ...], grants: pci.Grants) -> str | None:
    """Return the event of the strongest holder among the relatives, or None; from the definition, not from the code."""
    relatives = {one.parent_addr for one in known if one.address == address and one.dev_type != "type-PCI"}
    relatives |= {one.address for one in known if one.parent_addr == address and one.dev_type != "type-PCI"}
    holds = {owner.allocated for one, (_, owner) in grants.items() if one in relatives}
    return None if not holds else "relative_allocated" if True in holds else "relative_claimed"


def _events(address: str, before: devices.Situation, after: devices.Situation) -> list[str]:
    """Return what happens to one device, in the order in which the table has it."""
    events = []
    had, has = (situation.grants.get(address) for situation in (before, after))
    was, now = (address in {one.address for one in situation.reported} for situation in (before, after))
    if had and not has:
        events += ["free"] if was else ["free", "lost"]
    if has and has != had:
        events.append("allocate" if has[1].allocated else "claim")
    if was != now:
        events.append("reported" if now else "lost")
    old, new = (_level(address, situation.known, situation.grants) for situation in (before, after))
    new_here = "reported" in events or "free" in events
    if now and not has and (new if new_here else old != new):
        events.append(new or "relatives_freed")
    return events


def _free(situation: devices.Situation) -> list[records.Device]:
    return [device for pool in devices.pools(situation.reported, situation.grants) for device in pool.devices]


@st.composite
def _changes(draw: st.DrawFn) -> tuple[devices.Situation, devices.Situation]:
    """A situation and what it is after one change."""
    before = draw(devices.situations())
    there = {device.address for device in before.reported}
    grants = before.grants
    kinds = ["nothing"]
    kinds += ["give"] * bool(_free(before)) + ["take"] * bool(grants)
    kinds += ["plug"] * bool(before.known)
    kind = draw(st.sampled_from(kinds))
    if kind == "give":
        grants = grants | devices.held(draw(st.sampled_from(_free(before))), allocated=draw(st.booleans()))
    if kind == "take":
        address = draw(st.sampled_from(sorted(grants)))
        given, owner = grants[address]
        grants = {other: grants[other] for other in grants if other != address}
        if not owner.allocated and draw(st.booleans()):
            grants[address] = (given, pci.Owner(owner.instance_uuid, owner.request_id, allocated=True))
    if kind == "plug":
        there ^= {draw(st.sampled_from(before.known)).address}
    reported = tuple(device for device in before.known if device.address in there)
    return before, devices.Situation(before.known, reported, grants)


def _walked(before: devices.Situation, after: devices.Situation) -> set[tuple[str, str]]:
    """Check that the table leads from the states before to those after, and return its edges on the way."""
    old = pci_states.states(before.reported, before.grants)
    new = pci_states.states(after.reported, after.grants)
    edges = set()
    for address in (device.address for device in before.known):
        status = old[address].status if address in old else pci_states.REMOVED
        for event in _events(address, before, after):
            edges.add((status, event))
            status = pci_states.TRANSITIONS[status, event]
        assert status == (new[address].status if address in new else pci_states.REMOVED)
    return edges


@hypothesis.settings(max_examples=150)
@hypothesis.given(_changes())
def test_whatever_changes_every_state_follows_the_table(change: tuple[devices.Situation, devices.Situation]) -> None:
    _walked(*change)


Spot = tuple[bool, bool | None]
"""Whether the report has a device; whether it is allocated, or None when nobody holds it."""


def _family(spots: tuple[Spot, ...]) -> devices.Situation:
    held: dict[str, Any] = {}
    for device, (_, allocated) in zip(FAMILY, spots, strict=True):
        held |= {} if allocated is None else devices.held(device, allocated=allocated)
    return devices.Situation(FAMILY, tuple(itertools.compress(FAMILY, (there for there, _ in spots))), held)


def _can_be(spots: tuple[Spot, ...]) -> bool:
    """Whether the PF is not held together with one of its functions."""
    return spots[0][1] is None or {allocated for _, allocated in spots[1:]} == {None}


def _next_spots(spot: Spot) -> Iterator[Spot]:
    there, allocated = spot
    yield not there, allocated
    if allocated is None and there:
        yield from [(there, False), (there, True)]
    if allocated is not None:
        yield there, None
    if allocated is False:
        yield there, True


def test_every_edge_of_the_table_is_walked_by_some_change_of_a_family() -> None:
    walked = set()

    every_spot = itertools.product([False, True], [None, False, True])
    for spots in filter(_can_be, itertools.product(every_spot, repeat=3)):
        for place, spot in enumerate(spots):
            for changed in _next_spots(spot):
                after = (*spots[:place], changed, *spots[place + 1 :])
                if _can_be(after):
                    walked |= _walked(_family(spots), _family(after))

    assert walked == pci_states.TRANSITIONS.keys()


def test_the_page_has_the_diagram_of_the_table() -> None:
    assert f"```mermaid\n{pci_states.diagram()}```\n" in PAGE.read_text(encoding="utf-8"), f"{PAGE.name}: {UPDATE}"
