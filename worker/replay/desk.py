"""Sends one cast and waits until the committed accounts show it; then the next one may go."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable

from oslo_context import context

from objects import claims, compute_nodes, instances, migrations
from worker import client, errors
from worker.core import records
from worker.replay import cloud, shapes, watching

REFUSED = "ComputeResourcesUnavailable"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


class Desk:
    """Where the simulated conductor sends its casts from."""

    def __init__(self, api: client.UsageAPI, accounts: watching.Accounts) -> None:
        self._api = api
        self._accounts = accounts

    def check_new(self, guest: cloud.Guest) -> None:
        """Raise Misconfigured if the accounts know the instance of an earlier replay, which this one would not undo."""
        if self._accounts.book(guest.uuid) is not None:
            raise errors.Misconfigured(_known(f"instance {guest.label} ({guest.uuid})"))

    def check_new_node(self, node: cloud.Node) -> None:
        """Raise Misconfigured if the accounts know the node already."""
        if self._accounts.sheet(node.uuid) is not None:
            raise errors.Misconfigured(_known(f"node {node.name} ({node.uuid})"))

    def report(self, report: compute_nodes.ComputeNode) -> None:
        """Tell what a node has."""
        self._api.report_node(_context(), report)
        self._node(report.uuid, lambda node: node.revision >= report.revision, f"the report of {report.uuid}")

    def remove(self, node: cloud.Node) -> None:
        """Tell that a node is gone."""
        node.revision += 1
        self._api.remove_node(_context(), node.uuid, node.revision)
        self._node(node.uuid, lambda known: known.removed_revision >= node.revision, f"the removal of {node.name}")

    def record_build(self, node: cloud.Node, succeeded: bool) -> None:
        """Tell how a build went."""
        before = self._accounts.builds()
        self._api.record_build(_context(), node.uuid, succeeded)
        self._accounts.until(lambda: self._accounts.builds() > before or None, f"a build on {node.name}")

    def audit(self, node: cloud.Node, residents: list[cloud.Guest]) -> None:
        """Send the full list of a node's instances."""
        taken_at = datetime.datetime.now(datetime.UTC)
        moment = (taken_at - _EPOCH) // _MICROSECOND
        listed = [guest.object() for guest in residents]
        self._api.audit_node(_context(), node.uuid, listed, taken_at, authoritative=True)
        self._node(node.uuid, lambda known: known.audited_at >= moment, f"the audit of {node.name}")

    def update(self, record: instances.Instance) -> None:
        """Tell what an instance is."""
        self._api.update_instance(_context(), record)
        self._instance(record)

    def delete(self, guest: cloud.Guest) -> None:
        """Tell that an instance is gone."""
        self._api.delete_instance(_context(), guest.uuid, guest.revision)
        self._book(guest.uuid, lambda book: book.deleted, f"that {guest.label} is deleted")

    def abort_build(self, guest: cloud.Guest) -> None:
        """Withdraw the claim of a build."""
        self._api.abort_claim(_context(), guest.uuid, guest.revision)
        self._book(guest.uuid, lambda book: _knows(book, guest.revision), f"that the build of {guest.label} is aborted")

    def abort_move(self, move: cloud.Move) -> None:
        """Withdraw the claim of a move."""
        move.revision += 1
        self._api.abort_claim(_context(), move.guest.uuid, move.revision, move.uuid)
        self._book(move.guest.uuid, lambda book: _knows_move(book, move.uuid, move.revision), f"the end of {move.uuid}")

    def move(self, record: migrations.Migration, instance: instances.Instance | None = None) -> None:
        """Tell what a move, and its instance, are."""
        self._api.update_migration(_context(), record, instance)
        self._moved(record)
        if instance is not None:
            self._instance(instance)

    def claim(self, record: instances.Instance, limits: claims.Limits | None) -> None:
        """Claim for a new or unshelved instance; raises Impossible when it is refused."""
        self._decided(lambda said: self._api.claim_instance(said, record, limits))
        self._instance(record)

    def claim_move(
        self, record: migrations.Migration, instance: instances.Instance, limits: claims.Limits | None
    ) -> None:
        """Claim for a move; raises Impossible when it is refused."""
        self._decided(lambda said: self._api.claim_migration(said, record, instance, limits))
        self._moved(record)
        self._instance(instance)

    def _decided(self, send: Callable[[context.RequestContext], None]) -> None:
        said, after = _context(), self._accounts.newest_event()
        send(said)
        accepted, reason = self._accounts.until(
            lambda: self._accounts.verdict(said.request_id, after), f"a verdict on the claim of {said.request_id}"
        )
        if not accepted:
            raise cloud.Impossible(reason, REFUSED)

    def _instance(self, record: instances.Instance) -> None:
        self._book(record.uuid, lambda book: _knows(book, record.revision), f"instance {record.uuid} as it is now")

    def _moved(self, record: migrations.Migration) -> None:
        self._book(
            record.instance_uuid,
            lambda book: _knows_move(book, record.uuid, record.revision),
            f"migration {record.uuid} as it is now",
        )

    def _book(self, instance_uuid: str, shows: Callable[[records.Book], bool], what: str) -> None:
        def look() -> records.Book | None:
            book = self._accounts.book(instance_uuid)
            return book if book is not None and shows(book) else None

        self._accounts.until(look, what)

    def _node(self, node_uuid: str, shows: Callable[[records.Node], bool], what: str) -> None:
        def look() -> records.Node | None:
            node = self._accounts.node(node_uuid)
            return node if node is not None and shows(node) else None

        self._accounts.until(look, what)


def _context() -> context.RequestContext:
    return context.RequestContext(user_id="replay", project_id=str(shapes.NAMESPACE), request_id=f"req-{uuid.uuid4()}")


def _known(what: str) -> str:
    return f"[database] connection: {what} is on record there already; replay into a database that has not seen it"


def _knows(book: records.Book, revision: int) -> bool:
    return book.deleted or book.revision >= revision


def _knows_move(book: records.Book, move_uuid: str, revision: int) -> bool:
    return book.deleted or any(move.uuid == move_uuid and move.revision >= revision for move in book.moves)
