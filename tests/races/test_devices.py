"""Devices and CPUs: who gets the last one, who keeps it, and that nobody has it twice."""

from __future__ import annotations

from typing import Any

from tests import hardware_job, plain
from tests.races import stage, words

PINNED: dict[str, Any] = {"flavor": plain.flavor("pinned", vcpus=2, extra_specs={"hw:cpu_policy": "dedicated"})}
WIDE: dict[str, Any] = {"flavor": plain.flavor("wide", vcpus=4, extra_specs={"hw:cpu_policy": "dedicated"})}


def test_of_two_claims_for_one_device_one_gets_it_and_a_deletion_frees_it() -> None:
    """Quirk 28: two parallel tests may both pass; users.md A.22: one owner per device."""
    senders = [[words.claim_of(words.wanting(2))], [words.claim_of(words.wanting(3))], [words.delete(9)]]

    found = stage.play(senders, [words.equipped(), words.claim_of(words.wanting(1))])

    for end in found.ends:
        owners = [number for number in (1, 2, 3) if end.devices(number)]
        admitted = [sender + 2 for sender in (0, 1) if end.outcome(sender) == "accepted"]
        assert owners == admitted
        assert len(owners) <= 1
    assert {end.outcome(0) for end in found.ends} == {"accepted", "refused"}


def test_an_attached_device_that_was_detached_never_comes_back() -> None:
    """Contract 1, detach_devices: a detached request_id is final, also if it comes first; users.md A.22."""
    senders = [[words.attach(3), words.attach(5)], [words.detach(4)]]

    found = stage.play([*senders, [words.recount()]], [words.equipped(), *words.RUNNING])

    assert found.always(lambda now: now.devices() == [] or now.outcome(1) is None)
    stage.jumble([*words.RUNNING, *(cast for said in senders for cast in said)], [words.equipped()])


def test_a_request_that_is_made_twice_gets_no_more_devices_than_it_asks_for() -> None:
    """Bug 2098496: instances had more devices than asked for after a retry."""
    two = words.equipped(1, 1, words.card(), words.card(words.OTHER_CARD))
    senders = [[words.attach(3)], [words.attach(3)], [words.attach(4)], [words.claim_of(words.wanting(2))]]

    found = stage.play(senders, [two, *words.RUNNING])

    assert found.always(lambda now: len(now.devices()) <= 1)
    assert found.finally_(lambda end: (len(end.devices()), end.outcome(3))) == [(1, "accepted")]


def test_a_deletion_gives_back_what_is_attached_before_or_after_it() -> None:
    """Bug 2115905; users.md A.21: only half of the devices of an instance were freed."""
    senders = [[words.attach(3), words.attach(4, number=2)], [words.delete(5)], [words.claim_of(words.wanting(2))]]
    two = words.equipped(1, 1, words.card(), words.card(words.OTHER_CARD))

    found = stage.play(senders, [two, *words.RUNNING])

    assert found.always(lambda now: now.outcome(1) is None or now.devices() == [])
    assert {end.outcome(2) for end in found.ends} == {"accepted", "refused"}


def test_a_device_that_is_lost_from_a_report_stays_its_owners() -> None:
    """Bugs 2115729, 1969496, 1633120; users.md A.21: a device with an owner is never deleted, nor given to another."""
    lost = [words.equipped(1, 2, words.card(words.OTHER_CARD)), words.equipped(1, 3)]

    found = stage.play([lost, [words.claim_of(words.wanting(2))], [words.recount()]],
                       [words.equipped(), words.claim_of(words.wanting(1))])  # fmt: skip

    assert found.always(lambda now: now.devices(1) == [words.CARD])
    assert found.always(lambda now: now.devices(2) == ([words.OTHER_CARD] if now.outcome(1) == "accepted" else []))
    assert {end.outcome(1) for end in found.ends} == {"accepted", "refused"}
    assert {"device_missing"} <= {kind for now in found.moments for kind in now.findings()}


def test_a_physical_function_and_one_of_its_functions_are_never_both_held() -> None:
    """Users.md A.21, the rule of parent and child; quirks 23, 29 and 30."""
    parent = hardware_job.device(hardware_job.PF, dev_type="type-PF", product_id="1572", parent_addr=None)
    node = words.equipped(1, 1, parent, hardware_job.device(hardware_job.VFS[0]))
    asks = {number: [hardware_job.request(number, {"dev_type": kind})] for number, kind in
            ((2, "type-PF"), (3, "type-VF"), (4, "type-PF"))}  # fmt: skip
    claims = [[words.claim_of(plain.instance(number, pci_requests=ask))] for number, ask in asks.items()]

    found = stage.play([*claims, [words.delete(2, 2)], [words.delete(2, 3)]], [node])

    kinds = [{number for number in asks if now.devices(number)} for now in found.moments]
    assert all(len(owners) <= 1 for owners in kinds)
    assert {2} in kinds
    assert {3} in kinds


def test_a_live_migration_that_is_rolled_back_gives_the_devices_of_its_destination_to_others() -> None:
    """Quirk 52: an audit turned the claims of the destination into allocations, and the rollback freed nothing."""
    move = words.Move(kind="live-migration")
    conductor = [move.claim(1, words.wanting(revision=2), "accepted"), move.now(2, "failed", words.wanting(revision=3))]
    other = [words.claim_of(words.wanting(2, on=2))]

    found = stage.play([conductor, [words.recount(2)], other],
                       [words.equipped(1), words.equipped(2), words.claim_of(words.wanting(1))])  # fmt: skip

    for end in found.ends:
        assert len(end.devices(1)) == 1
        assert len(end.devices(2)) == (end.outcome(2) == "accepted")
    assert {(end.outcome(0), end.outcome(2)) for end in found.ends} == {
        ("accepted", "accepted"), ("accepted", "refused"), ("refused", "accepted"),
    }  # fmt: skip


def test_a_resize_on_one_node_never_pins_a_cpu_twice_whenever_an_audit_comes() -> None:
    """Quirk 7; reference 5.7: an audit before the finish pinned the new set twice, failed, and stopped the periodic."""
    move = words.Move(way=(1, 1), old_flavor=PINNED["flavor"], new_flavor=WIDE["flavor"])
    conductor = [move.claim(1, words.vm(2, **PINNED)), move.now(2, "finished", words.vm(3, **WIDE, vm_state="resized")),
                 move.now(3, "confirmed", words.vm(4, **WIDE))]  # fmt: skip
    audits = [words.recount(), words.audit(1, words.vm(1, **PINNED), taken_at=stage.BEFORE, authoritative=True)]

    found = stage.play([conductor, audits], [words.equipped(cpus=6), words.claim_of(words.vm(1, **PINNED))])

    assert found.always(lambda now: len(now.cpus()) == (2 if not now.outcome(0) else 4 if now.outcome(0, 2) else 6))
    assert found.always(lambda now: "recount_differs" not in now.findings())


def test_a_guest_that_cannot_be_pinned_stops_no_audit_of_the_others() -> None:
    """Bug 1849165; users.md A.3: a pinning error of one instance stopped the whole periodic."""
    misfit = words.fact_of(words.vm(1, number=3, **WIDE))
    senders = [[misfit], [words.claim_of(words.vm(1, number=2, **PINNED))], [words.recount(), words.recount()]]

    found = stage.play(senders, [words.equipped(), words.claim_of(words.vm(1, **PINNED))])

    assert found.always(lambda now: len(now.cpus(1)) == 2)
    assert found.always(lambda now: now.outcome(1) != "accepted" or len(now.cpus(2)) == 2)
    assert found.always(lambda now: not now.outcome(2) or now.outcome(2) == "applied")


def test_an_incoming_resize_keeps_the_cpus_it_was_given_though_the_guest_is_not_there_yet() -> None:
    """Bugs 1953359 and 1952915: the record named the destination, the context was not applied, and the pins were wrong."""
    move = words.Move(old_flavor=PINNED["flavor"], new_flavor=WIDE["flavor"])
    conductor = [move.now(2, "post-migrating", words.vm(3, 2, **PINNED, task_state="resize_migrated")),
                 move.now(3, "finished", words.vm(4, 2, **WIDE, vm_state="resized")),
                 move.now(4, "confirmed", words.vm(5, 2, **WIDE))]  # fmt: skip
    before = [words.equipped(1), words.equipped(2, cpus=4), words.claim_of(words.vm(1, **PINNED)),
              move.claim(1, words.vm(2, **PINNED))]  # fmt: skip
    other = [words.claim_of(words.vm(1, number=2, on=2, **PINNED))]

    found = stage.play([conductor, other, [words.recount(2), words.recount(1)]], before)

    assert found.always(lambda now: len(now.cpus()) == (4 if now.outcome(0, 2) else 6))
    assert found.always(lambda now: now.outcome(1) in {None, "refused"})


def test_the_device_of_a_resized_guest_stays_at_its_source_until_the_confirmation() -> None:
    """Reference 5.5 and 5.12: a resize can be reverted as long as its source is held, its devices as well."""
    move = words.Move(new_pci_requests=[])
    resized: dict[str, Any] = {"flavor": words.BIG, "vm_state": "resized"}
    conductor = [move.claim(1, words.wanting(revision=2)), move.now(2, "finished", words.vm(3, 2, **resized)),
                 move.now(3, "confirmed", words.vm(4, 2, flavor=words.BIG))]  # fmt: skip
    other = [words.claim_of(words.wanting(2))]

    found = stage.play([conductor, other, [words.recount()]],
                       [words.equipped(1), words.equipped(2), words.claim_of(words.wanting(1))])  # fmt: skip

    for now in found.moments:
        confirmed = now.outcome(0, 2) is not None
        assert now.devices() == ([] if confirmed else [words.CARD])
        assert now.outcome(1) != "accepted" or confirmed
    assert {end.outcome(1) for end in found.ends} == {"accepted", "refused"}
