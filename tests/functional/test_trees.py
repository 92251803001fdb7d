"""Reports with children and PCI devices through the real worker on SQLite: calls in, notifications and answers out."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests import builders, invariant, plain, stands, tree_sides
from tests.functional import cli_desk
from tests.unit.core import devices, place_cases, tree_cases
from worker import errors, handler, wiring
from worker.core import claims
from worker.db import engine, invariants, schema, unit_of_work

ROOT = plain.node_uuid(1)
GPU_A = tree_sides.child_uuid(tree_sides.GPU_A)
CARD = tree_sides.device_provider(tree_sides.CARD)
NIC = tree_sides.device_provider(tree_sides.PF)


@pytest.fixture
def stand() -> Iterator[stands.Stand]:
    with stands.embedded("kombu+memory://", pci__report_in_placement=True) as made:
        yield made


@pytest.fixture
def desk(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[cli_desk.Desk]:
    with cli_desk.opened(tmp_path, capsys) as found:
        found.rules = tree_cases.PCI
        found.tell(builders.a_report(tree_cases.a_node(pci_devices=(devices.plain(2),))))
        found.tell(tree_cases.claim(pci_requests=(place_cases.gpus(),)))
        yield found


def a_guest(revision: int = 1, **changes: Any) -> plain.Primitive:
    """Return an instance with a virtual GPU and a card."""
    requests = [tree_sides.request(1, "10de")]
    return plain.instance(1, revision, **{"flavor": tree_sides.gpu_flavor(), "pci_requests": requests, **changes})


def test_who_hears_the_notifications_knows_the_whole_tree(stand: stands.Stand) -> None:
    stand.conductor.call("report_node", node=tree_sides.node())
    answer = stand.conductor.call("claim_instance", instance=a_guest(), limits=None)

    made = _in_order(stand.listener.wait("resource_provider.create", 7))
    changed = _in_order(stand.listener.wait("resource_provider.update", 3))
    (allocation,) = stand.listener.wait("allocation.update")

    names = [one["name"] for one in made]
    assert names[0] == plain.host(1)
    assert {one["root_provider_uuid"] for one in made} == {one["node_uuid"] for one in made} == {ROOT}
    places = {one["uuid"]: place for place, one in enumerate(made)}
    assert all(places[one["parent_provider_uuid"]] < place for place, one in enumerate(made) if place)
    assert [one["sequence"] for one in (*made, *changed)] == list(range(1, 11))
    assert [(one["uuid"], one["delta"]) for one in changed] == [
        (ROOT, plain.SMALL), (CARD, {tree_sides.CARD_CLASS: 1}), (GPU_A, {"VGPU": 1}),
    ]  # fmt: skip
    expected = {ROOT: plain.SMALL, CARD: {tree_sides.CARD_CLASS: 1}, GPU_A: {"VGPU": 1}}
    assert allocation["allocations"] == answer["detail"]["allocations"] == expected


def _in_order(payloads: list[Any]) -> list[Any]:
    return sorted(payloads, key=lambda one: one["sequence"])


def test_reads_tell_of_the_whole_tree(stand: stands.Stand) -> None:
    stand.conductor.call("report_node", node=tree_sides.node())
    stand.conductor.call("claim_instance", instance=a_guest(), limits=None)

    usages = stand.conductor.usage()["usages"]
    guest = plain.data(stand.conductor.call("get_instance_usage", instance_uuid=plain.uid(1)))

    assert usages["VGPU"] == {"used": 1, "settled": 1, "in_move": 0, "capacity": 6}
    assert usages[tree_sides.CARD_CLASS] == {"used": 1, "settled": 1, "in_move": 0, "capacity": 1}
    assert guest["allocations"][GPU_A] == {"VGPU": {"amount": 1, "settled": 1}}
    assert guest["allocations"][CARD] == {tree_sides.CARD_CLASS: {"amount": 1, "settled": 1}}
    assert "VGPU" not in guest["allocations"][ROOT]
    stand.finish()
    invariant.prove(stand.bind)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"providers": [tree_sides.child(1, VGPU=1), tree_sides.child(1, VGPU=1)]},
            f"node.providers[1].uuid: {tree_sides.child_uuid(1)} is that of providers[0] too",
        ),
        (
            {"providers": [tree_sides.child(1, parent=2, VGPU=1)]},
            f"node.providers[0].parent_provider_uuid: {tree_sides.child_uuid(2)} is neither the node nor one of its providers",
        ),
        (
            {"providers": [tree_sides.child(1, parent=2), tree_sides.child(2, parent=1)]},
            f"node.providers[0].parent_provider_uuid: {tree_sides.child_uuid(2)} does not lead to the node {ROOT}",
        ),
        (
            {"providers": [tree_sides.child(1, VGPUS=1)]},
            "node.providers[0].inventories: VGPUS is neither a standard name nor CUSTOM_ with something after it",
        ),
        ({"traits": ["HW_NOTHING"]}, "node.traits: HW_NOTHING is neither a standard name nor CUSTOM_ with something after it"),
    ],
)  # fmt: skip
def test_a_tree_that_cannot_be_is_parked_with_one_line(stand: stands.Stand, changes: dict[str, Any], text: str) -> None:
    answer = stand.conductor.call("report_node", node=tree_sides.node(**changes))

    assert (answer["outcome"], answer["reason"]) == ("parked", text)


def test_provider_yaml_adds_and_what_is_withdrawn_is_taken_back(tmp_path: pathlib.Path) -> None:
    with stands.embedded("kombu+memory://") as stand:
        stand.conductor.call("report_node", node=tree_sides.node())
        found = []
        for revision, text in ((2, tree_sides.GOLD), (3, None)):
            file = tmp_path / "site.yaml"
            if text is None:
                file.unlink()
            else:
                file.write_text(text, encoding="utf-8")
            stand.conf.set_override("provider_config_location", str(tmp_path), group="compute")
            _restart(stand)
            stand.conductor.call("report_node", node=tree_sides.node(revision=revision))
            payload = _in_order(stand.listener.wait("resource_provider.update", revision - 1))[-1]
            found.append((payload["inventories"].get("CUSTOM_GOLD"), "CUSTOM_FAST" in payload["traits"]))

        assert plain.data(found[0][0])["total"] == 3
        assert [found[0][1], *found[1]] == [True, None, False]


def _restart(stand: stands.Stand) -> None:
    stand.running.stop()
    stand.running = wiring.Running(stand.conf)
    stand.running.start()


def test_a_faulty_provider_yaml_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.yaml").write_text("[]", encoding="utf-8")
    conf = stands.configuration("kombu+memory://", "sqlite://", compute__provider_config_location=str(tmp_path))

    with pytest.raises(errors.Misconfigured, match=r"site\.yaml"):
        wiring.Running(conf)


def test_every_provider_is_listed_and_shown(desk: cli_desk.Desk) -> None:
    listed = desk.json("provider", "list")
    child = desk.json("provider", "show", "h1_gpu_a")
    same = desk.json("provider", "show", tree_cases.GPU_A)
    card = desk.json("provider", "show", "h1_0000:02:00.0")

    assert [one["name"] for one in listed] == [
        "h1", "h1_0000:02:00.0", "h1_gpu_a", "h1_gpu_b", "h1_nic", "h1_port",
    ]  # fmt: skip
    assert child == same
    assert (child["parent_provider_uuid"], child["consumers"]) == (
        builders.uid(501), {builders.VM: {"VGPU": 1}},
    )  # fmt: skip
    assert card["consumers"] == {builders.VM: {"CUSTOM_PCI_10DE_1DB6": 1}}
    assert desk.refusal("provider", "show", "h1_gpu_c") == ("stocktake: provider h1_gpu_c is not known")


def test_the_ledger_explains_what_is_on_each_child(desk: cli_desk.Desk) -> None:
    told = desk.run("explain", "node", "h1")

    assert desk.code == 0
    assert f"{tree_cases.GPU_A}:VGPU" in told
    assert "adds up" in told


def test_every_provider_is_announced(desk: cli_desk.Desk) -> None:
    assert desk.run("provider", "announce").strip() == "7 notifications are due"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("DELETE FROM ledger WHERE kind = 'share'", {("shares", "ledger")}),
        ("UPDATE nodes SET capacity = replace(capacity, '\"children\":[', '\"children\":[],\"others\":[')", {("shares", "tree")}),
        (
            "UPDATE holdings SET place = replace(place, '\"VGPU\",\"amount\":1', '\"VGPU\",\"amount\":2')",
            {("shares", "ledger"), ("shares", "instances"), ("strays", "holdings")},
        ),
        ("UPDATE holdings SET place = replace(place, '\"settled\":true', '\"settled\":false')", {("strays", "holdings")}),
    ],
)  # fmt: skip
def test_shares_that_do_not_add_up_are_found(change: str, found: set[tuple[str, str]]) -> None:
    bind = engine.of_url("sqlite://")
    schema.sync(bind)
    orders = (builders.a_report(tree_cases.a_node()), tree_cases.claim())
    tasks = [builders.a_task(order) for order in orders]
    handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), builders.NOW, claims.Policy())
    invariant.prove(bind)

    with bind.begin() as connection:
        assert connection.exec_driver_sql(change).rowcount

    assert {(one.figure, one.by) for one in invariants.differences(bind)} == found
    bind.dispose()
