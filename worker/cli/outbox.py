"""``stocktake outbox status`` and ``outbox resend``: the notifications that go out."""

from __future__ import annotations

import argparse

from worker import mapping, wiring
from worker.cli import arguments, commands, database, failures, lookup
from worker.db import outbox

SECOND = 1_000_000


class Status(commands.ShowOne):
    """Show how many notifications are due, since when, and how many sent ones are kept."""

    def take_action(self, _: argparse.Namespace) -> commands.Shown:
        """Count them."""
        with database.opened(self.conf) as bind:
            found = outbox.status(bind)
        waiting = None if found.oldest_due is None else max(wiring.clock() - found.oldest_due, 0) / SECOND
        since = None if found.oldest_due is None else mapping.moment(found.oldest_due)
        columns = ("due", "oldest_due_at", "oldest_due_seconds", "sent_and_kept")
        return columns, (found.due, since, waiting, found.sent)


class Resend(commands.Command):
    """Send the kept notifications of a node's providers once more, from a sequence on."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--node", metavar="NODE", required=True, help="uuid, hypervisor_hostname or HOST/NODE")
        parser.add_argument(
            "--from-seq", metavar="N", type=arguments.natural, required=True, help="first sequence to be sent again"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Make them due again; the active relay sends them."""
        with database.opened(self.conf) as bind:
            uuid = lookup.uuid_of(lookup.node(bind, parsed_args.node))
            count = outbox.resend(bind, uuid, parsed_args.from_seq)
            if not count and next(outbox.frames(bind, uuid, parsed_args.from_seq), None) is None:
                raise failures.Refused(f"node {uuid}: no notification from sequence {parsed_args.from_seq} on is kept")
        self.say(f"{count} notifications of node {uuid} are due again")
