"""The plan of the faults and the load of ``python -m tests.chaos``: the same for the same seed, and of every kind."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.acceptance import test_chaos
from tests.chaos import load, schedule

SEEDS = range(20)
METHODS = {
    "report_node", "remove_node", "set_node_disabled", "record_build", "claim_instance", "abort_claim", "update_instance",
    "delete_instance", "claim_migration", "update_migration", "attach_devices", "detach_devices", "audit_node",
}  # fmt: skip
EVERYTHING = tuple(schedule.KINDS)


def _first(seed: int, count: int) -> list[load.Cast]:
    return list(itertools.islice(load.casts(seed), count))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_gives_the_same_faults_and_the_same_casts(seed: int) -> None:
    assert schedule.plan(seed, 60, EVERYTHING) == schedule.plan(seed, 60, EVERYTHING)
    assert schedule.plan(seed, 60, EVERYTHING) != schedule.plan(seed + 1, 60, EVERYTHING)
    assert _first(seed, 300) == _first(seed, 300)
    assert _first(seed, 300) != _first(seed + 1, 300)


def test_a_minute_of_the_short_form_has_every_kind_of_fault() -> None:
    plan = schedule.plan(test_chaos.SEED, test_chaos.SECONDS, EVERYTHING)

    assert {fault.kind for fault in plan} == {*EVERYTHING}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_fault_is_over_in_time_and_has_what_it_needs_to_itself(seed: int) -> None:
    plan = schedule.plan(seed, 300, EVERYTHING)

    assert plan == sorted(plan, key=lambda fault: fault.at)
    assert all(fault.at + fault.seconds <= 300 for fault in plan)
    for needed in ("broker", "database"):
        those = [fault for fault in plan if schedule.ALONE.get(fault.kind, ("",))[0] == needed]
        assert all(one.at + one.seconds < other.at for one, other in itertools.pairwise(those))


def test_without_faults_there_is_no_plan() -> None:
    assert schedule.plan(1, 60, ()) == []
    assert {fault.kind for fault in schedule.plan(1, 60, ("kill", "clock"))} == {"kill", "clock"}


def test_the_load_has_every_kind_of_cast_some_of_them_twice_and_some_late() -> None:
    casts = _first(1, 5000)
    methods = {one.method for one in casts if one.good}
    numbers = [int(one.id.partition("-")[2]) for one in casts]

    assert methods == METHODS
    assert len({one.id for one in casts}) < len(casts)
    assert any(later < earlier for earlier, later in itertools.pairwise(dict.fromkeys(numbers)))


def test_a_cast_has_the_same_bytes_each_time_and_no_two_facts_of_a_record_the_same_revision() -> None:
    casts = list({one.id: one for one in _first(2, 5000)}.values())

    assert [one.body for one in casts] == [one.body for one in casts]
    told = [json.dumps(plain, sort_keys=True) for one in casts if one.good for plain in _records(one)]
    assert len(told) == len(set(told)) > 1000


def _records(cast: load.Cast) -> list[tuple[str, str, int]]:
    """Return the kind, uuid and revision of each record that a cast tells of."""
    found = []
    for name in ("instance", "migration", "node"):
        data = cast.arguments.get(name, {}).get("stocktake_object.data")
        if data is not None:
            found.append((name, data["uuid"], data["revision"]))
    return found
