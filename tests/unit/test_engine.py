"""The batch engine: one transaction for all, and what becomes of those that cannot share it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import builders, plain, stands
from tests.fakes import failing, library, starts, unit_of_work
from worker import engine, errors, interfaces
from worker.bus import wire

TO = {"_msg_id": "call-1", "_reply_q": "answers"}


class Desk:
    """An engine on a fake store, transactions according to plan."""

    def __init__(self, **settings: Any) -> None:
        self.store = unit_of_work.Store()
        self.plan = failing.Plan()
        self.library = library.Library()
        self.starts = starts.Starts()
        self.settings = engine.Settings(**settings)
        self.engine = engine.Engine(
            lambda: failing.UnitOfWork(self.store, self.plan), self.library, lambda: builders.NOW, lambda: self.settings,
            self.starts,
        )  # fmt: skip

    def process(self, *deliveries: interfaces.Delivery) -> list[interfaces.Answer]:
        return self.engine.process(deliveries)

    def words(self, *deliveries: interfaces.Delivery) -> list[str]:
        return [answer.word for answer in self.process(*deliveries)]

    def known(self) -> set[str]:
        return {name for name in self.store.marks if not name.startswith("parked ")}


def _delivery(body: bytes, **properties: Any) -> interfaces.Delivery:
    return interfaces.Delivery(tag=body, body=body, content_type="application/json", **properties)


def _update(number: int, name: str | None = None, **changes: Any) -> interfaces.Delivery:
    """Return a cast named m1, m2 ... that states where an instance is."""
    arguments = {"instance": plain.instance(number)}
    return _delivery(stands.body("update_instance", arguments, _unique_id=name or f"m{number}", **changes))


def _ask(method: str, **arguments: Any) -> interfaces.Delivery:
    return _delivery(stands.body(method, arguments, **TO))


def _dead(delivery: interfaces.Delivery, reason: str) -> interfaces.Delivery:
    return interfaces.Delivery(tag=delivery.tag, body=delivery.body, dead=True, death_reason=reason)


BAD = _delivery(stands.body("update_instance", {"instance": None}, _unique_id="bad"))


def test_a_batch_shares_one_transaction() -> None:
    desk = Desk()

    answers = desk.process(_update(1), BAD, _update(2))

    assert [answer.word for answer in answers] == ["applied", "applied", "parked"]
    assert desk.plan.transactions == 1
    assert len(desk.store.parked) == 1
    assert {answer.to for answer in answers} == {None}
    assert {answer.reply for answer in answers[:2]} == {None}


def test_an_empty_batch_touches_no_database() -> None:
    desk = Desk()

    assert desk.process() == []
    assert desk.plan.transactions == 0


def test_what_one_message_raises_takes_no_other_down() -> None:
    desk = Desk(max_attempts=2)
    desk.plan.poison["m2"] = [ValueError("too\nmuch")] * 3

    answers = desk.process(_update(1), _update(2), _update(3))

    assert [answer.word for answer in answers] == ["applied", "parked", "applied"]
    assert desk.known() == {"m1", "m3"}
    (kept,) = desk.store.parked
    assert kept.reason == "update_instance failed: ValueError: too"
    assert (kept.message_id, kept.method, kept.error, kept.attempts) == ("m2", "update_instance", "ValueError", 2)
    assert "ValueError" in str(kept.traceback)
    assert desk.plan.commits[0] == ["m1"], "one by one"


def test_what_fails_once_and_then_goes_well_is_not_parked() -> None:
    desk = Desk()
    desk.plan.poison["m1"] = [ValueError()] * 4

    assert desk.words(_update(1)) == ["applied"]
    assert desk.store.parked == []


def test_an_error_without_words_is_named_by_its_class() -> None:
    desk = Desk(max_attempts=1)
    desk.plan.poison["m1"] = [KeyError()] * 2

    desk.process(_update(1))

    assert desk.store.parked[0].reason == "update_instance failed: KeyError: "


def test_another_worker_that_was_first_is_no_failure() -> None:
    desk = Desk()
    desk.plan.commit = [errors.Conflict("first")] * (engine.CONFLICTS - 1)

    assert desk.words(_update(1), _update(2)) == ["applied", "applied"]
    assert desk.plan.transactions == engine.CONFLICTS
    assert desk.store.parked == []


def test_a_database_that_always_has_others_first_counts_as_away() -> None:
    desk = Desk()
    desk.plan.commit = [errors.Conflict("first")] * engine.CONFLICTS

    with pytest.raises(errors.DatabaseUnavailable, match="20 times"):
        desk.process(_update(1))


@pytest.mark.parametrize("when", ["begin", "commit"])
def test_a_database_that_is_away_leaves_everything_as_it_was(when: str) -> None:
    desk = Desk()
    getattr(desk.plan, when).append(errors.DatabaseUnavailable("gone"))

    with pytest.raises(errors.DatabaseUnavailable):
        desk.process(_update(1), BAD)

    assert (desk.store.marks, desk.store.parked) == ({}, [])
    assert desk.words(_update(1), BAD) == ["applied", "parked"]


def test_a_database_that_goes_away_while_messages_are_tried_alone_parks_nothing() -> None:
    desk = Desk()
    desk.plan.poison["m1"] = [ValueError(), errors.DatabaseUnavailable("gone")]

    with pytest.raises(errors.DatabaseUnavailable):
        desk.process(_update(1))

    assert desk.store.parked == []


def test_a_redelivered_call_hears_the_answer_that_was_stored() -> None:
    desk = Desk()
    call = _update(1, **TO)

    (first,), (second,) = desk.process(call), desk.process(call)

    assert (first.word, second.word) == ("applied", "duplicate")
    assert first.reply["outcome"] == "applied"
    assert second.reply == first.reply
    assert second.to == interfaces.ReplyTo("call-1", "answers")


def test_a_call_with_the_id_of_a_cast_hears_that_it_is_a_duplicate() -> None:
    desk = Desk()
    desk.process(_update(1))

    (answer,) = desk.process(_update(1, **TO))

    assert answer.reply["outcome"] == "duplicate"
    assert "applied" in answer.reply["reason"]


def test_the_same_message_twice_in_one_batch_counts_once() -> None:
    desk = Desk()

    assert desk.words(_update(1), _update(1), _update(2)) == ["applied", "duplicate", "applied"]
    assert desk.store.account("compute-1", "compute-1").used["VCPU"] == 2


def test_a_bad_call_is_answered_with_why_it_was_parked() -> None:
    body = stands.body("delete_instance", {"instance_uuid": "nope", "revision": 1}, _unique_id="m9", **TO)
    desk = Desk()

    (answer,) = desk.process(_delivery(body))

    assert answer.to == interfaces.ReplyTo("call-1", "answers")
    assert (answer.reply["outcome"], answer.reply["message_id"]) == ("parked", "m9")
    assert answer.reply["reason"] == desk.store.parked[0].reason


def test_a_message_is_parked_with_all_that_a_replay_needs_and_no_token() -> None:
    desk = Desk(queue="accounts")

    desk.process(_delivery(BAD.body, headers={"x-a": 1}, content_encoding="utf-8"))

    (kept,) = desk.store.parked
    assert kept.headers == {"x-a": 1, "content_type": "application/json", "content_encoding": "utf-8"}
    assert (kept.message_id, kept.field, kept.queue, kept.parked_at) == ("bad", "instance", "accounts", builders.NOW)
    assert stands.TOKEN.encode() not in kept.body
    assert json.loads(json.loads(kept.body)["oslo.message"])["args"] == {"instance": None}


def test_bodies_that_may_not_be_kept_stay_two_messages() -> None:
    headers = {"compression": "application/x-gzip"}
    desk = Desk()

    assert desk.words(_delivery(b"one", headers=headers), _delivery(b"two", headers=headers)) == ["parked", "parked"]
    assert len({kept.headers["withheld"] for kept in desk.store.parked}) == 2


def test_the_id_and_method_of_what_cannot_be_decoded_are_kept_where_they_can_be_read() -> None:
    desk = Desk()

    desk.process(_delivery(stands.body("update_instance", [], _unique_id="m9")), _delivery(b"hello"))

    assert [(kept.message_id, kept.method) for kept in desk.store.parked] == [("m9", "update_instance"), (None, None)]


def test_a_message_that_cannot_be_parked_is_parked_with_less() -> None:
    desk = Desk(max_attempts=3)
    desk.plan.commit = [ValueError("no such header")] * 3

    assert desk.words(BAD) == ["parked"]
    (kept,) = desk.store.parked
    assert (dict(kept.headers), kept.error, kept.attempts, kept.field) == ({}, "ValueError", 2, None)
    assert kept.reason == "cannot be parked as it is: ValueError"


def test_a_message_that_cannot_be_parked_at_all_is_left_to_the_broker() -> None:
    desk = Desk(max_attempts=2)
    desk.plan.commit = [ValueError("no")] * 9

    with pytest.raises(ValueError, match="no"):
        desk.words(BAD)

    assert desk.store.parked == []


def test_a_dead_letter_is_tried_once_alone() -> None:
    desk = Desk(max_attempts=5)
    desk.plan.poison["m2"] = [ValueError()] * 9

    words = desk.words(_update(1), _dead(_update(2), "delivery_limit"), _dead(_update(3), "rejected"))

    assert words == ["applied", "parked", "applied"]
    assert desk.plan.commits[0] == ["m1"]
    assert [(kept.attempts, kept.queue) for kept in desk.store.parked] == [(1, "accounts.dead")]


def test_a_call_past_its_expiry_is_counted_and_not_applied() -> None:
    desk = Desk()

    (answer,) = desk.process(_dead(_update(1, **TO), "expired"))

    assert (answer.word, answer.to) == ("expired", None)
    assert desk.plan.transactions == 0


def test_an_expired_call_with_wrong_arguments_is_not_parked() -> None:
    desk = Desk()
    call = _delivery(stands.body("delete_instance", {}, **TO))

    assert desk.words(_dead(call, "expired")) == ["expired"]
    assert desk.store.parked == []


def test_an_expired_cast_is_carried_out_since_only_calls_may_be_dropped() -> None:
    desk = Desk()

    assert desk.words(_dead(_update(1), "expired"), _dead(_delivery(b"?"), "expired")) == ["applied", "parked"]


def test_reads_are_answered_by_the_library() -> None:
    desk = Desk()
    desk.library.nodes = {plain.uid(5): {"n": 5}, plain.uid(6): {"n": 6}}
    desk.library.instances = {plain.uid(1): {"i": 1}}

    answers = desk.process(
        _ask("get_node_usage", node_uuid=plain.uid(5)),
        _ask("list_node_usages", marker=plain.uid(5)),
        _ask("get_instance_usage", instance_uuid=plain.uid(1)),
    )

    assert [answer.reply for answer in answers] == [{"n": 5}, [{"n": 6}], {"i": 1}]
    assert {answer.word for answer in answers} == {"read"}
    assert desk.library.asked_at == [builders.NOW]
    assert desk.plan.transactions == 0


def test_a_question_about_what_is_unknown_is_answered_with_an_error_that_names_it() -> None:
    (answer,) = Desk().process(_ask("get_node_usage", node_uuid=plain.uid(5)))

    assert answer.reply == interfaces.RemoteFailure("NotFound", f"node {plain.uid(5)} is not known")


def test_a_question_that_fails_is_parked_and_answered_so() -> None:
    desk = Desk(max_attempts=2)
    desk.library.failure = ValueError("odd")

    words = {answer.word: answer for answer in desk.process(_update(1), _ask("list_node_usages"))}

    assert words.keys() == {"applied", "parked"}
    assert words["parked"].reply["reason"] == "list_node_usages failed: ValueError: odd"
    assert desk.known() == {"m1"}


def test_a_read_in_a_batch_sees_what_the_batch_has_committed() -> None:
    desk = Desk()
    desk.library.nodes = {plain.uid(5): {}}

    words = desk.words(_ask("get_node_usage", node_uuid=plain.uid(5)), _update(1))

    assert words == ["applied", "read"]


def test_the_settings_are_read_anew_for_each_batch() -> None:
    desk = Desk(wire_limits=wire.Limits(message_bytes=10))

    first = desk.words(_update(1))
    desk.settings = engine.Settings()

    assert (first, desk.words(_update(1))) == (["parked"], ["applied"])


def test_an_argument_name_that_no_database_takes_is_parked_in_a_form_that_each_takes() -> None:
    desk = Desk()

    assert desk.words(_delivery(stands.body("update_instance", {"instance": 1, "\ud800\0": 1}, _unique_id="m9"))) == [
        "parked"
    ]
    (kept,) = desk.store.parked
    assert (kept.field, kept.message_id) == ("\\ud800\\x00", "m9")
