"""Every object there is, by the direction in which it travels."""

from __future__ import annotations

from objects import (
    claims,
    compute_nodes,
    flavors,
    instances,
    migrations,
    numa,
    payloads,
    pci,
    providers,
    stocktake_object,
    usages,
)

Classes = tuple[type[stocktake_object.StocktakeObject], ...]

INPUTS: Classes = (
    compute_nodes.ComputeNode,
    providers.ResourceProvider,
    providers.Inventory,
    instances.Instance,
    flavors.Flavor,
    migrations.Migration,
    claims.Limits,
    pci.PciDevice,
    pci.InstancePCIRequest,
    numa.NUMATopology,
    numa.NUMACell,
    numa.NUMAPagesTopology,
    numa.InstanceNUMATopology,
    numa.InstanceNUMACell,
)
USAGES: Classes = (
    usages.NodeUsage,
    usages.InstanceUsage,
    usages.MigrationUsage,
    usages.NUMATopologyUsage,
    usages.NUMACellUsage,
    usages.NUMAPagesUsage,
    usages.InstanceNUMATopologyUsage,
    usages.InstanceNUMACellUsage,
    usages.PciDevicePool,
    usages.PciDeviceUsage,
)
PAYLOADS: Classes = (
    payloads.ResourceProviderPayload,
    payloads.AllocationPayload,
    payloads.ClaimPayload,
    payloads.FindingPayload,
    payloads.ParkedPayload,
    payloads.Cause,
)
ALL: Classes = INPUTS + USAGES + PAYLOADS
