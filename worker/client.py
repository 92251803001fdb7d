"""What a conductor imports: one method for each RPC method of the accounts.

A method of :class:`UsageAPI` casts: it returns once the broker has the message, and the worker will carry it out. The
same methods of ``api.call(timeout)`` wait for the commit and return the outcome. Reads are always calls.

    api = client.UsageAPI(conf)
    api.update_instance(context, instance)                      # cast
    outcome = api.call(10).claim_instance(context, instance)    # call: {"outcome": "accepted", ...}
    usage = api.get_node_usage(context, node_uuid)              # objects.usages.NodeUsage

Arguments are the objects of ``objects``, or their primitives. ``context`` is a RequestContext or a dict; its token is
not sent.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import oslo_messaging
from oslo_config import cfg
from oslo_utils import versionutils

from objects import stocktake_object
from worker import errors
from worker.conf import upgrade_levels
from worker.conf import worker as worker_options

VERSION = "1.0"
"""The newest RPC version that is sent."""
NEWER_THAN_FIRST: Mapping[str, str] = {}
"""The version that brought a ``method``, or a ``method.argument``, that 1.0 does not have."""
REMOTE_ERRORS = ("objects.exceptions",)
FAKE = "fake"

Context = Any
Outcome = dict[str, Any]
Sent = TypeVar("Sent")


class Serializer(oslo_messaging.NoOpSerializer):  # type: ignore[misc]
    """Objects to primitives and back; a context to a dict without its token."""

    def __init__(self) -> None:
        super().__init__()
        self._objects = stocktake_object.Serializer()

    def serialize_entity(self, context: Context, entity: Any) -> Any:
        """Return the primitive of an object, of a list of objects, or what is plain as it is."""
        if isinstance(entity, datetime.datetime):
            aware = entity if entity.tzinfo else entity.replace(tzinfo=datetime.UTC)
            return aware.astimezone(datetime.UTC).isoformat(timespec="microseconds")
        return self._objects.serialize_entity(context, entity)

    def deserialize_entity(self, context: Context, entity: Any) -> Any:
        """Return the objects that an answer describes."""
        return self._objects.deserialize_entity(context, entity)

    def serialize_context(self, context: Context) -> dict[str, Any]:
        """Return the context as a dict; the token stays here."""
        plain = dict(context) if isinstance(context, Mapping) else context.to_dict()
        plain.pop("auth_token", None)
        return plain


class Methods(Generic[Sent]):
    """The methods that change the accounts; a subclass says how they are sent."""

    def _send(self, context: Context, method: str, **arguments: Any) -> Sent:
        raise NotImplementedError

    def report_node(self, context: Context, node: Any) -> Sent:
        """The node exists and has this much (objects.compute_nodes.ComputeNode)."""
        return self._send(context, "report_node", node=node)

    def remove_node(self, context: Context, node_uuid: str, revision: int) -> Sent:
        """The node is gone."""
        return self._send(context, "remove_node", node_uuid=node_uuid, revision=revision)

    def set_node_disabled(self, context: Context, node_uuid: str, disabled: bool, revision: int) -> Sent:
        """No new instances are to be placed there, or they may be again."""
        return self._send(context, "set_node_disabled", node_uuid=node_uuid, disabled=disabled, revision=revision)

    def record_build(self, context: Context, node_uuid: str, succeeded: bool) -> Sent:
        """A build on the node succeeded or failed."""
        return self._send(context, "record_build", node_uuid=node_uuid, succeeded=succeeded)

    def claim_instance(self, context: Context, instance: Any, limits: Any = None) -> Sent:
        """Admit a new or unshelved instance on the node that it names."""
        return self._send(context, "claim_instance", instance=instance, limits=limits)

    def abort_claim(
        self, context: Context, instance_uuid: str, revision: int, migration_uuid: str | None = None
    ) -> Sent:
        """Withdraw the claim of a build, or with ``migration_uuid`` that of a move; ``revision`` is that record's."""
        return self._send(
            context, "abort_claim", instance_uuid=instance_uuid, revision=revision, migration_uuid=migration_uuid
        )

    def update_instance(self, context: Context, instance: Any) -> Sent:
        """What the instance is now (objects.instances.Instance)."""
        return self._send(context, "update_instance", instance=instance)

    def delete_instance(self, context: Context, instance_uuid: str, revision: int) -> Sent:
        """The instance is gone for good."""
        return self._send(context, "delete_instance", instance_uuid=instance_uuid, revision=revision)

    def claim_migration(self, context: Context, migration: Any, instance: Any, limits: Any = None) -> Sent:
        """Admit the move at its destination; the instance in it is a fact."""
        return self._send(context, "claim_migration", migration=migration, instance=instance, limits=limits)

    def update_migration(self, context: Context, migration: Any, instance: Any = None) -> Sent:
        """What the move, and the instance, are now; a terminal status comes with the instance where it ended."""
        return self._send(context, "update_migration", migration=migration, instance=instance)

    def attach_devices(self, context: Context, instance_uuid: str, requests: Sequence[Any], revision: int) -> Sent:
        """Claim PCI devices for a running instance."""
        return self._send(
            context, "attach_devices", instance_uuid=instance_uuid, requests=list(requests), revision=revision
        )

    def detach_devices(self, context: Context, instance_uuid: str, request_ids: Sequence[str], revision: int) -> Sent:
        """Give the devices of these requests back."""
        return self._send(
            context, "detach_devices", instance_uuid=instance_uuid, request_ids=list(request_ids), revision=revision
        )

    def audit_node(
        self,
        context: Context,
        node_uuid: str,
        instances: Sequence[Any] | None,
        taken_at: datetime.datetime | str,
        authoritative: bool = False,
    ) -> Sent:
        """Recount the node; ``instances`` is the sender's full list of it, read at ``taken_at``."""
        return self._send(
            context,
            "audit_node",
            node_uuid=node_uuid,
            instances=None if instances is None else list(instances),
            taken_at=taken_at,
            authoritative=authoritative,
        )


class UsageAPI(Methods[None]):
    """Sends to the workers of ``topic``, by default that of ``[worker] topic``; safe to share between threads.

    ``transport`` is one of ``oslo_messaging.get_rpc_transport``; a caller that brings its own and wants NotFound rather
    than RemoteError allows ``REMOTE_ERRORS`` on it. ``exchange`` is for a conductor whose own control_exchange is not
    that of the accounts. Raises Misconfigured for a bus or a pin with which no cast could succeed.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        transport: Any = None,
        topic: str | None = None,
        exchange: str | None = None,
    ) -> None:
        self._pin = _pin(conf)
        self._transport = transport or oslo_messaging.get_rpc_transport(conf, allowed_remote_exmods=list(REMOTE_ERRORS))
        _check_durable(self._transport)
        target = oslo_messaging.Target(exchange=exchange, topic=topic or _topic(conf), version=VERSION)
        self._client = oslo_messaging.get_rpc_client(
            self._transport,
            target,
            serializer=Serializer(),
            version_cap=self._pin,
            transport_options=oslo_messaging.TransportOptions(at_least_once=True),
        )

    def call(self, timeout: float | None = None) -> Calls:
        """Return the same methods as calls; ``timeout`` in seconds, by default rpc_response_timeout."""
        return Calls(self, timeout)

    def get_node_usage(self, context: Context, node_uuid: str) -> Any:
        """Return the NodeUsage of a node; raises a NotFound of objects.exceptions for an unknown one."""
        return self.ask(context, "get_node_usage", None, node_uuid=node_uuid)

    def list_node_usages(self, context: Context, marker: str | None = None, limit: int = 100) -> Any:
        """Return up to ``limit`` NodeUsages in the order of their uuids, from after ``marker`` on."""
        return self.ask(context, "list_node_usages", None, marker=marker, limit=limit)

    def get_instance_usage(self, context: Context, instance_uuid: str) -> Any:
        """Return the InstanceUsage of an instance; raises a NotFound of objects.exceptions for an unknown one."""
        return self.ask(context, "get_instance_usage", None, instance_uuid=instance_uuid)

    def ask(self, context: Context, method: str, timeout: float | None, **arguments: Any) -> Any:
        """Call a method by its name and return the answer."""
        return self._prepared(method, arguments, timeout).call(context, method, **arguments)

    def close(self) -> None:
        """Drop the connections."""
        self._transport.cleanup()

    def _send(self, context: Context, method: str, **arguments: Any) -> None:
        self._prepared(method, arguments, None).cast(context, method, **arguments)

    def _prepared(self, method: str, arguments: Mapping[str, Any], timeout: float | None) -> Any:
        version = needed_version(method, arguments)
        check_pin(self._pin, method, version)
        return self._client.prepare(version=version, timeout=timeout)


class Calls(Methods[Outcome]):
    """The methods as calls: each returns the outcome of the committed transaction (contract, section 4)."""

    def __init__(self, api: UsageAPI, timeout: float | None) -> None:
        self._api = api
        self._timeout = timeout

    def _send(self, context: Context, method: str, **arguments: Any) -> Outcome:
        answer: Outcome = self._api.ask(context, method, self._timeout, **arguments)
        return answer


def needed_version(method: str, arguments: Mapping[str, Any], newer: Mapping[str, str] = NEWER_THAN_FIRST) -> str:
    """Return the oldest version that has the method and every argument that says something."""
    names = [method, *(f"{method}.{name}" for name, value in arguments.items() if value is not None)]
    versions = [newer[name] for name in names if name in newer]
    return max(versions, key=versionutils.convert_version_to_tuple, default="1.0")


def check_pin(pin: str | None, method: str, version: str) -> None:
    """Raise Misconfigured if a method needs, with its arguments, a version that is not to be sent yet."""
    if pin is not None and not versionutils.is_compatible(version, pin):
        raise errors.Misconfigured(
            f"[upgrade_levels] stocktake: {method} with these arguments needs version {version}, "
            f"and nothing newer than {pin} is to be sent"
        )


def _pin(conf: cfg.ConfigOpts) -> str | None:
    """Return [upgrade_levels] stocktake; a conductor's own configuration may not know the option yet."""
    # by its name: a group object would carry the values of one configuration into another
    conf.register_opts(upgrade_levels.OPTS, group=upgrade_levels.GROUP.name)
    pin: str | None = conf.upgrade_levels.stocktake
    if pin is not None and not versionutils.is_compatible("1.0", pin):
        raise errors.Misconfigured(
            f"[upgrade_levels] stocktake: {pin} is not a version that is known here; the newest one is {VERSION}"
        )
    return pin


def _topic(conf: cfg.ConfigOpts) -> str:
    """Return [worker] topic, or its default where the configuration is a conductor's own."""
    default: str = next(opt.default for opt in worker_options.OPTS if opt.dest == "topic")
    try:
        return str(conf[worker_options.GROUP.name].topic)
    except cfg.NoSuchOptError:
        return default


def _check_durable(transport: Any) -> None:
    """Refuse options with which oslo would declare the exchange anew, not durable: the broker refuses each cast."""
    # only the driver knows the url that the transport was made with
    if transport._driver._url.transport == FAKE:  # noqa: SLF001
        return
    options = transport.conf.oslo_messaging_rabbit
    if not (options.rabbit_quorum_queue or options.amqp_durable_queues):
        raise errors.Misconfigured(
            "[oslo_messaging_rabbit] rabbit_quorum_queue: must be true (or amqp_durable_queues; or add "
            "?rabbit_quorum_queue=true to transport_url), since the exchange of the accounts is durable"
        )
