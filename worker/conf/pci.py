"""[pci]: what the world is told of PCI devices."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("pci", title="PCI devices", help="What the world is told of PCI devices.")

OPTS: tuple[cfg.Opt, ...] = (
    cfg.BoolOpt(
        "report_in_placement",
        default=False,
        help="Whether PCI devices are resource providers of their own below their node, with inventories, traits and "
        "allocations. Devices with the tag physical_network never are. All workers of one database must have the same.",
    ),
)
