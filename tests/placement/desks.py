"""A worker and the feeder of Placement at work in this process, on an in-memory bus, with a real Placement beside."""

from __future__ import annotations

import contextlib
import io
import pathlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from keystoneauth1 import loading
from kombu.transport import memory
from oslo_config import cfg

from tests import bus_sides, stands
from tests.functional import cli_desk
from tests.placement import compare
from worker import interfaces, placement_wiring, wiring
from worker.cli import main
from worker.db import schema, tables

CONFIGURATION = """\
[DEFAULT]
transport_url = kombu+memory://
[database]
connection = {database}
[placement]
auth_type = admin_token
endpoint = {url}
endpoint_override = {url}
token = admin
"""
BLINK = 0.03
_NEVER = threading.Event()
TOPICS = ["stocktake_notifications", "stocktake_placement"]


def point_at(conf: cfg.ConfigOpts, url: str, token: str | None = "admin") -> None:
    """Let [placement] of a configuration name a service and a token, or none."""
    conf.set_override("endpoint_override", url, group="placement")
    if token is None:
        conf.set_override("auth_type", "none", group="placement")
        return
    conf.register_opts(loading.get_auth_plugin_conf_options("admin_token"), group="placement")
    for name, value in {"auth_type": "admin_token", "endpoint": url, "token": token}.items():
        conf.set_override(name, value, group="placement")


class Desk:
    """A worker with a conductor, and what is needed to feed a Placement at a URL."""

    def __init__(self, conf: cfg.ConfigOpts, url: str, folder: pathlib.Path, token: str | None) -> None:
        self.conf = conf
        self.file = folder / "stocktake.conf"
        self.file.write_text(CONFIGURATION.format(database=conf.database.connection, url=url), encoding="utf-8")
        self.url = url
        point_at(conf, url, token)
        self.bind = wiring.database(conf)
        schema.sync(self.bind)
        self.running = wiring.Running(conf)
        self.running.start()
        self.conductor = stands.Conductor(f"{conf.transport_url}?rabbit_quorum_queue=true")
        self.health: list[str] = []

    def call(self, method: str, **arguments: Any) -> Any:
        """Call, and wait until what it caused is published."""
        answer = self.conductor.call(method, **arguments)
        until(lambda: stands.nothing_is_due(self.bind), "notifications to go out")
        return answer

    @contextlib.contextmanager
    def feeding(self) -> Iterator[placement_wiring.Feeding]:
        """Run the feeder."""
        feeding = placement_wiring.Feeding(self.conf, self.health.append)
        feeding.start()
        try:
            yield feeding
        finally:
            feeding.stop(20)

    def equal(self, but_for: str = "") -> None:
        """Wait until Placement is equal to our accounts, but for one provider that is somebody else's."""
        last: list[str] = ["nothing compared"]

        def compared() -> bool:
            try:
                last[:] = compare.differences(self.url, self.bind, but_for)
            except AssertionError as error:  # something went while it was looked at
                last[:] = [str(error)]
            return not last

        try:
            until(compared, "Placement to be equal")
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}") from None

    def purge(self) -> None:
        """Lose what waits for the feeder."""
        with bus_sides.broker_session(self.conf) as live:
            for priority in ("info", "warn", "error"):
                live.channel.queue_purge(f"{self.conf.placement.topic}.{priority}")

    def silently(self, method: str, **arguments: Any) -> None:
        """Carry something out of which nobody is ever told."""
        self.running.stop()
        delivery = interfaces.Delivery(tag=1, body=stands.body(method, arguments))
        wiring.batch_engine(self.conf, self.bind).process([delivery])
        with self.bind.begin() as connection:
            connection.execute(tables.outbox.update().values(due=None))
        self.running = wiring.Running(self.conf)
        self.running.start()

    def stocktake(self, *arguments: str) -> tuple[int, str]:
        """Run a command; return its exit code and what it wrote to standard output."""
        with contextlib.redirect_stdout(io.StringIO()) as said, cli_desk.logging_kept():
            code = main.run([f"--config-file={self.file}", *arguments], cfg.ConfigOpts())
        return code, said.getvalue()

    def close(self) -> None:
        """End everything."""
        self.conductor.close()
        self.running.stop()
        self.bind.dispose()
        memory.Transport.global_state.clear()  # type: ignore[no-untyped-call]
        memory.Channel.queues.clear()


@contextlib.contextmanager
def desk(url: str, token: str | None = "admin", **overrides: Any) -> Iterator[Desk]:
    """Lend a desk; ``overrides`` are options as ``stands.configuration`` takes them."""
    settings: dict[str, Any] = {
        "oslo_messaging_notifications__topics": TOPICS, "placement__retry_interval": 0.3, "reconnect_wait": 0.1,
        "reconnect_limit": 0.3, "reconnect_splay": 0.0, "notifications__lease_seconds": 2,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{pathlib.Path(folder) / 'stocktake.db'}"
        conf = stands.configuration("kombu+memory://", database, **settings | overrides)
        found = Desk(conf, url, pathlib.Path(folder), token)
        try:
            yield found
        finally:
            found.close()


def empty(api: compare.Api) -> None:
    """Leave nothing in Placement of the test before."""
    for one in api.get("/resource_providers")["resource_providers"]:
        for consumer in api.get(f"/resource_providers/{one['uuid']}/allocations")["allocations"]:
            api.send("DELETE", f"/allocations/{consumer}")
    left = api.get("/resource_providers")["resource_providers"]
    while left:
        parents = {one["parent_provider_uuid"] for one in left}
        for one in left:
            if one["uuid"] not in parents:
                api.send("DELETE", f"/resource_providers/{one['uuid']}")
        left = [one for one in left if one["uuid"] in parents]


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what the condition gives once it is true; fails after the deadline. Leaves Placement time to work."""
    end = time.monotonic() + bus_sides.DEADLINE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        _NEVER.wait(BLINK)
    raise AssertionError(f"waited {bus_sides.DEADLINE:g} s for {what}")
