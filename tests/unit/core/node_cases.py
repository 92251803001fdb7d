"""What the tests of nodes say and ask again and again."""

from __future__ import annotations

from typing import Any

from tests import builders
from tests.unit.core import histories
from worker.core import commands, events


def report(uuid: str = builders.NODE, revision: int = 1, **changes: Any) -> commands.ReportNode:
    """Return the command of a report."""
    return builders.a_report(builders.a_node(uuid, revision, **changes))


def changes(worker: builders.Worker) -> list[tuple[str, str, int]]:
    """Return change, node uuid and sequence of each provider notification."""
    return [(event.change, event.node.uuid, event.node.sequence) for event in worker.events(events.ProviderChanged)]


def provider_of(worker: builders.Worker, host: str = "h1") -> str:
    """Return the uuid under which a host is known outside."""
    return histories.loaded(worker.store).provider_uuid(builders.account_of(host))


def build(worker: builders.Worker, host: str = "h1") -> None:
    """Have an instance on a host."""
    worker.tell(commands.UpdateInstance(builders.an_instance(host=host)))
