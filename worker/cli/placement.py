"""``stocktake placement check``: our accounts against Placement."""

from __future__ import annotations

import argparse

import sqlalchemy as sa

from worker import errors, placement_wiring
from worker.cli import commands, database, lookup
from worker.db import outbox, placement_memory
from worker.placement import check, desired, faults, memory

TRIES = 5
COLUMNS = ("provider", "what", "subject", "ours", "placement")


class Check(commands.Lister):
    """Compare our accounts with Placement and list what differs."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--node", metavar="NODE", help="only this one: uuid, hypervisor_hostname or HOST/NODE")
        parser.add_argument("--fix", action="store_true", help="make Placement equal, but for what is not ours")
        parser.add_argument("--dry-run", action="store_true", help="with --fix: print the requests instead")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> commands.Listed:
        """Look at both sides, and again after each try to make them equal."""
        dry = self.say if parsed_args.dry_run else None
        keep = memory.ReadOnly if parsed_args.dry_run else memory.MarksOnly
        with database.opened(self.conf) as bind, _reachable():
            service = placement_wiring.placement(self.conf, dry=dry)
            kept = keep(placement_memory.PlacementMemory(bind))
            checker = placement_wiring.checker(bind, service, kept)
            syncing = placement_wiring.synchronizer(self.conf, service, kept)
            found = checker.compare(_wanted(bind, parsed_args.node), whole=parsed_args.node is None)
            for _ in range(_tries(parsed_args)):
                refused = syncing.apply(found.remedy)
                if dry is None:
                    found = checker.compare(_wanted(bind, parsed_args.node), whole=parsed_args.node is None)
                if refused or not found.remedy:
                    break
            due = outbox.status(bind).due
        for finding in syncing.findings.values():
            self.app.stderr.write(f"stocktake: {finding.text}\n")
        self.conclude(parsed_args, _verdict(found, due), good=not found.differences)
        return COLUMNS, [_row(one) for one in found.differences]


def _tries(parsed_args: argparse.Namespace) -> int:
    """Return how often to apply our side.

    Our side was read a moment before, and stocktake-placement may have been faster with something newer: the look
    afterwards, at a fresh reading of both, shows that, and the next try mends it.
    """
    if not parsed_args.fix:
        return 0
    return 1 if parsed_args.dry_run else TRIES


class _reachable:  # noqa: N801 - it reads as a word
    """Let what Placement cannot do for us now be an error of ours: exit code 2."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Translate."""
        if isinstance(error, faults.Unavailable | faults.Stale):
            raise errors.BusUnavailable(f"Placement: {error}") from error


def _wanted(bind: sa.Engine, node: str | None) -> desired.Wanted:
    ours = placement_wiring.Ours(bind)
    return ours.everything() if node is None else ours.on([lookup.node(bind, node).account.pair])


def _verdict(found: check.Report, due: int) -> str:
    count = len(found.differences)
    said = f"{count} differences" if count else "no difference"
    foreign = sum(not one.fixable for one in found.differences)
    parts = [f"{said} in {found.providers} providers"]
    if foreign:
        parts.append(f"{foreign} of them are allocations of others, which are left")
    if found.others:
        parts.append(f"{found.others} providers of others are left alone")
    if count and due:
        parts.append(f"{due} notifications are still due: look again when they are sent")
    return "; ".join(parts)


def _row(one: check.Difference) -> tuple[str, str, str, str, str]:
    return one.provider, one.what, one.subject, _shown(one.ours), _shown(one.theirs)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={amount}" for name, amount in sorted(value.items()))
    return "-" if value is None else str(value)
