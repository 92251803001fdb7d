"""What the other forms of the benchmark work out of what they have measured."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import random
import subprocess
from typing import Any

import pytest

from tests.benchmark import forms, growth, scaling, shares, steady, storm, verdicts, workload


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400)])
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert forms.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "soon", "3d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="could not convert"):
        forms.duration(text)


def test_a_figure_passes_up_to_its_target_and_one_without_a_target_always() -> None:
    most, least = verdicts.Verdict("a", 1.15, "x", most=1.15), verdicts.Verdict("b", 2.9, "x", least=3.0)

    assert [most.passed, least.passed, verdicts.Verdict("c", 7.0, "").passed] == [True, False, True]
    assert most.line().endswith("<= 1.15  pass")
    assert least.line().endswith(">= 3  FAIL")
    assert verdicts.Verdict("c", 7.0, "us").line().endswith("us")


def test_casts_about_some_of_the_nodes_name_no_other_node_and_no_instance_of_another() -> None:
    cloud = workload.Cloud(nodes=40, instances=400, used=4)
    chance = random.Random(1)

    nodes = {cloud.node(chance) for _ in range(200)}

    assert nodes == {0, 10, 20, 30}
    assert {number % 40 for number in cloud.there()} == nodes
    assert len(cloud.there()) == 40


def test_half_of_the_lives_are_those_of_instances_that_are_there() -> None:
    cloud = workload.Cloud(nodes=40, instances=4000, used=4)
    known = {workload.resident(number, cloud)["stocktake_object.data"]["uuid"] for number in cloud.there()}

    told = list(itertools.islice(workload.stream(cloud), 3000))

    claims = sum(cast.method == "claim_instance" for cast in told)
    mentioned = sum(any(uuid.encode() in cast.body for cast in told) for uuid in known)
    assert 0.35 < mentioned / (mentioned + claims) < 0.65


def test_what_is_there_is_the_same_whenever_it_is_asked_for() -> None:
    cloud = workload.Cloud(nodes=40, instances=400)

    assert workload.resident(7, cloud) == workload.resident(7, cloud)
    assert workload.resident(7, cloud) != workload.resident(8, cloud)


def sample(at: float, **changes: Any) -> steady.Sample:
    usual = steady.Sample(at, 100.0, inbox=1000, outbox=1000, inbox_age=130, outbox_age=130, waiting=0, cpu_us=300)
    return dataclasses.replace(usual, **changes)


def test_memory_is_compared_with_that_of_the_end_of_the_warm_up() -> None:
    samples = [sample(1, memory_mib=50), sample(2), *(sample(at) for at in range(3, 12)), sample(12, memory_mib=104)]

    grown, *_ = steady.verdicts_of(samples, 200)
    over, *_ = steady.verdicts_of([*samples, sample(13, memory_mib=106)], 200)

    assert grown.value == pytest.approx(4.0)
    assert grown.passed
    assert not over.passed


def test_rows_that_outlive_their_retention_fail() -> None:
    samples = [sample(at) for at in range(11)]

    held = steady.verdicts_of(samples, 200)
    outlived = steady.verdicts_of([*samples, sample(12, outbox_age=steady.RETENTION + 76)], 200)

    assert all(one.passed for one in held)
    assert [one.name for one in outlived if not one.passed] == ["outbox, oldest row"]


def run(**figures: float) -> dict[str, float]:
    usual = {"rate": 1000.0, "cpu_us": 200.0, "database_cpu_us": 100.0, "broker_cpu_us": 0.0, "memory_mib": 100.0}
    return usual | {"startup_s": 1.0, "startup_cpu_s": 1.0, "foreign": 0.0, "retries": 0.0, "effects": 0.0} | figures


def test_growth_is_that_of_worker_and_database_together() -> None:
    name = "big, on as many nodes"
    found = growth.verdicts_of({"small": [run()], name: [run(cpu_us=220, database_cpu_us=140)]})

    failed = [one for one in found if not one.passed]
    assert [one.name for one in failed] == [f"{name}: growth of processor time"]
    assert failed[0].value == pytest.approx(1.2)


def test_every_case_of_growth_is_compared_but_those_it_is_compared_with() -> None:
    names = {case.name for case in growth.cases(growth.SMALL, growth.BIG)}

    compared = {name for name, _ in growth.COMPARED}
    assert compared | {small for _, small in growth.COMPARED} == names
    assert len(compared) == 3


def test_a_storm_that_writes_a_ledger_entry_fails() -> None:
    runs = {"claims": [run()], "reports": [run(rate=3000)]}

    assert all(one.passed for one in storm.verdicts_of(runs))
    assert not all(one.passed for one in storm.verdicts_of(runs | {"reports": [run(rate=3000, effects=1)]}))
    assert not all(one.passed for one in storm.verdicts_of(runs | {"reports": [run(rate=2999)]}))


def test_the_gain_of_a_second_process_is_told_for_many_nodes_and_for_few() -> None:
    runs = {case: [run(rate=case.processes * 100.0 + case.nodes)] for case in scaling.CASES}

    found = {one.name: one.value for one in scaling.verdicts_of(runs)}

    assert found[f"{scaling.Case(1000, 2, False).name}: rate to that of one"] == pytest.approx(1200 / 1100)
    assert found[f"{scaling.Case(4, 4, True).name}: rate to that of one"] == pytest.approx(404 / 104)


@pytest.mark.skipif(shares.parent() is None, reason="no control group may be made here")
def test_a_process_is_held_by_a_control_group_of_its_own_and_let_go_again() -> None:
    below = shares.parent()
    assert below is not None
    with subprocess.Popen(["sleep", "60"]) as process:
        with shares.held([process.pid], 0.5, below):
            during = _groups(process.pid)
        after = _groups(process.pid)
        process.kill()

    name = f"stocktake-benchmark-{process.pid}"
    assert name in during
    assert name not in after
    assert not (below / name).exists()


def _groups(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii")
