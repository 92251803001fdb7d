"""The records that one transaction has read, and what its commands have made of them so far.

Commands are decided one after the other against this picture, so that each sees the effects of those before it. Every
change goes through ``put_book`` or ``put_node``: they alone turn the difference between what was held and what is held
into account figures and ledger entries.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from worker.core import (
    claims,
    commands,
    events,
    holdings,
    node_tree,
    places,
    providers,
    records,
    resources,
    shares,
    stats,
)


class World:
    """What is known within one transaction; ``now`` in microseconds since 1970."""

    def __init__(self, now: int, policy: claims.Policy) -> None:
        """Start empty; the handler adds what it reads."""
        self.now = now
        self.policy = policy
        self.books: dict[str, records.Book] = {}
        self.accounts: dict[str, records.Account] = {}
        self.nodes: dict[str, records.Node] = {}
        self.reports: dict[str, records.ComputeNode] = {}
        self.entries: list[events.Entry] = []
        self.happened: list[events.Event] = []
        self.first_books: dict[str, records.Book] = {}
        self.first_accounts: dict[str, records.Account] = {}
        self.first_nodes: dict[str, records.Node] = {}
        self.unseen: set[str] = set()
        self.asking: Collection[str] | None = None
        """The instances that have or may ask for a place in this transaction, once that was looked through; else None."""
        self._hardware: dict[str, places.Hardware] = {}
        self._places: dict[str, dict[places.Key, records.Place]] = {}
        self._first_places: dict[str, dict[places.Key, records.Place]] = {}
        self.shared: dict[str, None] = {}
        self._causes: dict[str, dict[str, commands.Cause]] = {}
        self._by_account: dict[str, dict[str, None]] = {}
        self._first_by_account: dict[str, dict[str, None]] = {}
        self._speakers: dict[str, records.Node | None] = {}

    def add(
        self,
        books: Iterable[records.Book] = (),
        accounts: Iterable[records.Account] = (),
        nodes: Iterable[records.Node] = (),
    ) -> None:
        """Take in what was read; a record that is here already keeps what was made of it."""
        for book in books:
            self.books.setdefault(book.uuid, book)
        for account in accounts:
            self.accounts.setdefault(account.id, account)
        for node in nodes:
            if node.uuid not in self.nodes:
                self._know(node)
                _index(self._by_account, node)
                _index(self._first_by_account, node)

    def book(self, uuid: str) -> records.Book:
        """Return what is kept of an instance; an empty book for an unknown one."""
        return self.books.get(uuid) or records.Book(uuid)

    def node(self, uuid: str) -> records.Node:
        """Return what is kept of a node; an empty one for an unknown uuid."""
        return self.nodes.get(uuid) or records.Node(uuid)

    def account(self, pair: records.Pair) -> records.Account:
        """Return the account of a pair."""
        return self.accounts[records.account_id(pair.host, pair.node)]

    def speaker(self, account: str) -> records.Node | None:
        """Return the node that speaks for an account: the greatest (revision, uuid) of those reported, then removed."""
        if account not in self._speakers:
            self._speakers[account] = _speaker([self.nodes[uuid] for uuid in self._by_account.get(account, ())])
        return self._speakers[account]

    def nodes_of(self, account: str) -> tuple[records.Node, ...]:
        """Return every node whose newest report names the pair of this account."""
        return tuple(self.nodes[uuid] for uuid in self._by_account.get(account, {}))

    def residents(self, account: str) -> tuple[records.Book, ...]:
        """Return the books with something held on this account, of those that were read."""
        return tuple(
            book for book in self.books.values() if any(holding.account == account for holding in book.holdings)
        )

    def provider_uuid(self, account: str) -> str:
        """Return the uuid under which the account is known outside: its speaker's, or the placeholder."""
        speaker = self.speaker(account)
        return speaker.uuid if speaker is not None else account

    def causes(self, key: str) -> tuple[commands.Cause, ...]:
        """Return the messages that changed an account or an instance, in order."""
        return tuple(self._causes.get(key, {}).values())

    def blame(self, key: str, cause: commands.Cause) -> None:
        """Remember that a message changed an account or an instance."""
        self._causes.setdefault(key, {})[cause.message_id] = cause

    def add_places(
        self, hardware: Mapping[str, places.Hardware], taken: Mapping[str, Mapping[places.Key, records.Place]]
    ) -> None:
        """Take in what was read of nodes by uuid, and of accounts; what is here already stays."""
        self._hardware = {**hardware, **self._hardware}
        self._places = {account: dict(there) for account, there in taken.items()} | self._places

    def ground(self, account: str) -> places.Ground:
        """Return what there is of an account to be given out one by one, and what is given; nothing on no node."""
        speaker = self.speaker(account)
        live = speaker is not None and speaker.live
        hardware = self._hardware.get(speaker.uuid, places.NONE) if speaker is not None and live else places.NONE
        return places.Ground(hardware, self._places.get(account, {}))

    def digest(self, order: commands.ReportNode) -> str:
        """Return what identifies what a report makes of a node, by the rules as they are."""
        return node_tree.digest(self.policy.trees, order.node, order.digest)

    def tree(self, account: str) -> records.Capacity | None:
        """Return what the node of an account has, or had when it was removed; None while nothing is below its root."""
        speaker = self.speaker(account)
        return speaker.capacity if speaker is not None and _branches(speaker) else None

    def places_on(self, account: str, *, first: bool = False) -> Collection[records.Place]:
        """Return every place on an account of which they were read, now or as the transaction began."""
        there = self._places.get(account, {})
        return (self._first_places.get(account, there) if first else there).values()

    def draft(
        self, book: records.Book, terms: shares.Terms | None = None
    ) -> tuple[records.Book, Mapping[str, places.Reasons]]:
        """Return the book with what the instance would hold, and by side what it could not be given.

        ``terms`` are those of a claim that is tested.
        """
        new = msgspec.structs.replace(book, holdings=holdings.held(book))
        old = self.book(book.uuid)
        lacks: Mapping[str, places.Reasons] = {}
        if self._may_ask(book.uuid) and (places.concerns(old) or places.concerns(new)):
            held, lacks = places.assigned(old, new, self.ground, _limits(terms))
            new = msgspec.structs.replace(new, holdings=held)
        if shares.concerns(old, self.tree) or shares.concerns(new, self.tree):
            kept = [place for _, place in places.inherited(old, new)]
            held, short = shares.assigned(new, kept, self.tree, self._others(new.uuid), terms)
            new = msgspec.structs.replace(new, holdings=held)
            lacks = {side: (*lacks.get(side, ()), *short.get(side, ())) for side in {**lacks, **short}}
        return new, lacks

    def _may_ask(self, uuid: str) -> bool:
        return self.asking is None or uuid in self.asking

    def _others(self, uuid: str) -> Callable[[str], Collection[records.Place]]:
        return lambda account: self.ground(account).others(uuid).values()

    def put_book(self, book: records.Book, cause: commands.Cause, *, drafted: bool = False) -> records.Book:
        """Make this what is known of an instance; work out what it holds now and move the figures by the difference."""
        old = self.book(book.uuid)
        new = msgspec.structs.replace(book if drafted else self.draft(book)[0], saved_at=self.now)
        self.first_books.setdefault(book.uuid, old)
        self.books[book.uuid] = new
        if new.holdings != old.holdings:
            self.blame(book.uuid, cause)
            for account in dict.fromkeys(holding.account for holding in old.holdings + new.holdings):
                self._move_figures(account, old, new, cause)
                self._move_places(account, old, new, cause)
        self._count(old, new)
        return new

    def touch(self, book: records.Book) -> None:
        """Have a book stored anew although nothing in it changed."""
        self.first_books.setdefault(book.uuid, book)
        self.books[book.uuid] = msgspec.structs.replace(book, saved_at=self.now)

    def put_node(self, node: records.Node, cause: commands.Cause, report: records.ComputeNode | None = None) -> None:
        """Make this what is known of a node; enter what changed of the capacity of the pairs it speaks for."""
        old = self.node(node.uuid)
        pairs = {records.account_id(pair.host, pair.node) for pair in (old.pair, node.pair) if pair is not None}
        before = {account: self.speaker(account) for account in sorted(pairs)}
        self.first_nodes.setdefault(node.uuid, old)
        self.unseen.discard(node.uuid)
        if old.pair != node.pair:
            self._forget_speaker(old)
            _unindex(self._by_account, old)
            _index(self._by_account, node)
        self._know(node)
        if report is not None:
            self.reports[node.uuid] = report
            self._hardware[node.uuid] = places.of_report(report)
        for account, speaker in before.items():
            self._enter_standing(account, speaker, cause)
            self._share_anew(account, speaker, cause)
            if not self.accounts[account].generation:
                # The row is made with the report: it is what a first fact about the pair is locked by.
                self.first_accounts.setdefault(account, self.accounts[account])

    def alone(self, node: records.Node) -> bool:
        """Whether a node is the only one that reports its pair."""
        return node.pair is not None and len(self._by_account[records.account_id(node.pair.host, node.pair.node)]) == 1

    def put_revision(self, node: records.Node) -> None:
        """Make this what is known of a node that is alone, where nothing changed that anybody sees.

        Its account need not have been read.
        """
        if node.uuid not in self.first_nodes:
            self.first_nodes[node.uuid] = self.nodes[node.uuid]
            self.unseen.add(node.uuid)
        self._know(node)

    def next_sequence(self, uuid: str) -> records.Node:
        """Give a node the next number for a notification of its providers and return it."""
        node = self.nodes[uuid]
        self.first_nodes.setdefault(uuid, node)
        self._know(msgspec.structs.replace(node, sequence=node.sequence + 1))
        return self.nodes[uuid]

    def put_account(self, account: records.Account) -> None:
        """Make this the figures of an account."""
        self.first_accounts.setdefault(account.id, self.accounts[account.id])
        self.accounts[account.id] = account

    def enter(self, entry: events.Entry) -> None:
        """Add a line to the ledger, unless it changes nothing."""
        if entry.amounts or entry.settled:
            self.entries.append(entry)
            self.blame(entry.account, entry.cause)

    def _know(self, node: records.Node) -> None:
        self.nodes[node.uuid] = node
        self._forget_speaker(node)

    def _forget_speaker(self, node: records.Node) -> None:
        if node.pair is not None:
            self._speakers.pop(records.account_id(node.pair.host, node.pair.node), None)

    def _move_figures(self, account: str, old: records.Book, new: records.Book, cause: commands.Cause) -> None:
        amounts = resources.subtract(
            holdings.amounts_on(new.holdings, account), holdings.amounts_on(old.holdings, account)
        )
        settled = resources.subtract(
            holdings.settled_on(new.holdings, account), holdings.settled_on(old.holdings, account)
        )
        if amounts or settled:
            old_figures = self.accounts[account]
            used = resources.add(old_figures.used, amounts)
            moved = resources.add(old_figures.settled, settled)
            self.put_account(msgspec.structs.replace(old_figures, used=used, settled=moved))
        speaker = self.speaker(account)
        node_uuid = speaker.uuid if speaker is not None else None
        self.enter(events.Entry("holding", account, node_uuid, new.uuid, amounts, settled, cause))

    def _move_places(self, account: str, old: records.Book, new: records.Book, cause: commands.Cause) -> None:
        """Keep who has what on an account, and enter by how much it changed."""
        before, after = _places_of(old, account), _places_of(new, account)
        if before == after:
            return
        there = self._places.setdefault(account, {})
        self._first_places.setdefault(account, dict(there))
        for key in before:
            there.pop(key, None)
        there.update(after)
        self._blame_children(account, before, after, cause)
        taken = [_taken(held.values()) for held in (before, after)]
        node_uuid = self.provider_uuid(account) if self.speaker(account) is not None else None
        for kind in places.KINDS:
            change = resources.subtract(taken[1][kind], taken[0][kind])
            self.enter(events.Entry(kind, account, node_uuid, new.uuid, change, resources.NOTHING, cause))

    def _blame_children(
        self,
        account: str,
        before: Mapping[places.Key, records.Place],
        after: Mapping[places.Key, records.Place],
        cause: commands.Cause,
    ) -> None:
        """Remember that a message changed what is on providers below the root."""
        changed = {share for held in (before, after) for key, place in held.items() for share in place.shares}
        for uuid in sorted({share.provider_uuid for share in changed}):
            if _on(uuid, before) != _on(uuid, after):
                self.blame(uuid, cause)
                self.shared[account] = None

    def _share_anew(self, account: str, before: records.Node | None, cause: commands.Cause) -> None:
        """Have everybody's shares follow the tree of an account, if that has changed: all who hold something are here."""
        after = self.speaker(account)
        if not (_branches(before) or _branches(after)) or _same_tree(before, after):
            return
        for book in sorted(self.residents(account), key=lambda one: one.uuid):
            kept = [holding.place for holding in book.holdings]
            held, _ = shares.assigned(book, kept, self.tree, self._others(book.uuid), None)
            if held != book.holdings:
                self.put_book(msgspec.structs.replace(book, holdings=held), cause, drafted=True)

    def _count(self, old: records.Book, new: records.Book) -> None:
        before, after = stats.counted_on(old), stats.counted_on(new)
        if before == after:
            self._recount(after, stats.keys(old.record), stats.keys(new.record))
        else:
            self._recount(before, stats.keys(old.record), ())
            self._recount(after, (), stats.keys(new.record))

    def _recount(self, pair: records.Pair | None, gone: Sequence[str], come: Sequence[str]) -> None:
        """Count an instance in other counters of a pair than before."""
        if pair is not None and gone != come:
            figures = self.account(pair)
            counters = stats.counted(figures.counters, gone, come)
            self.put_account(msgspec.structs.replace(figures, counters=counters))

    def _enter_standing(self, account: str, before: records.Node | None, cause: commands.Cause) -> None:
        after = self.speaker(account)
        node_uuid = after.uuid if after is not None else None
        for kind, figures in (("reserved", providers.reserved), ("capacity", providers.totals)):
            change = resources.subtract(figures(after), figures(before))
            self.enter(events.Entry(kind, account, node_uuid, None, change, resources.NOTHING, cause))
        if _seen(before) != _seen(after):
            self.blame(account, cause)

    def first_speaker(self, account: str) -> records.Node | None:
        """Return the node that spoke for the account when the transaction began."""
        uuids = self._first_by_account.get(account, ())
        return _speaker([self.first_nodes.get(uuid) or self.nodes[uuid] for uuid in uuids])


def _places_of(book: records.Book, account: str) -> dict[places.Key, records.Place]:
    return {
        (book.uuid, holding.side): holding.place
        for holding in book.holdings
        if holding.account == account and holding.place is not None
    }


def _on(uuid: str, held: Mapping[places.Key, records.Place]) -> set[records.Share]:
    return {share for place in held.values() for share in place.shares if share.provider_uuid == uuid}


def _limits(terms: shares.Terms | None) -> Callable[[str], records.Limits | None]:
    return lambda account: terms.limits if terms is not None and terms.account == account else None


def _branches(node: records.Node | None) -> bool:
    return node is not None and node.capacity is not None and bool(node.capacity.children)


def _same_tree(one: records.Node | None, other: records.Node | None) -> bool:
    """Whether shares are the same whichever of the two speaks."""
    trees = [node.capacity if node is not None else None for node in (one, other)]
    return (one and one.uuid) == (other and other.uuid) and trees[0] == trees[1]


def _taken(held: Iterable[records.Place]) -> dict[str, resources.Amounts]:
    """Return what places take together, by kind of ledger entry."""
    figures = [places.figures(place) for place in held]
    return {kind: resources.total(one[kind] for one in figures) for kind in places.KINDS}


def _seen(node: records.Node | None) -> tuple[object, ...] | None:
    return None if node is None else (node.uuid, node.live, node.capacity, node.disabled)


def _speaker(nodes: Sequence[records.Node]) -> records.Node | None:
    if len(nodes) == 1:
        return nodes[0]
    return max(nodes, key=lambda node: (node.live, node.revision, node.uuid), default=None)


def _index(by_account: dict[str, dict[str, None]], node: records.Node) -> None:
    if node.pair is not None:
        by_account.setdefault(records.account_id(node.pair.host, node.pair.node), {})[node.uuid] = None


def _unindex(by_account: dict[str, dict[str, None]], node: records.Node) -> None:
    if node.pair is not None:
        by_account[records.account_id(node.pair.host, node.pair.node)].pop(node.uuid, None)
