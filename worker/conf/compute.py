"""[compute]: what the operator says of compute nodes besides what they report."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    "compute", title="Compute nodes", help="What the operator says of compute nodes besides what they report."
)

OPTS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "provider_config_location",
        default="/etc/stocktake/provider_config/",
        help="Directory of provider.yaml files: every *.yaml there adds inventories and traits of CUSTOM_ to resource "
        "providers. They are read at start; a fault in one of them is refused. A directory that is not there, and an empty "
        "value, add nothing. All workers of one database must have the same files.",
    ),
)
