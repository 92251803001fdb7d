"""``stocktake parked``: the messages that could not be applied, to be looked at, tried again or dropped."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import sqlalchemy as sa
from oslo_config import cfg

from objects import exceptions
from worker import engine, errors, interfaces, mapping, wiring
from worker.cli import bars, commands, database, failures
from worker.core import claims, events
from worker.db import engine as db_engine
from worker.db import parked, reading, tables, unit_of_work

COLUMNS = ("id", "parked_at", "method", "field", "attempts", "reason")
PAGE = 100
REASON_LENGTH = 100
DELIVERY = ("content_type", "content_encoding")
LOST = {
    parked.TRUNCATED: "cannot be replayed: the database took only a part of its body",
    "withheld": "cannot be replayed: its body was withheld, for a token may be in it",
}


class List(commands.Lister):
    """List the parked messages, oldest first."""

    def take_action(self, _: argparse.Namespace) -> commands.Listed:
        """Read them all."""
        with database.opened(self.conf) as bind:
            return COLUMNS, [_row(message) for message in _all(bind)]


class Show(commands.ShowOne):
    """Show a parked message with everything that is kept of it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("number", metavar="ID", type=int, help="its number in the list")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> commands.Shown:
        """Read it."""
        with database.opened(self.conf) as bind:
            message = _get(bind, parsed_args.number)
        names = ("id", "message_id", "method", "queue", "field", "reason", "error", "attempts", "traceback")
        shown = {name: getattr(message, name) for name in names}
        shown["parked_at"] = mapping.moment(message.parked_at)
        shown["headers"] = bars.Lines(dict(message.headers))
        shown["body"] = message.body.decode("utf-8", "backslashreplace")
        return tuple(shown), tuple(shown.values())


class _Some(commands.Command):
    """A command on one parked message, or on all."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("number", metavar="ID", type=int, nargs="?", help="its number in the list")
        which.add_argument("--all", action="store_true", help="every parked message, oldest first")
        return parser

    def chosen(self, bind: sa.Engine, parsed_args: argparse.Namespace) -> Iterator[interfaces.ParkedMessage]:
        """Yield the messages that are meant."""
        return _all(bind) if parsed_args.all else iter([_get(bind, parsed_args.number)])


class Replay(_Some):
    """Try parked messages once more, as if they came now: what is applied is removed, what is still bad stays."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Carry them out one by one."""
        bad = 0
        with database.opened(self.conf) as bind:
            for message in self.chosen(bind, parsed_args):
                word, reason = replay(self.conf, bind, message)
                bad += word == events.PARKED
                self.say(f"{message.id}: {word}{f': {reason}' if reason else ''}")
        return failures.REFUSED if bad else 0


class Drop(_Some):
    """Drop parked messages for good."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete them."""
        with database.opened(self.conf) as bind:
            numbers = [message.id for message in self.chosen(bind, parsed_args) if message.id is not None]
            self.say(f"{parked.delete(bind, numbers)} dropped")


class _Trial(unit_of_work.UnitOfWork):
    """A transaction that parks nothing: what fails in it is parked already."""

    def __enter__(self) -> Self:
        """Begin."""
        super().__enter__()
        self.parked = _Nowhere()
        return self


class _Nowhere:
    """Takes no message; satisfies ``interfaces.Parked``."""

    def add(self, messages: Sequence[interfaces.ParkedMessage]) -> None:
        """Refuse messages, with the reason for which the first would have been parked."""
        for message in messages:
            raise errors.Malformed(message.reason, field=message.field)


def replay(conf: cfg.ConfigOpts, bind: sa.Engine, message: interfaces.ParkedMessage) -> tuple[str, str | None]:
    """Carry a parked message out and return its outcome's word and reason; it stays, with one more try, if parked."""
    for header, fate in LOST.items():
        if header in message.headers:
            return _stays(bind, message, fate)
    rules = wiring.trees(conf)
    trial = engine.Engine(
        unit_of_work=lambda: _Trial(bind),
        library=reading.Library(bind, claims.Policy),
        clock=wiring.clock,
        settings=lambda: wiring.settings(conf, rules),
        starts=engine.Uncounted(),
    )
    try:
        (answer,) = trial.process([delivery(message)])
    except errors.Malformed as error:
        return _stays(bind, message, str(error))
    if answer.word == events.PARKED:
        return _stays(bind, message, str(answer.reply["reason"]))
    parked.delete(bind, [message.id or 0])
    return answer.word, None


def delivery(message: interfaces.ParkedMessage) -> interfaces.Delivery:
    """Return a parked message as it came off its queue; as a dead letter, which is tried once and alone."""
    headers: Mapping[str, Any] = {name: value for name, value in message.headers.items() if name not in DELIVERY}
    kind, encoding = (message.headers.get(name) for name in DELIVERY)
    return interfaces.Delivery(
        tag=message.id,
        body=message.body,
        headers=headers,
        content_type=kind,
        content_encoding=encoding,
        redelivered=True,
        dead=True,
    )


def _stays(bind: sa.Engine, message: interfaces.ParkedMessage, reason: str) -> tuple[str, str]:
    again = tables.parked.update().where(tables.parked.c.id == message.id)
    with bind.execution_options(**{db_engine.WRITING: True}).begin() as connection:
        connection.execute(again.values(attempts=message.attempts + 1, reason=reason))
    return events.PARKED, reason


def _all(bind: sa.Engine) -> Iterator[interfaces.ParkedMessage]:
    after = 0
    while page := parked.listed(bind, after, PAGE):
        yield from page
        after = page[-1].id or 0


def _get(bind: sa.Engine, number: int) -> interfaces.ParkedMessage:
    message = parked.get(bind, number)
    if message is None:
        raise exceptions.NotFound(f"parked message {number} is not known")
    return message


def _row(message: interfaces.ParkedMessage) -> tuple[Any, ...]:
    reason = message.reason if len(message.reason) <= REASON_LENGTH else f"{message.reason[: REASON_LENGTH - 1]}…"
    return (message.id, mapping.moment(message.parked_at), message.method, message.field, message.attempts, reason)
