"""A notification consumer with oslo.messaging alone, as any other party would write it."""

from __future__ import annotations

import threading
from typing import Any

import oslo_messaging
from oslo_config import cfg

DATA = "stocktake_object.data"


class Listener:
    """Hears everything, and keeps what proves that nothing was lost: each node's sequence."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._sequences: dict[str, int] = {}
        self._refused: set[str] = set()
        self.gaps = 0
        self._transport = oslo_messaging.get_notification_transport(conf)
        targets = [oslo_messaging.Target(topic=topic) for topic in conf.oslo_messaging_notifications.topics]
        self._server = oslo_messaging.get_notification_listener(self._transport, targets, [self], executor="threading")

    @property
    def count(self) -> int:
        """How many different notifications have come."""
        return len(self._ids)

    def start(self) -> None:
        """Listen."""
        self._server.start()

    def stop(self) -> None:
        """Listen no more."""
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()

    def refused(self) -> set[str]:
        """Return the instances, or moves, whose claims have been refused since this was last asked."""
        with self._lock:
            refused, self._refused = self._refused, set()
        return refused

    def info(self, *notification: Any) -> None:
        """Take a notification of priority INFO, in the form of oslo.messaging."""
        self._take(*notification)

    def warn(self, *notification: Any) -> None:
        """Take a notification of priority WARN."""
        self._take(*notification)

    def error(self, *notification: Any) -> None:
        """Take a notification of priority ERROR."""
        self._take(*notification)

    def _take(self, _context: Any, _publisher: str, event_type: str, payload: Any, metadata: Any) -> None:
        data = payload[DATA]
        with self._lock:
            self._ids.add(metadata["message_id"])
            if event_type.startswith("resource_provider."):
                last = self._sequences.get(data["node_uuid"], 0)
                self.gaps += data["sequence"] > last + 1
                self._sequences[data["node_uuid"]] = max(last, data["sequence"])
            elif event_type == "claim.refuse":
                self._refused.add(data["migration_uuid"] or data["instance_uuid"])
