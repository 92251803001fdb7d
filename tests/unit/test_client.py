"""UsageAPI without a bus: what goes into a message, and what is refused before anything is sent."""

from __future__ import annotations

import datetime
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg
from oslo_context import context as oslo_context
from oslo_messaging._metrics import client as metrics
from oslo_messaging._tracing import client as tracing

from objects import flavors
from worker import client, errors

WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)


def a_conductor_s(url: str) -> cfg.ConfigOpts:
    """Return the configuration of a conductor, which has none of our options."""
    conf = cfg.ConfigOpts()
    conf.register_opts(tracing.oslo_messaging_tracing, group="oslo_messaging_tracing")
    conf.register_opts(metrics.oslo_messaging_metrics, group="oslo_messaging_metrics")
    conf([], project="conductor", default_config_files=[], default_config_dirs=[])
    oslo_messaging.get_rpc_transport(conf, "fake://").cleanup()
    conf.set_override("transport_url", url)
    return conf


@pytest.fixture(name="conf")
def _conf() -> cfg.ConfigOpts:
    return a_conductor_s("fake://")


def pinned(conf: cfg.ConfigOpts, version: str) -> cfg.ConfigOpts:
    client.UsageAPI(conf).close()
    conf.set_override("stocktake", version, group="upgrade_levels")
    return conf


def test_objects_become_primitives_in_lists_too() -> None:
    flavor = flavors.Flavor(
        flavorid="f", name=None, vcpus=1, memory_mb=1, root_gb=1, ephemeral_gb=0, swap=0, extra_specs={}
    )

    (sent,) = client.Serializer().serialize_entity({}, [flavor])

    assert sent["stocktake_object.name"] == "Flavor"
    assert sent["stocktake_object.data"]["flavorid"] == "f"


def test_a_primitive_is_sent_as_it_is() -> None:
    primitive = {"stocktake_object.name": "Flavor", "stocktake_object.data": {"vcpus": 1}}

    assert client.Serializer().serialize_entity({}, primitive) == primitive


@pytest.mark.parametrize(
    "moment",
    [
        WHEN,
        WHEN.replace(tzinfo=None),
        WHEN.astimezone(datetime.timezone(datetime.timedelta(hours=5))),
    ],
)
def test_a_moment_is_sent_in_utc_to_the_microsecond(moment: datetime.datetime) -> None:
    assert client.Serializer().serialize_entity({}, moment) == "2026-01-02T03:04:05.000006+00:00"


def test_the_token_of_a_request_context_is_not_sent() -> None:
    context = oslo_context.RequestContext(auth_token="secret", user_id="u1", project_id="p1", request_id="req-1")

    sent = client.Serializer().serialize_context(context)

    assert "auth_token" not in sent
    assert (sent["user"], sent["project_id"], sent["request_id"]) == ("u1", "p1", "req-1")


def test_a_dict_context_keeps_its_token_to_itself_and_is_not_changed() -> None:
    context = {"auth_token": "secret", "user": "u1"}

    sent = client.Serializer().serialize_context(context)

    assert sent == {"user": "u1"}
    assert context["auth_token"] == "secret"


def test_a_method_of_the_first_version_needs_the_first_version() -> None:
    assert client.needed_version("claim_instance", {"instance": 1, "limits": None}) == "1.0"


def test_the_newest_of_method_and_arguments_decides_on_the_version() -> None:
    newer = {"move_node": "1.2", "move_node.to": "1.10", "move_node.why": "1.11"}

    assert client.needed_version("move_node", {"to": None, "why": None}, newer) == "1.2"
    assert client.needed_version("move_node", {"to": "x", "why": None}, newer) == "1.10"
    assert client.needed_version("move_node", {"to": "x", "why": "y"}, newer) == "1.11"


def test_an_argument_above_the_pin_is_refused_by_its_name() -> None:
    with pytest.raises(errors.Misconfigured, match=r"\[upgrade_levels\] stocktake: .*claim_instance.* 1\.1.*1\.0"):
        client.check_pin("1.0", "claim_instance", "1.1")


@pytest.mark.parametrize("pin", ["0.9", "2.0"])
def test_a_pin_that_is_not_ours_is_refused_when_the_client_is_built(conf: cfg.ConfigOpts, pin: str) -> None:
    with pytest.raises(errors.Misconfigured, match=rf"\[upgrade_levels\] stocktake: {pin}"):
        client.UsageAPI(pinned(conf, pin))


@pytest.mark.parametrize("pin", ["1.0", "1.7"])
def test_a_pin_that_allows_the_first_version_lets_casts_pass(conf: cfg.ConfigOpts, pin: str) -> None:
    api = client.UsageAPI(pinned(conf, pin))

    api.record_build({}, "00000000-0000-4000-8000-000000000001", succeeded=True)
    api.close()


def test_a_bus_that_would_refuse_each_cast_is_refused_when_the_client_is_built() -> None:
    with pytest.raises(errors.Misconfigured, match=r"\[oslo_messaging_rabbit\] rabbit_quorum_queue: must be true"):
        client.UsageAPI(a_conductor_s("rabbit://127.0.0.1/"))


@pytest.mark.parametrize("option", ["rabbit_quorum_queue", "amqp_durable_queues"])
def test_a_durable_bus_may_be_asked_for_in_the_url(option: str) -> None:
    client.UsageAPI(a_conductor_s(f"rabbit://127.0.0.1/?{option}=true")).close()


@pytest.mark.parametrize("option", ["rabbit_quorum_queue", "amqp_durable_queues"])
def test_a_durable_bus_may_be_asked_for_by_an_option(option: str) -> None:
    conf = a_conductor_s("rabbit://127.0.0.1/")
    oslo_messaging.get_rpc_transport(conf).cleanup()
    conf.set_override(option, True, group="oslo_messaging_rabbit")

    client.UsageAPI(conf).close()


def test_a_transport_of_its_own_is_judged_by_its_own_url(conf: cfg.ConfigOpts) -> None:
    transport = oslo_messaging.get_rpc_transport(conf, "rabbit://127.0.0.1/")

    with pytest.raises(errors.Misconfigured, match="rabbit_quorum_queue"):
        client.UsageAPI(conf, transport=transport)


def heard(conf: cfg.ConfigOpts, exchange: str, topic: str) -> list[Any]:
    """Return what waits in a queue of the fake transport."""
    transport = oslo_messaging.get_rpc_transport(conf)
    queues = transport._driver._exchange_manager.get_exchange(exchange)._topic_queues
    return [message for _, message, *_ in queues.get((topic, None), [])]


def test_casts_go_to_the_topic_and_exchange_that_are_given(conf: cfg.ConfigOpts) -> None:
    api = client.UsageAPI(conf, topic="books", exchange="stocktake")

    api.remove_node({"user": "u1"}, "00000000-0000-4000-8000-000000000001", 3)

    (message,) = heard(conf, "stocktake", "books")
    assert message["method"] == "remove_node"
    assert message["args"] == {"node_uuid": "00000000-0000-4000-8000-000000000001", "revision": 3}
    assert message["version"] == "1.0"
    api.close()


def test_a_conductor_without_our_options_casts_to_the_default_topic(conf: cfg.ConfigOpts) -> None:
    api = client.UsageAPI(conf)

    api.remove_node({}, "00000000-0000-4000-8000-000000000001", 3)

    assert len(heard(conf, conf.control_exchange, "accounts")) == 1
    api.close()
