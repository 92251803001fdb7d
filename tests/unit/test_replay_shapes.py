"""What a scenario's flavors and reports become on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from objects import numa
from worker.replay import shapes

FLAVOR = {"id": "f1", "vcpus": 4, "memory_mb": 4096, "root_gb": 10, "ephemeral_gb": 5, "swap_mb": 512}
HAS = {"vcpus": 4, "memory_mb": 4096, "local_gb": 100}
NAMES = {"uuid": shapes.node_uuid("n1"), "host": "n1", "hypervisor_hostname": "n1", "revision": 1}


def a_size(**keys: Any) -> shapes.Size:
    return shapes.Size({**FLAVOR, **keys}, "seed")


def a_node(**keys: Any) -> Any:
    said = {"resources": HAS, **keys}
    return shapes.compute_node(NAMES, said, shapes.settings(said) or shapes.Settings())


def cells(**said: Any) -> list[tuple[list[int], list[int], int, int | None]]:
    topology = a_size(numa=said).topology()
    assert isinstance(topology, numa.InstanceNUMATopology)
    found: list[Any] = list(topology.cells)
    return [(sorted(one.cpuset), sorted(one.pcpuset), one.memory, one.pagesize) for one in found]


def test_uuids_are_made_of_labels_as_the_form_says() -> None:
    assert shapes.instance_uuid("a") == "4e4afc3b-9f27-5ac3-b635-4da54b9ed03e"
    assert shapes.node_uuid("a") != shapes.instance_uuid("a")


def test_an_instance_that_is_named_by_a_uuid_keeps_it() -> None:
    given = "A0A0A0A0-0000-4000-8000-000000000001"

    assert shapes.instance_uuid(given) == given.lower()


def test_a_label_as_long_as_a_uuid_is_still_a_label() -> None:
    label = "a-name-of-exactly-36-characters-here"

    assert len(label) == 36
    assert shapes.instance_uuid(label) != label


def test_a_flavor_keeps_its_amounts() -> None:
    flavor = a_size().flavor_object()

    assert (flavor.vcpus, flavor.memory_mb, flavor.root_gb, flavor.ephemeral_gb, flavor.swap) == (4, 4096, 10, 5, 512)
    assert flavor.extra_specs == {}


def test_a_flavor_says_its_numa_wishes_as_extra_specs() -> None:
    wishes = {"nodes": 2, "cpu_policy": "mixed", "dedicated_cpus": "0-1", "page_size": "large"}

    specs = a_size(numa=wishes).flavor_object().extra_specs

    assert specs == {
        "hw:numa_nodes": "2", "hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1", "hw:mem_page_size": "large",
    }  # fmt: skip


def test_uneven_cells_are_extra_specs_too() -> None:
    uneven = [{"cpus": [0], "memory_mb": 1024}, {"cpus": [1, 2, 3], "memory_mb": 3072}]

    specs = a_size(numa={"nodes": 2, "cells": uneven}).flavor_object().extra_specs

    assert specs["hw:numa_cpus.1"] == "1,2,3"
    assert specs["hw:numa_mem.0"] == "1024"


@pytest.mark.parametrize("said", [{}, {"cpu_policy": "shared"}, {"cpu_policy": None, "page_size": None}])
def test_a_flavor_without_numa_wishes_gives_no_topology(said: dict[str, Any]) -> None:
    assert a_size(numa=said).topology() is None


def test_dedicated_cpus_are_in_the_pcpuset_of_one_cell() -> None:
    assert cells(cpu_policy="dedicated") == [([], [0, 1, 2, 3], 4096, None)]


def test_mixed_cpus_are_split_by_the_list() -> None:
    assert cells(cpu_policy="mixed", dedicated_cpus="1-2") == [([0, 3], [1, 2], 4096, None)]


def test_nodes_share_cpus_and_memory_evenly() -> None:
    assert cells(nodes=2, page_size=2048) == [([0, 1], [], 2048, 2048), ([2, 3], [], 2048, 2048)]


@pytest.mark.parametrize(("word", "code"), [("small", -1), ("large", -2), ("any", -3)])
def test_a_page_size_word_has_its_code(word: str, code: int) -> None:
    assert cells(page_size=word) == [([0, 1, 2, 3], [], 4096, code)]


def test_device_requests_have_uuids_that_their_seed_decides() -> None:
    wanted = [{"count": 2, "spec": [{"vendor_id": "8086"}], "numa_policy": "required"}]
    flavor = {**FLAVOR, "pci_requests": wanted}

    (first,), (again,), (other,) = (shapes.Size(flavor, seed).requests() for seed in ("s", "s", "t"))

    assert first.request_id == again.request_id != other.request_id
    assert (first.count, first.spec, first.numa_policy) == (2, [{"vendor_id": "8086"}], "required")


def test_a_report_that_says_nothing_of_the_configuration_keeps_it() -> None:
    assert shapes.settings({"resources": HAS}) is None


def test_a_report_that_says_one_thing_of_the_configuration_replaces_all_of_it() -> None:
    assert shapes.settings({"reserved": {"vcpus": 1}}) == shapes.Settings({"vcpus": 1}, {}, ())


def test_a_report_carries_what_is_reserved_and_the_ratios() -> None:
    node = a_node(reserved={"memory_mb": 512, "disk_mb": 10}, allocation_ratio={"memory_mb": 1.5})

    assert (node.reserved_host_cpus, node.reserved_host_memory_mb, node.reserved_host_disk_mb) == (0, 512, 10)
    assert (node.cpu_allocation_ratio, node.ram_allocation_ratio) == (None, 1.5)


def test_cells_have_four_kib_pages_and_one_thread_a_core_unless_told() -> None:
    (cell,) = a_node(numa_cells=[{"id": 0, "cpus": [0], "pcpus": [1], "memory_mb": 1024}]).numa_topology.cells

    assert cell.siblings == [{0}, {1}]
    assert [(one.size_kb, one.total, one.reserved) for one in cell.mempages] == [(4, 262144, 0)]


def test_cells_keep_their_threads_and_pages() -> None:
    pages = [{"size_kb": 2048, "total": 10, "reserved": 1}]
    said = {"id": 1, "cpus": [0, 1], "memory_mb": 1024, "siblings": [[0, 1]], "pages": pages}

    (cell,) = a_node(numa_cells=[said]).numa_topology.cells

    assert cell.siblings == [{0, 1}]
    assert [(one.size_kb, one.total, one.reserved) for one in cell.mempages] == [(2048, 10, 1)]


def test_only_devices_on_the_allow_list_are_reported() -> None:
    wanted = {"address": "0000:81:00.0", "vendor_id": "8086", "product_id": "1572", "dev_type": "type-PF"}
    other = {**wanted, "address": "0000:82:00.0", "vendor_id": "10de"}

    node = a_node(pci_devices=[wanted, other], pci_device_spec=[{"vendor_id": "8086", "product_id": "1572"}])

    assert [one.address for one in node.pci_devices] == ["0000:81:00.0"]


def test_limits_that_are_left_out_are_not_the_same_as_null() -> None:
    nothing, unlimited, some = shapes.limits({}), shapes.limits({"limits": None}), {"cpu_allocation_ratio": 16.0}

    assert nothing is None
    assert unlimited is not None
    assert unlimited.cpu_allocation_ratio is None
    found = shapes.limits({"limits": some})
    assert found is not None
    assert (found.cpu_allocation_ratio, found.ram_allocation_ratio) == (16.0, None)
