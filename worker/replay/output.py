"""What is printed after an operation: every node that there is, with its accounts in the form of scenario files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from objects import stocktake_object
from worker import mapping, place_mapping
from worker.core import providers, records, resources
from worker.db import reading
from worker.replay import cloud, scenario, watching

_FIGURES = (
    "vcpus",
    "memory_mb",
    "local_gb",
    "vcpus_used",
    "memory_mb_used",
    "local_gb_used",
    "free_ram_mb",
    "free_disk_gb",
    "running_vms",
    "current_workload",
    "stats",
)
_RATIOS = (
    ("cpu_allocation_ratio", resources.VCPU, providers.CPU_RATIO),
    ("ram_allocation_ratio", resources.MEMORY_MB, providers.RAM_RATIO),
    ("disk_allocation_ratio", resources.DISK_GB, providers.DISK_RATIO),
)
_CELL = (
    ("id", "id"),
    ("memory", "memory"),
    ("memory_usage", "memory_usage"),
    ("cpus", "cpuset"),
    ("pcpus", "pcpuset"),
    ("cpu_usage", "cpu_usage"),
    ("pinned_cpus", "pinned_cpus"),
)


def line(
    operation: scenario.Operation, refused: cloud.Impossible | None, accounts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is printed after an operation."""
    printed: dict[str, Any] = {"index": operation.index, "op": operation.name}
    if "instance" in operation.keys:
        printed["instance"] = operation.instance
    printed["ok"] = refused is None
    if refused is not None:
        printed["error"] = {"class": refused.kind, "message": str(refused)}
    return {**printed, "nodes": accounts}


def nodes(there: cloud.Cloud, accounts: watching.Accounts) -> dict[str, Any]:
    """Return the accounts of every node that there is, by its name."""
    sheets = ((node, accounts.sheet(node.uuid)) for node in there.present())
    return {
        node.name: _node(sheet, accounts.holdings(sheet.account.id), there.names)
        for node, sheet in sheets
        if sheet is not None
    }


def _node(sheet: reading.Sheet, held: list[tuple[str, records.Holding]], names: Mapping[str, str]) -> dict[str, Any]:
    usage = _data(mapping.node_usage(sheet.node, sheet.account, sheet.report, sheet.places))
    cells = usage["numa_topology"]
    return {
        **{name: usage[name] for name in _FIGURES},
        **_ratios(sheet),
        "pci_device_pools": [_data(pool) for pool in usage["pci_device_pools"]],
        "pci_devices": _devices(sheet, names),
        "numa_cells": [] if cells is None else [_cell(_data(cell)) for cell in _data(cells)["cells"]],
        "placement": _provider(sheet, held, names),
    }


def _devices(sheet: reading.Sheet, names: Mapping[str, str]) -> list[dict[str, Any]]:
    reported = sheet.report.pci_devices if sheet.report is not None else ()
    return [
        {
            "address": row.address,
            "dev_type": row.dev_type,
            "status": row.status,
            "owner": names.get(row.owner, row.owner) if row.owner is not None else None,
        }
        for row in place_mapping.devices(reported, sheet.places)
    ]


def _ratios(sheet: reading.Sheet) -> dict[str, float]:
    inventories = _inventories(sheet)
    return {name: inventories[of].allocation_ratio if of in inventories else default for name, of, default in _RATIOS}


def _inventories(sheet: reading.Sheet) -> Mapping[str, records.Inventory]:
    node = sheet.node
    return node.capacity.inventories if node is not None and node.capacity is not None else {}


def _cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    pages = [_data(one) for one in cell["mempages"]]
    return {**{name: cell[of] for name, of in _CELL}, "pages": pages}


def _provider(
    sheet: reading.Sheet, held: list[tuple[str, records.Holding]], names: Mapping[str, str]
) -> dict[str, Any]:
    inventories, used = _inventories(sheet), sheet.account.used
    return {
        "inventories": {name: mapping.inventory(one) for name, one in sorted(inventories.items())},
        "traits": list(providers.traits(sheet.node)) if sheet.node is not None else [],
        "usages": {name: used.get(name, 0) for name in sorted({*inventories, *used})},
        "consumers": sorted({names.get(holding.consumer, holding.consumer) for _, holding in held if holding.amounts}),
    }


def _data(primitive: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = primitive[stocktake_object.KEY_DATA]
    return data
