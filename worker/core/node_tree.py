"""The provider tree of a node: the root, what the hypervisor reports below it, its PCI devices, and the operator's additions.

It is worked out once for a report with news, and kept with the capacity. What does not go together is left out and told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from worker.core import additions, names, pci_providers, providers, records

OWNER = pci_providers.OWNER


class Rules(msgspec.Struct, frozen=True, gc=False):
    """What the operator decided on trees; ``mark`` identifies what is ``added``, ``pci``: devices have providers."""

    added: tuple[additions.Addition, ...] = ()
    standard: names.Names = names.Names(frozenset(), frozenset())
    pci: bool = False
    mark: str = ""


class Grown(msgspec.Struct, frozen=True, gc=False):
    """A node's capacity with its tree, and what was left out of it, with the reason."""

    capacity: records.Capacity
    troubles: tuple[str, ...]


class _Part(msgspec.Struct, frozen=True, gc=False):
    """A provider of the tree, the root or a child, while it is put together."""

    uuid: str
    name: str
    inventories: Mapping[str, records.Inventory]
    traits: tuple[str, ...]


def digest(rules: Rules, report: records.ComputeNode, content: str) -> str:
    """Return what identifies a node's capacity: ``content`` identifies the report, and the rules may change the tree."""
    if rules.mark or report.providers or (rules.pci and report.pci_devices):
        return f"{content}+{rules.mark}+{'pci' if rules.pci else ''}"
    return content


def branches(rules: Rules, report: records.ComputeNode) -> bool:
    """Whether a report leads to providers below the root."""
    return bool(report.providers or (rules.pci and report.pci_devices))


def grown(
    report: records.ComputeNode,
    rules: Rules,
    before: Sequence[records.Child] = (),
    held: Collection[str] = (),
) -> Grown:
    """Return the capacity of a report; of the children ``before`` those stay whose uuid is ``held``, and their parents.

    Providers of devices do not stay if they are not asked for any more.
    """
    base = providers.capacity(report)
    children, troubles = _children(report, rules)
    parts = [_Part(report.uuid, report.hypervisor_hostname, base.inventories, base.traits)]
    parts += (_Part(one.uuid, one.name, one.inventories, one.traits) for one in children)
    (root, *others), clashes = _with_additions(parts, rules.added)
    full = [
        msgspec.structs.replace(child, inventories=part.inventories, traits=tuple(sorted(part.traits)))
        for child, part in zip(children, others, strict=True)
    ]
    stay = [one for one in before if rules.pci or not one.devices]
    full += _remaining(stay, held, {report.uuid, *(one.uuid for one in children)})
    capacity = msgspec.structs.replace(
        base, inventories=root.inventories, traits=root.traits, children=_top_down(report.uuid, full)
    )
    return Grown(capacity, troubles + clashes)


def _children(report: records.ComputeNode, rules: Rules) -> tuple[list[records.Child], tuple[str, ...]]:
    found = [
        records.Child(one.uuid, one.name, one.parent_provider_uuid, one.inventories, one.traits)
        for one in report.providers
    ]
    if not rules.pci:
        return found, ()
    devices, troubles = pci_providers.children(report, rules.standard)
    taken = {report.hypervisor_hostname, *(one.name for one in found), *(one.uuid for one in found)}
    clashes = tuple(
        f"PCI device {one.devices[0]} has no resource provider: a reported one has its name {one.name} or its uuid"
        for one in devices
        if taken & {one.name, one.uuid}
    )
    return [*found, *(one for one in devices if not taken & {one.name, one.uuid})], troubles + clashes


def _with_additions(parts: Sequence[_Part], added: Iterable[additions.Addition]) -> tuple[list[_Part], tuple[str, ...]]:
    """Return the providers, the root first, with what the operator adds to them; what clashes is left out."""
    explicit: dict[str, additions.Addition] = {}
    troubles = []
    everywhere = [one for one in added if one.uuid is None and one.name is None]
    for one in added:
        for part in parts:
            if one.uuid == part.uuid or (one.name is not None and one.name == part.name):
                first = explicit.setdefault(part.uuid, one)
                if first is not one:
                    troubles.append(f"{one.origin}: provider {part.name} is named by {first.origin} already")
    found = []
    for place, part in enumerate(parts):
        own = [explicit[part.uuid]] if part.uuid in explicit else everywhere if place == 0 else []
        for one in own:
            clash = sorted(one.inventories.keys() & part.inventories.keys())
            if clash:
                troubles.append(f"{one.origin}: provider {part.name} has an inventory of {', '.join(clash)} already")
            else:
                part = _joined(part, one)  # noqa: PLW2901 - it grows
        found.append(part)
    return found, tuple(troubles)


def _joined(part: _Part, one: additions.Addition) -> _Part:
    traits = dict.fromkeys((*part.traits, *one.traits, OWNER))
    return msgspec.structs.replace(part, inventories={**part.inventories, **one.inventories}, traits=tuple(traits))


def _remaining(before: Sequence[records.Child], held: Collection[str], known: Collection[str]) -> list[records.Child]:
    """Return the children that have left but are held, or have one that is held below them; they have nothing to give."""
    by_uuid = {one.uuid: one for one in before}
    kept: dict[str, records.Child] = {}
    for uuid in held:
        child = by_uuid.get(uuid)
        while child is not None and child.uuid not in known and child.uuid not in kept:
            kept[child.uuid] = msgspec.structs.replace(child, inventories={}, gone=True)
            child = by_uuid.get(child.parent_uuid)
    return list(kept.values())


def _top_down(root: str, children: Iterable[records.Child]) -> tuple[records.Child, ...]:
    """Return children with every parent before its own, else by name; one whose parent is nowhere is below the root."""
    by_uuid = {one.uuid: one for one in children}
    below: dict[str, list[records.Child]] = {}
    for one in sorted(by_uuid.values(), key=lambda child: (child.name, child.uuid)):
        parent = one.parent_uuid if one.parent_uuid in by_uuid else root
        below.setdefault(parent, []).append(msgspec.structs.replace(one, parent_uuid=parent))
    found: list[records.Child] = []
    level = below.get(root, [])
    while level:
        found += level
        level = [child for parent in level for child in below.get(parent.uuid, [])]
    return tuple(found)


def faults(report: records.ComputeNode) -> tuple[tuple[str, str], ...]:
    """Return path and text of everything that makes the reported providers no tree below the node's root."""
    found = []
    uuids, called = {report.uuid: "node"}, {report.hypervisor_hostname: "node"}
    for place, one in enumerate(report.providers):
        path = f"providers[{place}]"
        for field, value, known in (("uuid", one.uuid, uuids), ("name", one.name, called)):
            if known.setdefault(value, path) != path:
                found.append((f"{path}.{field}", f"{value} is that of {known[value]} too"))
    parents = {one.uuid: one.parent_provider_uuid for one in report.providers}
    for place, one in enumerate(report.providers):
        path = f"providers[{place}].parent_provider_uuid"
        if one.parent_provider_uuid not in uuids:
            found.append((path, f"{one.parent_provider_uuid} is neither the node nor one of its providers"))
        elif not _leads_to(report.uuid, one.uuid, parents):
            found.append((path, f"{one.parent_provider_uuid} does not lead to the node {report.uuid}"))
    return tuple(found)


def _leads_to(root: str, uuid: str, parents: Mapping[str, str | None]) -> bool:
    seen: set[str] = set()
    at: str | None = uuid
    while at is not None and at != root and at not in seen:
        seen.add(at)
        at = parents.get(at)
    return at == root
