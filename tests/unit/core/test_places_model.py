"""Places under anything that may come: random reports, claims, facts, moves, attached devices, removals and audits."""

from __future__ import annotations

from typing import Any

import hypothesis
import msgspec
from hypothesis import stateful
from hypothesis import strategies as st

from tests import builders
from tests.unit.core import histories, machines, numa_cases, place_cases
from worker.core import commands, events, lifecycle, places, records

ADDRESSES = st.sampled_from([device.address for device in place_cases.DEVICES])
HOSTS = st.sampled_from(("h1", "h2"))
INSTANCES = st.sampled_from([builders.uid(number) for number in range(1, 5)])
ENDS = st.sampled_from(sorted(lifecycle.TERMINAL))
TYPES = st.sampled_from(sorted(lifecycle.MIGRATION_TYPES))

GUESTS: tuple[records.GuestTopology | None, ...] = (
    None,
    place_cases.pinned(1),
    place_cases.pinned(3, cpu_thread_policy="isolate"),
    place_cases.pinned(2, pagesize=2048),
    numa_cases.a_guest(numa_cases.a_cell(1), numa_cases.a_cell(1), emulator="isolate"),
    numa_cases.a_guest(numa_cases.a_cell(0, 2, pagesize=-2)),
    numa_cases.a_guest(numa_cases.a_cell(1, 1)),
)
SPECS: tuple[dict[str, str], ...] = (
    {},
    {},
    {"hw:cpu_policy": "dedicated"},
    {"hw:mem_page_size": "large"},
    {"hw:numa_nodes": "3"},
)
FLAVORS = tuple(
    builders.a_flavor(f"f{number}", vcpus=2, memory_mb=1024, root_gb=0, extra_specs=specs)
    for number, specs in enumerate(SPECS)
)
SHRUNK = (
    (msgspec.structs.replace(place_cases.CELLS[0], pcpuset=frozenset({0})), place_cases.CELLS[1]),
    (msgspec.structs.replace(place_cases.CELLS[1], id=0),),
    (msgspec.structs.replace(place_cases.CELLS[0], id=1), msgspec.structs.replace(place_cases.CELLS[1], id=0)),
    None,
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[records.DeviceRequest, ...]:
    """A few requests for devices; their ids come again with other contents."""
    found = []
    for number in draw(st.lists(st.integers(700, 704), max_size=2, unique=True)):
        kind = draw(st.sampled_from((place_cases.gpus, place_cases.vfs)))
        policy = draw(st.sampled_from((None, "required", "preferred")))
        whole = place_cases.pfs(number, numa_policy=policy)
        found.append(draw(st.sampled_from((whole, kind(draw(st.integers(1, 2)), number, numa_policy=policy)))))
    return tuple(found)


class Site(machines.Machine):
    """Two hosts and four instances; what is told follows no plan."""

    def __init__(self) -> None:
        super().__init__(builders.Worker())
        self.changed: set[str] = set()
        self.batch: list[commands.Command] = []

    def tell(self, order: commands.Command, later: bool) -> None:
        """Tell an order, with those that were put off before, or put it off as well."""
        self.batch.append(order)
        if not later:
            before = dict(self.worker.store.books)
            orders, self.batch = self.batch, []
            outcome = self.worker.tell(*orders)
            if len(orders) == 1:
                self.check_claim(order, outcome, before)

    def check_claim(self, order: commands.Command, outcome: events.Outcome, before: dict[str, records.Book]) -> None:
        """Hold that a claim is all or nothing."""
        after = self.worker.store.books
        if outcome.outcome == events.REFUSED and not isinstance(order, commands.ClaimMigration):
            assert after == before
        if outcome.outcome == events.ACCEPTED and not isinstance(order, commands.ClaimMigration):
            uuid = order.instance.uuid if isinstance(order, commands.ClaimInstance) else order.instance_uuid  # type: ignore[union-attr]
            assert outcome.account is not None
            hardware = place_cases.ground_of(self.worker.store, outcome.account).hardware
            settled = msgspec.structs.replace(
                after[uuid], holdings=tuple(one for one in after[uuid].holdings if one.settled)
            )
            assert not places.lacking(settled, outcome.account, hardware)

    def moves(self, uuid: str) -> list[records.Move]:
        """Return the moves of an instance that are in progress."""
        book = self.worker.store.books.get(uuid, records.Book(uuid))
        return [move for move in book.moves if move.status in lifecycle.IN_PROGRESS]

    @stateful.initialize()
    def first_reports(self) -> None:
        for host in ("h1", "h2"):
            self.worker.tell(builders.a_report(place_cases.a_node(host, self.next())))

    @stateful.rule(host=HOSTS, lost=st.sets(ADDRESSES, max_size=2), node=st.integers(0, 1))
    def report_devices(self, host: str, lost: set[str], node: int) -> None:
        left = tuple(
            msgspec.structs.replace(one, numa_node=node) for one in place_cases.DEVICES if one.address not in lost
        )
        self.tell(builders.a_report(place_cases.a_node(host, self.next(), pci_devices=left)), later=False)

    @stateful.rule(host=HOSTS, shrunk=st.sampled_from((*SHRUNK, place_cases.CELLS)), rare=st.integers(0, 3))
    def report_cells(self, host: str, shrunk: tuple[records.HostCell, ...] | None, rare: int) -> None:
        if rare:
            return
        self.changed.add(builders.account_of(host))
        self.tell(builders.a_report(place_cases.a_node(host, self.next(), numa_topology=shrunk)), later=False)

    @stateful.rule(host=HOSTS, back=st.booleans())
    def remove_node(self, host: str, back: bool) -> None:
        node = place_cases.a_node(host)
        self.tell(commands.RemoveNode(node.uuid, self.next()), later=False)
        if back:
            self.report_devices(host, set(), 0)

    @stateful.rule(
        uuid=INSTANCES, host=HOSTS, guest=st.sampled_from(GUESTS), flavor=st.sampled_from(FLAVORS),
        asked=requests(), later=st.booleans(), claimed=st.booleans(),
    )  # fmt: skip
    def build(self, **drawn: Any) -> None:
        changes = {"numa_topology": drawn["guest"], "flavor": drawn["flavor"], "pci_requests": drawn["asked"]}
        host = drawn["host"]
        record = self.record(drawn["uuid"], host=host, node=host, vm_state="active", **changes)
        order: commands.Command = commands.UpdateInstance(record)
        if drawn["claimed"]:
            order = commands.ClaimInstance(record)
        self.tell(order, drawn["later"])

    @stateful.rule(
        uuid=INSTANCES, state=st.sampled_from(("active", "stopped", "shelved_offloaded")), later=st.booleans()
    )
    def change(self, uuid: str, state: str, later: bool) -> None:
        self.tell(commands.UpdateInstance(self.record(uuid, vm_state=state)), later)

    @stateful.rule(
        uuid=INSTANCES, number=st.integers(900, 902), kind=TYPES, host=HOSTS, guest=st.sampled_from(GUESTS),
        flavor=st.sampled_from((*FLAVORS, None)), asked=st.none() | requests(), claimed=st.booleans(),
        later=st.booleans(),
    )  # fmt: skip
    def move(self, **drawn: Any) -> None:
        record = self.record(drawn["uuid"])
        move = builders.a_move(
            builders.uid(drawn["number"] + 10 * int(drawn["uuid"][-1])), self.next(), instance_uuid=record.uuid,
            migration_type=drawn["kind"], source=record.pair, dest=builders.pair(drawn["host"]),
            old_flavor=record.flavor, new_flavor=drawn["flavor"], new_numa_topology=drawn["guest"],
            new_pci_requests=drawn["asked"], created_at=self.revision,
        )  # fmt: skip
        order: commands.Command = commands.UpdateMigration(move, record)
        if drawn["claimed"]:
            order = commands.ClaimMigration(move, record)
        self.tell(order, drawn["later"])

    @stateful.rule(uuid=INSTANCES, there=st.booleans(), status=st.none() | ENDS, later=st.booleans(), data=st.data())
    def go_on(self, uuid: str, there: bool, status: str | None, later: bool, data: st.DataObject) -> None:
        """Have the instance of a move be at one of its ends, with the move in progress or ended."""
        moves = self.moves(uuid)
        if not moves:
            return
        move = data.draw(st.sampled_from(moves))
        pair, flavor = (move.dest, move.new_flavor) if there else (move.source, move.old_flavor)
        record = self.record(uuid)
        if pair is not None:
            changes = {"flavor": flavor or record.flavor, "numa_topology": move.new_numa_topology if there else None}
            record = msgspec.structs.replace(record, host=pair.host, node=pair.node, **changes)
        ended = msgspec.structs.replace(move, revision=self.next(), status=status or "finished")
        self.tell(commands.UpdateMigration(ended, record), later)

    @stateful.rule(uuid=INSTANCES, asked=requests(), later=st.booleans())
    def attach(self, uuid: str, asked: tuple[records.DeviceRequest, ...], later: bool) -> None:
        self.tell(commands.AttachDevices(uuid, asked, self.next()), later)

    @stateful.rule(uuid=INSTANCES, number=st.integers(700, 704), later=st.booleans())
    def detach(self, uuid: str, number: int, later: bool) -> None:
        self.tell(commands.DetachDevices(uuid, (builders.uid(number),), self.next()), later)

    @stateful.rule(uuid=INSTANCES, rare=st.integers(0, 3))
    def delete(self, uuid: str, rare: int) -> None:
        """Delete an instance; its uuid is used no more, so that is rare."""
        if not rare:
            self.tell(commands.DeleteInstance(uuid, self.next()), later=False)

    @stateful.rule(host=HOSTS, listed=st.none() | st.sets(INSTANCES), sure=st.booleans(), later=st.booleans())
    def audit(self, host: str, listed: set[str] | None, sure: bool, later: bool) -> None:
        self.worker.now += builders.MINUTE + 1
        told = None if listed is None else tuple(self.record(uuid) for uuid in sorted(listed))
        node = place_cases.a_node(host)
        self.tell(commands.AuditNode(node.uuid, told, self.worker.now, sure), later)

    @stateful.rule()
    def restart(self) -> None:
        store, now = self.worker.store, self.worker.now
        self.worker = builders.Worker()
        self.worker.store, self.worker.now = store.copy(), now
        self.worker.next_id = lambda: f"r{self.next()}"  # type: ignore[method-assign]

    @stateful.invariant()
    def nothing_is_given_twice_and_nothing_is_lost(self) -> None:
        place_cases.check_places(self.worker.store, sorted(self.changed))
        place_cases.check_settled(self.worker.store)
        histories.check_sums(self.worker.store)
        histories.check_ledger(self.worker.store)

    def teardown(self) -> None:
        """Hold that everything is free when everything is deleted."""
        for number in range(1, 5):
            self.tell(commands.DeleteInstance(builders.uid(number), self.next()), later=False)
        self.nothing_is_given_twice_and_nothing_is_lost()
        for account in self.worker.store.accounts.values():
            assert (account.used, account.settled, account.counters) == ({}, {}, {})
        for host in ("h1", "h2"):
            assert set(place_cases.states(self.worker, host).values()) <= {"available"}


Site.TestCase.settings = hypothesis.settings(
    max_examples=250, stateful_step_count=50,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much],
)  # fmt: skip
TestSite = Site.TestCase
