"""The topology that extra specs ask for, and those that contradict themselves."""

from __future__ import annotations

import pytest

from tests import builders
from worker.core import numa, records

Cells = list[tuple[set[int], set[int], int]]


def _derived(specs: dict[str, str], vcpus: int = 4, memory_mb: int = 1024) -> records.GuestTopology | None:
    return numa.derived(builders.a_flavor(vcpus=vcpus, memory_mb=memory_mb, extra_specs=specs))


def _of(specs: dict[str, str], vcpus: int = 4) -> records.GuestTopology:
    topology = _derived(specs, vcpus)
    assert topology is not None
    return topology


@pytest.mark.parametrize(
    "specs",
    [{}, {"hw:cpu_policy": "shared"}, {"resources:VCPU": "4"}, {"resources:PCPU": "0"}, {"hw:numa_nodes": ""},
     {"hw:cpu_realtime_mask": "^0"}, {"hw:emulator_threads_policy": "share"}, {"hw:numa_cpus.0": "0-1"},
     {"trait:HW_CPU_HYPERTHREADING": ""}],
    ids=str,
)  # fmt: skip
def test_a_flavor_that_asks_for_no_topology_has_none(specs: dict[str, str]) -> None:
    assert _derived(specs) is None


ALL = {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("specs", "cells"),
    [
        ({"hw:numa_nodes": "1"}, [(ALL, set(), 1024)]),
        ({"hw:numa_nodes": "2"}, [({0, 1}, set(), 512), ({2, 3}, set(), 512)]),
        ({"hw:cpu_policy": "dedicated"}, [(set(), ALL, 1024)]),
        ({"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2"}, [(set(), {0, 1}, 512), (set(), {2, 3}, 512)]),
        ({"resources:PCPU": "4"}, [(set(), ALL, 1024)]),
        ({"resources:PCPU": "5", "hw:emulator_threads_policy": "isolate"}, [(set(), ALL, 1024)]),
        ({"resources:VCPU": "4", "hw:numa_nodes": "1"}, [(ALL, set(), 1024)]),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1"}, [({2, 3}, {0, 1}, 1024)]),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}, [({0}, {1, 2, 3}, 1024)]),
        ({"hw:cpu_policy": "mixed", "hw:cpu_realtime_mask": "^0-1, "}, [({0, 1}, {2, 3}, 1024)]),
        ({"hw:cpu_policy": "mixed", "hw:cpu_realtime_mask": "0-3"}, [(set(), ALL, 1024)]),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0", "hw:numa_nodes": "2"},
         [({1}, {0}, 512), ({2, 3}, set(), 512)]),
        ({"hw:mem_page_size": "any"}, [(ALL, set(), 1024)]),
        ({"hw:pmem": "SMALL"}, [(ALL, set(), 1024)]),
        ({"hw:numa_nodes": "2", "hw:numa_cpus.0": "0,2-3", "hw:numa_mem.0": "24", "hw:numa_cpus.1": "1",
          "hw:numa_mem.1": "1000"}, [({0, 2, 3}, set(), 24), ({1}, set(), 1000)]),
        ({"hw:numa_nodes": "2", "hw:numa_cpus.1": "9"}, [({0, 1}, set(), 512), ({2, 3}, set(), 512)]),
    ],
    ids=str,
)  # fmt: skip
def test_the_flavor_is_split_into_cells(specs: dict[str, str], cells: Cells) -> None:
    topology = _of(specs)

    assert [(set(cell.cpuset), set(cell.pcpuset), cell.memory) for cell in topology.cells] == cells
    assert [cell.id for cell in topology.cells] == list(range(len(cells)))


@pytest.mark.parametrize(
    ("text", "pagesize"),
    [("small", -1), ("large", -2), ("any", -3), ("2048", 2048), ("2MB", 2048), ("2MiB", 2048), ("4KB", 4),
     ("1GB", 1048576), ("1TiB", 1073741824)],
)  # fmt: skip
def test_a_page_size_is_a_word_or_a_number_with_or_without_a_unit(text: str, pagesize: int) -> None:
    assert [cell.pagesize for cell in _of({"hw:mem_page_size": text, "hw:numa_nodes": "2"}).cells] == [pagesize] * 2


@pytest.mark.parametrize(
    ("specs", "policy", "thread_policy"),
    [
        ({"hw:cpu_policy": "dedicated"}, "dedicated", None),
        ({"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "prefer"}, "dedicated", "prefer"),
        ({"resources:PCPU": "4", "hw:cpu_thread_policy": "require"}, "dedicated", "require"),
        ({"resources:PCPU": "4", "trait:HW_CPU_HYPERTHREADING": "required"}, "dedicated", "require"),
        ({"resources:PCPU": "4", "trait:HW_CPU_HYPERTHREADING": "forbidden"}, "dedicated", "isolate"),
        ({"resources:VCPU": "4", "hw:numa_nodes": "2"}, "shared", None),
        ({"hw:numa_nodes": "2"}, None, None),
    ],
    ids=str,
)
def test_all_cells_have_the_policies_of_the_flavor(
    specs: dict[str, str], policy: str | None, thread_policy: str | None
) -> None:
    assert {(cell.cpu_policy, cell.cpu_thread_policy) for cell in _of(specs).cells} == {(policy, thread_policy)}


@pytest.mark.parametrize("policy", ["isolate", "share"])
def test_the_emulator_policy_is_the_topologys(policy: str) -> None:
    specs = {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": policy}

    assert _of(specs).emulator_threads_policy == policy


DEDICATED = {"hw:cpu_policy": "dedicated"}
MIXED = {"hw:cpu_policy": "mixed"}
LISTS = {"hw:numa_nodes": "2", "hw:numa_cpus.0": "0-1", "hw:numa_cpus.1": "2-3",
         "hw:numa_mem.0": "512", "hw:numa_mem.1": "512"}  # fmt: skip


@pytest.mark.parametrize(
    ("specs", "at_fault"),
    [
        ({"hw:cpu_policy": "pinned"}, "hw:cpu_policy"),
        ({"hw:cpu_policy": "shared", "resources:PCPU": "4"}, "resources:PCPU"),
        ({"hw:cpu_policy": "dedicated", "resources:VCPU": "4"}, "resources:VCPU"),
        ({"resources:PCPU": "2", "resources:VCPU": "2"}, "resources:PCPU"),
        ({"resources:PCPU": "5"}, "resources:PCPU"),
        ({"resources:PCPU": "4", "hw:emulator_threads_policy": "isolate"}, "resources:PCPU"),
        ({"hw:cpu_thread_policy": "prefer"}, "hw:cpu_thread_policy"),
        ({**DEDICATED, "hw:cpu_thread_policy": "avoid"}, "hw:cpu_thread_policy"),
        ({"trait:HW_CPU_HYPERTHREADING": "forbidden"}, "trait:HW_CPU_HYPERTHREADING"),
        ({**DEDICATED, "hw:cpu_thread_policy": "prefer", "trait:HW_CPU_HYPERTHREADING": "required"},
         "trait:HW_CPU_HYPERTHREADING"),
        ({"hw:emulator_threads_policy": "isolate"}, "hw:emulator_threads_policy"),
        ({**DEDICATED, "hw:emulator_threads_policy": "own"}, "hw:emulator_threads_policy"),
        ({"hw:cpu_dedicated_mask": "0"}, "hw:cpu_dedicated_mask"),
        ({**DEDICATED, "hw:cpu_dedicated_mask": "0"}, "hw:cpu_dedicated_mask"),
        (MIXED, "hw:cpu_policy"),
        ({**MIXED, "hw:cpu_dedicated_mask": "0", "hw:cpu_realtime_mask": "0"}, "hw:cpu_policy"),
        ({**MIXED, "hw:cpu_dedicated_mask": "0-3"}, "hw:cpu_dedicated_mask"),
        ({**MIXED, "hw:cpu_dedicated_mask": "0-4"}, "hw:cpu_dedicated_mask"),
        ({**MIXED, "hw:cpu_dedicated_mask": "0,^0"}, "hw:cpu_dedicated_mask"),
        ({**MIXED, "hw:cpu_realtime_mask": "^0-3"}, "hw:cpu_realtime_mask"),
        ({**MIXED, "hw:cpu_realtime_mask": "first"}, "hw:cpu_realtime_mask"),
        ({"hw:numa_nodes": "0"}, "hw:numa_nodes"),
        ({"hw:numa_nodes": "many"}, "hw:numa_nodes"),
        ({"hw:numa_nodes": "3"}, "hw:numa_nodes"),
        ({"hw:numa_nodes": "8"}, "hw:numa_nodes"),
        ({"hw:numa_nodes": "9" * 5000}, "hw:numa_nodes"),
        ({"hw:mem_page_size": "huge"}, "hw:mem_page_size"),
        ({"hw:mem_page_size": "0"}, "hw:mem_page_size"),
        ({"hw:mem_page_size": "0KB"}, "hw:mem_page_size"),
        ({"hw:mem_page_size": "9999999999TB"}, "hw:mem_page_size"),
        ({**LISTS, "hw:numa_nodes": "3"}, "hw:numa_cpus"),
        ({**LISTS, "hw:numa_cpus.2": "3"}, "hw:numa_cpus"),
        ({key: text for key, text in LISTS.items() if key != "hw:numa_mem.1"}, "hw:numa_mem"),
        ({key: text for key, text in LISTS.items() if "mem" not in key}, "hw:numa_mem"),
        ({**LISTS, "hw:numa_cpus.1": "1-3"}, "hw:numa_cpus.1"),
        ({**LISTS, "hw:numa_cpus.1": "2-4"}, "hw:numa_cpus.1"),
        ({**LISTS, "hw:numa_cpus.1": "3"}, "hw:numa_cpus"),
        ({**LISTS, "hw:numa_mem.1": "513"}, "hw:numa_mem"),
        ({**LISTS, "hw:numa_mem.1": "half"}, "hw:numa_mem.1"),
    ],
    ids=lambda value: str(value)[:80],
)  # fmt: skip
def test_extra_specs_that_contradict_each_other_are_named(specs: dict[str, str], at_fault: str) -> None:
    with pytest.raises(numa.Contradiction) as told:
        _derived(specs)

    assert str(told.value).startswith(f"{at_fault}: ")


def test_memory_that_cannot_be_split_is_a_contradiction() -> None:
    with pytest.raises(numa.Contradiction, match="4 CPUs and 1023 MiB cannot be split into 2 equal cells"):
        _derived({"hw:numa_nodes": "2"}, memory_mb=1023)


def test_a_guest_of_billions_of_cpus_is_not_laid_out() -> None:
    with pytest.raises(numa.Contradiction, match="at most 65536 CPUs") as told:
        _derived(DEDICATED, vcpus=2147483647)

    assert str(told.value).startswith("vcpus: ")
    assert _derived({}, vcpus=2147483647) is None


def test_a_flavor_without_cpus_is_not_split() -> None:
    assert len(_of({"hw:numa_nodes": "1"}, vcpus=0).cells) == 1
    with pytest.raises(numa.Contradiction):
        _derived({"hw:numa_nodes": "1024"}, vcpus=0)
