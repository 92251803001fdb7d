"""[limits]: how large what is sent may be."""

from __future__ import annotations

import dataclasses

from oslo_config import cfg

from objects import limits

GROUP = cfg.OptGroup(
    "limits",
    title="Limits",
    help="How large what is sent may be. A message beyond one of these is parked with a reason that names the field.",
)

OPTS: tuple[cfg.Opt, ...] = (
    cfg.IntOpt(
        "message_bytes",
        default=4 * 1024 * 1024,
        min=1024,
        max=128 * 1024 * 1024,
        help="Most bytes of a message's body, once inflated.",
    ),
    cfg.IntOpt(
        "nesting_depth",
        default=64,
        min=16,
        max=500,
        help="Most levels of lists and dicts within each other.",
    ),
    cfg.IntOpt(
        "string_length",
        default=limits.DEFAULT.string_length,
        min=36,
        max=255,
        help="Most characters of a name, state or key.",
    ),
    cfg.IntOpt(
        "text_length",
        default=limits.DEFAULT.text_length,
        min=255,
        max=65535,
        help="Most characters of a longer text, such as a set of CPUs or the value of an extra spec.",
    ),
    cfg.IntOpt(
        "list_length",
        default=limits.DEFAULT.list_length,
        min=1,
        max=1000000,
        help="Most entries of a list or set in an object.",
    ),
    cfg.IntOpt(
        "dict_length",
        default=limits.DEFAULT.dict_length,
        min=1,
        max=1000000,
        help="Most entries of a dict in an object.",
    ),
    cfg.IntOpt(
        "cells",
        default=limits.DEFAULT.cells,
        min=1,
        max=1024,
        help="Most NUMA cells of a node or an instance.",
    ),
    cfg.IntOpt(
        "audit_instances",
        default=limits.DEFAULT.audit_instances,
        min=1,
        max=1000000,
        help="Most instances in the list that an audit_node brings.",
    ),
)


def of_objects(conf: cfg.ConfigOpts) -> limits.Limits:
    """Return those of the limits that the objects check, as configured."""
    return limits.Limits(**{field.name: conf.limits[field.name] for field in dataclasses.fields(limits.Limits)})
