"""The accounts by another hand: a plain, slow reading of contract section 3, to be held against the worker.

It takes the whole history of facts as they are on the wire, keeps for each record the fact that wins, and computes
every figure from those alone. It shares no code with ``worker`` and never looks at what is free: claims are told to
it by their outcome, an admitted one as a fact.
"""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

Fact = tuple[str, Mapping[str, Any]]
"""A method's name and its arguments: objects as dictionaries of their fields."""
Amounts = dict[str, int]
HostNode = tuple[str, str]

UNSUCCESSFUL = ("error", "failed", "cancelled")
ENDED = (*UNSUCCESSFUL, "confirmed", "reverted", "completed", "done")


class Model:
    """All facts so far; every question is answered from scratch."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self.instance_revisions: dict[str, int] = {}
        self.instances: dict[str, Mapping[str, Any] | None] = {}
        self.deleted: set[str] = set()
        self.moves: dict[str, dict[str, dict[str, Any]]] = {}
        self.reports: dict[str, Mapping[str, Any]] = {}
        self.removals: dict[str, int] = {}
        self.disabled: dict[str, tuple[int, bool]] = {}
        for fact in facts:
            self.take(*fact)

    def take(self, method: str, arguments: Mapping[str, Any]) -> None:
        """Take one fact; a method that states none is an error of the test."""
        getattr(self, f"_{method}")(**arguments)

    def _report_node(self, node: Mapping[str, Any]) -> None:
        self._set_node_disabled(node["uuid"], node["disabled"], node["revision"])
        known = self.reports.get(node["uuid"])
        if known is None or node["revision"] > known["revision"]:
            self.reports[node["uuid"]] = node

    def _remove_node(self, node_uuid: str, revision: int) -> None:
        self.removals[node_uuid] = max(revision, self.removals.get(node_uuid, -1))

    def _set_node_disabled(self, node_uuid: str, disabled: bool, revision: int) -> None:
        if revision > self.disabled.get(node_uuid, (-1, False))[0]:
            self.disabled[node_uuid] = (revision, disabled)

    def _update_instance(self, instance: Mapping[str, Any]) -> None:
        name = instance["uuid"]
        if instance["vm_state"] == "deleted":
            self.deleted.add(name)
        elif instance["revision"] > self.instance_revisions.get(name, -1):
            self.instance_revisions[name] = instance["revision"]
            self.instances[name] = instance

    def _delete_instance(self, instance_uuid: str, revision: int) -> None:  # noqa: ARG002 - a deletion needs none
        self.deleted.add(instance_uuid)

    def _update_migration(self, migration: Mapping[str, Any], instance: Mapping[str, Any] | None = None) -> None:
        self._move(dict(migration))
        if instance is not None:
            self._update_instance(instance)

    def _claim_instance(self, instance: Mapping[str, Any], limits: object = None) -> None:  # noqa: ARG002
        self._update_instance(instance)

    def _claim_migration(
        self,
        migration: Mapping[str, Any],
        instance: Mapping[str, Any],
        limits: object = None,  # noqa: ARG002
    ) -> None:
        self._update_migration(migration, instance)

    def _abort_claim(self, instance_uuid: str, revision: int, migration_uuid: str | None = None) -> None:
        if migration_uuid is not None:
            self._move(
                {"uuid": migration_uuid, "instance_uuid": instance_uuid, "revision": revision, "status": "error"}
            )
        elif revision > self.instance_revisions.get(instance_uuid, -1):
            self.instance_revisions[instance_uuid] = revision
            self.instances[instance_uuid] = None

    def _move(self, move: dict[str, Any]) -> None:
        moves = self.moves.setdefault(move["instance_uuid"], {})
        known = moves.get(move["uuid"])
        if known is None or _rank(move) > _rank(known):
            moves[move["uuid"]] = move

    def instance(self, name: str) -> Mapping[str, Any] | None:
        """Return the instance's winning record, or None for one that is nowhere."""
        record = self.instances.get(name)
        return None if name in self.deleted or record is None else record

    def deciding_move(self, name: str) -> dict[str, Any] | None:
        """Return the move in progress that says what the instance holds, or None."""
        record = self.instance(name)
        alive = [move for move in self.moves.get(name, {}).values() if move["status"] not in UNSUCCESSFUL]
        if record is None or not alive:
            return None
        newest = max(alive, key=lambda move: (_instant(move["created_at"]), move["uuid"]))
        if newest["status"] in ENDED or _place(record) not in (_source(newest), _destination(newest)):
            return None
        return newest

    def holdings(self, name: str) -> list[dict[str, Any]]:
        """Return what the instance holds: pair, consumer, settled, amounts; one entry a side."""
        record = self.instance(name)
        if record is None or not _on_a_node(record):
            return []
        move = self.deciding_move(name)
        if move is None:
            return [_held(_place(record), name, True, usage(record["flavor"], record))]
        old, new = move.get("old_flavor") or record["flavor"], move.get("new_flavor") or record["flavor"]
        at_source = _place(record) == _source(move)
        if _source(move) == _destination(move):
            at_source = record["flavor"]["flavorid"] == old["flavorid"]
        leaving = name if move["migration_type"] == "evacuation" else move["uuid"]
        sides = [
            _held(_source(move), leaving, at_source, usage(old, record)),
            _held(_destination(move), name, not at_source, usage(new, record)),
        ]
        return [side for side in sides if side["pair"] is not None]

    def names(self) -> list[str]:
        """Return every instance that was ever named."""
        return sorted({*self.instances, *self.moves, *self.deleted})

    def pairs(self) -> list[HostNode]:
        """Return every pair on which something is held or that is reported."""
        held = {side["pair"] for name in self.names() for side in self.holdings(name)}
        return sorted(held | {(report["host"], report["hypervisor_hostname"]) for report in self.reports.values()})

    def reported(self, node_uuid: str) -> bool:
        """Whether the node is reported and was not removed since."""
        return int(self.reports[node_uuid]["revision"]) > self.removals.get(node_uuid, -1)

    def speaker(self, pair: HostNode) -> str | None:
        """Return the uuid that speaks for the pair: a reported one first, then the greatest (revision, uuid)."""
        named = [
            (self.reported(name), report["revision"], name)
            for name, report in self.reports.items()
            if (report["host"], report["hypervisor_hostname"]) == pair
        ]
        return max(named)[2] if named else None

    def provider(self, pair: HostNode) -> str:
        """Return the uuid under which the pair is known: its speaker's, or the placeholder."""
        return self.speaker(pair) or str(uuid.uuid5(uuid.NAMESPACE_URL, f"stocktake:{pair[0]}/{pair[1]}"))

    def used(self, pair: HostNode) -> Amounts:
        """Return what is held on the pair by class."""
        return _sum(side["amounts"] for name in self.names() for side in self.holdings(name) if side["pair"] == pair)

    def settled(self, pair: HostNode) -> Amounts:
        """Return the part of it that is not in move."""
        return _sum(
            side["amounts"]
            for name in self.names()
            for side in self.holdings(name)
            if side["pair"] == pair and side["settled"]
        )

    def counters(self, pair: HostNode) -> Amounts:
        """Return the counters of the instances whose records say that they are on the pair."""
        result: Amounts = {}
        for name in self.names():
            record = self.instance(name)
            if record is not None and _on_a_node(record) and _place(record) == pair:
                state, task = record["vm_state"], record["task_state"]
                system, project = record["os_type"], record["project_id"]
                for key in ("instances", f"vm_{state}", f"task_{task}", f"os_type_{system}", f"proj_{project}"):
                    result[f"num_{key}"] = result.get(f"num_{key}", 0) + 1
        return result

    def consumers(self, name: str) -> dict[str, dict[str, Amounts]]:
        """Return consumer -> provider uuid -> class -> amount for one instance."""
        result: dict[str, dict[str, Amounts]] = {}
        for side in self.holdings(name):
            held = result.setdefault(side["consumer"], {})
            provider = self.provider(side["pair"])
            held[provider] = _sum([held.get(provider, {}), side["amounts"]])
        return result

    def figures(self, pair: HostNode) -> dict[str, int]:
        """Return the node figures of the pair as a report's reader sees them."""
        speaker = self.speaker(pair)
        report = self.reports[speaker] if speaker is not None and self.reported(speaker) else {}
        kept = {key: report.get(f"reserved_host_{key}") or 0 for key in ("cpus", "memory_mb", "disk_mb")}
        used, counters = self.used(pair), self.counters(pair)
        memory = kept["memory_mb"] + used.get("MEMORY_MB", 0)
        disk = math.ceil(kept["disk_mb"] / 1024) + used.get("DISK_GB", 0)
        return {
            "vcpus_used": kept["cpus"] + used.get("VCPU", 0) + used.get("PCPU", 0),
            "memory_mb_used": memory,
            "local_gb_used": disk,
            "free_ram_mb": report.get("memory_mb", 0) - memory,
            "free_disk_gb": report.get("local_gb", 0) - disk,
            "running_vms": counters.get("num_instances", 0),
            "current_workload": sum(
                number for key, number in counters.items() if key.startswith("num_task_") and key != "num_task_None"
            ),
        }


def usage(flavor: Mapping[str, Any], record: Mapping[str, Any]) -> Amounts:
    """Return what an instance of this flavor holds: the flavor's amounts and the record's own."""
    specs = flavor["extra_specs"]
    asked = {
        key[len("resources:") :]: int(value)
        for key, value in specs.items()
        if key.startswith("resources:") and value.isdecimal() and value.isascii()
    }
    root = 0 if record["volume_backed"] else flavor["root_gb"]
    amounts = {
        "MEMORY_MB": flavor["memory_mb"],
        "DISK_GB": root + flavor["ephemeral_gb"] + math.ceil(flavor["swap"] / 1024),
    }
    if "VCPU" not in asked and "PCPU" not in asked:
        amounts |= _cpus(flavor["vcpus"], specs)
    return _sum([amounts | asked, record["resources"]])


def _cpus(vcpus: int, specs: Mapping[str, str]) -> Amounts:
    isolated = 1 if specs.get("hw:emulator_threads_policy") == "isolate" else 0
    if specs.get("hw:cpu_policy") == "dedicated":
        return {"PCPU": vcpus + isolated}
    if specs.get("hw:cpu_policy") == "mixed":
        first, _, last = specs["hw:cpu_dedicated_mask"].partition("-")
        dedicated = int(last or first) - int(first) + 1
        return {"PCPU": dedicated + isolated, "VCPU": vcpus - dedicated}
    return {"VCPU": vcpus}


def _rank(move: Mapping[str, Any]) -> tuple[bool, int]:
    return move["status"] in ENDED, move["revision"]


def _instant(moment: Any) -> Any:
    return datetime.datetime.fromisoformat(moment) if isinstance(moment, str) else moment


def _place(record: Mapping[str, Any]) -> HostNode | None:
    return (record["host"], record["node"]) if record["host"] and record["node"] else None


def _source(move: Mapping[str, Any]) -> HostNode | None:
    return (move["source_compute"], move["source_node"])


def _destination(move: Mapping[str, Any]) -> HostNode | None:
    return (move["dest_compute"], move["dest_node"]) if move["dest_compute"] and move["dest_node"] else None


def _on_a_node(record: Mapping[str, Any]) -> bool:
    """Tell whether a record that names a node holds there at all; one that is shelved away does not."""
    shelved = record["vm_state"] == "shelved_offloaded" and record["task_state"] != "spawning"
    return _place(record) is not None and not shelved


def _held(pair: HostNode | None, consumer: str, settled: bool, amounts: Amounts) -> dict[str, Any]:
    return {"pair": pair, "consumer": consumer, "settled": settled, "amounts": amounts}


def _sum(parts: Iterable[Mapping[str, int]]) -> Amounts:
    result: Amounts = {}
    for part in parts:
        for name, amount in part.items():
            result[name] = result.get(name, 0) + amount
    return {name: amount for name, amount in result.items() if amount}
