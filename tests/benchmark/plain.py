"""(b) The plain way: a server of oslo.messaging, one transaction for each cast, then one notification by its Notifier.

It keeps no outbox, no ledger and no sums that anybody could check: less than what it is compared with.
"""

from __future__ import annotations

import json
from typing import Any

import oslo_messaging
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.dialects import postgresql

from objects import stocktake_object
from tests.benchmark import meters, noop, settings, workload

DATA = stocktake_object.KEY_DATA
CONNECTIONS = 15
"""As many as SQLAlchemy opens by default, but kept: it would close ten of them after each use."""
SIGN = {"claim_instance": 1, "delete_instance": -1}

metadata = sa.MetaData()
inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("request_id", sa.String(64), primary_key=True),
    sa.Column("method", sa.String(64), nullable=False),
)
instances = sa.Table(
    "instances",
    metadata,
    sa.Column("uuid", sa.String(36), primary_key=True),
    sa.Column("node", sa.String(255)),
    sa.Column("body", sa.Text(), nullable=False),
)
nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("vcpus_used", sa.Integer(), nullable=False),
    sa.Column("memory_mb_used", sa.Integer(), nullable=False),
)


class Accounting(noop.Counting):
    """Writes down each cast by itself and tells of it."""

    def __init__(self, race: meters.Race, conf: cfg.ConfigOpts, bind: sa.Engine) -> None:
        super().__init__(race)
        self._bind = bind
        transport = oslo_messaging.get_notification_transport(conf)
        self._notifier = oslo_messaging.Notifier(
            transport, "stocktake:plain", driver="messagingv2", topics=conf.oslo_messaging_notifications.topics
        )

    def work(self, context: dict[str, Any], method: str, arguments: dict[str, Any]) -> None:
        """Commit, then notify."""
        uuid, record = _about(arguments)
        with self._bind.begin() as connection:
            connection.execute(inbox.insert().values(request_id=context["request_id"], method=method))
            known = _known(connection, uuid)
            now = record or known
            _put(connection, uuid, now)
            _count(connection, now, SIGN.get(method, 0))
        payload = {"instance_uuid": uuid, "method": method, "instance": now}
        self._notifier.info(context, f"instance.{method}", payload)


def _about(arguments: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Return the uuid of the instance that a cast is about, and its record if the cast has it."""
    if "instance" in arguments:
        record: dict[str, Any] = arguments["instance"][DATA]
        return record["uuid"], record
    return arguments["instance_uuid"], None


def _known(connection: sa.Connection, uuid: str) -> dict[str, Any]:
    """Return the record of an instance, locked; casts overtake each other in this server, so it may not be there yet."""
    body = connection.scalar(sa.select(instances.c.body).where(instances.c.uuid == uuid).with_for_update())
    return dict(json.loads(body)) if body is not None else {}


def _put(connection: sa.Connection, uuid: str, record: dict[str, Any]) -> None:
    values = {"uuid": uuid, "node": record.get("node"), "body": json.dumps(record)}
    connection.execute(
        postgresql.insert(instances).values(values).on_conflict_do_update(index_elements=["uuid"], set_=values)
    )


def _count(connection: sa.Connection, record: dict[str, Any], sign: int) -> None:
    """Bring the sums of the node up to date, under its lock."""
    size, name = record.get("flavor", {}).get(DATA, {}), record.get("node")
    vcpus, memory_mb = sign * size.get("vcpus", 0), sign * size.get("memory_mb", 0)
    connection.execute(sa.select(nodes).where(nodes.c.name == name).with_for_update()).one_or_none()
    connection.execute(
        nodes.update()
        .where(nodes.c.name == name)
        .values(vcpus_used=nodes.c.vcpus_used + vcpus, memory_mb_used=nodes.c.memory_mb_used + memory_mb)
    )


def run(task: settings.Task) -> dict[str, Any]:
    """Measure it, and count what it has written."""
    conf = settings.configured(task)
    bind = sa.create_engine(task.database_url, pool_size=CONNECTIONS, max_overflow=0)
    metadata.create_all(bind)
    with bind.begin() as connection:
        names = [workload.host(number) for number in range(task.nodes)]
        connection.execute(nodes.insert(), [{"name": name, "vcpus_used": 0, "memory_mb_used": 0} for name in names])
    race = meters.Race(task.casts, task.database)
    noop.serve(conf, race, Accounting(race, conf, bind))
    with bind.connect() as connection:
        written = connection.scalar(sa.select(sa.func.count()).select_from(inbox))
    if written != task.casts:
        raise RuntimeError(f"the plain way has {written} of {task.casts} casts")
    return race.result()
