"""The recipe for tests of conductors and of notification consumers: ``fake://``, a worker beside the code under test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg

from objects import exceptions
from tests import bus_sides, plain, stands
from worker import client, wiring

CONTEXT = {"request_id": "req-1", "user": "u1", "project": "p1"}
NODE, INSTANCE = plain.node(1), plain.instance(1)


class Heard:
    """A notification endpoint of oslo.messaging: what it heard, by type."""

    def __init__(self) -> None:
        self.payloads: dict[str, Any] = {}

    def info(self, context: Any, publisher_id: str, event_type: str, payload: Any, metadata: Any) -> None:  # noqa: ARG002
        self.payloads[event_type] = plain.data(payload)

    warn = error = info


@pytest.fixture
def conf() -> Iterator[cfg.ConfigOpts]:
    """A configuration whose bus is in this process, with a worker at work on it."""
    made = stands.configuration("fake://", "sqlite://")
    with wiring.embedded(made, "fake://"), wiring.Running(made):
        yield made


@pytest.fixture
def heard(conf: cfg.ConfigOpts) -> Iterator[Heard]:
    endpoint = Heard()
    transport = oslo_messaging.get_notification_transport(conf)
    target = oslo_messaging.Target(topic="stocktake_notifications")
    listener = oslo_messaging.get_notification_listener(transport, [target], [endpoint], executor="threading")
    listener.start()
    yield endpoint
    listener.stop()
    listener.wait()


def test_a_conductors_casts_are_accounted_and_its_notifications_heard(conf: cfg.ConfigOpts, heard: Heard) -> None:
    api = client.UsageAPI(conf)

    api.report_node(CONTEXT, NODE)
    api.claim_instance(CONTEXT, INSTANCE)

    bus_sides.until(lambda: "claim.accept" in heard.payloads, "the claim to be announced")
    assert api.get_node_usage(CONTEXT, plain.node_uuid(1)).vcpus_used == 1
    assert heard.payloads["allocation.update"]["allocations"] == {plain.node_uuid(1): plain.SMALL}


def test_a_call_is_answered_after_the_commit(conf: cfg.ConfigOpts) -> None:
    api = client.UsageAPI(conf)

    answers = [api.call(10).report_node(CONTEXT, NODE), api.call(10).claim_instance(CONTEXT, INSTANCE)]

    assert [answer["outcome"] for answer in answers] == ["applied", "accepted"]
    assert api.get_instance_usage(CONTEXT, plain.uid(1)).host == "compute-1"


def test_what_is_unknown_is_not_found(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(exceptions.NotFound, match=plain.uid(77)):
        client.UsageAPI(conf).get_node_usage(CONTEXT, plain.uid(77))


def test_what_cannot_be_taken_is_parked_and_announced(conf: cfg.ConfigOpts, heard: Heard) -> None:
    client.UsageAPI(conf).delete_instance(CONTEXT, "nope", 1)

    bus_sides.until(lambda: "cast.park" in heard.payloads, "the parking to be announced")
    assert heard.payloads["cast.park"]["field"] == "instance_uuid"


def test_a_plain_client_needs_none_of_our_code(conf: cfg.ConfigOpts) -> None:
    transport = oslo_messaging.get_rpc_transport(conf)
    target = oslo_messaging.Target(exchange="stocktake", topic="accounts", version="1.0")
    plain_client = oslo_messaging.get_rpc_client(transport, target, timeout=10)

    plain_client.cast(CONTEXT, "report_node", node=NODE)
    answer = plain_client.call(CONTEXT, "update_instance", instance=INSTANCE)

    assert answer["outcome"] == "applied"
