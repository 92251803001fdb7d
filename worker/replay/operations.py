"""Each operation of a scenario: may it be, what does a conductor send for it, what is the world like afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.core import records
from worker.replay import cloud, moves, scenario, shapes
from worker.replay import conductor as conductors

Conductor = conductors.Conductor
Impossible = cloud.Impossible
Operation = scenario.Operation
Rule = Callable[[Conductor, Operation], None]


def carry_out(at: Conductor, operation: Operation) -> None:
    """Carry an operation out; raises Impossible when it makes no sense or is refused."""
    _RULES[operation.name](at, operation)


def _report(at: Conductor, said: Operation) -> None:
    """Report the node; where the configuration changes the whole service restarts, and its other nodes report too."""
    known, given = at.cloud.services.get(said.host), shapes.settings(said.keys)
    configured = given or known or shapes.Settings()
    restarts = known is not None and configured != known
    node = _reported(at, said)
    at.cloud.services[said.host] = configured
    if restarts:
        at.cloud.end_claims(said.host)
    nodes = at.cloud.nodes_of(said.host) if restarts else [node]
    for one in nodes:
        at.desk.report(one.report(configured))
    for one in nodes:
        at.audit(one)


def _reported(at: Conductor, said: Operation) -> cloud.Node:
    pair = records.Pair(said.host, said.node)
    node = at.cloud.nodes.get(pair)
    if node is None:
        node = cloud.Node(said.keys.get("uuid") or shapes.node_uuid(said.node), pair, dict(said.keys))
        at.desk.check_new_node(node)
        at.cloud.nodes[pair] = node
    node.uuid = said.keys.get("uuid") or node.uuid
    node.said = dict(said.keys)
    node.gone = False
    return node


def _remove(at: Conductor, said: Operation) -> None:
    node = at.cloud.node(said.host, said.node)
    at.desk.remove(node)
    node.gone = True


def _audit(at: Conductor, said: Operation) -> None:
    one = said.keys.get("node")
    for node in [at.cloud.node(said.host, one)] if one else at.cloud.nodes_of(said.host):
        at.audit(node)


def _restart(at: Conductor, said: Operation) -> None:
    nodes = at.cloud.nodes_of(said.host)
    at.cloud.end_claims(said.host)
    for node in nodes:
        at.audit(node)


def _succeeded(at: Conductor, said: Operation) -> None:
    at.desk.record_build(at.cloud.node(said.host, said.node), succeeded=True)


def _failed(at: Conductor, said: Operation) -> None:
    at.desk.record_build(at.cloud.node(said.host, said.node), succeeded=False)


def _build(at: Conductor, said: Operation) -> None:
    guest = at.cloud.guests.get(shapes.instance_uuid(said.instance)) or _new(at, said)
    if guest.deleted or guest.pair is not None or guest.vm_state != "building":
        raise Impossible(f"instance {said.instance} was built before")
    if "flavor" in said.keys:
        guest.size = shapes.Size(said.keys["flavor"], guest.uuid)
    for name in {"project_id", "os_type", "volume_backed"} & said.keys.keys():
        setattr(guest, name, said.keys[name])
    _claim(at, said, guest, None)


def _new(at: Conductor, said: Operation) -> cloud.Guest:
    if "flavor" not in said.keys:
        raise Impossible(f"instance {said.instance} has no flavor yet")
    guest = cloud.Guest(said.instance, shapes.Size(said.keys["flavor"], shapes.instance_uuid(said.instance)))
    at.desk.check_new(guest)
    at.cloud.add(guest)
    return guest


def _claim(at: Conductor, said: Operation, guest: cloud.Guest, task_state: str | None) -> None:
    record = guest.changed(pair=records.Pair(said.host, said.node), task_state=task_state)
    try:
        at.desk.claim(record, shapes.limits(said.keys))
    except Impossible:
        guest.pair, guest.task_state = None, None
        raise
    guest.abortable = True


def _unshelve(at: Conductor, said: Operation) -> None:
    guest = at.cloud.guest(said.instance)
    if guest.vm_state != "shelved_offloaded" or guest.pair is not None:
        raise Impossible(f"instance {guest.label} is not shelved and offloaded")
    _claim(at, said, guest, "spawning")


def _abort(at: Conductor, said: Operation) -> None:
    guest = at.cloud.guest(said.instance)
    move = guest.move
    if move is not None and move.kind != cloud.LIVE and move.phase == "claimed" and move.abortable:
        at.desk.abort_move(move)
        at.desk.update(guest.changed(move=None, task_state=None))
    elif guest.abortable:
        guest.changed(pair=None, task_state=None, abortable=False)
        at.desk.abort_build(guest)
    else:
        raise Impossible("no claim to abort")


def _state(at: Conductor, said: Operation) -> None:
    guest = at.cloud.guest(said.instance)
    record = guest.changed(**{name: said.keys[name] for name in ("vm_state", "task_state") if name in said.keys})
    guest.abortable = guest.abortable and guest.vm_state in {"building", "shelved_offloaded"}
    if said.keys.get("notify", True):
        at.desk.update(record)


def _delete(at: Conductor, said: Operation) -> None:
    guest = at.cloud.guest(said.instance)
    guest.changed(deleted=True, move=None, abortable=False)
    if not said.keys.get("lost", False):
        at.desk.delete(guest)


def _offload(at: Conductor, said: Operation) -> None:
    guest = at.cloud.guest(said.instance)
    guest.there()
    moves.check_settled(guest)
    at.desk.update(guest.changed(pair=None, vm_state="shelved_offloaded", task_state=None, abortable=False))


_RULES: Mapping[str, Rule] = {
    "node_report": _report,
    "node_remove": _remove,
    "audit": _audit,
    "service_restart": _restart,
    "build_claim": _build,
    "abort_claim": _abort,
    "build_succeeded": _succeeded,
    "build_failed": _failed,
    "instance_state": _state,
    "delete": _delete,
    "shelve_offload": _offload,
    "unshelve_claim": _unshelve,
    "resize_claim": moves.resize,
    "resize_source": moves.hand_over,
    "resize_finish": moves.finish,
    "resize_confirm": moves.confirm,
    "resize_revert": moves.revert,
    "live_migration_claim": moves.live,
    "live_migration_complete": moves.live_complete,
    "live_migration_rollback": moves.live_rollback,
    "evacuate_claim": moves.evacuate,
    "evacuate_finish": moves.evacuate_finish,
    "evacuate_source_recover": moves.recover,
}
