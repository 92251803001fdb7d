"""Cells, pools and devices as columns: a line each for people, as they are for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cliff import columns

from worker.cli import bars
from worker.core import cells, pci

Fields = Mapping[str, Any]
SHOWN = 4
_TOLD = frozenset({"dev_type", "address"})


class Addresses(columns.FormattableColumn[Mapping[str, int]]):
    """PCI devices that are held, by address."""

    def human_readable(self) -> str:
        """Return the first few addresses and how many more; with its count what is not held exactly once."""
        held = [_times(address, count) for address, count in sorted(self._value.items())]
        more = [f"{len(held) - SHOWN} more"] if len(held) > SHOWN else []
        return ", ".join(held[:SHOWN] + more) or "-"


class AddressChanges(columns.FormattableColumn[Mapping[str, int]]):
    """PCI devices that were given, or given back, by address."""

    def human_readable(self) -> str:
        """Return ``+0000:81:00.0, -0000:82:00.0``."""
        changes = sorted(self._value.items())
        return (
            ", ".join(f"{'+' if count > 0 else '-'}{_times(address, abs(count))}" for address, count in changes) or "-"
        )


def _times(address: str, count: int) -> str:
    return address if count == 1 else f"{address} {count}"


class HostCells(columns.FormattableColumn[Fields | None]):
    """The NUMA cells of a node with what is used of them: a bar a figure."""

    def __init__(self, topology: Fields | None, glyphs: bars.Glyphs) -> None:
        super().__init__(topology)
        self._glyphs = glyphs

    def human_readable(self) -> str:
        """Return a line for each figure of each cell."""
        if not self._value:
            return "-"
        return "\n".join(line for cell in self._value["cells"] for line in self._of_cell(cell))

    def _of_cell(self, cell: Fields) -> Iterator[str]:
        pinned = cells.cpu_text(cell["pinned_cpus"])
        figures = [
            ("dedicated CPUs", len(cell["pinned_cpus"]), len(cell["pcpuset"]), True, f" pinned {pinned}"),
            ("shared CPUs", cell["cpu_usage"], len(cell["cpuset"]), False, ""),
            ("memory MiB", cell["memory_usage"], cell["memory"], False, ""),
            *(
                (f"pages {one['size_kb']} KiB", one["used"], one["total"] - one["reserved"], True, "")
                for one in cell["mempages"]
            ),
        ]
        for name, used, total, firm, more in figures:
            if used or total:
                drawn = bars.drawn(used, total, self._glyphs, firm=firm)
                yield f"cell {cell['id']} {name:16} {drawn}{more if used else ''}"


class Pools(columns.FormattableColumn[Sequence[Fields]]):
    """Free PCI devices by pool."""

    def human_readable(self) -> str:
        """Return ``4 x 8086:154c type-VF of 0000:81:00.0, NUMA node 0, physical_network red``, a pool a line."""
        return "\n".join(map(_pool, self._value)) or "-"


def _pool(pool: Fields) -> str:
    tags = pool["tags"]
    what = f"{pool['count']} x {pool['vendor_id']}:{pool['product_id']} {tags.get('dev_type')}"
    more = (f"{name} {tags[name]}" for name in sorted(tags.keys() - _TOLD))
    where = "of" if tags.get("dev_type") in pci.FUNCTIONS else "at"
    return ", ".join([f"{what} {where} {tags.get('address')}", *_near(pool), *more])


def _near(of: Fields) -> list[str]:
    return [] if of["numa_node"] is None else [f"NUMA node {of['numa_node']}"]


class Devices(columns.FormattableColumn[Sequence[Fields]]):
    """PCI devices that an instance has, on all its nodes."""

    def human_readable(self) -> str:
        """Return a device a line: address, what it is, its NUMA node, the node and the request."""
        return "\n".join(map(_device, self._value)) or "-"


def _device(device: Fields) -> str:
    what = f"{device['address']} {device['vendor_id']}:{device['product_id']} {device['dev_type']}"
    about = [f"node {device['node_uuid']}", f"request {device['request_id']}"]
    return ", ".join([what, *_near(device), *about])


class GuestCells(columns.FormattableColumn[Fields | None]):
    """Where the cells of a guest are."""

    def human_readable(self) -> str:
        """Return a cell a line: the host's cell, memory, pages, pinned and floating CPUs."""
        if not self._value:
            return "-"
        policy = self._value["emulator_threads_policy"]
        lines = [_guest_cell(cell) for cell in self._value["cells"]]
        return "\n".join([*lines, f"emulator threads: {policy}"] if policy else lines)


def _guest_cell(cell: Fields) -> str:
    parts = [f"cell {cell['id']}: {cell['memory']} MiB"]
    if cell["pagesize"]:
        parts.append(f"pages of {cell['pagesize']} KiB")
    if cell["cpuset"]:
        parts.append(f"shared CPUs {cells.cpu_text(cell['cpuset'])}")
    if cell["cpu_pinning"]:
        pinned = sorted((int(guest), host) for guest, host in cell["cpu_pinning"].items())
        parts.append(f"pinned {', '.join(f'{guest}>{host}' for guest, host in pinned)}")
    if cell["cpuset_reserved"]:
        parts.append(f"emulator CPUs {cells.cpu_text(cell['cpuset_reserved'])}")
    words = [word for word in (cell["cpu_policy"], cell["cpu_thread_policy"]) if word]
    return ", ".join([*parts, *(["policy " + " ".join(words)] if words else [])])
