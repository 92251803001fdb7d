"""Audits with authority depend on when they come (contract 1 excepts them): exactly what is promised, in every order."""

from __future__ import annotations

import datetime

from tests import plain
from tests.races import stage, words

MISSING = words.audit(1, authoritative=True)
"""A list of node 1, newer than all that is on record, in which nobody is."""


def test_an_authoritative_list_takes_off_who_is_missing_and_a_later_revision_brings_it_back() -> None:
    """Contract 1, audit_node: host and node null, revision kept, so that a later revision brings it back."""
    found = stage.play([[MISSING], [words.fact(revision=3)]], [words.report(), *words.RUNNING])

    ends = {tuple(end.outcomes): end.used() for end in found.ends}
    assert ends == {((0, 0), (1, 0)): plain.SMALL, ((1, 0), (0, 0)): {}}


def test_what_was_committed_after_the_list_was_taken_is_not_touched() -> None:
    """Contract 1, audit_node: exempt are records committed after taken_at less audit_grace; users.md A.2."""
    early = words.audit(1, taken_at=stage.BEFORE, authoritative=True)

    found = stage.play([[early, early], [words.fact(revision=3)]], [words.report(), *words.RUNNING])

    assert found.always(lambda now: now.used() == plain.SMALL)


def test_an_audit_that_is_older_than_the_last_one_applies_its_snapshots_only() -> None:
    """Contract 1, audit_node: taken_at orders a node's audits."""
    earlier = (stage.NOW + datetime.timedelta(minutes=5)).isoformat()
    full = words.audit(1, words.vm(2))
    stale = words.audit(1, words.vm(3, number=2), taken_at=earlier, authoritative=True)

    found = stage.play([[full], [stale]], [words.report(), *words.RUNNING])

    one, both = plain.SMALL, {name: 2 * amount for name, amount in plain.SMALL.items()}
    ends = {tuple(end.outcomes): end.used() for end in found.ends}
    assert ends == {((0, 0), (1, 0)): both, ((1, 0), (0, 0)): one}


def test_a_guest_that_is_moving_to_a_node_is_not_taken_off_it() -> None:
    """Contract 1, audit_node: not one in move to it; users.md A.2 and A.3."""
    move = words.Move()
    conductor = [move.claim(1, words.vm(3)), move.now(2, "migrating", words.vm(4))]
    there = words.audit(2, authoritative=True)

    found = stage.play([conductor, [there, words.recount(2)]], [*words.NODES, *words.RUNNING])

    assert found.always(lambda now: now.used(1) == plain.SMALL)
    assert found.always(lambda now: now.used(2) == (plain.BIG if now.outcome(0) else {}))


def test_a_guest_that_is_moving_away_and_missing_at_its_source_is_taken_off_both() -> None:
    """Deviation 9; contract 3: a move counts only while the record is on one of its ends."""
    move = words.Move()
    conductor = [move.claim(1, words.vm(3)), move.now(2, "finished", words.vm(5, 2, flavor=words.BIG))]

    found = stage.play([conductor, [MISSING]], [*words.NODES, *words.RUNNING])

    between = [now for now in found.moments if tuple(now.outcomes) == ((0, 0), (1, 0))]
    assert [(now.used(1), now.used(2)) for now in between] == [({}, {})]
    assert found.finally_(lambda end: (end.used(1), end.used(2))) == [(plain.SMALL, plain.BIG)]


def test_a_list_adopts_who_is_unknown_and_late_casts_about_it_are_stale() -> None:
    """Users.md A.25: a restart lost work; the audit's snapshots tell it, and what comes late changes nothing."""
    lists = [words.audit(1, words.vm(3))]
    casts = [words.claim(), words.fact()]

    found = stage.play([lists, casts], [words.report()])

    assert found.finally_(lambda end: end.used()) == [plain.SMALL]
    assert {end.outcome(1, 1) for end in found.ends} == {"applied", "stale"}
    stage.jumble([*lists, *casts], [words.report()])


def test_a_deletion_is_final_whatever_a_list_says() -> None:
    """Contract 1, revisions; users.md A.6: an audit or a late event made the allocation of a deleted server again."""
    senders = [[words.delete(3)], [words.audit(1, words.vm(9)), words.audit(1, words.vm(10), authoritative=True)]]

    found = stage.play(senders, [words.report(), *words.RUNNING])

    assert found.always(lambda now: now.outcome(0) is None or now.used() == {})
    stage.jumble([words.RUNNING[1], *senders[0], senders[1][0]], [words.report()])
