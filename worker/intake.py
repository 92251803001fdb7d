"""From a decoded cast to a command of the core: every argument is checked here, once.

What does not pass raises Malformed with the path of the field at fault (``instance.flavor.vcpus: must be ...``).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from objects import claims as claim_objects
from objects import compute_nodes, exceptions, fields, instances, limits, migrations, pci, reading, scalars, typed
from worker import checked, errors, interfaces
from worker.core import commands, records

VERSION = (1, 0)
READS = frozenset({"get_node_usage", "list_node_usages", "get_instance_usage"})
REQUIRED = object()
SHOWN = 60
"""Most characters of a wrong value that an error repeats."""


@dataclasses.dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a method: its field, and what stands for it when it is left out."""

    field: fields.Field[Any]
    default: Any = REQUIRED

    def typed(self, limit: limits.Limits, /) -> Any:
        """Return the annotation of its value."""
        return self.field.typed(limit)

    def filled(self, value: Any, limit: limits.Limits, /) -> Any:
        """Return a checked value in the form of the annotation."""
        return self.field.filled(value, limit)

    def absent(self) -> Callable[[], Any] | None:
        """Return what makes the default, or None if it is required."""
        return None if self.default is REQUIRED else lambda: self.default


def task(envelope: interfaces.Envelope, bounds: limits.Limits = limits.DEFAULT) -> commands.Task:
    """Return what a cast or call tells the worker to do; raises Malformed."""
    _check_target(envelope)
    build = _BUILDERS.get(envelope.method)
    if build is None:
        raise errors.Malformed(f"method: {envelope.method!r} is unknown", field="method")
    given = arguments(envelope, bounds)
    command, subject, revision = build(given)
    return commands.Task(envelope.message_id, cause(envelope, subject, revision), command, envelope.reply is not None)


def query(envelope: interfaces.Envelope, bounds: limits.Limits = limits.DEFAULT) -> dict[str, Any]:
    """Return the checked arguments of a read method; raises Malformed, also when nobody waits for the answer."""
    _check_target(envelope)
    if envelope.reply is None:
        raise errors.Malformed(f"method: {envelope.method} was cast, and only a call can be answered", field="method")
    return msgspec.structs.asdict(arguments(envelope, bounds))


def _check_target(envelope: interfaces.Envelope) -> None:
    if envelope.namespace is not None:
        raise errors.Malformed(f"namespace: must be none, not {envelope.namespace[:SHOWN]!r}", field="namespace")
    major, _, minor = envelope.version.partition(".")
    known = major == str(VERSION[0]) and minor.isascii() and minor.isdigit() and len(minor) <= 9
    if not known or int(minor) > VERSION[1]:
        raise errors.Malformed(
            f"version: {envelope.version[:SHOWN]!r} is unknown; this worker takes 1.0 to {VERSION[0]}.{VERSION[1]}",
            field="version",
        )


def arguments(envelope: interfaces.Envelope, bounds: limits.Limits) -> Any:
    """Return the checked arguments of a method as its structure, defaults filled in; raises Malformed.

    What is in normal form is taken at once. Anything else is read value by value, which tells what is wrong with it.
    """
    kind = _structure(envelope.method, bounds)
    if envelope.plain:
        try:
            return msgspec.convert(envelope.args, kind)
        except (msgspec.ValidationError, RecursionError):
            pass
    return kind(**_read(envelope, bounds))


@functools.lru_cache(maxsize=256)
def _structure(method: str, bounds: limits.Limits) -> type[msgspec.Struct]:
    return typed.structure(method, _KNOWN[method], bounds)


def _read(envelope: interfaces.Envelope, bounds: limits.Limits) -> dict[str, Any]:
    known = _KNOWN[envelope.method]
    unknown = sorted(envelope.args.keys() - known.keys())
    if unknown:
        raise errors.Malformed(f"{unknown[0]}: {envelope.method} has no such argument", field=unknown[0])
    values = {}
    for name, argument in known.items():
        if name in envelope.args:
            values[name] = argument.filled(_checked(argument, envelope.args[name], name, bounds), bounds)
        elif argument.default is REQUIRED:
            raise errors.Malformed(f"{name}: is missing", field=name)
    return values


def _checked(argument: Argument, value: Any, name: str, bounds: limits.Limits) -> Any:
    try:
        return reading.check(argument.field, value, name, bounds)
    except exceptions.InvalidField as error:
        raise errors.Malformed(str(error), field=error.path) from None


def cause(envelope: interfaces.Envelope, subject: str | None, revision: int | None) -> commands.Cause:
    """Return which message it is and on whose behalf; ``subject`` is the uuid of what it is about."""
    context = envelope.context
    return commands.Cause(
        message_id=envelope.message_id,
        method=envelope.method,
        request_id=_text(context.get("request_id")),
        global_request_id=_text(context.get("global_request_id")),
        user_id=_text(context.get("user")),
        project_id=_text(context.get("project") or context.get("project_id")),
        consumer_uuid=subject,
        revision=revision,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= limits.DEFAULT.string_length else None


Built = tuple[commands.Command, str, int | None]


def _report_node(given: Any) -> Built:
    report = checked.compute_node(given.node)
    return commands.ReportNode(report, checked.digest(report)), report.uuid, report.revision


def _remove_node(given: Any) -> Built:
    return commands.RemoveNode(given.node_uuid, given.revision), given.node_uuid, given.revision


def _set_node_disabled(given: Any) -> Built:
    command = commands.SetNodeDisabled(given.node_uuid, given.disabled, given.revision)
    return command, given.node_uuid, given.revision


def _record_build(given: Any) -> Built:
    return commands.RecordBuild(given.node_uuid, given.succeeded), given.node_uuid, None


def _claim_instance(given: Any) -> Built:
    record = checked.instance(given.instance)
    for name in ("host", "node"):
        if not getattr(record, name):
            raise errors.Malformed(f"instance.{name}: is required for a claim", field=f"instance.{name}")
    return commands.ClaimInstance(record, _limits(given.limits)), record.uuid, record.revision


def _abort_claim(given: Any) -> Built:
    command = commands.AbortClaim(given.instance_uuid, given.revision, given.migration_uuid)
    return command, given.migration_uuid or given.instance_uuid, given.revision


def _update_instance(given: Any) -> Built:
    record = checked.instance(given.instance)
    return commands.UpdateInstance(record), record.uuid, record.revision


def _delete_instance(given: Any) -> Built:
    return commands.DeleteInstance(given.instance_uuid, given.revision), given.instance_uuid, given.revision


def _claim_migration(given: Any) -> Built:
    record = checked.instance(given.instance)
    migration = _move_of(given.migration, record)
    if migration.dest is None:
        raise errors.Malformed("migration.dest_node: is required for a claim", field="migration.dest_node")
    return commands.ClaimMigration(migration, record, _limits(given.limits)), migration.uuid, migration.revision


def _update_migration(given: Any) -> Built:
    record = None if given.instance is None else checked.instance(given.instance)
    migration = _move_of(given.migration, record)
    return commands.UpdateMigration(migration, record), migration.uuid, migration.revision


def _move_of(given: Any, record: records.Instance | None) -> records.Move:
    migration = checked.move(given)
    if record is not None and record.uuid != migration.instance_uuid:
        raise errors.Malformed(
            f"instance.uuid: {record.uuid} is not migration.instance_uuid {migration.instance_uuid}",
            field="instance.uuid",
        )
    return migration


def _attach_devices(given: Any) -> Built:
    requests = checked.device_requests(given.requests, "requests")
    command = commands.AttachDevices(given.instance_uuid, requests, given.revision)
    return command, given.instance_uuid, given.revision


def _detach_devices(given: Any) -> Built:
    command = commands.DetachDevices(given.instance_uuid, tuple(given.request_ids), given.revision)
    return command, given.instance_uuid, given.revision


def _audit_node(given: Any) -> Built:
    listed = given.instances
    command = commands.AuditNode(
        given.node_uuid,
        None
        if listed is None
        else tuple(checked.instance(one, f"instances[{place}]") for place, one in enumerate(listed)),
        checked.microseconds(given.taken_at, "taken_at"),
        given.authoritative,
    )
    return command, given.node_uuid, None


def _limits(given: Any) -> records.Limits | None:
    if given is None:
        return None
    return records.Limits(given.data.cpu_allocation_ratio, given.data.ram_allocation_ratio)


_UUID = Argument(fields.UUIDField())
_OTHER_UUID = Argument(fields.UUIDField(nullable=True), None)
_REVISION = Argument(fields.RevisionField())
_FLAG = Argument(fields.BooleanField())
_LIMITS = Argument(fields.ObjectField(claim_objects.Limits, nullable=True), None)
_INSTANCE = Argument(fields.ObjectField(instances.Instance))
_MIGRATION = Argument(fields.ObjectField(migrations.Migration))

_ARGUMENTS: Mapping[str, Mapping[str, Argument]] = {
    "report_node": {"node": Argument(fields.ObjectField(compute_nodes.ComputeNode))},
    "remove_node": {"node_uuid": _UUID, "revision": _REVISION},
    "set_node_disabled": {"node_uuid": _UUID, "disabled": _FLAG, "revision": _REVISION},
    "record_build": {"node_uuid": _UUID, "succeeded": _FLAG},
    "claim_instance": {"instance": _INSTANCE, "limits": _LIMITS},
    "abort_claim": {"instance_uuid": _UUID, "revision": _REVISION, "migration_uuid": _OTHER_UUID},
    "update_instance": {"instance": _INSTANCE},
    "delete_instance": {"instance_uuid": _UUID, "revision": _REVISION},
    "claim_migration": {"migration": _MIGRATION, "instance": _INSTANCE, "limits": _LIMITS},
    "update_migration": {
        "migration": _MIGRATION,
        "instance": Argument(fields.ObjectField(instances.Instance, nullable=True), None),
    },
    "attach_devices": {
        "instance_uuid": _UUID,
        "requests": Argument(fields.ListOfObjectsField(pci.InstancePCIRequest)),
        "revision": _REVISION,
    },
    "detach_devices": {
        "instance_uuid": _UUID,
        "request_ids": Argument(fields.ListField(scalars.UUID())),
        "revision": _REVISION,
    },
    "audit_node": {
        "node_uuid": _UUID,
        "instances": Argument(
            fields.ListOfObjectsField(instances.Instance, limit="audit_instances", nullable=True), None
        ),
        "taken_at": Argument(fields.DateTimeField()),
        "authoritative": Argument(fields.BooleanField(), False),
    },
}

_QUERIES: Mapping[str, Mapping[str, Argument]] = {
    "get_node_usage": {"node_uuid": _UUID},
    "list_node_usages": {
        "marker": _OTHER_UUID,
        "limit": Argument(fields.IntegerField(minimum=1, maximum=1000), 100),
    },
    "get_instance_usage": {"instance_uuid": _UUID},
}

_KNOWN = {**_ARGUMENTS, **_QUERIES}

_BUILDERS: Mapping[str, Callable[[Any], Built]] = {
    "report_node": _report_node,
    "remove_node": _remove_node,
    "set_node_disabled": _set_node_disabled,
    "record_build": _record_build,
    "claim_instance": _claim_instance,
    "abort_claim": _abort_claim,
    "update_instance": _update_instance,
    "delete_instance": _delete_instance,
    "claim_migration": _claim_migration,
    "update_migration": _update_migration,
    "attach_devices": _attach_devices,
    "detach_devices": _detach_devices,
    "audit_node": _audit_node,
}
