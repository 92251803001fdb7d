"""A RabbitMQ node of its own: ports, data, cookie and epmd are nobody else's."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import uuid
from typing import Any

import amqp
import amqp.exceptions

from tests.acceptance import site
from tests.chaos import programs

STARTED_WITHIN = 120.0
STOPPED_WITHIN = 30.0
LOST = (OSError, amqp.exceptions.AMQPError)
"""What a connection raises that is lost or refused."""


class Broker:
    """A node that is stopped and started on the same data; raises Missing where RabbitMQ is not installed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._server, self._control = programs.find("rabbitmq-server"), programs.find("rabbitmqctl")
        self.port, self._epmd_port = site.free_port(), site.free_port()
        self.url = f"rabbit://guest:guest@127.0.0.1:{self.port}/"
        self._env = self._environment()
        self._node: programs.Program | None = None
        self._epmd: programs.Program | None = None
        self._cuts: list[programs.Program] = []

    def _environment(self) -> dict[str, str]:
        folder, name = self._folder, f"chaos-{uuid.uuid4().hex[:8]}@localhost"
        (folder / "plugins").write_text("[].\n", encoding="utf-8")
        (folder / "env.conf").write_text("", encoding="utf-8")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\ndisk_free_limit.absolute = 50MB\n"
            "consumer_timeout = 3600000\nlog.file.level = warning\n",
            encoding="utf-8",
        )
        cookie = folder / ".erlang.cookie"
        cookie.write_text(uuid.uuid4().hex, encoding="utf-8")
        cookie.chmod(0o400)
        own = {"NODENAME": name, "NODE_PORT": self.port, "DIST_PORT": site.free_port(), "MNESIA_BASE": folder / "data",
               "LOG_BASE": folder / "log", "PID_FILE": folder / "pid", "CONFIG_FILE": folder / "rabbitmq.conf",
               "CONF_ENV_FILE": folder / "env.conf", "ENABLED_PLUGINS_FILE": folder / "plugins",
               "GENERATED_CONFIG_DIR": folder / "config", "ALLOW_INPUT": 1,
               "SERVER_START_ARGS": "-noshell -noinput"}  # fmt: skip
        local = "-kernel inet_dist_use_interface {127,0,0,1}"
        others = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        erlang = {"HOME": str(folder), "ERL_EPMD_PORT": str(self._epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        return others | erlang | {"ERL_FLAGS": local} | {f"RABBITMQ_{key}": str(value) for key, value in own.items()}

    @property
    def running(self) -> bool:
        """Whether the node's process is there."""
        return self._node is not None and self._node.alive

    def start(self) -> None:
        """Start the node, once an earlier one has ended; it answers some seconds later."""
        log = self._folder / "output"
        if self._epmd is None:
            self._epmd = programs.Program([programs.find("epmd")], log, env=self._env)
        if self._node is not None:
            self._node.end(signal.SIGTERM, STOPPED_WITHIN)
        self._node = programs.Program([self._server], log, env=self._env)

    def wait(self) -> None:
        """Wait until the node answers; raises TimeoutError with what it has said."""
        try:
            programs.wait(self.answers, "RabbitMQ", STARTED_WITHIN)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {(self._folder / 'output').read_text(errors='replace')[-1000:]}") from error

    def answers(self) -> bool:
        """Whether a client is let in."""
        with contextlib.suppress(*LOST):
            self.connection().close()
            return True
        return False

    def connection(self) -> Any:
        """Return an open connection of py-amqp; raises one of LOST."""
        found = amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=5, read_timeout=20, write_timeout=20)
        found.connect()
        return found

    def stop(self, *, hard: bool) -> None:
        """Begin to stop the node as an operator does, or as a machine that loses its power."""
        if self._node is not None:
            self._node.send(signal.SIGKILL if hard else signal.SIGTERM)

    def cut(self) -> bool:
        """Begin to close every client's connection from the broker's side; False while the node is away."""
        found = self.answers()
        if found:
            command = [self._control, "-q", "close_all_connections", "chaos"]
            self._cuts.append(programs.Program(command, self._folder / "output", env=self._env))
        return found

    def close(self) -> None:
        """End everything."""
        for program in (*self._cuts, self._node, self._epmd):
            if program is not None:
                program.kill()
