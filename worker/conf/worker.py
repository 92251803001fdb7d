"""[worker]: what is taken off the queue, and how it is accounted."""

from __future__ import annotations

from oslo_config import cfg

DAY = 86400

GROUP = cfg.OptGroup("worker", title="The worker", help="What is taken off the queue, and how it is accounted.")

OPTS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "topic",
        default="accounts",
        regex=r"^[A-Za-z0-9_.-]+$",
        max_length=200,
        help="Topic, and so the name of the queue, on which casts and calls arrive. All workers share it; what the "
        "broker gives up on goes to the queue of this name with '.dead' appended.",
    ),
    cfg.IntOpt(
        "processes",
        default=1,
        min=1,
        max=256,
        help="Number of worker processes that this daemon runs, each with its own connections to the bus and the "
        "database.",
    ),
    cfg.IntOpt(
        "batch_size",
        default=1000,
        min=1,
        max=10000,
        mutable=True,
        help="Most messages that share one transaction. Twice as many are fetched ahead. A new value counts from the "
        "next connect on.",
    ),
    cfg.FloatOpt(
        "batch_wait",
        default=0.002,
        min=0.0,
        max=10.0,
        mutable=True,
        help="Seconds to wait at most for a batch to fill up once it has a first message, when much is coming; the less "
        "the last batch had, the shorter. What comes while a batch is committed is in the next one anyway.",
    ),
    cfg.StrOpt(
        "claim_policy",
        default="all",
        choices=[
            ("all", "every resource class, NUMA cells, PCI pools and named resources"),
            ("local", "NUMA, PCI and named resources only, beside a Placement that has already decided the amounts"),
            ("none", "nothing: every claim is accepted, on an unreported node too, and is a fact"),
        ],
        mutable=True,
        help="What a claim is tested against before it is accepted.",
    ),
    cfg.IntOpt(
        "migration_deadline",
        default=DAY,
        min=60,
        max=365 * DAY,
        mutable=True,
        help="Seconds after which a move that is still in progress is reported as a finding. It is never released by "
        "itself.",
    ),
    cfg.IntOpt(
        "audit_grace",
        default=60,
        min=0,
        max=DAY,
        mutable=True,
        help="Seconds before the time at which an audit's list was taken in which a record must not have been "
        "committed, or it is exempt from that audit.",
    ),
    cfg.IntOpt(
        "inbox_retention",
        default=7 * DAY,
        min=3600,
        max=365 * DAY,
        mutable=True,
        help="Seconds for which the id of a message is remembered, so that the same message counts once. Longer than "
        "any sender, queue or parked message may hold one back.",
    ),
    cfg.IntOpt(
        "max_attempts",
        default=5,
        min=2,
        max=100,
        mutable=True,
        help="Times that one message is tried before it is parked. A database or a broker that is away is no attempt. Two "
        "at least: the first time that a worker dies, all that it had in hand may be to blame.",
    ),
    cfg.FloatOpt(
        "pause_share",
        default=0.9,
        min=0.0,
        max=1.0,
        mutable=True,
        help="Share of messages, of those of the last pause_window, that may be parked before the worker takes a pause: "
        "more than that, and it is not the messages that are wrong. 1 never pauses.",
    ),
    cfg.IntOpt(
        "pause_window",
        default=60,
        min=1,
        max=86400,
        mutable=True,
        help="Seconds over which parked messages are counted for pause_share.",
    ),
    cfg.IntOpt(
        "pause_minimum",
        default=100,
        min=1,
        max=1000000,
        mutable=True,
        help="Messages within pause_window below which the worker never takes a pause.",
    ),
    cfg.FloatOpt(
        "pause_seconds",
        default=30.0,
        min=0.1,
        max=3600.0,
        mutable=True,
        help="Seconds that a pause lasts. Then one message is tried: if it goes well, work goes on, else another pause "
        "follows.",
    ),
    cfg.FloatOpt(
        "reconnect_wait",
        default=1.0,
        min=0.01,
        max=3600.0,
        mutable=True,
        help="Seconds to wait before the first new try after a connection was lost; doubled at each further one.",
    ),
    cfg.FloatOpt(
        "reconnect_limit",
        default=30.0,
        min=0.01,
        max=3600.0,
        mutable=True,
        help="Most seconds between two tries to connect.",
    ),
    cfg.FloatOpt(
        "reconnect_splay",
        default=1.0,
        min=0.0,
        max=3600.0,
        mutable=True,
        help="Up to so many seconds, drawn by chance, are added to each wait, so that many workers do not return at "
        "once.",
    ),
)
