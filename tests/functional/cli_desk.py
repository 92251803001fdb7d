"""A database in a file and the command line on it, in this process."""

from __future__ import annotations

import contextlib
import json
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from tests import builders
from worker import conf as options
from worker import engine, handler, interfaces, wiring
from worker.bus import wire
from worker.cli import main
from worker.core import claims, commands, node_tree
from worker.db import schema, unit_of_work


class Desk:
    """Where an operator sits; ``code``, ``out`` and ``err`` are those of the last command."""

    def __init__(self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "stocktake.conf"
        self.file.write_text(f"[database]\nconnection = sqlite:///{folder / 'books.db'}\n", encoding="utf-8")
        self._capsys = capsys
        self._worker = builders.Worker()
        self.rules = node_tree.Rules()
        self.conf = cfg.ConfigOpts()
        options.configure(self.conf, [f"--config-file={self.file}"])
        self.bind = wiring.database(self.conf)
        self.code, self.out, self.err = 0, "", ""

    def sync(self) -> None:
        """Give the database its schema."""
        schema.sync(self.bind)

    def tell(self, *orders: commands.Command) -> Any:
        """Carry commands out in one transaction; return the outcome of the last one."""
        tasks = [builders.a_task(order, self._worker.next_id()) for order in orders]
        policy = claims.Policy(trees=self.rules)
        return handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(self.bind), builders.NOW, policy)[-1]

    def deliver(self, body: bytes, **properties: Any) -> str:
        """Let the engine take a message; return the outcome's word."""
        taken = engine.Engine(
            lambda: unit_of_work.UnitOfWork(self.bind),
            _NoLibrary(),
            wiring.clock,
            lambda: wiring.settings(self.conf, self.rules),
            engine.Uncounted(),
        )
        (answer,) = taken.process([interfaces.Delivery(tag=1, body=body, **properties)])
        return answer.word

    def run(self, *arguments: str) -> str:
        """Run a command; return what it wrote to standard output."""
        with logging_kept():
            try:
                self.code = main.run([f"--config-file={self.file}", *arguments], cfg.ConfigOpts())
            except SystemExit as ended:
                self.code = int(ended.code or 0)
        self.out, self.err = self._capsys.readouterr()
        return self.out

    def json(self, *arguments: str) -> Any:
        """Run a command and return what it says in JSON."""
        return json.loads(self.run(*arguments, "-f", "json"))

    def refusal(self, *arguments: str) -> str:
        """Run a command that fails; return its one line on standard error."""
        self.run(*arguments)
        (line,) = self.err.splitlines()
        assert self.code != 0
        return line


class _NoLibrary:
    """Answers no read method: nothing here asks."""

    def node_usage(self, node_uuid: str) -> dict[str, Any]:
        raise NotImplementedError

    def node_usages(self, marker: str | None, limit: int) -> list[dict[str, Any]]:
        raise NotImplementedError

    def instance_usage(self, instance_uuid: str, now: int) -> dict[str, Any]:
        raise NotImplementedError


@contextlib.contextmanager
def logging_kept() -> Iterator[None]:
    """Put the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextlib.contextmanager
def opened(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """Lend a desk whose database has the schema."""
    desk = Desk(folder, capsys)
    desk.sync()
    try:
        yield desk
    finally:
        desk.bind.dispose()


def body(method: str, message_id: str, **arguments: Any) -> bytes:
    """Return the bytes of a cast."""
    context = {"_context_request_id": "req-1", "_context_auth_token": "hush"}
    return wire.wrap({"method": method, "args": arguments, "version": "1.0", "_unique_id": message_id, **context})
