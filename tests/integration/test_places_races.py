"""Two workers want the last device, the last CPUs, the last pages at the same moment: one gets them, in every round."""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import pytest
import sqlalchemy as sa

from tests import builders
from tests.contract import units_of_work
from tests.integration import db_servers
from worker import errors, handler
from worker.core import claims, commands, events, places, records, resources
from worker.db import engine, invariants, rows, tables, texts, unit_of_work

NOW = builders.NOW
POLICY = claims.Policy(claims=claims.LOCAL)
ROUNDS = 125
"""In each test; there are eight, so 1,000 in all."""
PATIENCE = 60
ACCOUNT = builders.account_of()
OCCUPANT = builders.uid(1)
RESIDENTS = (builders.uid(2), builders.uid(3))
PINNED = {"hw:cpu_policy": "dedicated"}
PAGES = {"hw:mem_page_size": "2048"}
SMALL_PAGES = records.Pages(4, 3887104, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Scarce:
    """A node that has room for two, what each asks for, and what a refusal must say."""

    hardware: dict[str, Any]
    wanted: dict[str, Any]
    reason: str


def a_cell(*pools: records.Pages, cpus: int = 16) -> records.HostCell:
    pins = frozenset(range(cpus))
    return records.HostCell(0, frozenset(range(100, 116)), pins, 16384, (), (SMALL_PAGES, *pools))


def a_device(number: int) -> records.Device:
    return records.Device(f"0000:81:00.{number}", "8086", "1572", "type-PCI")


def a_request() -> records.DeviceRequest:
    return builders.a_request(request_id=str(uuid.uuid4()))


ROOM: dict[str, Any] = {
    "numa_topology": (a_cell(records.Pages(2048, 600, 0)),),
    "pci_devices": (a_device(0), a_device(1)),
}
KINDS = {
    "device": Scarce(ROOM, {"pci_requests": True}, "PCI devices 8086:* (request"),
    "pinned CPUs": Scarce(
        ROOM | {"numa_topology": (a_cell(cpus=6),)},
        {"flavor": builders.a_flavor(vcpus=3, extra_specs=PINNED)},
        "NUMA cell 0: dedicated CPUs asked 3, available 0",
    ),
    "pages": Scarce(
        ROOM,
        {"flavor": builders.a_flavor(memory_mb=600, extra_specs=PAGES)},
        "NUMA cell 0: pages of 2048 KiB asked 300, available 0",
    ),
}


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    with db_servers.migrated(request.param) as made:
        yield made


@pytest.fixture
def binds(server: sa.Engine) -> Iterator[tuple[sa.Engine, sa.Engine]]:
    """Lend two engines on one database, as two workers have them."""
    other = engine.of_url(server.url.render_as_string(hide_password=False))
    yield server, other
    other.dispose()
    units_of_work.clear(server)


def an_asker(instance_uuid: str, scarce: Scarce, **changes: Any) -> records.Instance:
    wanted = dict(scarce.wanted)
    if wanted.pop("pci_requests", False):
        wanted["pci_requests"] = (a_request(),)
    return builders.an_instance(instance_uuid, **wanted | changes)


def tell(bind: sa.Engine, *orders: commands.Command) -> events.Outcome:
    """Carry orders out in one transaction, again after each conflict, as a worker does; return the last outcome."""
    tasks = [builders.a_task(order, str(uuid.uuid4())) for order in orders]
    for _ in range(20):
        try:
            answer = handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), NOW, POLICY)[-1]
        except errors.Conflict:
            continue
        assert isinstance(answer, events.Outcome)
        return answer
    pytest.fail("twenty conflicts in a row")


def race(binds: tuple[sa.Engine, sa.Engine], orders: Callable[[int], tuple[commands.Command, ...]]) -> list[Any]:
    """Let each worker carry out its order at the same moment, ``ROUNDS`` times; return outcomes and places of each round.

    ``orders`` gives the two orders of a round, and what gives everything back if the first or the second has won.
    """
    together = threading.Barrier(2)
    found = []

    def take(bind: sa.Engine, order: commands.Command) -> events.Outcome:
        together.wait(PATIENCE)
        return tell(bind, order)

    with futures.ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            *rivals, first_back, second_back = orders(number)
            taking = [pool.submit(take, bind, order) for bind, order in zip(binds, rivals, strict=True)]
            outcomes = [one.result(PATIENCE) for one in taking]
            found.append((outcomes, held(binds[0])))
            winner = [outcome.outcome for outcome in outcomes].index(events.ACCEPTED)
            tell(binds[winner], (first_back, second_back)[winner])
    return found


def held(bind: sa.Engine) -> list[tuple[str, records.Holding]]:
    """Return whatever has a place."""
    with bind.connect() as connection:
        return [
            rows.holding(row) for row in connection.execute(rows.HOLDING.where(tables.holdings.c.place.is_not(None)))
        ]


def check(found: list[Any], reason: str) -> None:
    """Fail unless one has won in each round, the other has heard why not, and each device and CPU has one holder."""
    assert len(found) == ROUNDS
    for number, (outcomes, placed) in enumerate(found):
        assert sorted(outcome.outcome for outcome in outcomes) == [events.ACCEPTED, events.REFUSED], number
        (refused,) = (outcome.reason for outcome in outcomes if outcome.outcome == events.REFUSED)
        assert reason in refused, number
        assert len(placed) == 2, number
        given = [one for _, holding in placed for one in given_out(holding.place)]
        assert len(given) == len(set(given)), number


def given_out(place: records.Place | None) -> Iterator[object]:
    assert place is not None
    yield from (grant.address for grant in place.grants)
    for cell in place.topology.cells if place.topology is not None else ():
        yield from cell.cpu_pinning.values()


def check_all_is_given_back(bind: sa.Engine, left: records.Place) -> None:
    """Fail unless rows, ledger and figures say that only the occupant has a place."""
    ((uuid_, holding),) = held(bind)
    kept, entry = tables.devices_held.c, tables.ledger.c
    with bind.connect() as connection:
        devices = connection.scalars(sa.select(kept.address).where(kept.instance_uuid == OCCUPANT)).all()
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables.devices_held)) == len(devices)
        lines = connection.execute(sa.select(entry.kind, entry.amounts).where(entry.account_id == ACCOUNT)).all()
    assert (uuid_, holding.place) == (OCCUPANT, left)
    assert list(devices) == [grant.address for grant in left.grants]
    for kind, figures in places.figures(left).items():
        entered = resources.total(texts.read_whole(amounts) for of, amounts in lines if of == kind)
        assert resources.without_zeros(entered) == figures, kind
    assert list(invariants.differences(bind)) == []


@pytest.fixture(params=list(KINDS))
def scarce(request: pytest.FixtureRequest) -> Scarce:
    return KINDS[request.param]


def test_one_of_two_claims_gets_the_last(binds: tuple[sa.Engine, sa.Engine], scarce: Scarce) -> None:
    tell(binds[0], builders.a_report(builders.a_node(**scarce.hardware)))
    assert tell(binds[0], commands.ClaimInstance(an_asker(OCCUPANT, scarce), None)).outcome == events.ACCEPTED
    ((_, before),) = held(binds[0])

    def orders(number: int) -> tuple[commands.Command, ...]:
        rivals = [builders.uid(1000 + 2 * number + one) for one in (0, 1)]
        asking = (commands.ClaimInstance(an_asker(rival, scarce, vm_state="building"), None) for rival in rivals)
        return *asking, *(commands.DeleteInstance(rival, 2) for rival in rivals)

    found = race(binds, orders)

    check(found, scarce.reason)
    assert before.place is not None
    check_all_is_given_back(binds[0], before.place)


def test_one_of_two_residents_is_attached_the_last_device(binds: tuple[sa.Engine, sa.Engine]) -> None:
    tell(binds[0], builders.a_report(builders.a_node(**ROOM)))
    tell(binds[0], commands.ClaimInstance(an_asker(OCCUPANT, KINDS["device"]), None))
    tell(binds[0], *(commands.UpdateInstance(builders.an_instance(one)) for one in RESIDENTS))
    ((_, before),) = held(binds[0])

    def orders(_: int) -> tuple[commands.Command, ...]:
        wanted = [a_request() for _ in RESIDENTS]
        pairs = list(zip(RESIDENTS, wanted, strict=True))
        back = (commands.DetachDevices(one, (request.request_id,), 2) for one, request in pairs)
        return *(commands.AttachDevices(one, (request,), 1) for one, request in pairs), *back

    found = race(binds, orders)

    check(found, KINDS["device"].reason)
    assert before.place is not None
    check_all_is_given_back(binds[0], before.place)
