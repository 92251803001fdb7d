"""Trees under anything that may come: reports with other children and devices, claims, facts, moves, other rules."""

from __future__ import annotations

from typing import Any

import hypothesis
import msgspec
from hypothesis import stateful
from hypothesis import strategies as st

from tests import builders
from tests.unit.core import histories, machines, place_cases, tree_cases
from worker.core import additions, commands, lifecycle, node_tree, records

HOSTS = st.sampled_from(("h1", "h2"))
INSTANCES = st.sampled_from([builders.uid(number) for number in range(1, 5)])
ENDS = st.sampled_from(sorted(lifecycle.TERMINAL))
TYPES = st.sampled_from(sorted(lifecycle.MIGRATION_TYPES))
FLAVORS = (
    builders.a_flavor(root_gb=0),
    tree_cases.a_flavor(VGPU=1),
    tree_cases.a_flavor(VGPU=2, CUSTOM_GOLD=1),
    tree_cases.a_flavor(CUSTOM_NONE=1),
)
RESOURCES = st.sampled_from(({}, {}, {"CUSTOM_BANDWIDTH": 400}))
GOLD = additions.Addition("a: providers[0]", inventories={"CUSTOM_GOLD": records.Inventory(2, max_unit=2)})
ON_A = additions.Addition("b: providers[0]", name="h1_gpu_a", inventories={"CUSTOM_GOLD": records.Inventory(1)})
RULES = (
    node_tree.Rules(standard=tree_cases.STANDARD),
    node_tree.Rules((GOLD,), tree_cases.STANDARD, mark="gold"),
    node_tree.Rules((GOLD, ON_A), tree_cases.STANDARD, pci=True, mark="both"),
    tree_cases.PCI,
)
CHILDREN = (*tree_cases.GPUS, tree_cases.a_child(builders.uid(614), "gpu_c", tree_cases.GPU_B, VGPU=1))


@st.composite
def trees(draw: st.DrawFn) -> tuple[records.ChildProvider, ...]:
    """Some of the children, each with those above it; one class may be elsewhere, or the root's."""
    chosen = draw(st.sets(st.sampled_from([child.uuid for child in (*CHILDREN, *tree_cases.NICS)]), max_size=5))
    chosen |= {tree_cases.NIC} if tree_cases.PORT in chosen else set()
    chosen |= {tree_cases.GPU_B} if builders.uid(614) in chosen else set()
    return tuple(child for child in (*CHILDREN, *tree_cases.NICS) if child.uuid in chosen)


@st.composite
def requests(draw: st.DrawFn) -> tuple[records.DeviceRequest, ...]:
    """A few requests for devices."""
    numbers = draw(st.lists(st.integers(700, 703), max_size=2, unique=True))
    kinds = (place_cases.gpus, place_cases.vfs)
    return tuple(draw(st.sampled_from(kinds))(1, number) for number in numbers)


class Site(machines.Machine):
    """Two hosts and four instances; what is told follows no plan."""

    def __init__(self) -> None:
        super().__init__(builders.Worker(trees=RULES[0]))
        self.batch: list[commands.Command] = []

    def tell(self, order: commands.Command, later: bool = False) -> None:
        """Tell an order, with those that were put off before, or put it off as well."""
        self.batch.append(order)
        if not later:
            orders, self.batch = self.batch, []
            self.worker.tell(*orders)

    def report(self, host: str, **changes: Any) -> None:
        """Tell a report."""
        self.tell(builders.a_report(tree_cases.a_node(host, self.next(), **changes)))

    @stateful.initialize()
    def first_reports(self) -> None:
        for host in ("h1", "h2"):
            self.report(host)

    @stateful.rule(host=HOSTS, children=trees(), lost=st.integers(0, 5), root=st.booleans(), shift=st.booleans())
    def report_a_tree(
        self, host: str, children: tuple[records.ChildProvider, ...], lost: int, root: bool, shift: bool
    ) -> None:
        devices = place_cases.DEVICES[3:] if shift else place_cases.DEVICES[1:]
        inventories = {"VGPU": records.Inventory(3)} if root else {}
        found = tree_cases.of_host(host, *children) if children else ()
        left = tuple(one for number, one in enumerate(devices) if number != lost)
        self.report(host, providers=found, pci_devices=left, inventories=inventories)

    @stateful.rule(host=HOSTS)
    def report_the_same(self, host: str) -> None:
        known = self.worker.store.reports[tree_cases.a_node(host).uuid]
        self.tell(builders.a_report(msgspec.structs.replace(known, revision=self.next())))

    @stateful.rule(host=HOSTS, to=HOSTS)
    def report_another_pair(self, host: str, to: str) -> None:
        known = self.worker.store.reports[tree_cases.a_node(host).uuid]
        moved = msgspec.structs.replace(known, revision=self.next(), host=to, hypervisor_hostname=to)
        self.tell(builders.a_report(moved))

    @stateful.rule(host=HOSTS)
    def remove_node(self, host: str) -> None:
        self.tell(commands.RemoveNode(tree_cases.a_node(host).uuid, self.next()))

    @stateful.rule(host=HOSTS, disabled=st.booleans())
    def disable(self, host: str, disabled: bool) -> None:
        self.tell(commands.SetNodeDisabled(tree_cases.a_node(host).uuid, disabled, self.next()))

    @stateful.rule(rules=st.sampled_from(RULES))
    def restart(self, rules: node_tree.Rules) -> None:
        self.worker.policy = msgspec.structs.replace(self.worker.policy, trees=rules)

    @stateful.rule(
        uuid=INSTANCES, host=HOSTS, flavor=st.sampled_from(FLAVORS), more=RESOURCES, asked=requests(),
        claimed=st.booleans(), later=st.booleans(),
    )  # fmt: skip
    def build(self, **drawn: Any) -> None:
        host = drawn["host"]
        changes = {"flavor": drawn["flavor"], "resources": drawn["more"], "pci_requests": drawn["asked"]}
        record = self.record(drawn["uuid"], host=host, node=host, vm_state="active", **changes)
        order = commands.ClaimInstance(record) if drawn["claimed"] else commands.UpdateInstance(record)
        self.tell(order, drawn["later"])

    @stateful.rule(
        uuid=INSTANCES, number=st.integers(900, 901), kind=TYPES, host=HOSTS,
        flavor=st.sampled_from((*FLAVORS, None)), claimed=st.booleans(), later=st.booleans(),
    )  # fmt: skip
    def move(self, **drawn: Any) -> None:
        record = self.record(drawn["uuid"])
        move = builders.a_move(
            builders.uid(drawn["number"] + 10 * int(drawn["uuid"][-1])), self.next(), instance_uuid=record.uuid,
            migration_type=drawn["kind"], source=record.pair, dest=builders.pair(drawn["host"]),
            old_flavor=record.flavor, new_flavor=drawn["flavor"], created_at=self.revision,
        )  # fmt: skip
        kind = commands.ClaimMigration if drawn["claimed"] else commands.UpdateMigration
        self.tell(kind(move, record), drawn["later"])

    @stateful.rule(uuid=INSTANCES, there=st.booleans(), status=st.none() | ENDS, later=st.booleans())
    def go_on(self, uuid: str, there: bool, status: str | None, later: bool) -> None:
        """Have the instance of a move be at one of its ends, with the move in progress or ended."""
        book = self.worker.store.books.get(uuid, records.Book(uuid))
        for move in [one for one in book.moves if one.status in lifecycle.IN_PROGRESS][-1:]:
            pair, flavor = (move.dest, move.new_flavor) if there else (move.source, move.old_flavor)
            record = self.record(uuid)
            if pair is not None:
                record = msgspec.structs.replace(record, host=pair.host, node=pair.node, flavor=flavor or record.flavor)
            ended = msgspec.structs.replace(move, revision=self.next(), status=status or "finished")
            self.tell(commands.UpdateMigration(ended, record), later)

    @stateful.rule(uuid=INSTANCES, asked=requests(), later=st.booleans())
    def attach(self, uuid: str, asked: tuple[records.DeviceRequest, ...], later: bool) -> None:
        self.tell(commands.AttachDevices(uuid, asked, self.next()), later)

    @stateful.rule(uuid=INSTANCES, number=st.integers(700, 703))
    def detach(self, uuid: str, number: int) -> None:
        self.tell(commands.DetachDevices(uuid, (builders.uid(number),), self.next()))

    @stateful.rule(uuid=INSTANCES, rare=st.integers(0, 3))
    def delete(self, uuid: str, rare: int) -> None:
        """Delete an instance; its uuid is used no more, so that is rare."""
        if not rare:
            self.tell(commands.DeleteInstance(uuid, self.next()))

    @stateful.rule(host=HOSTS, listed=st.none() | st.sets(INSTANCES), sure=st.booleans())
    def audit(self, host: str, listed: set[str] | None, sure: bool) -> None:
        self.worker.now += builders.MINUTE + 1
        told = None if listed is None else tuple(self.record(uuid) for uuid in sorted(listed))
        self.tell(commands.AuditNode(tree_cases.a_node(host).uuid, told, self.worker.now, sure))

    @stateful.invariant()
    def everything_adds_up_over_the_whole_tree(self) -> None:
        tree_cases.check_trees(self.worker.store)
        histories.check_sums(self.worker.store)
        histories.check_ledger(self.worker.store)

    def teardown(self) -> None:
        """Hold that nothing is held anywhere when everything is deleted, and no provider stays for its sake."""
        for number in range(1, 5):
            self.tell(commands.DeleteInstance(builders.uid(number), self.next()))
        self.everything_adds_up_over_the_whole_tree()
        for host in ("h1", "h2"):
            assert tree_cases.used(self.worker, host) == {}
            report = tree_cases.views(self.worker, host)
            assert all(view.inventories or view.name.endswith("nic") for view in report.values())


Site.TestCase.settings = hypothesis.settings(
    max_examples=60, stateful_step_count=30,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much],
)  # fmt: skip
TestSite = Site.TestCase
