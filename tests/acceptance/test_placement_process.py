"""stocktake-placement as a process, on RabbitMQ, PostgreSQL and a real Placement: killed, cut off, lied to, watched."""

from __future__ import annotations

import os
import pathlib

import pytest

from tests.placement import storm

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]
PATIENCE = float(os.environ.get("STOCKTAKE_PLACEMENT_SECONDS", "60"))
SMALL_BATCHES = 15
"""So that many of them end between the consumers of one instance."""


@pytest.mark.timeout(PATIENCE * 4)
def test_in_a_storm_nothing_is_lost_at_any_moment_and_it_ends_in_no_difference(tmp_path: pathlib.Path) -> None:
    plan = storm.Plan(20, 60, seed=7, minutes=0.1, batch_size=SMALL_BATCHES, patience=PATIENCE)

    found = storm.run(plan, tmp_path)

    assert found.wrong == []
    assert "no difference in 20 providers" in found.check
    assert found.kills >= storm.LEAST_TURNS
    assert min(found.outages, found.spoiled, found.looks) > 0
