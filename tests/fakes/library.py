"""Answers to questions from dictionaries."""

from __future__ import annotations

from typing import Any

from objects import exceptions


class Library:
    """Knows the nodes and instances it is given; satisfies ``interfaces.Library``. ``failure`` is raised by each."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.instances: dict[str, dict[str, Any]] = {}
        self.failure: Exception | None = None
        self.asked_at: list[int] = []

    def node_usage(self, node_uuid: str) -> dict[str, Any]:
        """Return a node."""
        self._fail()
        if node_uuid not in self.nodes:
            raise exceptions.NotFound(f"node {node_uuid} is not known")
        return self.nodes[node_uuid]

    def node_usages(self, marker: str | None, limit: int) -> list[dict[str, Any]]:
        """Return the nodes after the marker."""
        self._fail()
        return [node for uuid, node in sorted(self.nodes.items()) if uuid > (marker or "")][:limit]

    def instance_usage(self, instance_uuid: str, now: int) -> dict[str, Any]:
        """Return an instance."""
        self._fail()
        self.asked_at.append(now)
        return self.instances[instance_uuid]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
