"""What is in the accounts before the casts: nodes and instances, written by the worker's own code in large batches."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from objects import stocktake_object
from tests.benchmark import workload
from worker import handler, intake, interfaces, wiring
from worker.bus import wire
from worker.core import claims, commands, records
from worker.db import tables, unit_of_work

BATCH = 500
ISOLATED = {"isolation_level": "AUTOCOMMIT"}
DATA = stocktake_object.KEY_DATA


def fill(bind: sa.Engine, of: workload.Cloud) -> None:
    """Report the nodes and put the instances on them, node by node; nothing is due afterwards."""
    report(bind, of.nodes)
    order = (number for node in range(of.nodes) for number in range(node, of.instances, of.nodes))
    _carry_out(bind, (_task(commands.UpdateInstance(_record(number, of)), "update_instance") for number in order))
    settle(bind)


def report(bind: sa.Engine, nodes: int) -> None:
    """Report so many nodes, from the very bytes that a later report is compared with."""
    _carry_out(bind, (_read(cast) for cast in workload.reports(nodes)))


def settle(bind: sa.Engine) -> None:
    """Mark everything as sent, and have the database know its tables, as it does in the long run."""
    on_postgresql = bind.dialect.name == "postgresql"
    with bind.connect().execution_options(**ISOLATED if on_postgresql else {}) as connection:
        if on_postgresql:
            connection.exec_driver_sql("SET statement_timeout = 0")
        connection.execute(tables.outbox.update().values(due=None, sent_at=wiring.clock()))
        if on_postgresql:
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")
        connection.commit()
        connection.invalidate()


def _carry_out(bind: sa.Engine, tasks: Iterator[commands.Task]) -> None:
    unit = unit_of_work.UnitOfWork(bind)
    while batch := [task for _, task in zip(range(BATCH), tasks, strict=False)]:
        handler.handle(handler.Batch(batch), unit, wiring.clock(), claims.Policy())


def _read(cast: workload.Cast) -> commands.Task:
    delivery = interfaces.Delivery(0, cast.body, content_type=wire.CONTENT_TYPE, content_encoding=wire.CONTENT_ENCODING)
    return intake.task(wire.decode(delivery))


def _task(command: commands.Command, method: str) -> commands.Task:
    message_id = uuid.uuid4().hex
    return commands.Task(message_id, commands.Cause(message_id, method), command)


def _record(number: int, of: workload.Cloud) -> records.Instance:
    data: dict[str, Any] = workload.resident(number, of)[DATA]
    flavor = records.Flavor(**data["flavor"][DATA])
    return records.Instance(**data | {"flavor": flavor, "pci_requests": ()})
