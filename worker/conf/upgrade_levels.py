"""[upgrade_levels]: what a sender may use while older workers still listen."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("upgrade_levels", title="Upgrade levels", help="Pins for the time of an upgrade.")

OPTS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "stocktake",
        regex=r"^\d+\.\d+$",
        help="Newest RPC version that UsageAPI sends, such as 1.0, while workers that know no newer one still listen. "
        "Unset sends the newest it knows.",
    ),
)
