"""Options of oslo.messaging, oslo.db and oslo.log, with the defaults that are ours."""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import oslo_messaging.opts
from oslo_config import cfg
from oslo_db import options as db_options

Opts = list[tuple[str | None, list[cfg.Opt]]]

# With oslo's own default an exchange that is declared durable refuses every cast (406), so both ends say quorum.
DEFAULTS: Mapping[tuple[str | None, str], Any] = types.MappingProxyType(
    {
        (None, "control_exchange"): "stocktake",
        ("oslo_messaging_notifications", "topics"): ["stocktake_notifications"],
        ("oslo_messaging_rabbit", "rabbit_quorum_queue"): True,
        ("database", "connection"): "sqlite:///stocktake.db",
    }
)


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of the bus and the database as they are, and then our defaults."""
    for group, opts in [*oslo_messaging.opts.list_opts(), *db_options.list_opts()]:
        conf.register_opts(opts, group=group)
    for (group, name), value in DEFAULTS.items():
        conf.set_default(name, value, group=group)


def register_log_opts(conf: cfg.ConfigOpts) -> None:
    """Register oslo.log's options; those of its command line come from ``log.register_options``, before this."""
    for group, opts in _log_opts():
        conf.register_opts(opts, group=group)


def list_opts() -> Opts:
    """Return copies of the libraries' options that carry our defaults, for oslo-config-generator."""
    groups = [*_log_opts(), *oslo_messaging.opts.list_opts(), *db_options.list_opts()]
    return [(group, [_with_our_default(group, opt) for opt in opts]) for group, opts in groups]


def _with_our_default(group: str | None, opt: cfg.Opt) -> cfg.Opt:
    ours = copy.copy(opt)
    ours.default = DEFAULTS.get((group, opt.dest), opt.default)
    return ours


def _log_opts() -> Opts:
    """Return oslo.log's options: its entry point is the only public way to them."""
    (entry,) = metadata.entry_points(group="oslo.config.opts", name="oslo.log")
    found: Any = entry.load()()
    return list(found)
