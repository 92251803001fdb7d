"""The operations that move an instance.

The states that a move goes through, and what is sent at each, follow the timelines of Nova's own conductor and compute
service, with one difference: a terminal status is sent together with the instance where it ended.
"""

from __future__ import annotations

import datetime
import uuid

from worker.core import records
from worker.replay import cloud, scenario, shapes
from worker.replay import conductor as conductors

Conductor = conductors.Conductor
Impossible = cloud.Impossible
Operation = scenario.Operation


def check_settled(guest: cloud.Guest) -> None:
    """Raise Impossible while a move is under way."""
    if guest.move is not None:
        raise Impossible(f"instance {guest.label} has a move under way")


def _planned(at: Conductor, said: Operation, guest: cloud.Guest, kind: str) -> cloud.Move:
    name = str(uuid.uuid4())
    size = guest.size
    if kind == cloud.RESIZE:
        size = shapes.Size(said.keys.get("flavor", guest.size.flavor), name)
        kind = cloud.COLD if size.id == guest.size.id else kind
    created_at = datetime.datetime.now(datetime.UTC)
    move = cloud.Move(name, guest, kind, created_at, records.Pair(said.host, said.node), size)
    at.cloud.names[move.uuid] = f"move of {guest.label}"
    return move


def _claim_move(at: Conductor, said: Operation, move: cloud.Move, task_state: str) -> None:
    """Claim the destination; when it is refused the move has failed and the instance is as it was."""
    guest = move.guest
    status = "accepted" if move.kind == cloud.LIVE else "pre-migrating"
    before = guest.task_state if guest.move is not None else None
    try:
        at.desk.claim_move(move.object(status), guest.changed(task_state=task_state), shapes.limits(said.keys))
    except Impossible:
        at.desk.move(move.object("error" if move.resizes else "failed"), guest.changed(task_state=before))
        raise
    guest.move = move


def resize(at: Conductor, said: Operation) -> None:
    """The destination is to take the instance with another flavor, or with its own: a cold migration."""
    guest = at.cloud.guest(said.instance)
    check_settled(guest)
    _claim_move(at, said, _planned(at, said, guest, cloud.RESIZE), "resize_prep")


def _under_way(at: Conductor, said: Operation, kinds: set[str], *phases: str) -> cloud.Move:
    move = at.cloud.guest(said.instance).move
    if move is None or move.kind not in kinds or move.phase not in phases:
        raise Impossible("instance has no move under way for which that is the next step")
    return move


_RESIZES = {cloud.RESIZE, cloud.COLD}


def hand_over(at: Conductor, said: Operation) -> None:
    """The source has handed the instance over; it is not yet in its new flavor."""
    move = _under_way(at, said, _RESIZES, "claimed")
    at.desk.move(move.object("post-migrating"), move.guest.changed(pair=move.dest, task_state="resize_migrated"))
    move.phase = "sourced"


def finish(at: Conductor, said: Operation) -> None:
    """The destination runs it in the new flavor."""
    move = _under_way(at, said, _RESIZES, "claimed", "sourced")
    if move.phase == "claimed":
        hand_over(at, said)
    at.desk.move(move.object("finished"), move.guest.changed(size=move.new, vm_state="resized", task_state=None))
    move.phase = "finished"


def confirm(at: Conductor, said: Operation) -> None:
    """Give the source's share up."""
    move = _under_way(at, said, _RESIZES, "finished")
    at.desk.move(move.object("confirmed"), move.guest.changed(vm_state=_running(move), task_state=None, move=None))


def revert(at: Conductor, said: Operation) -> None:
    """Give the destination's share up; the instance is back in its old flavor."""
    move = _under_way(at, said, _RESIZES, "finished")
    back = move.guest.changed(pair=move.source, size=move.old, vm_state=_running(move), task_state=None, move=None)
    at.desk.move(move.object("reverted"), back)


def _running(move: cloud.Move) -> str:
    """Return the vm_state after a move: a stopped instance stays stopped."""
    return "stopped" if move.was == "stopped" else "active"


def _check_elsewhere(said: Operation, guest: cloud.Guest) -> None:
    if guest.there().host == said.host:
        raise Impossible(f"instance {guest.label} is on {said.host} already")


def live(at: Conductor, said: Operation) -> None:
    """The destination is to take the running instance."""
    guest = at.cloud.guest(said.instance)
    _check_elsewhere(said, guest)
    check_settled(guest)
    move = _planned(at, said, guest, cloud.LIVE)
    if said.keys.get("claim") == "as_nova" and guest.size.topology() is None:
        at.cloud.node(said.host, said.node)
        at.desk.move(move.object("preparing"), guest.changed(task_state="migrating", move=move))
    else:
        _claim_move(at, said, move, "migrating")


def live_complete(at: Conductor, said: Operation) -> None:
    """It runs at the destination; the source is audited at once."""
    move = _under_way(at, said, {cloud.LIVE}, "claimed")
    at.desk.move(move.object("completed"), move.guest.changed(pair=move.dest, task_state=None, move=None))
    source = at.cloud.nodes.get(move.source)
    if source is not None and not source.gone:
        at.audit(source)


def live_rollback(at: Conductor, said: Operation) -> None:
    """It stayed at the source."""
    move = _under_way(at, said, {cloud.LIVE}, "claimed")
    at.desk.move(move.object("failed"), move.guest.changed(task_state=None, move=None))


def evacuate(at: Conductor, said: Operation) -> None:
    """The host is dead; another one is to rebuild the instance."""
    guest = at.cloud.guest(said.instance)
    _check_elsewhere(said, guest)
    _claim_move(at, said, _planned(at, said, guest, cloud.EVACUATION), "rebuilding")


def evacuate_finish(at: Conductor, said: Operation) -> None:
    """The rebuilt instance runs at the destination."""
    move = _under_way(at, said, {cloud.EVACUATION}, "claimed")
    there = move.guest.changed(pair=move.dest, vm_state=_running(move), task_state=None, move=None)
    at.desk.move(move.object("done"), there)
    at.cloud.evacuated.setdefault(move.source.host, []).append(move)


def recover(at: Conductor, said: Operation) -> None:
    """The dead host is back: it drops what was evacuated, restarts and audits itself."""
    nodes = at.cloud.nodes_of(said.host)
    for move in at.cloud.evacuated.pop(said.host, []):
        if not move.guest.deleted:
            at.desk.move(move.object("completed"))
    at.cloud.end_claims(said.host)
    for node in nodes:
        at.audit(node)
