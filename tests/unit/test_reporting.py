"""What the log says of messages: a fixed vocabulary, with the sender's request id."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from oslo_config import cfg
from oslo_log import formatters, log

from tests import builders
from worker import interfaces, reporting
from worker.core import commands, events

CAUSE = commands.Cause("m1", "claim_instance", "req-1", "req-global", "u1", "p1", builders.VM, 3)
TASK = commands.Task("m1", CAUSE, commands.DeleteInstance(builders.VM, 3))


@pytest.fixture
def told() -> Iterator[io.StringIO]:
    """What oslo.log's own formatter writes of the module's records, debug included."""
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    conf([], project="stocktake")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatters.ContextFormatter(config=conf))
    logger = logging.getLogger("worker.reporting")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = propagate


def test_a_refusal_is_said_at_info_with_its_reason_and_request_id(told: io.StringIO) -> None:
    reporting.outcomes([TASK], [events.Outcome(events.REFUSED, "m1", reason="VCPU: asked 2, available 1")])

    line = told.getvalue()
    assert " INFO worker.reporting [req-global req-1 u1 p1 " in line
    assert "action=refuse outcome=refused method=claim_instance message_id=m1" in line
    assert line.rstrip().endswith("revision=3: VCPU: asked 2, available 1")


def test_every_other_outcome_is_said_at_debug(told: io.StringIO) -> None:
    known = interfaces.Mark("m1", "claim_instance", events.ACCEPTED)

    reporting.outcomes([TASK, TASK], [events.Outcome(events.APPLIED, "m1"), known])

    first, second = told.getvalue().splitlines()
    assert " DEBUG " in first
    assert "outcome=applied" in first
    assert "outcome=duplicate" in second


def test_nothing_is_said_of_good_casts_unless_debug_is_on(told: io.StringIO) -> None:
    logging.getLogger("worker.reporting").setLevel(logging.INFO)

    reporting.outcomes([TASK], [events.Outcome(events.APPLIED, "m1")])
    reporting.batch([interfaces.Answer(interfaces.Delivery(1, b""), events.APPLIED)], 0.5)

    assert told.getvalue() == ""


def test_a_batch_is_one_line_with_counts_and_time(told: io.StringIO) -> None:
    delivery = interfaces.Delivery(1, b"")

    reporting.batch([interfaces.Answer(delivery, word) for word in ("stale", "applied", "applied")], 0.25)

    assert "action=batch size=3 applied=2 stale=1 seconds=0.2500" in told.getvalue()


def test_what_is_parked_is_said_at_warning_with_the_reason(told: io.StringIO) -> None:
    reporting.parked(interfaces.ParkedMessage("args.revision: is missing", b"", 1, "accounts", "m1", "delete_instance"))

    assert " WARNING " in told.getvalue()
    assert "action=park message_id=m1 method=delete_instance" in told.getvalue()
    assert "args.revision: is missing" in told.getvalue()
