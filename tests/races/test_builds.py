"""Builds and unshelvings that race deletions, aborts, audits and one another."""

from __future__ import annotations

import pytest

from tests import plain
from tests.races import stage, words

SHELVED = words.fact(revision=3, on=None, vm_state="shelved_offloaded")
UNSHELVING = words.claim(revision=4, vm_state="shelved_offloaded", task_state="spawning")


@pytest.mark.parametrize(
    "deletion", [words.delete(2), words.fact(revision=2, vm_state="deleted")], ids=["cast", "fact"]
)
def test_a_deletion_during_the_build_leaves_nothing_whatever_comes_late(deletion: stage.Cast) -> None:
    """Bug 1679750; users.md A.6: a local delete, then the claim of the compute or the end of the build."""
    compute = [words.claim(revision=1), words.fact(revision=3)]
    api = [deletion]

    found = stage.play([compute, api, [words.recount()]], [words.report()])

    assert found.orders == 12
    assert found.finally_(lambda end: end.used()) == [{}]
    assert found.always(lambda now: now.used() == {} or now.outcome(1) is None)
    stage.jumble([*compute, *api], [words.report()])


def test_a_build_that_is_rescheduled_is_counted_where_it_ended() -> None:
    """Bug 1860555; users.md A.22: the aborted claim was still visible on the first host."""
    conductor = [
        words.claim(revision=1, on=1),
        words.abort(2),
        words.claim(revision=3, on=2),
        words.fact(revision=4, on=2),
    ]
    audits = [words.audit(1, taken_at=stage.BEFORE, authoritative=True), words.recount(1)]

    found = stage.play([conductor, audits], words.NODES)

    assert found.finally_(lambda end: (end.used(1), end.used(2))) == [({}, plain.SMALL)]
    assert found.always(lambda now: not (now.used(1) and now.used(2)))
    stage.jumble(conductor, words.NODES)


def test_a_claim_that_comes_after_its_abort_is_stale() -> None:
    """Contract 1, abort_claim: it never depends on the present state, and is kept for an unknown record."""
    found = stage.play([[words.claim(revision=1)], [words.abort(2)], [words.recount()]], [words.report()])

    assert found.finally_(lambda end: end.used()) == [{}]
    assert {end.outcome(0) for end in found.ends} == {"accepted", "stale"}
    stage.jumble([words.claim(revision=1), words.abort(2)], [words.report()])


def test_of_two_claims_for_the_last_place_one_is_admitted_at_most() -> None:
    """Contract 3: a claim tests every class and takes all or nothing; a fact may exceed, a claim cannot."""
    senders = [[words.claim(2)], [words.claim(3)], [words.delete(9)]]

    found = stage.play(senders, [words.report(vcpus=1), *words.RUNNING])

    assert found.always(lambda now: now.used().get("VCPU", 0) <= 1)
    for end in found.ends:
        admitted = [end.outcome(sender) for sender in (0, 1)].count("accepted")
        assert admitted <= 1
        assert end.used() == (plain.SMALL if admitted else {})
    assert {end.outcome(0) for end in found.ends} == {"accepted", "refused"}


def test_an_instance_is_charged_once_however_often_it_is_claimed_or_rebuilt() -> None:
    """CVE-2017-17051; users.md A.24: a rebuild doubled the allocations."""
    conductor = [words.claim(), words.fact(), words.fact(revision=3, task_state="rebuilding"), words.fact(revision=4)]
    again = [words.claim(), words.claim(revision=5, vm_state="active", task_state="rebuild_spawning")]

    found = stage.play([conductor, again, [words.recount()]], [words.report()])

    assert found.always(lambda now: now.used() in ({}, plain.SMALL))
    assert found.finally_(lambda end: end.used()) == [plain.SMALL]
    stage.jumble([*conductor, *again], [words.report()])


def test_an_unshelving_keeps_its_claim_whatever_audits_say() -> None:
    """Bug 2025480; users.md A.4: shelved_offloaded and spawning counted as gone."""
    conductor = [UNSHELVING, words.fact(revision=5)]
    audits = [words.audit(1, taken_at=stage.BEFORE, authoritative=True), words.recount()]

    found = stage.play([conductor, audits], [words.report(), *words.RUNNING, SHELVED])

    assert found.always(lambda now: now.used() == (plain.SMALL if now.outcome(0) else {}))
    stage.jumble([*words.RUNNING, SHELVED, *conductor], [words.report()])


def test_an_unshelving_that_fails_leaves_nothing() -> None:
    """Bug 1862633; users.md A.7: the allocation of a failed unshelve stayed."""
    conductor = [UNSHELVING, words.abort(5), words.fact(revision=6, on=None, vm_state="shelved_offloaded")]

    found = stage.play([conductor, [words.recount()]], [words.report(), *words.RUNNING, SHELVED])

    assert found.finally_(lambda end: end.used()) == [{}]
    stage.jumble([*words.RUNNING, SHELVED, *conductor], [words.report()])


def test_a_claim_that_comes_before_its_node_is_refused_and_the_fact_behind_it_counts() -> None:
    """Bug: users.md A.23: a claim on an unknown node was skipped as if it had been made."""
    found = stage.play([[words.report()], [words.claim(), words.fact()]], [])

    for end in found.ends:
        assert end.outcome(1) in {"accepted", "refused"}
        assert end.used() == plain.SMALL
    assert {end.outcome(1) for end in found.ends} == {"accepted", "refused"}
    stage.jumble([words.report(), words.claim(), words.fact()])


def test_a_deletion_makes_room_for_whoever_claims_after_it_and_for_nobody_before() -> None:
    """Quirk 41: shelve offload freed the allocation before the tracker, and a new instance came to a full node."""
    senders = [[words.fact(revision=3, vm_state="shelved_offloaded")], [words.claim(2)]]

    found = stage.play(senders, [words.report(vcpus=1), *words.RUNNING])

    assert found.always(lambda now: now.used().get("VCPU", 0) <= 1)
    assert {end.outcome(1) for end in found.ends} == {"accepted", "refused"}
