"""Every option that stocktake reads, one module per group, and the one way to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oslo_config import cfg
from oslo_log import log

from worker import errors
from worker.conf import compute, libraries, limits, notifications, pci, placement, upgrade_levels, worker

PROJECT = "stocktake"

_GROUPS = (worker, compute, pci, limits, notifications, placement, upgrade_levels)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return our own options by group, for oslo-config-generator."""
    return [(module.GROUP.name, list(module.OPTS)) for module in _GROUPS]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register our own options, those of the bus and of the database, and our defaults for these two."""
    for module in _GROUPS:
        # A group object keeps its options with their overrides: each configuration gets one of its own.
        conf.register_group(cfg.OptGroup(module.GROUP.name, module.GROUP.title, module.GROUP.help))
        conf.register_opts(module.OPTS, group=module.GROUP.name)
    libraries.register_opts(conf)
    placement.register_library_opts(conf)


def configure(conf: cfg.ConfigOpts, argv: Sequence[str], **settings: Any) -> None:
    """Register everything, parse ``argv`` and the files it names, and check every value.

    ``settings`` are keywords of ``conf(...)``: prog, version, default_config_files. Raises Misconfigured; a wrong
    command line, or a bad value of one of its options in a file, is said on standard error and ends the process with 2.
    """
    log.register_options(conf)
    libraries.register_log_opts(conf)
    register_opts(conf)
    _parse(conf, args=list(argv), **settings)


def reload(conf: cfg.ConfigOpts) -> Mapping[tuple[str | None, str], tuple[Any, Any]]:
    """Read the files again and take over the mutable options; return those that changed, old and new text.

    Nothing changes unless every value of the files is good; raises Misconfigured.
    """
    trial = cfg.ConfigOpts()
    register_opts(trial)
    libraries.register_log_opts(trial)
    files, folders = conf.config_file or [], conf.config_dir or []
    _parse(trial, args=[], default_config_files=files, default_config_dirs=folders)
    changed = conf.mutate_config_files()
    # oslo.config empties its cache of values before it has the new ones: a thread that reads in between brings an old
    # value back for good. Registering what is registered empties the cache once more.
    conf.register_opts(worker.OPTS, group=worker.GROUP.name)
    return changed


def _parse(conf: cfg.ConfigOpts, **settings: Any) -> None:
    try:
        conf(project=PROJECT, **settings)
    except SystemExit as ended:
        # oslo.config has named the option on standard error; its 1 for options of the command line means refused here
        raise SystemExit(2 if ended.code else 0) from ended
    except (cfg.Error, ValueError, OSError) as error:
        raise errors.Misconfigured(_one_line(error)) from error
    of_placement = (placement.GROUP.name, placement.library_opts())
    for group, opts in [*list_opts(), *libraries.list_opts(), of_placement]:
        for opt in opts:
            _check(conf, group, opt)


def _check(conf: cfg.ConfigOpts, group: str | None, opt: cfg.Opt) -> None:
    """Read the value once: oslo.config converts and checks a file's values only when they are read."""
    try:
        (conf[group] if group else conf)[opt.dest]
    except (cfg.Error, ValueError) as error:
        reason = _one_line(error.__context__ or error)
        files = ", ".join(conf.config_file or [])
        where = f" (read from {files})" if files else ""
        raise errors.Misconfigured(f"[{group or 'DEFAULT'}] {opt.name}: {reason}{where}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
