"""What the demonstration shows: nodes and how full they are, devices and CPUs that somebody has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import rich.box
import rich.console
import rich.table
import rich.text

from worker.core import cells, places, records, resources
from worker.db import reading

CLASSES = (resources.VCPU, resources.MEMORY_MB, resources.DISK_GB)
WIDTH = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Glyphs:
    """One character each for what is settled, in move and free."""

    settled: str
    in_move: str
    free: str


BLOCKS = Glyphs("█", "▒", "░")
ASCII = Glyphs("#", "~", ".")


def glyphs(console: rich.console.Console) -> Glyphs:
    """Return blocks for an output that can show them."""
    return BLOCKS if console.encoding.lower().startswith("utf") else ASCII


def bar(figures: Mapping[str, int], with_glyphs: Glyphs) -> rich.text.Text:
    """Return used of capacity as a bar, the share of moves in another colour, and as figures."""
    capacity = max(figures["capacity"], 1)
    used = min(_cells(figures["used"], capacity), WIDTH)
    settled = min(_cells(figures["settled"], capacity), used)
    text = rich.text.Text()
    text.append(with_glyphs.settled * settled, style="green")
    text.append(with_glyphs.in_move * (used - settled), style="yellow")
    text.append(with_glyphs.free * (WIDTH - used), style="dim")
    text.append(f" {figures['used']}/{figures['capacity']}")
    return text


def _cells(amount: int, capacity: int) -> int:
    """Return how many cells an amount fills: anything at all fills one."""
    return max(round(WIDTH * amount / capacity), int(amount > 0))


def nodes(usages: Sequence[Mapping[str, Any]], caption: str, with_glyphs: Glyphs) -> rich.table.Table:
    """Return the table of all nodes; ``usages`` are the fields of NodeUsage."""
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left", header_style="bold"
    )
    table.add_column("node", no_wrap=True)
    table.add_column("VMs", justify="right")
    for name in CLASSES:
        table.add_column(name, no_wrap=True)
    for usage in sorted(usages, key=lambda one: str(one["host"])):
        bars = [bar(usage["usages"][name], with_glyphs) for name in CLASSES]
        table.add_row(usage["host"], str(usage["running_vms"]), *bars)
    return table


def legend(with_glyphs: Glyphs) -> str:
    """Return what the characters of a bar mean."""
    return f"{with_glyphs.settled} settled  {with_glyphs.in_move} in move  {with_glyphs.free} free"


def hardware(sheets: Iterable[reading.Sheet]) -> str:
    """Return how many of the PCI devices and of the dedicated CPUs of these nodes somebody has."""
    held = devices = pinned = cpus = 0
    for sheet in sheets:
        held += len(places.granted(sheet.places))
        pinned += sum(len(cells.pins(cell)) for cell in _guest_cells(sheet.places.values()))
        if sheet.report is not None:
            devices += len(sheet.report.pci_devices)
            cpus += sum(len(cell.pcpuset) for cell in sheet.report.numa_topology or ())
    return f"{held} of {devices} PCI devices, {pinned} of {cpus} dedicated CPUs"


def _guest_cells(held: Iterable[records.Place]) -> Iterator[records.PlacedCell]:
    return (cell for place in held if place.topology is not None for cell in place.topology.cells)
