"""The guard: the short form of the benchmark, held to the ratio that is recorded beside it."""

from __future__ import annotations

import json

import pytest

from tests.benchmark import devices, measure, paced, workload
from tests.integration import db_servers

DROP = 0.8
TRIES = 3
"""A machine that others disturb is measured again; a worker that has become slow is so each time."""


@pytest.mark.benchmark
@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(600)
def test_the_ratio_to_a_server_that_does_nothing_has_not_dropped() -> None:
    recorded = json.loads(measure.RECORDED.read_text(encoding="utf-8"))["ours/noop"]

    ratios: list[float] = []
    while len(ratios) < TRIES and max(ratios, default=0.0) < DROP * recorded:
        ratios.append(measure.ratio(measure.everything(measure.SHORT, lambda _: None), "noop"))

    assert max(ratios) >= DROP * recorded, f"{ratios} x the server that does nothing; {recorded:.2f} x is recorded"


@pytest.mark.benchmark
@pytest.mark.postgresql
def test_a_claim_with_devices_costs_no_more_than_a_few_plain_ones() -> None:
    with db_servers.migrated("postgresql") as bind:
        found = devices.measured(bind, 5)

    assert found["ratio"] <= devices.TARGET / DROP, found


def test_the_same_seed_casts_the_same_bodies() -> None:
    first, second, other = (workload.casts(500, 50, seed) for seed in (1, 1, 2))

    assert first == second
    assert first != other


def test_no_two_messages_have_one_id() -> None:
    told = [*workload.casts(500, 50), *workload.reports(50), *workload.reports(50, 2), workload.hello()]

    assert len({cast.message_id for cast in told}) == len(told)


def test_casts_are_of_the_sizes_that_are_promised_and_every_method_is_among_them() -> None:
    casts = workload.casts(2000, 100)

    sizes = {len(cast.body) for cast in casts}
    methods = {cast.method for cast in casts}
    assert workload.SMALLEST <= min(sizes) < max(sizes) <= workload.LARGEST
    assert methods == {"claim_instance", "update_instance", "claim_migration", "update_migration", "delete_instance"}


def test_percentiles_leave_the_warm_up_and_what_never_came_out() -> None:
    sent = {f"m{number}": float(number) for number in range(12)}
    arrived = {id_: at + (9.0 if at < paced.WARM_UP else 0.001 * at) for id_, at in sent.items() if id_ != "m11"}

    found = paced.percentiles(sent, arrived)

    assert found["count"] == 9
    assert found["p50"] == pytest.approx(6.0)
    assert found["p99"] == pytest.approx(10.0)


def test_a_run_that_others_disturbed_counts_only_when_all_were() -> None:
    quiet, disturbed = {"rate": 1.0, "foreign": 0.0}, {"rate": 9.0, "foreign": 0.5}

    assert measure.median([disturbed, quiet, disturbed], "rate") == 1.0
    assert measure.median([disturbed, disturbed], "rate") == 9.0


def test_the_ratio_is_that_of_the_medians() -> None:
    ours = [{"rate": rate, "foreign": 0.0} for rate in (1.0, 6.0, 7.0)]
    noop = [{"rate": rate, "foreign": 0.0} for rate in (2.0, 3.0, 100.0)]

    assert measure.ratio({"ours": ours, "noop": noop}, "noop") == 2.0
