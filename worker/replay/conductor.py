"""The simulated conductor: what it knows, and where it sends from."""

from __future__ import annotations

from worker.replay import cloud, desk


class Conductor:
    """One view of the cloud and one desk; an operation changes the one and sends from the other."""

    def __init__(self, sender: desk.Desk) -> None:
        self.cloud = cloud.Cloud()
        self.desk = sender

    def audit(self, node: cloud.Node) -> None:
        """Recount a node with the full list of its instances."""
        self.desk.audit(node, self.cloud.residents(node.pair))
