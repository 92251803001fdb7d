"""The records that casts carry and the books keep: nodes, instances, moves, accounts.

Names and units are those of the contract's objects; times are whole microseconds since 1970 (UTC). A pair of compute
service and hypervisor is written ``(host, node)``; its account is kept under a uuid made of the two names.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping

import msgspec

from worker.core import resources

NEVER = -1
"""The revision of a record that nobody has sent yet: below every real one."""


class Pair(msgspec.Struct, frozen=True, gc=False):
    """A hypervisor as instances and moves name it: compute service and hypervisor_hostname."""

    host: str
    node: str

    def __str__(self) -> str:
        """Return HOST/NODE, the way messages name a pair."""
        return f"{self.host}/{self.node}"


@functools.lru_cache(maxsize=65536)
def account_id(host: str, node: str) -> str:
    """Return the placeholder uuid of a pair (contract, section 2 «Nodes by name and by uuid»)."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"stocktake:{host}/{node}"))


class Inventory(msgspec.Struct, frozen=True, gc=False):
    """What a provider has of one class; capacity = (total - reserved) * allocation_ratio."""

    total: int
    reserved: int = 0
    min_unit: int = 1
    max_unit: int = 2147483647
    step_size: int = 1
    allocation_ratio: float = 1.0

    @property
    def capacity(self) -> int:
        """Whole amount that may be held, as Placement rounds it (down)."""
        return int((self.total - self.reserved) * self.allocation_ratio)


class Pages(msgspec.Struct, frozen=True, gc=False):
    """A pool of memory pages of one size in a host cell."""

    size_kb: int
    total: int
    reserved: int


class HostCell(msgspec.Struct, frozen=True, gc=False):
    """A NUMA cell of a host; memory in MiB, siblings as sets of CPU ids."""

    id: int
    cpuset: frozenset[int]
    pcpuset: frozenset[int]
    memory: int
    siblings: tuple[frozenset[int], ...] = ()
    mempages: tuple[Pages, ...] = ()
    socket: int | None = None
    physnets: frozenset[str] = frozenset()
    tunneled: bool = False


class GuestCell(msgspec.Struct, frozen=True, gc=False):
    """A NUMA cell of a guest; memory in MiB, pagesize in KiB (negative: small, large, any)."""

    id: int
    cpuset: frozenset[int]
    pcpuset: frozenset[int]
    memory: int
    pagesize: int | None = None
    cpu_policy: str | None = None
    cpu_thread_policy: str | None = None


class GuestTopology(msgspec.Struct, frozen=True, gc=False):
    """The NUMA topology of a guest."""

    cells: tuple[GuestCell, ...]
    emulator_threads_policy: str | None = None


class DeviceRequest(msgspec.Struct, frozen=True, gc=False):
    """A request for ``count`` PCI devices, each matching an alternative in ``spec``, where null is a tag not there."""

    request_id: str
    count: int
    spec: tuple[Mapping[str, str | None], ...]
    alias_name: str | None = None
    numa_policy: str | None = None
    requester_id: str | None = None


class Device(msgspec.Struct, frozen=True, gc=False):
    """A PCI device as a hypervisor reports it."""

    address: str
    vendor_id: str
    product_id: str
    dev_type: str
    parent_addr: str | None = None
    numa_node: int | None = None
    label: str | None = None
    tags: Mapping[str, str] = msgspec.field(default_factory=dict)


class Grant(msgspec.Struct, frozen=True, gc=False):
    """A device that a request was given, with its facts at that time: it is told even after it left the report."""

    address: str
    request_id: str
    vendor_id: str
    product_id: str
    dev_type: str
    numa_node: int | None
    parent_addr: str | None


class PlacedCell(msgspec.Struct, frozen=True, gc=False):
    """A guest cell on the host cell ``id``: guest CPU -> host CPU, host CPUs kept for emulator threads.

    ``pagesize`` is the chosen one in KiB, or None where the guest asked for none.
    """

    id: int
    cpuset: frozenset[int]
    pcpuset: frozenset[int]
    memory: int
    pagesize: int | None = None
    cpu_policy: str | None = None
    cpu_thread_policy: str | None = None
    cpu_pinning: Mapping[int, int] = msgspec.field(default_factory=dict)
    cpuset_reserved: frozenset[int] = frozenset()


class PlacedTopology(msgspec.Struct, frozen=True, gc=False):
    """Where the cells of one guest are, in the guest's order."""

    cells: tuple[PlacedCell, ...]
    emulator_threads_policy: str | None = None


class Share(msgspec.Struct, frozen=True, gc=False):
    """How much of one class a holding has on a provider below the root; ``settled`` as the holding is.

    With a ``device`` it is what that PCI device counts there, besides the holding's amounts; without, it is all that the
    holding has of the class. ``chosen``: a claim found room for it there, and there it stays.
    """

    provider_uuid: str
    resource_class: str
    amount: int
    settled: bool
    device: str | None = None
    chosen: bool = False


class Place(msgspec.Struct, frozen=True, gc=False):
    """What a holding has of the things that are given out one by one: CPUs and pages of cells, and PCI devices.

    ``claimed``: the devices are promised to a guest that is still elsewhere. ``shares``: what is on other providers than
    the root.
    """

    topology: PlacedTopology | None = None
    grants: tuple[Grant, ...] = ()
    claimed: bool = False
    shares: tuple[Share, ...] = ()


class ChildProvider(msgspec.Struct, frozen=True, gc=False):
    """A provider below the node's root that the hypervisor reports."""

    uuid: str
    name: str
    parent_provider_uuid: str
    inventories: Mapping[str, Inventory]
    traits: tuple[str, ...]


class ComputeNode(msgspec.Struct, frozen=True, gc=False):
    """One report of a node: what it has, not what is used of it."""

    uuid: str
    host: str
    hypervisor_hostname: str
    revision: int
    vcpus: int
    memory_mb: int
    local_gb: int
    reserved_host_cpus: int
    reserved_host_memory_mb: int
    reserved_host_disk_mb: int
    cpu_allocation_ratio: float | None = None
    ram_allocation_ratio: float | None = None
    disk_allocation_ratio: float | None = None
    hypervisor_type: str | None = None
    hypervisor_version: int | None = None
    host_ip: str | None = None
    disabled: bool = False
    numa_topology: tuple[HostCell, ...] | None = None
    pci_devices: tuple[Device, ...] = ()
    inventories: Mapping[str, Inventory] = msgspec.field(default_factory=dict)
    traits: tuple[str, ...] = ()
    stats: Mapping[str, str] = msgspec.field(default_factory=dict)
    providers: tuple[ChildProvider, ...] = ()

    @property
    def pair(self) -> Pair:
        """The names under which instances and moves know this node."""
        return Pair(self.host, self.hypervisor_hostname)


class Flavor(msgspec.Struct, frozen=True, gc=False):
    """The sizes of an instance: MiB of memory and swap, GiB of disks."""

    flavorid: str
    name: str | None
    vcpus: int
    memory_mb: int
    root_gb: int
    ephemeral_gb: int
    swap: int
    extra_specs: Mapping[str, str]


class Instance(msgspec.Struct, frozen=True, gc=False):
    """What an instance is, by its newest record."""

    uuid: str
    revision: int
    flavor: Flavor
    project_id: str | None = None
    user_id: str | None = None
    display_name: str | None = None
    host: str | None = None
    node: str | None = None
    vm_state: str | None = None
    task_state: str | None = None
    os_type: str | None = None
    volume_backed: bool = False
    numa_topology: GuestTopology | None = None
    pci_requests: tuple[DeviceRequest, ...] = ()
    resources: Mapping[str, int] = msgspec.field(default_factory=dict)

    @property
    def pair(self) -> Pair | None:
        """Where the record says the instance is, or None when it is on no node."""
        return Pair(self.host, self.node) if self.host and self.node else None


class Move(msgspec.Struct, frozen=True, gc=False):
    """A migration record: one instance leaving ``source`` for ``dest``."""

    uuid: str
    revision: int
    instance_uuid: str
    status: str
    migration_type: str | None = None
    created_at: int = 0
    source: Pair | None = None
    dest: Pair | None = None
    old_flavor: Flavor | None = None
    new_flavor: Flavor | None = None
    new_numa_topology: GuestTopology | None = None
    new_pci_requests: tuple[DeviceRequest, ...] | None = None


class Limits(msgspec.Struct, frozen=True, gc=False):
    """How far shared CPUs and memory of a NUMA cell may be overcommitted; a None inside is no limit."""

    cpu_allocation_ratio: float | None
    ram_allocation_ratio: float | None


class Holding(msgspec.Struct, frozen=True, gc=False):
    """What one consumer holds on one account. ``side``: instance, source or destination."""

    account: str
    consumer: str
    side: str
    settled: bool
    amounts: resources.Amounts
    place: Place | None = None


class Attachment(msgspec.Struct, frozen=True, gc=False):
    """A request for devices that was made for a running instance; without ``request`` it is detached, for good."""

    request_id: str
    revision: int
    request: DeviceRequest | None = None


class Book(msgspec.Struct, frozen=True, gc=False):
    """All that is kept of one instance: its newest record, its moves and what it holds now.

    ``revision`` is that of the newest fact about the instance itself, of which ``record`` may know nothing (an abort
    or a deletion that came first). ``saved_at`` is when the record was last committed. ``generation`` 0: not stored.
    """

    uuid: str
    revision: int = NEVER
    deleted: bool = False
    record: Instance | None = None
    moves: tuple[Move, ...] = ()
    holdings: tuple[Holding, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    saved_at: int = 0
    generation: int = 0


class Child(msgspec.Struct, frozen=True, gc=False):
    """A provider below the root. ``devices`` are the addresses of PCI devices, each of which counts 1 of ``device_class``.

    ``gone``: the newest report has it no more; it is there only as long as something is held on it or below it.
    """

    uuid: str
    name: str
    parent_uuid: str
    inventories: Mapping[str, Inventory]
    traits: tuple[str, ...]
    devices: tuple[str, ...] = ()
    device_class: str | None = None
    gone: bool = False


class Capacity(msgspec.Struct, frozen=True, gc=False):
    """What a report says a node has, reduced to what the hot path needs; ``children`` with parents first."""

    vcpus: int
    memory_mb: int
    local_gb: int
    inventories: Mapping[str, Inventory]
    traits: tuple[str, ...] = ()
    stats: Mapping[str, str] = msgspec.field(default_factory=dict)
    reserved: resources.Amounts = msgspec.field(default_factory=dict)
    children: tuple[Child, ...] = ()


class Node(msgspec.Struct, frozen=True, gc=False):
    """All that is kept of one node uuid. ``generation`` 0: not stored yet.

    ``revision`` is that of the newest report, ``removed_revision`` that of the newest removal, ``disabled_revision``
    that of the newest word on ``disabled``. ``digest`` identifies the content of the newest report.
    """

    uuid: str
    pair: Pair | None = None
    revision: int = NEVER
    removed_revision: int = NEVER
    disabled: bool = False
    disabled_revision: int = NEVER
    failed_builds: int = 0
    audited_at: int = NEVER
    sequence: int = 0
    capacity: Capacity | None = None
    digest: str = ""
    generation: int = 0

    @property
    def live(self) -> bool:
        """Whether the node is reported and not removed since."""
        return self.capacity is not None and self.revision > self.removed_revision


class Account(msgspec.Struct, frozen=True, gc=False):
    """The sums of one pair: what is held there, how much of it is settled, and the counters of its instances."""

    id: str
    pair: Pair
    used: resources.Amounts = msgspec.field(default_factory=dict)
    settled: resources.Amounts = msgspec.field(default_factory=dict)
    counters: Mapping[str, int] = msgspec.field(default_factory=dict)
    generation: int = 0
