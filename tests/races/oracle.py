"""The model of contract section 3, with what sections 1 and 3 say of audits and attached devices.

Like the model it shares no code with the worker. Audits depend on when they come: it is told everything in order.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from tests import model

GRACE = datetime.timedelta(seconds=60)


class Oracle(model.Model):
    """All that was told and counted so far, at a time that stands still."""

    def __init__(self, now: datetime.datetime) -> None:
        super().__init__()
        self._now = now
        self._audited: dict[str, datetime.datetime] = {}
        self.attached: dict[tuple[str, str], int] = {}
        self.detached: set[tuple[str, str]] = set()

    def _record_build(self, node_uuid: str, succeeded: bool) -> None:
        """Nothing is held by it."""

    def _attach_devices(self, instance_uuid: str, requests: Sequence[Mapping[str, Any]], revision: int) -> None:  # noqa: ARG002
        for request in requests:
            self.attached[instance_uuid, request["request_id"]] = request["count"]

    def _detach_devices(self, instance_uuid: str, request_ids: Sequence[str], revision: int) -> None:  # noqa: ARG002
        self.detached |= {(instance_uuid, request_id) for request_id in request_ids}

    def _audit_node(
        self,
        node_uuid: str,
        instances: Sequence[Mapping[str, Any]] | None,
        taken_at: str,
        authoritative: bool = False,
    ) -> None:
        for record in instances or ():
            self._update_instance(record)
        taken = datetime.datetime.fromisoformat(taken_at)
        report = self.reports.get(node_uuid)
        if report is None or taken <= self._audited.get(node_uuid, datetime.datetime.min.replace(tzinfo=datetime.UTC)):
            return
        self._audited[node_uuid] = taken
        if authoritative and self._now <= taken - GRACE:
            self._take_off((report["host"], report["hypervisor_hostname"]), {one["uuid"] for one in instances or ()})

    def _take_off(self, pair: model.HostNode, listed: set[str]) -> None:
        """Take off the node what says that it is there and is missing in the list; its revision stays."""
        for name in self.names():
            record = self.instance(name)
            if record is not None and name not in listed and (record["host"], record["node"]) == pair:
                self.instances[name] = {**record, "host": None, "node": None}

    def requests(self, name: str) -> dict[str, int]:
        """Return how many devices each request of an instance may hold that was not detached."""
        record = self.instance(name)
        if record is None or not self.holdings(name):
            return {}
        own = {one["request_id"]: one["count"] for one in record["pci_requests"]}
        own |= {request_id: count for (of, request_id), count in self.attached.items() if of == name}
        return {request_id: count for request_id, count in own.items() if (name, request_id) not in self.detached}
