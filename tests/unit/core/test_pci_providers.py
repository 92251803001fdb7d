"""PCI devices as resource providers: which there are, what is held of them, and what contradicts itself."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests import builders
from tests.unit.core import devices, place_cases, tree_cases
from worker.core import commands, events, pci_providers, records

ROOT = builders.uid(501)
PF_CLASS, VF_CLASS, GPU_CLASS = "CUSTOM_PCI_8086_1572", "CUSTOM_PCI_8086_154C", "CUSTOM_PCI_10DE_1DB6"
OWN = ("COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA")
VFS = (devices.vf(1, 0), devices.vf(1, 1))
GPU_NAME, NIC_NAME = "h1_0000:02:00.0", "h1_0000:01:00.0"


def found(*reported: records.Device, **changes: Any) -> tuple[tuple[records.Child, ...], tuple[str, ...]]:
    """Return the providers of these devices, and why some have none."""
    return pci_providers.children(tree_cases.a_node(pci_devices=reported, **changes), tree_cases.STANDARD)


def a_worker(*reported: records.Device, **changes: Any) -> builders.Worker:
    """Return a worker whose node h1 has these devices and nothing else below its root."""
    return tree_cases.a_worker(rules=tree_cases.PCI, providers=(), pci_devices=reported, **changes)


def test_a_device_of_its_own_and_the_functions_of_a_device_have_a_provider_each() -> None:
    (nic, gpu), troubles = found(devices.plain(2), *VFS)

    assert troubles == ()
    assert nic == records.Child(
        uuid=str(uuid.uuid5(uuid.UUID(ROOT), "0000:01:00.0")), name=NIC_NAME, parent_uuid=ROOT,
        inventories={VF_CLASS: records.Inventory(2, max_unit=2)}, traits=OWN,
        devices=("0000:01:02.0", "0000:01:02.1"), device_class=VF_CLASS,
    )  # fmt: skip
    assert (gpu.name, gpu.inventories) == (GPU_NAME, {GPU_CLASS: records.Inventory(1, max_unit=1)})


def test_the_name_has_the_address_in_capitals() -> None:
    ((child,), _) = found(devices.plain(0xAB))

    assert child.name == "h1_0000:AB:00.0"


def test_a_device_on_a_physical_network_has_no_provider() -> None:
    physical = devices.vf(1, 0, tags={"physical_network": "net1"})
    tunneled = devices.vf(1, 1, tags={"physical_network": ""})

    ((child,), troubles) = found(physical, tunneled)

    assert (child.devices, troubles) == (("0000:01:02.1",), ())


@pytest.mark.parametrize(
    ("tags", "resource_class", "traits"),
    [
        ({"resource_class": "vgpu"}, "VGPU", ()),
        ({"resource_class": "my-gpu 2"}, "CUSTOM_MY_GPU_2", ()),
        ({"resource_class": "CUSTOM_GPU"}, "CUSTOM_GPU", ()),
        ({"traits": "HW_NIC_ACCEL_SSL, blue,,CUSTOM_RED"}, GPU_CLASS, ("CUSTOM_BLUE", "CUSTOM_RED", "HW_NIC_ACCEL_SSL")),
        ({"live_migratable": "Yes", "one_time_use": "true"}, GPU_CLASS, ("HW_PCI_LIVE_MIGRATABLE", "HW_PCI_ONE_TIME_USE")),
        ({"live_migratable": "no", "one_time_use": "0"}, GPU_CLASS, ()),
    ],
)  # fmt: skip
def test_tags_name_class_and_traits(tags: dict[str, str], resource_class: str, traits: tuple[str, ...]) -> None:
    ((child,), _) = found(devices.plain(2, tags=tags))

    assert list(child.inventories) == [resource_class]
    assert child.traits == tuple(sorted((*OWN, *traits)))


@pytest.mark.parametrize(
    ("reported", "text"),
    [
        ((devices.pf(1), *VFS), "both it and its functions 0000:01:02.0, 0000:01:02.1 are offered"),
        (
            (VFS[0], devices.vf(1, 1, tags={"resource_class": "other"})),
            "its functions 0000:01:02.0, 0000:01:02.1 have different resource_class",
        ),
        (
            (VFS[0], devices.vf(1, 1, tags={"traits": "blue"})),
            "its functions 0000:01:02.0, 0000:01:02.1 have different traits",
        ),
        ((devices.plain(1, tags={"resource_class": "custom_"}),), "CUSTOM_ is neither a standard name nor CUSTOM_ with something after it"),
        (
            (devices.plain(1, tags={"traits": "t" * 250}),),
            f"CUSTOM_{'T' * 53} is not 1 to 255 characters of A-Z, 0-9 and _",
        ),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_a_finding_and_leaves_the_others(
    reported: tuple[records.Device, ...], text: str
) -> None:
    worker = a_worker(*reported, devices.plain(2))

    (one,) = worker.events(events.Found)
    assert (one.kind, one.text) == (
        "provider_conflict", f"h1/h1: PCI device 0000:01:00.0 has no resource provider: {text}",
    )  # fmt: skip
    assert set(tree_cases.views(worker)) == {"h1", GPU_NAME}
    kind = place_cases.pfs() if reported[0].dev_type == "type-PF" else place_cases.gpus()
    assert worker.tell(commands.ClaimInstance(builders.an_instance(pci_requests=(kind,)))).outcome == events.ACCEPTED


def test_a_reported_provider_has_its_name_before_a_device() -> None:
    taken = tree_cases.a_child(builders.uid(650), GPU_NAME, CUSTOM_X=1)
    worker = tree_cases.a_worker(rules=tree_cases.PCI, providers=(taken,), pci_devices=(devices.plain(2),))

    (one,) = worker.events(events.Found)
    assert one.text.endswith(f"a reported one has its name {GPU_NAME} or its uuid")
    assert list(tree_cases.views(worker)[GPU_NAME].inventories) == ["CUSTOM_X"]


def test_without_the_option_no_device_has_a_provider() -> None:
    worker = tree_cases.a_worker(providers=(), pci_devices=(devices.plain(2),))

    assert set(tree_cases.views(worker)) == {"h1"}


def test_each_device_that_is_held_counts_on_its_provider() -> None:
    worker = a_worker(devices.plain(2), *VFS)
    request = (place_cases.vfs(2, 700), place_cases.gpus(1, 701))

    outcome = worker.tell(place_cases.claim(pci_requests=request))

    assert tree_cases.used(worker) == {NIC_NAME: {VF_CLASS: 2}, GPU_NAME: {GPU_CLASS: 1}}
    found_ = tree_cases.views(worker)
    assert outcome.detail["allocations"] == {
        ROOT: builders.SMALL, found_[NIC_NAME].uuid: {VF_CLASS: 2}, found_[GPU_NAME].uuid: {GPU_CLASS: 1},
    }  # fmt: skip
    assert worker.used() == builders.SMALL
    tree_cases.check_trees(worker.store)


def test_devices_that_are_attached_and_detached_move_the_figures_of_their_provider() -> None:
    worker = a_worker(devices.plain(2), *VFS)
    worker.tell(place_cases.claim(pci_requests=(place_cases.gpus(1, 701),)))

    worker.tell(place_cases.attach(place_cases.vfs(1, 702)))
    attached = tree_cases.used(worker)
    worker.tell(place_cases.detach(702))

    assert attached == {NIC_NAME: {VF_CLASS: 1}, GPU_NAME: {GPU_CLASS: 1}}
    assert tree_cases.used(worker) == {GPU_NAME: {GPU_CLASS: 1}}
    child = [event for event in worker.events(events.ProviderChanged) if event.view.name == NIC_NAME][-1]
    assert (dict(child.delta), [cause.method for cause in child.causes]) == ({VF_CLASS: -1}, ["detach_devices"])
    tree_cases.check_trees(worker.store)


def test_a_device_that_vanishes_while_it_is_held_keeps_its_provider_until_it_is_free() -> None:
    worker = a_worker(devices.plain(2))
    worker.tell(place_cases.claim(pci_requests=(place_cases.gpus(),)))

    worker.tell(builders.a_report(tree_cases.a_node(revision=2, providers=())))
    left = tree_cases.views(worker)[GPU_NAME]
    worker.tell(place_cases.fact(revision=2, pci_requests=(place_cases.gpus(),), task_state="rebooting"))
    still = tree_cases.used(worker)
    worker.tell(commands.DeleteInstance(builders.VM, 3))

    assert (left.inventories, dict(left.used)) == ({}, {GPU_CLASS: 1})
    assert still == {GPU_NAME: {GPU_CLASS: 1}}
    assert set(tree_cases.views(worker)) == {"h1"}
    tree_cases.check_trees(worker.store)


def test_one_of_the_functions_that_vanishes_while_it_is_held_still_counts() -> None:
    worker = a_worker(*VFS)
    worker.tell(place_cases.claim(pci_requests=(place_cases.vfs(2),)))

    worker.tell(builders.a_report(tree_cases.a_node(revision=2, providers=(), pci_devices=VFS[:1])))

    nic = tree_cases.views(worker)[NIC_NAME]
    assert (nic.inventories[VF_CLASS].total, dict(nic.used)) == (1, {VF_CLASS: 2})


def test_the_class_of_devices_is_not_given_to_amounts() -> None:
    worker = a_worker(devices.plain(2))

    outcome = worker.tell(tree_cases.claim(flavor=tree_cases.a_flavor(**{GPU_CLASS: 1})))

    assert outcome.reason == f"{GPU_CLASS}: asked 1, available 0 (the node has none)"


def test_devices_that_were_held_before_the_option_was_set_count_after_the_next_report() -> None:
    worker = tree_cases.a_worker(providers=(), pci_devices=(devices.plain(2),))
    worker.tell(place_cases.claim(pci_requests=(place_cases.gpus(),)))

    worker.policy = builders.Worker(trees=tree_cases.PCI).policy
    worker.tell(builders.a_report(tree_cases.a_node(revision=2, providers=(), pci_devices=(devices.plain(2),))))
    on = tree_cases.used(worker)
    worker.policy = builders.Worker().policy
    worker.tell(builders.a_report(tree_cases.a_node(revision=3, providers=(), pci_devices=(devices.plain(2),))))

    assert on == {GPU_NAME: {GPU_CLASS: 1}}
    assert set(tree_cases.views(worker)) == {"h1"}
    assert worker.store.books[builders.VM].holdings[0].place is not None
    tree_cases.check_trees(worker.store)
