"""What holds for whatever a node has and whoever asks for its PCI devices."""

from __future__ import annotations

import copy

import hypothesis
from hypothesis import strategies as st

from tests import builders
from tests.unit.core import devices
from worker.core import pci, pci_choice, pci_states, records

EXAMPLES = hypothesis.settings(max_examples=120)
ASKED = st.lists(devices.requests(), max_size=3)


def _fits(device: records.Device, request: records.DeviceRequest) -> bool:
    """Whether a device is what a request asks for; from the reference, not from the code."""
    known = {name: value.lower() for name, value in device.tags.items()}
    known |= {"vendor_id": device.vendor_id, "product_id": device.product_id, "dev_type": device.dev_type.lower()}
    if device.dev_type != "type-PCI":
        known.setdefault("remote_managed", "false")
    asked = [{name: value and value.lower() for name, value in spec.items()} for spec in request.spec]
    if device.dev_type in {"type-PF", "vdpa"} and known["dev_type"] not in {spec.get("dev_type") for spec in asked}:
        return False
    if known.get("remote_managed") == "true" and "true" not in {spec.get("remote_managed") for spec in asked}:
        return False
    return any(
        all(known.get(name) == value for name, value in spec.items() if name != "resource_class") for spec in asked
    )


def _in_reach(device: records.Device, policy: str | None, affinity: pci_choice.Affinity | None) -> bool:
    if affinity is None or policy == "preferred" or device.numa_node in affinity.cells:
        return True
    if policy == "socket":
        known = affinity.sockets
        own = {known[cell] for cell in affinity.cells}
        return None not in known.values() and device.numa_node is not None and known[device.numa_node] in own
    return policy != "required" and device.numa_node is None


def _most(found: list[records.Device]) -> int:
    """How many of these can be held at once: a PF counts when none of its functions is among them."""
    parents = {one.parent_addr for one in found}
    return sum(one.address not in parents for one in found)


@EXAMPLES
@hypothesis.given(devices.situations(), ASKED, devices.AFFINITIES)
def test_what_is_given_is_free_and_as_asked_and_goes_together(
    situation: devices.Situation, asked: list[records.DeviceRequest], affinity: pci_choice.Affinity | None
) -> None:
    states = pci_states.states(situation.reported, situation.grants)
    answer = pci_choice.choose(pci_choice.offer(devices.pools(situation.reported, situation.grants), asked), affinity)
    hypothesis.assume(isinstance(answer, tuple))
    assert isinstance(answer, tuple)

    reported = {one.address: one for one in situation.reported}
    assert {states[one.address].status for one in answer} <= {"available"}
    assert len({one.address for one in answer}) == len(answer) == sum(request.count for request in asked)
    assert not {one.address for one in answer} & {one.parent_addr for one in answer if one.dev_type != "type-PCI"}
    rest = list(answer)
    for request in asked:
        own, rest = rest[: request.count], rest[request.count :]
        assert own == [pci.grant(reported[one.address], request.request_id) for one in own]
        assert all(_fits(reported[one.address], request) for one in own)
        assert all(_in_reach(reported[one.address], request.numa_policy, affinity) for one in own)


@EXAMPLES
@hypothesis.given(devices.situations(), devices.requests(), devices.AFFINITIES)
def test_a_request_is_served_whenever_enough_devices_can_be_held_at_once(
    situation: devices.Situation, request: records.DeviceRequest, affinity: pci_choice.Affinity | None
) -> None:
    states = pci_states.states(situation.reported, situation.grants)
    free = [one for one in situation.reported if states[one.address].status == "available" and _fits(one, request)]
    reached = [one for one in free if _in_reach(one, request.numa_policy, affinity)]

    answer = devices.choice(situation.reported, request, affinity=affinity, grants=situation.grants)

    if _most(reached) >= request.count:
        assert isinstance(answer, tuple)
    else:
        assert isinstance(answer, pci_choice.Shortage)
        more = _most(free) - _most(reached)
        told = f", {more} more excluded by NUMA policy {request.numa_policy or 'legacy'}" if more else ""
        assert answer.reasons[0].endswith(f": asked {request.count}, available {_most(reached)}{told}")


@EXAMPLES
@hypothesis.given(devices.situations(), ASKED, devices.AFFINITIES)
def test_the_question_and_the_choice_agree_and_change_nothing(
    situation: devices.Situation, asked: list[records.DeviceRequest], affinity: pci_choice.Affinity | None
) -> None:
    pools = devices.pools(situation.reported, situation.grants)
    offered = pci_choice.offer(pools, asked)
    before = copy.deepcopy((situation, pools, offered))

    supported = pci_choice.supports(offered, affinity)
    first = pci_choice.choose(offered, affinity)
    again = pci_choice.choose(pci_choice.offer(devices.pools(situation.reported, situation.grants), asked), affinity)

    assert supported == isinstance(first, tuple)
    assert first == again
    assert (situation, pools, offered) == before


@EXAMPLES
@hypothesis.given(devices.reports(), st.data())
def test_a_history_of_claims_gives_each_device_to_one_owner_and_ends_where_it_began(
    report: tuple[records.Device, ...], data: st.DataObject
) -> None:
    grants: dict[str, tuple[records.Grant, pci.Owner]] = {}
    first = devices.pools(report)
    for number in range(4):
        asked = data.draw(ASKED)
        answer = pci_choice.choose(
            pci_choice.offer(devices.pools(report, grants), asked), data.draw(devices.AFFINITIES)
        )
        given = answer if isinstance(answer, tuple) else ()
        assert not grants.keys() & {one.address for one in given}
        grants |= devices.granted(given, builders.uid(number), data.draw(st.booleans()))

        together = {one.address for one, _ in grants.values()}
        assert not together & {one.parent_addr for one, _ in grants.values() if one.dev_type != "type-PCI"}
    for address in data.draw(st.permutations(sorted(grants))):
        del grants[address]

        free = {device.address for pool in devices.pools(report, grants) for device in pool.devices}
        assert not free & grants.keys()
    assert devices.pools(report, grants) == first
