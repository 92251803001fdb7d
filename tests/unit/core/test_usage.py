"""What a flavor uses, and the arithmetic of amounts."""

from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from worker.core import records, resources, usage


def _of(volume_backed: bool = False, **changes: Any) -> resources.Amounts:
    return usage.usage(builders.a_flavor(**changes), volume_backed)


@pytest.mark.parametrize(
    ("swap", "disk_gb"), [(0, 10), (1, 11), (1023, 11), (1024, 11), (1025, 12), (2048, 12)], ids=str
)
def test_swap_counts_as_whole_gib_rounded_up(swap: int, disk_gb: int) -> None:
    assert _of(swap=swap)["DISK_GB"] == disk_gb


def test_the_root_disk_of_a_volume_backed_instance_counts_nothing() -> None:
    assert _of(volume_backed=True) == {"VCPU": 1, "MEMORY_MB": 512}
    assert _of(volume_backed=True, ephemeral_gb=5)["DISK_GB"] == 5


@pytest.mark.parametrize(
    ("specs", "amounts"),
    [
        ({"resources:VCPU": "4"}, {"VCPU": 4}),
        ({"resources:PCPU": "2"}, {"PCPU": 2}),
        ({"resources:VCPU": "0"}, {}),
        ({"resources:CUSTOM_GOLD": "3"}, {"VCPU": 2, "CUSTOM_GOLD": 3}),
        ({"resources:CUSTOM_GOLD": "many"}, {"VCPU": 2}),
        ({"resources:CUSTOM_GOLD": "-1"}, {"VCPU": 2}),
        ({"resources:CUSTOM_GOLD": "٣"}, {"VCPU": 2}),
        ({"resources1:CUSTOM_GOLD": "3"}, {"VCPU": 2}),
        ({"hw:cpu_policy": "shared"}, {"VCPU": 2}),
        ({"hw:cpu_policy": "dedicated"}, {"PCPU": 2}),
        ({"hw:cpu_policy": "dedicated", "resources:VCPU": "2"}, {"VCPU": 2}),
        ({"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"}, {"PCPU": 3}),
        ({"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "share"}, {"PCPU": 2}),
        ({"hw:emulator_threads_policy": "isolate"}, {"VCPU": 2}),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"}, {"VCPU": 1, "PCPU": 1}),
        ({"hw:cpu_policy": "mixed", "hw:cpu_realtime_mask": "^0"}, {"VCPU": 1, "PCPU": 1}),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1"}, {"PCPU": 2}),
        ({"hw:cpu_policy": "mixed"}, {"VCPU": 2}),
    ],
    ids=str,
)
def test_extra_specs_say_which_cpus_and_classes_are_used(specs: dict[str, str], amounts: dict[str, int]) -> None:
    used = dict(_of(vcpus=2, extra_specs=specs))

    assert {name: used[name] for name in used if name not in {"MEMORY_MB", "DISK_GB"}} == amounts


@pytest.mark.parametrize(("name", "key"), [("MEMORY_MB", "512"), ("DISK_GB", "10")])
def test_extra_specs_replace_memory_and_disk(name: str, key: str) -> None:
    assert _of(extra_specs={f"resources:{name}": "7"})[name] == 7
    assert name not in _of(extra_specs={f"resources:{name}": "0"})


def _topology(policy: str | None = None) -> records.GuestTopology:
    cell = records.GuestCell(0, frozenset({0}), frozenset({1, 2}), 512)
    return records.GuestTopology((cell,), policy)


def test_the_topology_says_which_cpus_are_dedicated_when_the_flavor_does_not() -> None:
    flavor = builders.a_flavor(vcpus=3)

    assert usage.usage(flavor, False, _topology())["PCPU"] == 2
    assert usage.usage(flavor, False, _topology("isolate"))["PCPU"] == 3
    assert usage.usage(flavor, False, _topology("isolate"))["VCPU"] == 1


def test_the_flavors_policy_speaks_before_the_topology() -> None:
    flavor = builders.a_flavor(vcpus=3, extra_specs={"hw:cpu_policy": "shared"})

    assert "PCPU" not in usage.usage(flavor, False, _topology())


def test_what_no_flavor_says_is_added() -> None:
    amounts = usage.usage(builders.a_flavor(), False, None, {"CUSTOM_PMEM": 2, "VCPU": 1})

    assert amounts == {"VCPU": 2, "MEMORY_MB": 512, "DISK_GB": 10, "CUSTOM_PMEM": 2}


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0", {0}),
        ("0-2", {0, 1, 2}),
        ("0, 3", {0, 3}),
        ("0-3,^1", {0, 2, 3}),
        ("^0-1", {2, 3}),
        ("2-9", {2, 3}),
        ("9", set()),
        ("", set()),
        ("a,1-b", set()),
    ],
)
def test_a_list_of_cpus_names_them_below_the_guests_number(text: str, cpus: set[int]) -> None:
    assert usage.cpu_list(text, 4) == cpus


def test_amounts_of_zero_are_left_out_of_sums() -> None:
    assert resources.add({"A": 1}, {"A": -1, "B": 2}) == {"B": 2}
    assert resources.subtract({"A": 1, "B": 1}, {"A": 1, "C": 2}) == {"B": 1, "C": -2}
    assert resources.total([{"A": 1}, {"A": -1}, {"B": 2}]) == {"B": 2}


def test_nothing_added_or_taken_leaves_the_amounts() -> None:
    amounts = {"A": 1}

    assert resources.add(amounts, {}) is amounts
    assert resources.subtract(amounts, {}) is amounts
