"""Live migrations and evacuations: their ends, the source that comes back, and deletions meanwhile."""

from __future__ import annotations

import pytest

from tests import plain
from tests.races import stage, words

LIVE = words.Move(kind="live-migration")
RUNS = (LIVE.claim(1, words.vm(3, task_state="migrating"), "accepted"),
        LIVE.now(2, "running", words.vm(4, task_state="migrating")))  # fmt: skip
AWAY = words.Move(kind="evacuation")
FLEES = AWAY.claim(1, words.vm(3, task_state="rebuilding"), "accepted")
DONE = AWAY.now(3, "done", words.vm(5, 2))
OLD_AUDITS = (
    [words.audit(1, words.vm(2), taken_at=stage.BEFORE, authoritative=True)],
    [words.audit(2, taken_at=stage.BEFORE, authoritative=True)],
)


@pytest.mark.parametrize(
    ("failed", "completed", "left"),
    [
        (LIVE.now(3, "failed", words.vm(5)), LIVE.now(4, "completed", words.vm(6, 2)), (0, 1)),
        (LIVE.now(4, "failed", words.vm(6)), LIVE.now(3, "completed", words.vm(5, 2)), (1, 0)),
    ],
    ids=["completed is newer", "failed is newer"],
)
def test_of_a_rollback_and_a_completion_that_race_the_newer_counts(
    failed: stage.Cast, completed: stage.Cast, left: tuple[int, int]
) -> None:
    """Reference 5.8, abort and rollback: source and destination each write how it ended."""
    senders = [[failed], [completed], *OLD_AUDITS]

    found = stage.play(senders, [*words.NODES, *words.RUNNING, *RUNS])

    both = [plain.SMALL if count else {} for count in left]
    assert found.finally_(lambda end: [end.used(1), end.used(2)]) == [both]
    stage.jumble([*words.RUNNING, *RUNS, failed, completed], words.NODES)


def test_a_migration_that_is_cancelled_in_the_queue_does_not_start_again() -> None:
    """Reference 5.8, abort while queued: usage and claims of the destination stayed until its audit."""
    senders = [[LIVE.now(2, "queued", words.vm(4)), LIVE.now(4, "running", words.vm(6))], [words.abort(3, move=1)]]

    found = stage.play(senders, [*words.NODES, *words.RUNNING, RUNS[0]])

    assert found.finally_(lambda end: (end.used(1), end.used(2))) == [(plain.SMALL, {})]
    assert found.always(lambda now: now.outcome(1) is None or now.used(2) == {})
    stage.jumble([*words.RUNNING, RUNS[0], *senders[0], *senders[1]], words.NODES)


def test_a_live_migration_holds_both_sides_from_claim_to_end() -> None:
    """Deviations 3 and 15; reference 5.8 steps 3 to 10: a destination without NUMA learnt of it at its next audit."""
    conductor = [*RUNS, LIVE.now(3, "running (post-copy)"), LIVE.now(4, "completed", words.vm(5, 2))]

    found = stage.play([conductor, *OLD_AUDITS], [*words.NODES, *words.RUNNING])

    assert found.always(lambda now: now.used(1) == ({} if now.outcome(0, 3) else plain.SMALL))
    assert found.always(lambda now: now.used(2) == (plain.SMALL if now.outcome(0) else {}))
    stage.jumble([*words.RUNNING, *conductor], words.NODES)


@pytest.mark.parametrize("move", [LIVE, words.Move(), AWAY], ids=["live migration", "resize", "evacuation"])
def test_a_deletion_during_a_move_gives_both_sides_back_for_good(move: words.Move) -> None:
    """Bugs 1848343, 1859496; users.md A.6: rollback or confirm made the allocations of the deleted server again."""
    end = {LIVE: "completed", AWAY: "done"}.get(move, "confirmed")
    conductor = [move.claim(1, words.vm(3)), move.now(2, "running", words.vm(4)), move.now(3, end, words.vm(6, 2))]
    rollback = [move.now(4, "error", words.vm(7))]

    found = stage.play([conductor, rollback, [words.delete(5)]], [*words.NODES, *words.RUNNING])

    assert found.always(lambda now: now.outcome(2) is None or (now.used(1), now.used(2)) == ({}, {}))
    assert found.finally_(lambda now: now.held()) == [{}]
    stage.jumble([words.RUNNING[1], *conductor, *rollback, words.delete(5)], words.NODES)


def test_an_evacuation_keeps_its_device_whatever_audits_say() -> None:
    """Bug 1896463; users.md A.2: an overlapping periodic freed the device that the evacuation had claimed."""
    nodes = [words.equipped(1), words.equipped(2)]
    going = AWAY.claim(1, words.wanting(revision=3), "accepted")
    conductor = [going, AWAY.now(2, "pre-migrating", words.wanting(revision=4, vm_state="error")),
                 AWAY.now(3, "done", words.wanting(revision=5, on=2))]  # fmt: skip
    audits = [words.audit(1, words.wanting(), taken_at=stage.BEFORE, authoritative=True)], OLD_AUDITS[1]
    other = [words.claim_of(words.wanting(2, on=2))]

    found = stage.play([conductor, *audits, other], [*nodes, words.claim_of(words.wanting())])

    for now in found.moments:
        done = now.outcome(0, 2) is not None
        assert len(now.devices()) == {None: 1, "accepted": 2 - done, "refused": 1 - done}[now.outcome(0)]
        assert not now.outcome(0) == now.outcome(3) == "accepted"
    assert {(end.outcome(0), end.outcome(3)) for end in found.ends} == {
        ("accepted", "refused"),
        ("refused", "accepted"),
    }


def test_an_evacuated_guest_is_not_counted_on_the_dead_host_nor_when_it_returns() -> None:
    """Bugs 1709902, 1724172, 1829479; users.md A.8; reference 5.9: charged to the dead host until it returned, or for ever."""
    returns = [words.report(1, 2), words.audit(1, words.vm(2), authoritative=True), AWAY.now(4, "completed")]

    found = stage.play([[DONE], returns, [words.recount(2)]], [*words.NODES, *words.RUNNING, FLEES])

    assert found.always(lambda now: not now.outcome(0) or (now.used(1), now.used(2)) == ({}, plain.SMALL))
    stage.jumble([*words.RUNNING, FLEES, DONE, returns[0], returns[2]], words.NODES)


def test_a_source_that_returns_during_the_evacuation_has_lost_its_guest() -> None:
    """Reference 5.9, F4: it destroys its copy and says completed; the record tells where the guest is in the end."""
    source = [AWAY.now(2, "completed", words.vm(4, vm_state="error"))]

    found = stage.play([[DONE], source], [*words.NODES, *words.RUNNING, FLEES])

    assert found.finally_(lambda end: (end.used(1), end.used(2))) == [({}, plain.SMALL)]
    stage.jumble([*words.RUNNING, FLEES, DONE, *source], words.NODES)


def test_an_evacuation_that_fails_leaves_nothing_at_its_destination() -> None:
    """Reference 5.9, F1 and F2; quirk 20: the evacuation of an instance in error was not counted by audits."""
    conductor = [FLEES, AWAY.now(2, "pre-migrating", words.vm(4, vm_state="error")),
                 AWAY.now(3, "failed", words.vm(5, vm_state="error"))]  # fmt: skip

    found = stage.play([conductor, *OLD_AUDITS], [*words.NODES, *words.RUNNING])

    held = {None: {}, "accepted": plain.SMALL}
    assert found.always(lambda now: now.used(2) == ({} if now.outcome(0, 2) else held[now.outcome(0)]))
    assert found.always(lambda now: now.used(1) == plain.SMALL)
    stage.jumble([*words.RUNNING, *conductor], words.NODES)


def test_a_move_whose_guest_is_somewhere_else_by_now_holds_nothing() -> None:
    """Reference 9.3, what moved behind the tracker's back; contract 3: it counts while the record is on one of its ends."""
    elsewhere = [words.fact(revision=5, on=3)]
    late = [LIVE.now(3, "running (post-copy)")]

    found = stage.play([elsewhere, late, [words.recount(2)]], [*words.NODES, words.report(3), *words.RUNNING, *RUNS])

    assert found.always(lambda now: (now.used(3) == plain.SMALL) == (now.outcome(0) is not None))
    assert found.finally_(lambda end: [end.used(node) for node in (1, 2, 3)]) == [[{}, {}, plain.SMALL]]
    stage.jumble([*words.RUNNING, *RUNS, *elsewhere, *late], [*words.NODES, words.report(3)])
