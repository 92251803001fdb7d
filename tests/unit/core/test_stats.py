"""Workloads that are derived from the counters."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core import stats

NAMES = st.lists(st.sampled_from("abcd"), unique=True)


def test_workload_counts_the_instances_with_a_task() -> None:
    counters = {"num_instances": 5, "num_task_None": 2, "num_task_spawning": 2, "num_task_deleting": 1}

    assert stats.running_vms(counters) == 5
    assert stats.current_workload(counters) == 3


@pytest.mark.parametrize(
    "busy",
    ["vm_building", "task_resize_migrating", "task_rebuilding", "task_resize_prep", "task_image_snapshot",
     "task_image_backup", "task_rescuing", "task_unshelving"],
)  # fmt: skip
def test_io_workload_counts_states_that_load_the_disks(busy: str) -> None:
    assert stats.io_workload({f"num_{busy}": 2, "num_vm_active": 7, "num_task_spawning": 1}) == 2


def test_an_idle_node_has_no_workload() -> None:
    assert stats.running_vms({}) == stats.current_workload({}) == stats.io_workload({}) == 0


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(-2, 2).filter(bool)), NAMES, NAMES)
def test_counters_go_down_by_one_where_it_is_gone_and_up_where_it_has_come(
    counters: dict[str, int], gone: Sequence[str], come: Sequence[str]
) -> None:
    before = dict(counters)

    after = stats.counted(counters, gone, come)

    expected = {name: counters.get(name, 0) - (name in gone) + (name in come) for name in "abcd"}
    assert after == {name: count for name, count in expected.items() if count}
    assert counters == before
