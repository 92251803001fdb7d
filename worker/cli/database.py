"""Commands on the schema: ``stocktake db sync``, ``version``, ``check``; and how every command comes to its database."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
from collections.abc import Iterator

import sqlalchemy as sa
import sqlalchemy.exc
from oslo_config import cfg
from oslo_db import exception

from worker import errors, wiring
from worker.cli import commands
from worker.db import schema


@contextlib.contextmanager
def opened(conf: cfg.ConfigOpts) -> Iterator[sa.Engine]:
    """Lend the database, once it is known to have the schema; raises Misconfigured or DatabaseUnavailable."""
    bind = wiring.database(conf)
    try:
        check(bind)
        yield bind
    finally:
        bind.dispose()


def check(bind: sa.Engine) -> None:
    """Raise Misconfigured, saying what to do, unless the database has the newest schema; or DatabaseUnavailable."""
    _check_exists(bind)
    with _named(bind):
        schema.check(bind)


def described(bind: sa.Engine) -> str:
    """Return where the database is, without user, password or anything else of the url."""
    where = "" if bind.url.host is None else bind.url.host
    return f"{bind.url.drivername}://{where}/{bind.url.database or ''}"


@contextlib.contextmanager
def _named(bind: sa.Engine) -> Iterator[None]:
    """Let errors within name the option; what the database says of itself is the configuration's fault here."""
    try:
        yield
    except errors.DatabaseUnavailable as error:
        raise errors.DatabaseUnavailable(f"[database] connection: {described(bind)}: {error}") from error
    except (sqlalchemy.exc.SQLAlchemyError, exception.DBError) as error:
        reason = str(error).partition("\n")[0]  # behind it are the statement and where to read on
        raise errors.Misconfigured(f"[database] connection: {described(bind)}: {reason}") from error


def _check_exists(bind: sa.Engine) -> None:
    if not _exists(bind):
        raise errors.Misconfigured(f"[database] connection: {described(bind)} does not exist: run stocktake db sync")


def _exists(bind: sa.Engine) -> bool:
    """Tell a file that is not there: to look into it would make an empty one."""
    if bind.dialect.name != "sqlite" or bind.url.database in {None, "", ":memory:"}:
        return True
    return pathlib.Path(str(bind.url.database)).exists()


class Sync(commands.Command):
    """Bring the database to the newest schema."""

    def take_action(self, _: argparse.Namespace) -> None:
        """Take every step that is missing."""
        bind = wiring.database(self.conf)
        try:
            with _named(bind):
                found = schema.sync(bind)
            self.say(f"{described(bind)} is at schema {found}")
        finally:
            bind.dispose()


class Version(commands.ShowOne):
    """Show the schema that the database has, and the one that is needed."""

    def take_action(self, _: argparse.Namespace) -> commands.Shown:
        """Look."""
        bind = wiring.database(self.conf)
        try:
            _check_exists(bind)
            with _named(bind):
                found = schema.version(bind)
        finally:
            bind.dispose()
        return ("database", "found", "needed"), (described(bind), found, schema.newest())


class Check(commands.Command):
    """Say whether the database can be worked with: exit code 2 and what to do if not."""

    def take_action(self, _: argparse.Namespace) -> None:
        """Look."""
        with opened(self.conf) as bind:
            self.say(f"{described(bind)} has the schema that is needed")
