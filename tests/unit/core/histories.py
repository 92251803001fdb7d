"""Histories of facts as they are on the wire, and what the worker has made of them.

A history is consistent: one revision of one record has one content. Its facts may come in any order and any number
of times.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from tests import builders, model
from tests.fakes import unit_of_work
from worker.core import claims, commands, events, holdings, providers, records, resources, world

Facts = list[model.Fact]

HOSTS = ("h1", "h2", "h3")
NODES = tuple(builders.uid(500 + number) for number in range(3))
INSTANCES = tuple(builders.uid(number) for number in (1, 2))
START = datetime.datetime(2023, 11, 14, tzinfo=datetime.UTC)
STATUSES = (
    "accepted", "queued", "preparing", "running", "post-migrating", "migrating", "finished", "confirming", "reverting",
    "confirmed", "reverted", "completed", "done", "error", "failed", "cancelled",
)  # fmt: skip
TYPES = ("migration", "resize", "live-migration", "evacuation")

FLAVORS = (
    msgspec.to_builtins(builders.a_flavor()),
    msgspec.to_builtins(builders.a_big_flavor(ephemeral_gb=3, swap=1500)),
    msgspec.to_builtins(builders.a_flavor("pinned", vcpus=4, extra_specs={
        "hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1-2", "hw:emulator_threads_policy": "isolate",
    })),
    msgspec.to_builtins(builders.a_flavor("named", extra_specs={
        "resources:CUSTOM_GOLD": "2", "resources:MEMORY_MB": "0", "resources:DISK_GB": "x", "trait:HW": "required",
    })),
)  # fmt: skip


@st.composite
def _a_node_history(draw: st.DrawFn, name: str) -> Facts:
    revisions = draw(st.lists(st.integers(0, 9), max_size=4, unique=True))
    facts: Facts = []
    for revision in revisions:
        host = draw(st.sampled_from(HOSTS))
        flag = draw(st.booleans())
        facts.append(
            draw(
                st.sampled_from(
                    (
                        ("report_node", {"node": _node(name, revision, host, flag)}),
                        ("report_node", {"node": _node(name, revision, host, flag)}),
                        ("remove_node", {"node_uuid": name, "revision": revision}),
                        ("set_node_disabled", {"node_uuid": name, "disabled": flag, "revision": revision}),
                    )
                )
            )
        )
    return facts


def _node(name: str, revision: int, host: str, disabled: bool) -> dict[str, Any]:
    report = builders.a_node(
        name, revision, host=host, disabled=disabled, reserved_host_cpus=1, reserved_host_disk_mb=1025
    )
    return dict(msgspec.to_builtins(report))


@st.composite
def _versions(draw: st.DrawFn, name: str) -> list[dict[str, Any]]:
    """Return an instance's record in a few revisions."""
    return [
        msgspec.to_builtins(
            builders.an_instance(
                name,
                revision,
                host=draw(st.sampled_from((*HOSTS, None))),
                vm_state=draw(st.sampled_from(("active", "active", "stopped", "resized", "shelved_offloaded"))),
                task_state=draw(st.sampled_from((None, None, "spawning", "resize_migrating"))),
                volume_backed=draw(st.booleans()),
                resources=draw(st.sampled_from(({}, {}, {"CUSTOM_PMEM": 1}))),
            )
        )
        | {"flavor": draw(st.sampled_from(FLAVORS))}
        for revision in draw(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True))
    ]


@st.composite
def _moves(draw: st.DrawFn, name: str, number: int) -> list[dict[str, Any]]:
    """Return a move's record in a few revisions: only its status changes."""
    source, dest = draw(st.sampled_from(HOSTS)), draw(st.sampled_from((*HOSTS, None)))
    constant = {
        "uuid": builders.uid(900 + number),
        "instance_uuid": name,
        "migration_type": draw(st.sampled_from(TYPES)),
        "created_at": (START + datetime.timedelta(minutes=draw(st.integers(0, 2)))).isoformat(),
        "source_compute": source,
        "source_node": source,
        "dest_compute": dest,
        "dest_node": dest,
        "old_flavor": draw(st.sampled_from((*FLAVORS, None))),
        "new_flavor": draw(st.sampled_from((*FLAVORS, None))),
        "new_numa_topology": None,
        "new_pci_requests": None,
    }
    revisions = draw(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True))
    return [constant | {"revision": revision, "status": draw(st.sampled_from(STATUSES))} for revision in revisions]


@st.composite
def _an_instance_history(draw: st.DrawFn, name: str, number: int) -> Facts:
    versions = draw(_versions(name))
    facts: Facts = [("update_instance", {"instance": version}) for version in versions]
    for move in range(draw(st.integers(0, 2))):
        for migration in draw(_moves(name, 10 * number + move)):
            instance = draw(st.sampled_from((*versions, None)))
            facts.append(("update_migration", {"migration": migration, "instance": instance}))
    facts += draw(st.lists(_withdrawals(name, number), max_size=1))
    return facts


def _withdrawals(name: str, number: int) -> st.SearchStrategy[model.Fact]:
    """Return ends that take no look at the present state; their revisions are nobody else's."""
    revision = st.sampled_from((0, 10, 11))
    deleted = msgspec.to_builtins(builders.an_instance(name, 20, vm_state="deleted"))
    move = builders.uid(900 + 10 * number)
    return st.one_of(
        st.just(("delete_instance", {"instance_uuid": name, "revision": 3})),
        st.just(("update_instance", {"instance": deleted})),
        revision.map(lambda found: ("abort_claim", {"instance_uuid": name, "revision": found + 10})),
        revision.map(
            lambda found: (
                "abort_claim",
                {"instance_uuid": name, "revision": found + 10, "migration_uuid": move},
            )
        ),
    )


@st.composite
def histories(draw: st.DrawFn) -> Facts:
    """Return the facts of three nodes and two instances with their moves."""
    facts: Facts = []
    for name in NODES:
        facts += draw(_a_node_history(name))
    for number, name in enumerate(INSTANCES):
        facts += draw(_an_instance_history(name, number))
    return facts


@st.composite
def shuffled(draw: st.DrawFn, facts: Facts) -> Facts:
    """Return the facts in some order, some of them several times."""
    again = draw(st.lists(st.sampled_from(facts), max_size=4)) if facts else []
    return list(draw(st.permutations([*facts, *again])))


@st.composite
def split(draw: st.DrawFn, facts: Sequence[Any]) -> list[list[Any]]:
    """Return the facts in their order, in batches of some sizes."""
    cuts = draw(st.lists(st.integers(0, len(facts)), max_size=6).map(sorted))
    return [list(facts[first:last]) for first, last in zip([0, *cuts], [*cuts, len(facts)], strict=True)]


def command(method: str, arguments: Mapping[str, Any]) -> commands.Command:
    """Return the command of a fact."""
    values = dict(arguments)
    if method == "report_node":
        return builders.a_report(records.ComputeNode(**values["node"]))
    if "instance" in values:
        values["instance"] = _instance(values["instance"])
    if "migration" in values:
        values["migration"] = _move(values["migration"])
    return {name: kind for kind, name in builders.METHODS.items()}[method](**values)  # type: ignore[no-any-return]


def _instance(data: Mapping[str, Any] | None) -> records.Instance | None:
    return None if data is None else records.Instance(**{**data, "flavor": records.Flavor(**data["flavor"])})


def _move(data: Mapping[str, Any]) -> records.Move:
    flavors = {key: data[key] and records.Flavor(**data[key]) for key in ("old_flavor", "new_flavor")}
    created = datetime.datetime.fromisoformat(data["created_at"])
    ends = {
        "source": records.Pair(data["source_compute"], data["source_node"]),
        "dest": records.Pair(data["dest_compute"], data["dest_node"]) if data["dest_node"] else None,
    }
    names = {field.name for field in msgspec.structs.fields(records.Move)}
    kept = {key: value for key, value in data.items() if key in names}
    return records.Move(**{**kept, **flavors, **ends, "created_at": int(created.timestamp() * 1_000_000)})


def told(batches: Sequence[Facts], policy: str = claims.ALL) -> builders.Worker:
    """Return a worker that was told these facts, one transaction a batch; it is checked after each."""
    worker = builders.Worker(policy)
    for batch in batches:
        if batch:
            worker.tell(*(command(*fact) for fact in batch))
        check_all(worker.store)
    return worker


def check_all(store: unit_of_work.Store) -> None:
    """Hold everything that must be so after each transaction."""
    check_sums(store)
    check_ledger(store)
    check_sequences(store)
    check_hearer(store)


def picture(store: unit_of_work.Store) -> dict[str, Any]:
    """Return the accounts as they are: by pair, by provider and by instance."""
    seen = loaded(store)
    accounts = {
        str(account.pair): (dict(account.used), dict(account.settled), dict(account.counters))
        for account in store.accounts.values()
        if account.used or account.counters
    }
    speakers = {key: node.uuid for key in seen.accounts if (node := seen.speaker(key)) is not None}
    held = {name: _by_consumer(book) for name, book in store.books.items() if book.holdings}
    return {
        "accounts": accounts,
        "speakers": speakers,
        "holdings": held,
        "disabled": {name: node.disabled for name, node in store.nodes.items()},
        "live": {name for name, node in store.nodes.items() if node.live},
    }


def _by_consumer(book: records.Book) -> dict[str, Any]:
    """Return consumer -> account -> amounts: here nothing is below a root."""
    return {consumer: holdings.by_provider(own) for consumer, own in holdings.of_consumers(book.holdings).items()}


def expected(facts: Facts) -> dict[str, Any]:
    """Return the same picture by the model."""
    return expected_by(model.Model(facts))


def expected_by(oracle: model.Model) -> dict[str, Any]:
    """Return the picture by a model that was told everything."""
    accounts = {pair: (oracle.used(pair), oracle.settled(pair), oracle.counters(pair)) for pair in oracle.pairs()}
    speakers = {builders.account_of(*pair): oracle.speaker(pair) for pair in oracle.pairs()}
    held = {name: _by_account(oracle.holdings(name)) for name in oracle.names()}
    return {
        "accounts": {"/".join(pair): figures for pair, figures in accounts.items() if figures[0] or figures[2]},
        "speakers": {account: name for account, name in speakers.items() if name is not None},
        "holdings": {name: consumers for name, consumers in held.items() if consumers},
        "disabled": {name: oracle.disabled.get(name, (-1, False))[1] for name in _nodes(oracle)},
        "live": {name for name in oracle.reports if oracle.reported(name)},
    }


def _nodes(oracle: model.Model) -> set[str]:
    return {*oracle.reports, *oracle.removals, *oracle.disabled}


def _by_account(sides: list[dict[str, Any]]) -> dict[str, dict[str, resources.Amounts]]:
    result: dict[str, dict[str, resources.Amounts]] = {}
    for side in sides:
        accounts = result.setdefault(side["consumer"], {})
        key = builders.account_of(*side["pair"])
        accounts[key] = resources.add(accounts.get(key, {}), side["amounts"])
    return result


def loaded(store: unit_of_work.Store) -> world.World:
    """Return everything that is stored as one world."""
    seen = world.World(builders.NOW, claims.Policy())
    seen.add(store.books.values(), store.accounts.values(), store.nodes.values())
    for node in store.nodes.values():
        if node.pair is not None:
            seen.add(accounts=[store.account(node.pair.host, node.pair.node)])
    return seen


def check_sums(store: unit_of_work.Store) -> None:
    """Hold that the figures of each account are the sums of what is held there, and none is negative."""
    for account in store.accounts.values():
        books = store.books.values()
        assert account.used == resources.total(holdings.amounts_on(book.holdings, account.id) for book in books)
        assert account.settled == resources.total(holdings.settled_on(book.holdings, account.id) for book in books)
        assert all(amount > 0 for amount in (*account.used.values(), *account.counters.values()))
    for book in store.books.values():
        assert {holding.account for holding in book.holdings} <= store.accounts.keys()


def check_ledger(store: unit_of_work.Store) -> None:
    """Hold that the ledger's entries of each account sum up to its figures."""
    seen = loaded(store)
    for key, account in seen.accounts.items():
        own = [entry for entry in store.entries if entry.account == key]
        held = [entry for entry in own if entry.kind in {"holding", "recount"}]
        assert resources.total(entry.amounts for entry in held) == account.used
        assert resources.total(entry.settled for entry in held) == account.settled
        standing = {"reserved": providers.reserved, "capacity": providers.totals}
        for kind, figures in standing.items():
            entered = resources.total(entry.amounts for entry in own if entry.kind == kind)
            assert entered == figures(seen.speaker(key)), kind


def check_sequences(store: unit_of_work.Store) -> None:
    """Hold that each node's notifications are numbered 1, 2, 3, and so on."""
    numbers: dict[str, list[int]] = {}
    for event in store.events:
        if isinstance(event, events.ProviderChanged):
            numbers.setdefault(event.node.uuid, []).append(event.node.sequence)
    for name, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), name
        assert store.nodes[name].sequence == len(found)
    assert all(node.sequence == 0 for name, node in store.nodes.items() if name not in numbers)


def places_on(store: unit_of_work.Store, account: str) -> list[records.Place]:
    """Return every place on an account."""
    held = [holding for book in store.books.values() for holding in book.holdings if holding.account == account]
    return [holding.place for holding in held if holding.place is not None]


def check_hearer(store: unit_of_work.Store) -> None:
    """Hold that who only hears the notifications knows what providers there are and who holds what of them."""
    heard, used, held = _heard(store)
    seen = loaded(store)
    speakers = {key: node for key in seen.accounts if (node := seen.speaker(key)) is not None}
    views = {
        view.uuid: view
        for key, node in speakers.items()
        for view in providers.views(node, seen.accounts[key], places_on(store, key))
    }
    assert heard == views
    assert used == {name: dict(view.used) for name, view in heard.items() if view.used}
    consumers = {}
    for book in store.books.values():
        for consumer, own in holdings.of_consumers(book.holdings).items():
            consumers[consumer] = holdings.by_provider(own, lambda key: speakers[key].uuid if key in speakers else key)
    assert held == {consumer: amounts for consumer, amounts in consumers.items() if amounts}


def _heard(store: unit_of_work.Store) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return providers, the sums of their deltas, and consumers, by the events alone."""
    heard: dict[str, Any] = {}
    used: dict[str, Any] = {}
    held: dict[str, Any] = {}
    for event in store.events:
        if isinstance(event, events.ProviderChanged):
            name = event.view.uuid
            assert (event.change == events.CREATE) == (name not in heard), event
            used[name] = resources.add(used.get(name, {}), event.delta)
            heard[name] = event.view
            if event.change == events.DELETE:
                del heard[name]
        elif isinstance(event, events.AllocationChanged):
            held[event.consumer_uuid] = event.allocations
    used = {name: dict(amounts) for name, amounts in used.items() if amounts}
    return heard, used, {consumer: amounts for consumer, amounts in held.items() if amounts}


@st.composite
def with_claims(draw: st.DrawFn, facts: Facts) -> Facts:
    """Return the same facts, some of them told as claims."""
    return [_claimed(*fact) if draw(st.booleans()) else fact for fact in facts]


def _claimed(method: str, arguments: Mapping[str, Any]) -> model.Fact:
    if method == "update_instance":
        return "claim_instance", arguments
    if method == "update_migration" and arguments["instance"] is not None:
        return "claim_migration", arguments
    return method, arguments


def audits() -> st.SearchStrategy[commands.AuditNode]:
    """Return an audit without a list of instances, or one with an empty list."""
    return st.builds(
        commands.AuditNode,
        node_uuid=st.sampled_from(NODES),
        instances=st.sampled_from((None, ())),
        taken_at=st.integers(builders.NOW, builders.NOW + 2 * builders.MINUTE),
        authoritative=st.booleans(),
    )
