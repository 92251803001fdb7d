"""Resizes whose ends race audits, claims, failures and one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests import plain
from tests.races import stage, words

MOVE = words.Move()
RESIZED: dict[str, Any] = {"flavor": words.BIG, "vm_state": "resized"}
GOING = (MOVE.claim(1, words.vm(3, task_state="resize_prep")),
         MOVE.now(2, "migrating", words.vm(4, task_state="resize_migrating")))  # fmt: skip
FINISHED = (*GOING, MOVE.now(3, "finished", words.vm(5, 2, **RESIZED)))
CONFIRMED = MOVE.now(5, "confirmed", words.vm(6, 2, flavor=words.BIG))
OLD_AUDITS = (
    [words.audit(1, words.vm(2), taken_at=stage.BEFORE, authoritative=True), words.recount(1)],
    [words.audit(2, taken_at=stage.BEFORE, authoritative=True), words.recount(2)],
)
"""Of both nodes: a list from before the resize that comes late, then a recount."""


def _every_fact(senders: Sequence[Sequence[stage.Cast]], *before: stage.Cast) -> None:
    """Play the same in any order at all; what the conductor said before, too."""
    stage.jumble([*before, *(cast for said in senders for cast in said)], words.NODES)


def test_a_confirmed_resize_holds_its_destination_once_whatever_audits_say_meanwhile() -> None:
    """Bug 1879878; users.md A.1: the status was set outside the lock that dropped the claim, an audit came between."""
    conductor = [MOVE.now(4, "confirming"), CONFIRMED]

    found = stage.play([conductor, *OLD_AUDITS], [*words.NODES, *words.RUNNING, *FINISHED])

    assert found.orders == 90
    assert found.always(lambda now: now.used(2) == plain.BIG)
    assert found.always(lambda now: now.used(1) == ({} if now.outcome(0, 1) else plain.SMALL))
    assert found.always(lambda now: "recount_differs" not in now.findings())
    _every_fact([conductor], *words.RUNNING, *FINISHED)


def test_the_source_is_given_back_by_the_confirmation_itself() -> None:
    """Bugs 1818914, 1641750, 1498126; users.md A.5: the source stayed charged until its next periodic."""
    found = stage.play([[CONFIRMED]], [*words.NODES, *words.RUNNING, *FINISHED])

    assert [(end.used(1), end.used(2)) for end in found.ends] == [({}, plain.BIG)]


def test_nobody_gets_the_place_of_a_guest_that_is_being_reverted() -> None:
    """Reference 5.12, the revert window: an audit of the source counted neither instance nor migration."""
    small = [words.report(1, vcpus=1), words.report(2)]
    conductor = [MOVE.now(4, "reverting"), MOVE.now(5, "reverted", words.vm(6))]

    found = stage.play([conductor, [words.claim(2)], *OLD_AUDITS], [*small, *words.RUNNING, *FINISHED])

    assert found.always(lambda now: now.outcome(1) in {None, "refused"})
    assert found.always(lambda now: now.used(1) == plain.SMALL)
    assert found.finally_(lambda end: (end.used(1), end.used(2))) == [(plain.SMALL, {})]
    _every_fact([conductor], *words.RUNNING, *FINISHED)


def test_a_reverted_status_that_comes_without_its_guest_frees_the_source_for_a_while() -> None:
    """Contract 1, update_migration, and reference 5.12: so Nova saves it; the fact that follows counts all the same."""
    small = [words.report(1, vcpus=1), words.report(2)]
    conductor = [MOVE.now(5, "reverted", words.vm(6, 2, **RESIZED)), words.fact(revision=7)]

    found = stage.play([conductor, [words.claim(2)]], [*small, *words.RUNNING, *FINISHED])

    taken = found.finally_(lambda end: (end.outcome(1), end.used(1)))
    twice = {name: 2 * amount for name, amount in plain.SMALL.items()}
    assert sorted(taken, key=repr) == [("accepted", twice), ("refused", plain.SMALL)]


def test_a_guest_that_points_to_its_destination_before_it_is_there_holds_both_sides_in_full() -> None:
    """Bugs 1953359, 1952915; users.md A.3; reference 5.5 step 6: the instance was counted with its old flavor there."""
    conductor = [MOVE.now(3, "post-migrating", words.vm(5, 2, task_state="resize_migrated")),
                 MOVE.now(4, "finished", words.vm(6, 2, **RESIZED))]  # fmt: skip

    found = stage.play([conductor, *OLD_AUDITS], [*words.NODES, *words.RUNNING, *GOING])

    assert found.always(lambda now: (now.used(1), now.used(2)) == (plain.SMALL, plain.BIG))
    assert found.always(lambda now: bool(now.settled(1)) != bool(now.settled(2)))
    _every_fact([conductor], *words.RUNNING, *GOING)


@pytest.mark.parametrize(
    ("last", "left"),
    [
        (MOVE.now(4, "error", words.vm(6, 2, vm_state="error")), plain.SMALL),
        (MOVE.now(4, "error", words.vm(6, 2, vm_state="error", flavor=words.BIG)), plain.BIG),
    ],
    ids=["finish fails, bug 1825537", "confirm fails, bug 1821594"],
)
def test_a_resize_that_fails_at_its_destination_leaves_nothing_at_its_source(
    last: stage.Cast, left: dict[str, int]
) -> None:
    """Users.md A.7: source or destination stayed charged after finish or confirm had failed; reference 5.6."""
    found = stage.play([[last], *OLD_AUDITS], [*words.NODES, *words.RUNNING, *FINISHED])

    assert found.finally_(lambda end: (end.used(1), end.used(2))) == [({}, left)]
    _every_fact([[last]], *words.RUNNING, *FINISHED)


def test_a_resize_that_fails_at_its_source_leaves_nothing_at_its_destination() -> None:
    """Reference 5.6: the destination's claim stayed in memory until its audit, its devices as long as the error row."""
    conductor = [*GOING, MOVE.now(3, "error", words.vm(5, vm_state="error"))]

    found = stage.play([conductor, *OLD_AUDITS], [*words.NODES, *words.RUNNING])

    assert found.finally_(lambda end: (end.used(1), end.used(2))) == [(plain.SMALL, {})]
    _every_fact([conductor], *words.RUNNING)


def test_a_resize_on_one_node_holds_both_flavors_until_it_is_confirmed() -> None:
    """Reference 5.7: after confirm the instance was untracked, and a deletion before the next audit freed nothing."""
    move = words.Move(way=(1, 1))
    before = [*words.RUNNING, move.claim(1, words.vm(3)), move.now(2, "finished", words.vm(4, **RESIZED))]
    both = {name: 3 * amount for name, amount in plain.SMALL.items()}
    conductor = [move.now(3, "confirmed", words.vm(5, flavor=words.BIG)), words.delete(6)]

    found = stage.play([conductor, OLD_AUDITS[0]], [*words.NODES, *before])

    assert found.always(lambda now: now.used(1) == ({} if now.outcome(0, 1) else plain.BIG if now.outcome(0) else both))
    _every_fact([conductor], *before)


def test_of_two_moves_of_one_instance_the_newest_decides() -> None:
    """Reference 5.3, tie of several migrations; contract 3: the newest by created_at, and no status is changed."""
    live = words.Move(1, "live-migration", (1, 2))
    resize = words.Move(2, "resize", (1, 3))
    first = [live.claim(1, words.vm(3)), live.now(2, "running", words.vm(4))]
    second = [resize.claim(1, words.vm(5)), resize.now(2, "finished", words.vm(6, 3, **RESIZED))]
    late = [live.now(3, "failed", words.vm(4))]

    found = stage.play([second, late], [*words.NODES, words.report(3), *words.RUNNING, *first])

    assert found.finally_(lambda end: [end.used(node) for node in (1, 2, 3)]) == [[plain.SMALL, {}, plain.BIG]]
    _every_fact([first, second, late], words.report(3), *words.RUNNING)


def test_the_row_of_a_failed_move_is_in_nobodys_way() -> None:
    """Reference 5.13, error rows: listed for ever for both nodes; here it may even come after the next move."""
    failed, again = words.Move(1), words.Move(2)
    first = [failed.claim(1, words.vm(3)), failed.now(2, "error", words.vm(4))]
    second = [again.claim(1, words.vm(5)), again.now(2, "confirmed", words.vm(6, 2, flavor=words.BIG))]

    found = stage.play([first, second, [words.recount(1)], [words.recount(2)]], [*words.NODES, *words.RUNNING])

    assert found.finally_(lambda end: (end.used(1), end.used(2))) == [({}, plain.BIG)]
    _every_fact([first, second], *words.RUNNING)


def test_a_claim_that_was_refused_on_one_host_is_made_on_another_with_the_same_row() -> None:
    """Reference 5.6: the row is reused for the alternate; bug 1860555: the first claim was still to be seen."""
    full = words.report(2, vcpus=1)
    alternate = words.Move(way=(1, 3))
    conductor = [MOVE.claim(1, words.vm(3)), alternate.claim(2, words.vm(4)),
                 alternate.now(3, "finished", words.vm(5, 3, **RESIZED))]  # fmt: skip

    found = stage.play([conductor, OLD_AUDITS[1]], [words.report(1), full, words.report(3), *words.RUNNING])

    assert found.always(lambda now: now.used(2) == {})
    assert found.finally_(lambda end: (end.outcome(0), end.outcome(0, 1))) == [("refused", "accepted")]
    assert found.finally_(lambda end: (end.used(1), end.used(3))) == [(plain.SMALL, plain.BIG)]


def test_a_claim_that_was_withdrawn_stays_withdrawn_when_it_comes_late() -> None:
    """Contract 1, abort_claim: for an unknown record it is kept, so that the late claim is stale."""
    claim = MOVE.claim(1, words.vm(3))

    found = stage.play([[claim], [words.abort(2, move=1)]], [*words.NODES, *words.RUNNING])

    assert found.finally_(lambda end: (end.used(1), end.used(2))) == [(plain.SMALL, {})]
    assert found.finally_(lambda end: end.outcome(0)) == ["accepted", "stale"]
    _every_fact([[claim], [words.abort(2, move=1)]], *words.RUNNING)
