"""Places of instances that move: claimed at the destination, kept at the source, and one of the two in the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from tests.unit.core import histories, place_cases
from worker.core import claims, commands, events, lifecycle, records

GPU0, GPU1 = place_cases.GPU0, place_cases.GPU1
SMALL, BIG = builders.a_flavor(vcpus=2), builders.a_big_flavor(vcpus=3)
TWO, THREE = place_cases.pinned(2), place_cases.pinned(3)
ASKED, NEW = place_cases.gpus(number=700), place_cases.gpus(number=710)
HERE: dict[str, Any] = {"flavor": SMALL, "numa_topology": TWO, "pci_requests": (ASKED,)}
THERE: dict[str, Any] = {"flavor": BIG, "numa_topology": THREE, "pci_requests": (NEW,)}
WELL = sorted(lifecycle.ARRIVED)
BADLY = sorted(lifecycle.FAILED | {"reverted"})


def _move(status: str = "migrating", revision: int = 1, number: int = 900, **changes: Any) -> records.Move:
    values: dict[str, Any] = {
        "old_flavor": SMALL, "new_flavor": BIG, "new_numa_topology": THREE, "new_pci_requests": (NEW,), "status": status,
    }  # fmt: skip
    return builders.a_move(builders.uid(number), revision, **values | changes)


def _at(host: str, revision: int, **changes: Any) -> records.Instance:
    return builders.an_instance(revision=revision, host=host, **changes)


def _moving(claimed: bool = True, **changes: Any) -> builders.Worker:
    """Return a worker whose instance is about to leave h1 for h2."""
    worker = place_cases.a_worker("h1", "h2")
    worker.tell(commands.ClaimInstance(_at("h1", 1, **HERE)))
    kind = commands.ClaimMigration if claimed else commands.UpdateMigration
    worker.tell(kind(_move(**changes), _at("h1", 1, **HERE)))
    return worker


def _ended(worker: builders.Worker, status: str, record: records.Instance, **changes: Any) -> builders.Worker:
    worker.tell(commands.UpdateMigration(_move(status, 9, **changes), record))
    place_cases.check_places(worker.store)
    histories.check_sums(worker.store)
    return worker


@pytest.mark.parametrize("kind", sorted(lifecycle.MIGRATION_TYPES))
@pytest.mark.parametrize("claimed", [True, False])
def test_a_move_is_given_its_destination_and_keeps_its_source(kind: str, claimed: bool) -> None:
    worker = _moving(claimed, migration_type=kind)

    live = kind == "live-migration"
    assert place_cases.held(worker) == {
        "source": ([GPU0], [0, 1], False),
        "destination": ([GPU0], [0, 1, 2], live),
    }
    assert place_cases.states(worker, "h2")[GPU0] == ("claimed" if live else "allocated")
    place_cases.check_places(worker.store)


@pytest.mark.parametrize("kind", sorted(lifecycle.MIGRATION_TYPES))
@pytest.mark.parametrize("status", WELL)
def test_a_move_that_ends_well_leaves_the_destination(kind: str, status: str) -> None:
    worker = _moving(migration_type=kind)
    worker.tell(commands.UpdateMigration(_move("finished", 2, migration_type=kind), _at("h2", 2, **THERE)))
    between = place_cases.held(worker)

    _ended(worker, status, _at("h2", 3, **THERE), migration_type=kind)

    assert between == {"source": ([GPU0], [0, 1], False), "destination": ([GPU0], [0, 1, 2], False)}
    assert place_cases.held(worker) == {"instance": ([GPU0], [0, 1, 2], False)}
    assert set(place_cases.states(worker, "h1").values()) == {"available"}


@pytest.mark.parametrize("kind", sorted(lifecycle.MIGRATION_TYPES))
@pytest.mark.parametrize("status", BADLY)
def test_a_move_that_ends_badly_leaves_the_source(kind: str, status: str) -> None:
    worker = _moving(migration_type=kind)
    if status == "reverted":
        worker.tell(commands.UpdateMigration(_move("finished", 2, migration_type=kind), _at("h2", 2, **THERE)))

    _ended(worker, status, _at("h1", 3, **HERE), migration_type=kind)

    assert place_cases.held(worker) == {"instance": ([GPU0], [0, 1], False)}
    assert set(place_cases.states(worker, "h2").values()) == {"available"}


@pytest.mark.parametrize(
    ("status", "record", "left"),
    [
        ("confirmed", _at("h1", 3, **THERE), ([GPU1], [4, 5, 6], False)),
        ("reverted", _at("h1", 3, **HERE), ([GPU0], [0, 1], False)),
        ("error", _at("h1", 3, **HERE), ([GPU0], [0, 1], False)),
        ("error", _at("h1", 3, **THERE), ([GPU1], [4, 5, 6], False)),
    ],
)
@pytest.mark.parametrize("earlier", [True, False])
def test_on_one_node_the_flavor_tells_which_side_goes_on(
    status: str, record: records.Instance, left: tuple[Any, ...], earlier: bool
) -> None:
    one: dict[str, Any] = {"dest": builders.pair("h1")}
    worker = _moving(**one)
    if earlier:  # an old move that ended well says nothing about this one
        worker.tell(commands.UpdateMigration(_move("confirmed", number=899, created_at=1), None))
    both = place_cases.held(worker)
    worker.tell(commands.UpdateMigration(_move("finished", 2, **one), _at("h1", 2, **THERE)))

    _ended(worker, status, record, **one)

    assert both == {"source": ([GPU0], [0, 1], False), "destination": ([GPU1], [4, 5, 6], False)}
    assert place_cases.held(worker) == {"instance": left}


@pytest.mark.parametrize(("status", "left"), [("confirmed", [4, 5]), ("reverted", [0, 1]), ("failed", [0, 1])])
def test_on_one_node_with_one_flavor_the_end_tells_which_side_goes_on(status: str, left: list[int]) -> None:
    same: dict[str, Any] = {"dest": builders.pair("h1"), "new_flavor": SMALL, "new_numa_topology": None}
    worker = _moving(**same)

    _ended(worker, status, _at("h1", 3, **HERE), **same)

    assert place_cases.held(worker)["instance"][1] == left


def test_the_other_side_on_the_node_is_not_given_twice_when_more_is_asked() -> None:
    worker = _moving(dest=builders.pair("h1"))

    outcome = worker.tell(place_cases.attach(place_cases.vfs(number=720)))

    assert [one["request_id"] for one in outcome.detail["pci_devices"]] == [builders.uid(720)]
    place_cases.check_places(worker.store)


def test_a_move_to_a_node_without_room_is_refused_and_its_source_is_kept() -> None:
    worker = place_cases.a_worker("h1", "h2")
    worker.tell(place_cases.claim(builders.uid(2), host="h2", pci_requests=(place_cases.gpus(2),)))
    worker.tell(commands.ClaimInstance(_at("h1", 1, **HERE)))

    outcome = worker.tell(commands.ClaimMigration(_move(), _at("h1", 1, **HERE)))

    assert outcome.reason == f"PCI devices 10de:1db6 (request {builders.uid(710)}): asked 1, available 0"
    assert place_cases.held(worker) == {"instance": ([GPU0], [0, 1], False)}


def test_a_move_without_requests_of_its_own_asks_for_those_of_the_instance() -> None:
    worker = _moving(new_flavor=None, new_numa_topology=None, new_pci_requests=None)

    assert place_cases.held(worker)["destination"] == ([GPU0], [0, 1], False)


def test_a_source_that_is_told_of_late_is_placed_by_its_old_flavor() -> None:
    flavor = builders.a_flavor("d", vcpus=1, memory_mb=1024, extra_specs={"hw:cpu_policy": "dedicated"})
    worker = place_cases.a_worker("h1", "h2")
    worker.tell(commands.UpdateInstance(_at("h2", 1, **THERE)))

    worker.tell(commands.UpdateMigration(_move("finished", old_flavor=flavor), None))

    assert place_cases.held(worker) == {"source": ([], [4], False), "destination": ([GPU0], [0, 1, 2], False)}


def test_a_move_on_one_node_that_is_told_of_late_finds_the_instance_at_its_destination() -> None:
    worker = place_cases.a_worker()
    worker.tell(commands.UpdateInstance(_at("h1", 1, **THERE)))
    before = place_cases.held(worker)["instance"]

    worker.tell(commands.UpdateMigration(_move("finished", dest=builders.pair("h1")), None))

    assert place_cases.held(worker) == {"destination": before}


def test_a_live_migration_claimed_twice_adds_up() -> None:
    worker = _moving(migration_type="live-migration")
    before = place_cases.held(worker)["destination"]

    outcome = worker.tell(
        commands.ClaimMigration(
            _move(revision=2, migration_type="live-migration", new_pci_requests=(NEW, place_cases.vfs(number=711))),
            _at("h1", 1, **HERE),
        )
    )

    assert outcome.outcome == events.ACCEPTED
    assert before == ([GPU0], [0, 1, 2], True)
    assert place_cases.held(worker)["destination"] == ([place_cases.VF0, GPU0], [0, 1, 2], True)


def test_a_superseded_move_holds_nothing_and_the_newer_one_is_given_its_own() -> None:
    worker = place_cases.a_worker("h1", "h2", "h3")
    worker.tell(commands.ClaimInstance(_at("h1", 1, **HERE)))
    worker.tell(commands.ClaimMigration(_move(), _at("h1", 1, **HERE)))

    newer = _move(number=901, created_at=builders.NOW, dest=builders.pair("h3"))
    outcome = worker.tell(commands.ClaimMigration(newer, _at("h1", 1, **HERE)))

    assert outcome.outcome == events.ACCEPTED
    assert set(place_cases.states(worker, "h2").values()) == {"available"}
    assert place_cases.held(worker) == {
        "source": ([GPU0], [0, 1], False),
        "destination": ([GPU0], [0, 1, 2], False),
    }


def test_a_move_that_decides_again_sees_what_is_taken_by_then() -> None:
    worker = place_cases.a_worker("h1", "h2", "h3")
    worker.tell(commands.ClaimInstance(_at("h1", 1, **HERE)))
    worker.tell(commands.ClaimMigration(_move(), _at("h1", 1, **HERE)))
    newer: dict[str, Any] = {"number": 901, "created_at": builders.NOW, "dest": builders.pair("h3")}
    worker.tell(commands.ClaimMigration(_move(**newer), _at("h1", 1, **HERE)))
    worker.tell(place_cases.claim(builders.uid(2), host="h2", pci_requests=(place_cases.gpus(),)))

    worker.tell(commands.UpdateMigration(_move("cancelled", 2, **newer), None))

    assert place_cases.held(worker)["destination"] == ([GPU1], [4, 5, 6], False)
    place_cases.check_places(worker.store)


def test_a_second_move_from_the_destination_of_the_first_takes_its_place_along() -> None:
    worker = place_cases.a_worker("h1", "h2", "h3")
    worker.tell(commands.ClaimInstance(_at("h1", 1, **HERE)))
    worker.tell(commands.ClaimMigration(_move(dest=builders.pair("h1")), _at("h1", 1, **HERE)))
    worker.tell(commands.UpdateMigration(_move("finished", 2, dest=builders.pair("h1")), _at("h1", 2, **THERE)))

    on: dict[str, Any] = {
        "source": builders.pair("h1"),
        "dest": builders.pair("h3"),
        "old_flavor": BIG,
        "created_at": builders.NOW,
    }
    worker.tell(commands.ClaimMigration(_move(number=901, **on), _at("h1", 2, **THERE)))

    assert place_cases.held(worker)["source"] == ([GPU1], [4, 5, 6], False)


def test_an_attached_device_has_a_record_of_its_own() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(pci_requests=(ASKED,)))

    outcome = worker.tell(place_cases.attach(place_cases.vfs(number=720), place_cases.gpus(number=721), revision=5))
    again = worker.tell(place_cases.attach(place_cases.vfs(number=720), revision=5))

    assert (outcome.outcome, again.outcome) == (events.ACCEPTED, events.STALE)
    assert {one["address"] for one in outcome.detail["pci_devices"]} == {place_cases.VF0, GPU1}
    assert worker.store.books[builders.VM].revision == 1
    assert place_cases.held(worker) == {"instance": ([place_cases.VF0, GPU0, GPU1], [], False)}


def test_detached_devices_are_free_and_their_request_is_final() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(pci_requests=(ASKED,)))
    worker.tell(place_cases.attach(place_cases.vfs(number=720)))

    first = worker.tell(place_cases.detach(700, 720))
    outcomes = [
        worker.tell(place_cases.detach(700, 720, revision=8)).outcome,
        worker.tell(place_cases.attach(place_cases.vfs(number=720), revision=9)).outcome,
        worker.tell(place_cases.fact(revision=9, pci_requests=(ASKED, place_cases.vfs(number=720)))).outcome,
    ]

    assert first.outcome == events.APPLIED
    assert outcomes == [events.STALE, events.STALE, events.APPLIED]
    assert place_cases.held(worker) == {}
    assert set(place_cases.states(worker).values()) == {"available"}


def test_a_detachment_that_comes_first_is_final_too() -> None:
    worker = place_cases.a_worker()

    first = worker.tell(place_cases.detach(700))
    worker.tell(place_cases.claim(pci_requests=(ASKED,)))
    late = worker.tell(place_cases.attach(ASKED, revision=9))

    assert (first.outcome, late.outcome) == (events.APPLIED, events.STALE)
    assert place_cases.held(worker) == {}


def test_requests_that_a_fact_leaves_out_are_not_detached() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(pci_requests=(ASKED,)))

    worker.tell(place_cases.fact(revision=2, pci_requests=()))

    assert place_cases.held(worker) == {"instance": ([GPU0], [], False)}


def test_a_refused_attachment_leaves_no_trace() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(pci_requests=(ASKED,)))
    before = worker.store.copy()

    outcome = worker.tell(place_cases.attach(place_cases.vfs(number=720), place_cases.gpus(2, 721)))

    assert outcome.reason == f"PCI devices 10de:1db6 (request {builders.uid(721)}): asked 2, available 1"
    assert (worker.store.books, worker.store.entries) == (before.books, before.entries)
    assert worker.tell(place_cases.attach(place_cases.vfs(number=720))).outcome == events.ACCEPTED


def test_devices_of_a_deleted_instance_are_neither_attached_nor_detached() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(pci_requests=(ASKED,)), commands.DeleteInstance(builders.VM, 2))

    outcomes = [worker.tell(order).outcome for order in (place_cases.attach(NEW), place_cases.detach(700))]

    assert outcomes == [events.STALE, events.STALE]


@pytest.mark.parametrize("policy", [claims.ALL, claims.NONE])
def test_devices_are_attached_to_no_instance_on_no_node(policy: str) -> None:
    worker = place_cases.a_worker(policy=policy)

    outcome = worker.tell(place_cases.attach(ASKED))

    assert outcome.outcome == (events.ACCEPTED if policy == claims.NONE else events.REFUSED)
    assert (builders.VM in worker.store.books) is (policy == claims.NONE)


@pytest.mark.parametrize("new", [(NEW,), None])
def test_devices_attached_during_a_move_are_had_on_both_sides(new: tuple[records.DeviceRequest, ...] | None) -> None:
    worker = _moving(new_pci_requests=new)

    outcome = worker.tell(place_cases.attach(place_cases.vfs(number=720)))

    assert [one["address"] for one in outcome.detail["pci_devices"]] == [place_cases.VF0]
    assert {side: found for side, (found, _, _) in place_cases.held(worker).items()} == {
        "source": [place_cases.VF0, GPU0],
        "destination": [place_cases.VF0, GPU0],
    }


def test_devices_detached_during_a_move_are_given_back_on_both_sides() -> None:
    worker = _moving(new_pci_requests=None)
    worker.tell(commands.UpdateMigration(_move("finished", 2, new_pci_requests=None), _at("h2", 2, **HERE)))

    worker.tell(place_cases.detach(700))

    assert {side: found for side, (found, _, _) in place_cases.held(worker).items()} == {
        "source": [],
        "destination": [],
    }


def test_an_audit_gives_nothing_more_to_a_source_whose_instance_has_gone_on() -> None:
    worker = _moving()
    worker.tell(place_cases.attach(place_cases.vfs(number=720)))
    worker.tell(commands.UpdateMigration(_move("finished", 2), _at("h2", 2, **THERE)))
    before = place_cases.held(worker)

    worker.tell(place_cases.audit())

    assert place_cases.held(worker) == before
    assert place_cases.kinds(worker) == []
