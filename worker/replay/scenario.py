"""Scenario files: lines to operations, everything checked before the first one is carried out.

One JSON object a line; blank lines, lines that start with ``#`` and a first line
without ``op``, a header, are skipped, unknown keys are ignored. An error names the line and the key.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from objects import words
from worker import errors

Check = Callable[[Any], str | None]
"""Returns what is wrong with a value, beginning with a path if it is within the value; None if nothing is."""

_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_AMOUNT_MAX = 2**31 - 1
_TEXT_MAX = 255
SOURCE = "scenario"
"""How errors name a scenario that comes from no file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One operation; ``index`` counts operations from 0, ``line`` lines from 1."""

    index: int
    line: int
    name: str
    keys: Mapping[str, Any]

    @property
    def instance(self) -> str:
        """The label or uuid of the instance that it is about."""
        return str(self.keys["instance"])

    @property
    def host(self) -> str:
        """The compute service that it is about."""
        return str(self.keys["host"])

    @property
    def node(self) -> str:
        """The hypervisor that it is about; left out, it has the name of the host."""
        return str(self.keys.get("node") or self.host)


def read(lines: Iterable[str], source: str = SOURCE) -> list[Operation]:
    """Return the operations of a scenario; raises Misconfigured, naming ``source``, for one that cannot be followed."""
    try:
        return _operations(lines)
    except errors.Misconfigured as error:
        raise errors.Misconfigured(f"{source}: {error}") from error


def _operations(lines: Iterable[str]) -> list[Operation]:
    operations: list[Operation] = []
    flavors: dict[str, tuple[int, Any]] = {}
    for place, (number, keys) in enumerate(_objects(lines)):
        if place == 0 and "op" not in keys:
            continue
        operation = Operation(len(operations), number, _name(number, keys), keys)
        _check_keys(operation)
        _check_flavor(operation, flavors)
        operations.append(operation)
    return operations


def _objects(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in enumerate(lines, 1):
        if not text.strip() or text.startswith("#"):
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise errors.Misconfigured(f"line {number}: is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise errors.Misconfigured(f"line {number}: is not a JSON object")
        yield number, value


def _name(number: int, keys: Mapping[str, Any]) -> str:
    name = keys.get("op")
    if not isinstance(name, str) or name not in OPERATIONS:
        raise errors.Misconfigured(f"line {number}: op: must be one of {', '.join(OPERATIONS)}, not {name!r}")
    return name


def _check_keys(operation: Operation) -> None:
    for key in OPERATIONS[operation.name]:
        if key not in operation.keys:
            raise errors.Misconfigured(f"line {operation.line}: {operation.name}: {key}: is missing")
    for key, check in KEYS.items():
        if key in operation.keys:
            problem = check(operation.keys[key])
            if problem is not None:
                raise errors.Misconfigured(f"line {operation.line}: {operation.name}: {key}{problem}")


def _check_flavor(operation: Operation, known: dict[str, tuple[int, Any]]) -> None:
    flavor = operation.keys.get("flavor")
    if flavor is None:
        return
    line, first = known.setdefault(flavor["id"], (operation.line, flavor))
    if first != flavor:
        raise errors.Misconfigured(
            f"line {operation.line}: {operation.name}: flavor: differs from the flavor {flavor['id']!r} of line {line}"
        )


def _text(value: Any) -> str | None:
    fits = isinstance(value, str) and 0 < len(value) <= _TEXT_MAX and value.isprintable()
    return None if fits else f": must be text of 1 to {_TEXT_MAX} characters, not {_shown(value)}"


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else f": must be true or false, not {_shown(value)}"


def _whole(value: Any) -> str | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _AMOUNT_MAX
    return None if fits else f": must be a whole number from 0 to {_AMOUNT_MAX}, not {_shown(value)}"


def _ratio(value: Any) -> str | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _AMOUNT_MAX
    return None if fits else f": must be a number above 0, not {_shown(value)}"


def _uuid(value: Any) -> str | None:
    return None if isinstance(value, str) and _UUID.fullmatch(value) else f": must be a uuid, not {_shown(value)}"


def _page_size(value: Any) -> str | None:
    return None if value in {"small", "large", "any"} else _whole(value)


def _specs(value: Any) -> str | None:
    fits = isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    return None if fits else f": must be an object of texts, not {_shown(value)}"


def _one_of(*known: str) -> Check:
    def check(value: Any) -> str | None:
        return None if value in known else f": must be one of {', '.join(known)}, not {_shown(value)}"

    return check


def _or_null(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _list(check: Check) -> Check:
    def check_all(value: Any) -> str | None:
        if not isinstance(value, list):
            return f": must be a list, not {_shown(value)}"
        problems = ((number, check(one)) for number, one in enumerate(value))
        return next((f"[{number}]{problem}" for number, problem in problems if problem is not None), None)

    return check_all


def _object(required: Mapping[str, Check], **optional: Check) -> Check:
    known = {**required, **optional}

    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return f": must be an object, not {_shown(value)}"
        missing = next((key for key in required if key not in value), None)
        if missing is not None:
            return f".{missing}: is missing"
        problems = ((key, known[key](one)) for key, one in value.items() if key in known)
        return next((f".{key}{problem}" for key, problem in problems if problem is not None), None)

    return check


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "..."


_LIMITS = _or_null(
    _object({}, cpu_allocation_ratio=_or_null(_ratio), ram_allocation_ratio=_or_null(_ratio)),
)
_CELL = _object(
    {"id": _whole, "memory_mb": _whole},
    cpus=_list(_whole),
    pcpus=_list(_whole),
    siblings=_list(_list(_whole)),
    pages=_list(_object({"size_kb": _whole, "total": _whole}, reserved=_whole)),
)
_DEVICE = _object(
    {"address": _text, "vendor_id": _text, "product_id": _text, "dev_type": _one_of(*words.DEVICE_TYPES)},
    parent_addr=_or_null(_text),
    numa_node=_or_null(_whole),
)
_NUMA = _object(
    {},
    nodes=_or_null(_whole),
    cpu_policy=_or_null(_one_of(*words.CPU_POLICIES)),
    cpu_thread_policy=_or_null(_one_of(*words.CPU_THREAD_POLICIES)),
    page_size=_or_null(_page_size),
    dedicated_cpus=_or_null(_text),
    cells=_or_null(_list(_object({"cpus": _list(_whole), "memory_mb": _whole}))),
)
_FLAVOR = _object(
    {"id": _text, "vcpus": _whole, "memory_mb": _whole, "root_gb": _whole},
    ephemeral_gb=_whole,
    swap_mb=_whole,
    numa=_or_null(_NUMA),
    pci_requests=_list(
        _object({"count": _whole, "spec": _list(_specs)}, numa_policy=_or_null(_one_of(*words.DEVICE_NUMA_POLICIES))),
    ),
)

KEYS: Mapping[str, Check] = {
    "host": _text,
    "node": _or_null(_text),
    "instance": _text,
    "uuid": _or_null(_uuid),
    "resources": _object({"vcpus": _whole, "memory_mb": _whole, "local_gb": _whole}),
    "reserved": _object({}, vcpus=_whole, memory_mb=_whole, disk_mb=_whole),
    "allocation_ratio": _object({}, vcpus=_or_null(_ratio), memory_mb=_or_null(_ratio), disk=_or_null(_ratio)),
    "numa_cells": _or_null(_list(_CELL)),
    "pci_devices": _or_null(_list(_DEVICE)),
    "pci_device_spec": _list(_specs),
    "flavor": _FLAVOR,
    "volume_backed": _boolean,
    "project_id": _or_null(_text),
    "os_type": _or_null(_text),
    "limits": _LIMITS,
    "vm_state": _one_of(*words.VM_STATES),
    "task_state": _or_null(_text),
    "notify": _boolean,
    "lost": _boolean,
    "claim": _one_of("always", "as_nova"),
}
"""How each key is checked where it is given."""

_PLACE = ("host",)
_GUEST = ("instance",)
_BOTH = ("instance", "host")

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "node_report": ("host", "resources"),
    "node_remove": _PLACE,
    "audit": _PLACE,
    "service_restart": _PLACE,
    "build_claim": _BOTH,
    "abort_claim": _GUEST,
    "build_succeeded": _PLACE,
    "build_failed": _PLACE,
    "instance_state": _GUEST,
    "delete": _GUEST,
    "shelve_offload": _GUEST,
    "unshelve_claim": _BOTH,
    "resize_claim": _BOTH,
    "resize_source": _GUEST,
    "resize_finish": _GUEST,
    "resize_confirm": _GUEST,
    "resize_revert": _GUEST,
    "live_migration_claim": _BOTH,
    "live_migration_complete": _GUEST,
    "live_migration_rollback": _GUEST,
    "evacuate_claim": _BOTH,
    "evacuate_finish": _GUEST,
    "evacuate_source_recover": _PLACE,
}
"""The keys that each operation must have."""
