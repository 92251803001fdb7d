"""[notifications]: what goes out after the commit, and how long it is kept."""

from __future__ import annotations

from oslo_config import cfg

DAY = 86400

GROUP = cfg.OptGroup(
    "notifications",
    title="Notifications",
    help="What goes out after the commit. Topics and transport are in [oslo_messaging_notifications].",
)

OPTS: tuple[cfg.Opt, ...] = (
    cfg.IntOpt(
        "exists_interval",
        default=3600,
        min=0,
        max=365 * DAY,
        mutable=True,
        help="Seconds between two resource_provider.exists notifications of one provider: absolute figures that "
        "consumers check themselves against. 0 sends none.",
    ),
    cfg.IntOpt(
        "relay_batch",
        default=500,
        min=1,
        max=10000,
        mutable=True,
        help="Most notifications that are published before their confirms are awaited.",
    ),
    cfg.IntOpt(
        "outbox_retention",
        default=7 * DAY,
        min=0,
        max=365 * DAY,
        mutable=True,
        help="Seconds for which a sent notification is kept, to be sent again on request.",
    ),
    cfg.IntOpt(
        "lease_seconds",
        default=15,
        min=2,
        max=3600,
        help="Seconds after which another worker takes over the notifications of a worker that no longer reports. "
        "All workers of one database must have the same.",
    ),
)
