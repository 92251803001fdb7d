"""Reports, removals and hand-overs of nodes while instances come and go."""

from __future__ import annotations

from tests import plain
from tests.races import stage, words

HANDED = {"uuid": plain.node_uuid(1), "host": "compute-2", "hypervisor_hostname": "compute-2"}
"""What node 1 is called by the host that has got it."""


def test_a_node_that_is_handed_over_stays_whatever_its_old_owner_removes_late() -> None:
    """Bug 1853009; users.md A.16: the old owner deleted the record and the new one did not make it again."""
    old = [words.report(1, 1), ("remove_node", {"node_uuid": plain.node_uuid(1), "revision": 2})]
    new = [words.report(1, 3, **HANDED), words.fact(revision=3, on=2)]

    found = stage.play([old, new, [words.recount(1)]], list(words.RUNNING))

    assert found.finally_(lambda end: (end.used(1), end.used(2))) == [({}, plain.SMALL)]
    assert found.finally_(lambda end: end.store.nodes[plain.node_uuid(1)].live) == [True]
    stage.jumble([*old, *new, *words.RUNNING])


def test_a_pair_that_two_uuids_report_is_counted_once() -> None:
    """Users.md A.11, orphaned providers after a rename; contract 1: the greatest (revision, uuid) speaks for the pair."""
    other = words.report(2, 2, host="compute-1", hypervisor_hostname="compute-1")
    senders = [[words.report(1, 1)], [other, ("remove_node", {"node_uuid": plain.node_uuid(2), "revision": 3})],
               [*words.RUNNING]]  # fmt: skip

    found = stage.play([*senders, [words.recount(1)]])

    assert found.finally_(lambda end: end.used()) == [plain.SMALL]
    stage.jumble([cast for said in senders for cast in said])


def test_a_report_that_shrinks_takes_nothing_from_anybody_and_admits_nobody_more() -> None:
    """Users.md A.21; contract 5.6 and 3: a fact can exceed capacity, a claim cannot."""
    senders = [[words.claim(2)], [words.claim(3)], [words.report(1, 2, vcpus=2), words.recount()]]

    found = stage.play(senders, [words.report(), *words.RUNNING])

    for now in found.moments:
        admitted = 1 + [now.outcome(sender) for sender in (0, 1)].count("accepted")
        assert now.used()["VCPU"] == admitted
    assert sorted({end.used()["VCPU"] for end in found.ends}) == [2, 3]
    stage.jumble([cast for said in senders for cast in said], [words.report(), *words.RUNNING])


def test_a_node_that_is_removed_keeps_what_is_held_and_refuses_claims_until_it_is_back() -> None:
    """Contract 1, remove_node: what is still held stays counted, claims are refused, a greater report brings it back."""
    removal = ("remove_node", {"node_uuid": plain.node_uuid(1), "revision": 2})
    senders = [[removal, words.report(1, 3)], [words.claim(2)]]

    found = stage.play([*senders, [words.recount()]], [words.report(), *words.RUNNING])

    for now in found.moments:
        gone = now.outcome(0) is not None and now.outcome(0, 1) is None
        assert now.store.nodes[plain.node_uuid(1)].live != gone
        assert now.used()["VCPU"] == 1 + (now.outcome(1) == "accepted")
    assert {end.outcome(1) for end in found.ends} == {"accepted", "refused"}
    stage.jumble([cast for said in senders for cast in said], [words.report(), *words.RUNNING])


def test_a_disabled_node_stays_as_the_newest_word_says() -> None:
    """Contract 1, set_node_disabled: a revision of its own, raised by reports as well, that makes no report stale."""
    casts = [
        words.report(1, 1),
        words.report(1, 4, vcpus=4),
        ("set_node_disabled", {"node_uuid": plain.node_uuid(1), "disabled": True, "revision": 3}),
        ("set_node_disabled", {"node_uuid": plain.node_uuid(1), "disabled": True, "revision": 6}),
        ("set_node_disabled", {"node_uuid": plain.node_uuid(1), "disabled": False, "revision": 5}),
    ]  # fmt: skip

    found = stage.jumble(casts)

    assert found.finally_(lambda end: end.store.nodes[plain.node_uuid(1)].disabled) == [True]


def test_a_node_that_is_renamed_moves_no_holding_before_the_facts_do() -> None:
    """Contract 1, nodes by name and uuid; users.md A.11, host rename."""
    senders = [[words.report(1, 2, **HANDED)], [words.fact(revision=3, on=2)], [words.delete(4)]]

    found = stage.play(senders, [words.report(), *words.RUNNING])

    for now in found.moments:
        place = 2 if now.outcome(1) == "applied" else 1
        assert now.held() == ({} if now.outcome(2) else {"instance": plain.host(place)})
    stage.jumble([words.report(), *words.RUNNING, *(cast for said in senders for cast in said)])


def test_builds_that_fail_are_counted_one_by_one_in_whatever_order_with_reports() -> None:
    """Contract 1, record_build: each message once; a report never forgets them, a removal does."""
    failed = [("record_build", {"node_uuid": plain.node_uuid(1), "succeeded": False})] * 2

    found = stage.play([failed, [words.report(1, 2, vcpus=4), words.report(1, 3)]], [words.report()])

    assert found.finally_(lambda end: end.store.nodes[plain.node_uuid(1)].failed_builds) == [2]
