"""The main job as an independent party sees it: casts and calls in, accounts, answers and notifications out.

One suite for every bus and database; a test class of ``functional`` or ``integration`` brings the fixture ``stand``.
"""

from __future__ import annotations

import oslo_messaging
import pytest

from objects import exceptions
from tests import bus_sides, plain, stands

WHEN = "2099-01-02T03:04:05.000000+00:00"


class MainJob:
    """What holds on every bus and every database."""

    def test_each_method_may_be_cast(self, stand: stands.Stand) -> None:
        conductor = stand.conductor

        conductor.cast("report_node", node=plain.node(1))
        conductor.cast("report_node", node=plain.node(2))
        conductor.cast("claim_instance", instance=plain.instance(1, vm_state="building"), limits=None)
        conductor.cast("update_instance", instance=plain.instance(1, revision=2))
        conductor.cast("update_instance", instance=plain.instance(2))
        conductor.cast("claim_instance", instance=plain.instance(3), limits=plain.limits())
        conductor.cast("abort_claim", instance_uuid=plain.uid(3), revision=2)
        conductor.cast("claim_migration", migration=plain.migration(), instance=_resizing(2), limits=None)
        conductor.cast("update_migration", migration=plain.migration(1, 2, "finished"), instance=None)
        conductor.cast("delete_instance", instance_uuid=plain.uid(2), revision=9)
        conductor.cast("attach_devices", instance_uuid=plain.uid(1), requests=[plain.request()], revision=1)
        conductor.cast("detach_devices", instance_uuid=plain.uid(1), request_ids=[plain.uid(800_001)], revision=2)
        conductor.cast("set_node_disabled", node_uuid=plain.node_uuid(1), disabled=True, revision=5)
        conductor.cast("record_build", node_uuid=plain.node_uuid(1), succeeded=False)
        conductor.cast("audit_node", node_uuid=plain.node_uuid(1), instances=None, taken_at=WHEN)
        conductor.cast("report_node", node=plain.node(3))
        conductor.cast("remove_node", node_uuid=plain.node_uuid(3), revision=2)
        stand.finish()

        assert stand.parked() == []
        assert (conductor.used(1), conductor.used(2)) == (plain.SMALL, plain.BIG)
        first = conductor.usage(1)
        assert (first["disabled"], first["stats"]["failed_builds"]) == (True, 1)
        assert (first["memory_mb_used"], first["free_ram_mb"]) == (1024, 16384 - 1024)
        assert [plain.data(one)["host"] for one in conductor.call("list_node_usages")] == ["compute-1", "compute-2"]

    def test_each_method_may_be_called_and_says_what_became_of_it(self, stand: stands.Stand) -> None:
        call = stand.conductor.call
        call("report_node", node=plain.node(2))

        answers = [
            call("report_node", node=plain.node(1)),
            call("claim_instance", instance=plain.instance(1, vm_state="building"), limits=None),
            call("update_instance", instance=plain.instance(1, revision=2)),
            call("claim_migration", migration=plain.migration(), instance=_resizing(3), limits=plain.limits(1.0, 1.0)),
            call("update_migration", migration=plain.migration(1, 2, "finished"), instance=None),
            call("abort_claim", instance_uuid=plain.uid(1), revision=3, migration_uuid=plain.uid(900_001)),
            call("delete_instance", instance_uuid=plain.uid(1), revision=9),
            call("set_node_disabled", node_uuid=plain.node_uuid(1), disabled=True, revision=5),
            call("record_build", node_uuid=plain.node_uuid(1), succeeded=False),
            call("audit_node", node_uuid=plain.node_uuid(1), instances=[], taken_at=WHEN, authoritative=True),
            call("remove_node", node_uuid=plain.node_uuid(1), revision=9),
        ]

        assert [answer["outcome"] for answer in answers] == ["applied", "accepted", "applied", "accepted"] + [
            "applied"
        ] * 7
        assert all(set(answer) == OUTCOME_KEYS for answer in answers)
        assert len({answer["message_id"] for answer in answers}) == len(answers)
        assert answers[1]["node_uuid"] == plain.node_uuid(1)
        assert answers[1]["detail"]["allocations"] == {plain.node_uuid(1): plain.SMALL}
        assert answers[3]["detail"]["allocations"] == {plain.node_uuid(1): plain.SMALL, plain.node_uuid(2): plain.BIG}

    def test_a_claim_that_does_not_fit_is_refused_with_what_lacked(self, stand: stands.Stand) -> None:
        stand.conductor.call("report_node", node=plain.node(1, vcpus=1, local_gb=15))
        huge = plain.instance(1, flavor=plain.flavor("big"))

        answer = stand.conductor.call("claim_instance", instance=huge, limits=None)

        assert answer["outcome"] == "refused"
        assert "VCPU" in answer["reason"]
        assert "DISK_GB" in answer["reason"]
        assert "MEMORY_MB" not in answer["reason"]
        assert stand.conductor.used(1) == {}
        with pytest.raises(oslo_messaging.RemoteError, match=plain.uid(1)):
            stand.conductor.call("get_instance_usage", instance_uuid=plain.uid(1))

    def test_a_claim_on_a_node_that_nobody_reported_is_refused(self, stand: stands.Stand) -> None:
        answer = stand.conductor.call("claim_instance", instance=plain.instance(1), limits=None)

        assert answer["outcome"] == "refused"
        assert "compute-1" in answer["reason"]

    def test_an_older_revision_is_stale_and_changes_nothing(self, stand: stands.Stand) -> None:
        stand.conductor.call("report_node", node=plain.node(1))
        stand.conductor.call("update_instance", instance=plain.instance(1, revision=5))

        answer = stand.conductor.call("update_instance", instance=plain.instance(1, revision=4, on=None))

        assert answer["outcome"] == "stale"
        assert stand.conductor.used(1) == plain.SMALL

    def test_a_wrong_argument_of_a_call_is_answered_with_parked_and_its_field(self, stand: stands.Stand) -> None:
        answer = stand.conductor.call("delete_instance", instance_uuid="nope", revision=1)

        (kept,) = stand.parked()
        assert (answer["outcome"], answer["message_id"]) == ("parked", kept.message_id)
        assert answer["reason"] == kept.reason
        assert (kept.field, kept.method) == ("instance_uuid", "delete_instance")

    def test_the_same_message_twice_counts_once_and_a_repeated_call_hears_the_first_answer(
        self, stand: stands.Stand
    ) -> None:
        stand.conductor.call("report_node", node=plain.node(1))
        call = {"_msg_id": "m-1", "_reply_q": "answers"}
        body = stands.body("claim_instance", {"instance": plain.instance(1), "limits": None}, **call)

        first, second = stand.answers(2, body, body)

        assert first["outcome"] == "accepted"
        assert second == first
        assert stand.outcomes()["duplicate"] == 1
        assert stand.conductor.used(1) == plain.SMALL

    def test_reads_answer_from_committed_rows(self, stand: stands.Stand) -> None:
        for number in (1, 2, 3):
            stand.conductor.cast("report_node", node=plain.node(number))
        stand.conductor.cast("update_instance", instance=plain.instance(1))

        page = stand.conductor.call("list_node_usages", marker=plain.node_uuid(1), limit=1)
        usage = plain.data(stand.conductor.call("get_instance_usage", instance_uuid=plain.uid(1)))

        assert [plain.data(one)["uuid"] for one in page] == [plain.node_uuid(2)]
        assert (usage["vm_state"], usage["host"], usage["migrations"]) == ("active", "compute-1", [])
        assert usage["allocations"] == {
            plain.node_uuid(1): {name: {"amount": n, "settled": n} for name, n in plain.SMALL.items()}
        }

    def test_what_is_unknown_is_a_remote_error_that_names_it(self, stand: stands.Stand) -> None:
        with pytest.raises(oslo_messaging.RemoteError) as raised:
            stand.conductor.call("get_node_usage", node_uuid=plain.uid(77))

        assert raised.value.exc_type == "NotFound"
        assert plain.uid(77) in raised.value.value

    def test_what_is_unknown_is_our_own_error_for_whom_allows_our_module(self, stand: stands.Stand) -> None:
        client = stand.conductor.client(exmods=["objects.exceptions"])

        with pytest.raises(exceptions.NotFound, match=plain.uid(77)):
            client.call({}, "get_instance_usage", instance_uuid=plain.uid(77))

    def test_a_listener_hears_of_provider_allocation_and_claim(self, stand: stands.Stand) -> None:
        stand.conductor.call("report_node", node=plain.node(1))
        stand.conductor.call("claim_instance", instance=plain.instance(1), limits=None)
        stand.conductor.call("claim_instance", instance=plain.instance(2, flavor=_gigantic()), limits=None)
        stand.conductor.call("delete_instance", instance_uuid=plain.uid(1), revision=2)

        # oslo.messaging's listener hands them to a pool of threads, in no order
        providers = sorted(stand.listener.wait("resource_provider.", 3), key=lambda one: one["sequence"])
        allocations = sorted(stand.listener.wait("allocation.update", 2), key=lambda one: one["consumer_generation"])
        (accepted,) = stand.listener.wait("claim.accept")
        (refused,) = stand.listener.wait("claim.refuse")

        assert [one["sequence"] for one in providers] == [1, 2, 3]
        assert [one["delta"] for one in providers][1:] == [
            plain.SMALL, {name: -amount for name, amount in plain.SMALL.items()},
        ]  # fmt: skip
        assert providers[1]["inventories"]["MEMORY_MB"]["stocktake_object.data"]["reserved"] == 512
        assert [one["allocations"] for one in allocations] == [{plain.node_uuid(1): plain.SMALL}, {}]
        assert (accepted["instance_uuid"], accepted["requested"]) == (plain.uid(1), plain.SMALL)
        assert (refused["instance_uuid"], refused["outcome"]) == (plain.uid(2), "refused")

    def test_a_notification_says_who_caused_it_and_where_it_comes_from(self, stand: stands.Stand) -> None:
        answer = stand.conductor.call("report_node", node=plain.node(1))

        (provider,) = stand.listener.wait("resource_provider.create")
        (cause,) = map(plain.data, provider["causes"])

        (heard,) = [one for one in stand.listener.heard if one["event_type"] == "resource_provider.create"]
        assert (heard["publisher_id"], heard["priority"]) == ("stocktake:compute-1", "INFO")
        assert heard["id"] == provider["event_id"]
        assert cause["message_id"] == answer["message_id"]
        assert (cause["method"], cause["consumer_uuid"]) == ("report_node", plain.node_uuid(1))
        assert (cause["user_id"], cause["project_id"]) == ("u1", "p1")
        assert cause["request_id"].startswith("req-1111")

    def test_a_move_is_counted_on_both_sides_until_it_ends(self, stand: stands.Stand) -> None:
        conductor = stand.conductor
        for number in (1, 2):
            conductor.cast("report_node", node=plain.node(number))
        conductor.cast("update_instance", instance=plain.instance(1))

        conductor.call("claim_migration", migration=plain.migration(), instance=_resizing(2), limits=None)
        during = conductor.used(1), conductor.used(2)
        there = plain.instance(1, revision=3, on=2, flavor=plain.flavor("big"))
        conductor.call("update_migration", migration=plain.migration(1, 9, "confirmed"), instance=there)

        assert during == (plain.SMALL, plain.BIG)
        assert (conductor.used(1), conductor.used(2)) == ({}, plain.BIG)

    def test_a_senders_token_is_stored_nowhere(self, stand: stands.Stand) -> None:
        stand.conductor.cast("report_node", node=plain.node(1))
        stand.conductor.cast("claim_instance", instance=plain.instance(1), limits=None)
        stand.conductor.cast("no_such_method", why="")
        stand.finish()

        stored = stands.everything_stored(stand.bind)

        assert "no_such_method" in stored
        assert stands.TOKEN not in stored
        assert "_context_auth_token" not in stored

    def test_everything_heard_is_marked_as_sent(self, stand: stands.Stand) -> None:
        stand.conductor.call("report_node", node=plain.node(1))

        bus_sides.until(lambda: stands.nothing_is_due(stand.bind), "the relay to mark what it has sent")

        assert len(stand.listener.wait("resource_provider.")) == 1


OUTCOME_KEYS = {"outcome", "message_id", "node_uuid", "sequence", "reason", "detail"}


def _resizing(revision: int) -> plain.Primitive:
    return plain.instance(1, revision=revision, task_state="resize_migrating")


def _gigantic() -> plain.Primitive:
    return plain.flavor("gigantic", memory_mb=10**6)
