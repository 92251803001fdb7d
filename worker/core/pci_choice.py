"""Which free PCI devices the requests of a claim get: all of all requests, or none.

What depends on the requests and pools alone is worked out once (``offer``); the NUMA fit then asks for as many sets of
host cells as it likes (``supports``), and the claim takes the devices for the set that it settled on (``choose``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from worker.core import pci, pci_pools, records

REQUIRED = "required"
PREFERRED = "preferred"
SOCKET = "socket"
LEGACY = "legacy"

Nodes = frozenset[int | None]
"""NUMA nodes of devices; None is a device that is near none."""

Spec = Mapping[str, str | None]

RESERVED = (("dev_type", pci.PF.lower()), ("dev_type", pci.VDPA), ("remote_managed", "true"))
"""Kinds of devices that are given only to a request with an alternative that asks for them."""


class Affinity(msgspec.Struct, frozen=True, gc=False):
    """The host cells that a guest is to be on, and the socket of every cell of the host (None: not known)."""

    cells: frozenset[int]
    sockets: Mapping[int, int | None]


class Shortage(msgspec.Struct, frozen=True, gc=False):
    """Why the devices cannot be given: one reason for each request that lacks some."""

    reasons: tuple[str, ...]


class Match(msgspec.Struct, frozen=True, gc=False):
    """The free devices that one request may get, whatever the cells, in the order in which they are taken.

    ``physical`` are PFs; they come after all others, for a PF costs all its VFs.
    """

    request: records.DeviceRequest
    devices: tuple[records.Device, ...]
    physical: tuple[records.Device, ...]
    nodes: Nodes


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What pools have for requests; ``functions`` of each whole device, where one of these may be given."""

    matches: tuple[Match, ...]
    functions: Mapping[str, Sequence[str]]


def offer(pools: Sequence[pci_pools.Pool], requests: Sequence[records.DeviceRequest]) -> Offer:
    """Return what the pools have for the requests."""
    facts = [_facts(pool) for pool in pools]
    matches = []
    for request in requests:
        wanted = [_comparable(spec) for spec in request.spec]
        fitting = [pool for pool, known in zip(pools, facts, strict=True) if _fits(known, wanted)]
        matches.append(_match(request, fitting))
    whole = any(match.physical for match in matches)
    return Offer(tuple(matches), _functions(pools) if whole else {})


def _match(request: records.DeviceRequest, fitting: Sequence[pci_pools.Pool]) -> Match:
    return Match(
        request,
        tuple(device for pool in fitting if pool.dev_type != pci.PF for device in pool.devices),
        tuple(device for pool in fitting if pool.dev_type == pci.PF for device in pool.devices),
        frozenset(pool.numa_node for pool in fitting),
    )


def _functions(pools: Sequence[pci_pools.Pool]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for pool in pools:
        above = pci.parent(pool.devices[0])
        if above is not None:
            found.setdefault(above, []).extend(device.address for device in pool.devices)
    return found


def _with_relatives(device: records.Device, functions: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the addresses that nobody else can have once the device is taken: its own, and those of its relatives."""
    yield device.address
    above = pci.parent(device)
    if above is not None:
        yield above
    yield from functions.get(device.address, ())


def _facts(pool: pci_pools.Pool) -> Spec:
    numa_node = None if pool.numa_node is None else str(pool.numa_node)
    own = {"vendor_id": pool.vendor_id, "product_id": pool.product_id, "numa_node": numa_node}
    return _comparable({**pool.tags, **own})


def _comparable(spec: Spec) -> Spec:
    return {name: value and value.lower() for name, value in spec.items() if name not in pci_pools.IGNORED}


def _fits(known: Spec, wanted: Sequence[Spec]) -> bool:
    """Whether a pool has all that an alternative asks for, and is of no kind that only who asks for it is given.

    A null asks for devices without that tag. Whether devices can be migrated live is a tag like others: who asks for
    either gets devices that say so.
    """
    return any(all(known.get(name) == value for name, value in spec.items()) for spec in wanted) and all(
        any(spec.get(name) == value for spec in wanted) for name, value in RESERVED if known.get(name) == value
    )


def supports(offered: Offer, affinity: Affinity | None) -> bool:
    """Whether the requests can be served for a guest on these cells; None is a guest without a NUMA topology."""
    gone: set[str] = set()
    for match in offered.matches:
        taken = _served(match, affinity, offered.functions, gone)
        if len(taken) < match.request.count:
            return False
        gone.update(*(_with_relatives(device, offered.functions) for device in taken))
    return True


def choose(offered: Offer, affinity: Affinity | None) -> tuple[records.Grant, ...] | Shortage:
    """Return the devices for all of the requests, served one after the other, or what is lacking."""
    gone: set[str] = set()
    grants: list[records.Grant] = []
    reasons = []
    for match in offered.matches:
        taken = _served(match, affinity, offered.functions, gone)
        if len(taken) < match.request.count:
            anywhere = sum(1 for _ in _drained(match, (match.nodes,), offered.functions, set(gone)))
            reasons.append(_reason(match.request, len(taken), anywhere))
        else:
            gone.update(*(_with_relatives(device, offered.functions) for device in taken))
            grants += (pci.grant(device, match.request.request_id) for device in taken)
    return Shortage(tuple(reasons)) if reasons else tuple(grants)


def _served(
    match: Match, affinity: Affinity | None, functions: Mapping[str, Sequence[str]], gone: AbstractSet[str]
) -> Sequence[records.Device]:
    """Return the devices for one request: of its NUMA policy's first step that has enough, or too few of the last."""
    taken: Sequence[records.Device] = ()
    for step in _steps(match, affinity):
        taken = tuple(itertools.islice(_drained(match, step, functions, set(gone)), match.request.count))
        if len(taken) == match.request.count:
            break
    return taken


def _drained(
    match: Match, step: Sequence[Nodes], functions: Mapping[str, Sequence[str]], gone: set[str]
) -> Iterator[records.Device]:
    """Yield what can be taken on these groups of nodes; ``gone`` grows by what each device takes out of reach."""
    for devices, nodes in itertools.product((match.devices, match.physical), step):
        for device in devices:
            if device.numa_node in nodes and device.address not in gone:
                gone.update(_with_relatives(device, functions))
                yield device


def _steps(match: Match, affinity: Affinity | None) -> Sequence[Sequence[Nodes]]:
    """Return the steps to try in turn, each the groups of NUMA nodes to take from; each has all of the one before."""
    if affinity is None:
        return ((match.nodes,),)
    local: Nodes = affinity.cells
    near = local | {None}
    steps: Mapping[str, Sequence[Sequence[Nodes]]] = {
        REQUIRED: ((local,),),
        SOCKET: ((local,), (_on_sockets(affinity),)),
        PREFERRED: ((local,), (near,), (near, match.nodes - near)),
        LEGACY: ((local,), (near,)),
    }
    return steps[match.request.numa_policy or LEGACY]


def _on_sockets(affinity: Affinity) -> Nodes:
    """Return the nodes on the sockets of the cells: the cells alone when a socket of the host is not known."""
    sockets = affinity.sockets
    if None in sockets.values() or not affinity.cells <= sockets.keys():
        return affinity.cells
    wanted = {sockets[cell] for cell in affinity.cells}
    return frozenset(cell for cell, socket in sockets.items() if socket in wanted)


def _reason(request: records.DeviceRequest, available: int, anywhere: int) -> str:
    alternatives = " or ".join(_described(spec) for spec in request.spec) or "of no kind"
    asker = f"alias {request.alias_name}" if request.alias_name else f"request {request.request_id}"
    text = f"PCI devices {alternatives} ({asker}): asked {request.count}, available {available}"
    if anywhere == available:
        return text
    return f"{text}, {anywhere - available} more excluded by NUMA policy {request.numa_policy or LEGACY}"


def _described(spec: Spec) -> str:
    """Return VENDOR:PRODUCT TYPE and what else an alternative asks for."""
    known = {name: value for name, value in sorted(spec.items()) if name not in pci_pools.IGNORED}
    words = [f"{known.pop('vendor_id', '*')}:{known.pop('product_id', '*')}", known.pop("dev_type", None)]
    words += (f"no {name}" if value is None else f"{name}={value}" for name, value in known.items())
    return " ".join(filter(None, words))
