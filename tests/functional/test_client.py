"""UsageAPI at work: each of its methods, cast and called, against a worker."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import oslo_messaging
import pytest
from oslo_context import context as oslo_context

from objects import exceptions, instances, usages
from tests import bus_sides, plain, stands
from worker import client

TOKEN = "gAAAA-the-token-of-a-user"
NOW = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(name="stand", scope="module")
def _stand() -> Iterator[stands.Stand]:
    with stands.embedded(claim_policy="all") as made:
        yield made


@pytest.fixture(name="api")
def _api(stand: stands.Stand) -> Iterator[client.UsageAPI]:
    api = client.UsageAPI(stand.conf)
    yield api
    api.close()


def a_context() -> oslo_context.RequestContext:
    return oslo_context.RequestContext(auth_token=TOKEN, user_id="u1", project_id="p1")


def an_instance(number: int) -> Any:
    """Return an instance as an object, not as a primitive."""
    return instances.Instance.obj_from_primitive(plain.instance(number, on=number))


def test_each_method_can_be_called_and_answers_with_its_outcome(api: client.UsageAPI) -> None:
    call, said = api.call(20), a_context()

    answers = [
        call.report_node(said, plain.node(1)),
        call.report_node(said, plain.node(2)),
        call.set_node_disabled(said, plain.node_uuid(2), disabled=True, revision=5),
        call.record_build(said, plain.node_uuid(2), succeeded=False),
        call.claim_instance(said, plain.instance(1, vm_state="building")),
        call.update_instance(said, plain.instance(1, revision=2)),
        call.claim_migration(said, plain.migration(), plain.instance(1, revision=3)),
        call.update_migration(said, plain.migration(1, 2, "finished")),
        call.abort_claim(said, plain.uid(77), 1),
        call.attach_devices(said, plain.uid(1), [plain.request()], 1),
        call.detach_devices(said, plain.uid(1), [plain.uid(800_001)], 2),
        call.audit_node(said, plain.node_uuid(1), None, NOW),
        call.delete_instance(said, plain.uid(1), 9),
        call.remove_node(said, plain.node_uuid(2), 9),
    ]

    words = [answer["outcome"] for answer in answers]
    assert words[:4] == ["applied"] * 4
    assert words[4:8] == ["accepted", "applied", "accepted", "applied"]
    assert words[8:11] == ["applied", "refused", "applied"]
    assert words[11:] == ["applied"] * 3


def test_a_cast_returns_at_once_and_is_carried_out(api: client.UsageAPI) -> None:
    api.report_node(a_context(), plain.node(5))
    api.update_instance(a_context(), an_instance(5))

    def resident() -> Any:
        found = api.list_node_usages(a_context())
        return [one for one in found if one.host == "compute-5" and one.running_vms == 1]

    (usage,) = bus_sides.until(resident, "the instance on compute-5")
    assert usage.usages["VCPU"]["used"] == 1


def test_reads_return_versioned_usage_objects(api: client.UsageAPI) -> None:
    api.call(20).report_node(a_context(), plain.node(6))
    api.call(20).update_instance(a_context(), plain.instance(6, on=6))

    node = api.get_node_usage(a_context(), plain.node_uuid(6))
    instance = api.get_instance_usage(a_context(), plain.uid(6))

    assert isinstance(node, usages.NodeUsage)
    assert node.memory_mb_used == 512 + 512
    assert isinstance(instance, usages.InstanceUsage)
    assert instance.host == "compute-6"


def test_an_unknown_node_is_a_not_found_of_our_own_module(api: client.UsageAPI) -> None:
    with pytest.raises(exceptions.NotFound, match=plain.node_uuid(99)):
        api.get_node_usage(a_context(), plain.node_uuid(99))


def test_a_call_that_nobody_answers_ends_after_its_own_timeout(stand: stands.Stand) -> None:
    api = client.UsageAPI(stand.conf, topic="nobody-listens")

    with pytest.raises(oslo_messaging.MessagingTimeout):
        api.call(0.2).record_build(a_context(), plain.node_uuid(1), succeeded=True)
    api.close()


def test_nothing_of_the_token_reaches_the_database(api: client.UsageAPI, stand: stands.Stand) -> None:
    api.call(20).update_instance(a_context(), plain.instance(7))

    assert TOKEN not in stands.everything_stored(stand.bind)
