"""The files of etc/ fit what they configure."""

from __future__ import annotations

import configparser
import json
import logging
import logging.config
import re
from collections.abc import Iterator

import pytest

from tests.architecture import tree
from worker.conf import placement, worker

ETC = tree.ROOT / "etc/stocktake"


@pytest.fixture
def kept_loggers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    ours = logging.getLogger("worker")
    our_handlers, propagate, our_level = ours.handlers[:], ours.propagate, ours.level
    yield
    root.handlers[:], root.level = handlers, level
    ours.handlers[:], ours.propagate = our_handlers, propagate
    ours.setLevel(our_level)


def test_the_logging_example_can_be_loaded(kept_loggers: None) -> None:
    logging.config.fileConfig(ETC / "logging.conf", disable_existing_loggers=False)

    assert logging.getLogger("worker").level == logging.INFO


@pytest.mark.parametrize("name", ["stocktake-worker", "stocktake-placement"])
def test_the_unit_drains_before_it_kills(name: str) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read(ETC / f"{name}.service")

    service = unit["Service"]

    assert service["ExecStart"].split()[0].endswith(f"/{name}")
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) >= 60


def test_the_policy_covers_the_queues_of_the_default_topics() -> None:
    policies = json.loads((ETC / "rabbitmq-policy.json").read_text())["policies"]
    (topic,) = [opt.default for opt in worker.OPTS if opt.dest == "topic"]
    (fed,) = [opt.default for opt in placement.OPTS if opt.dest == "topic"]

    covered = [re.compile(policy["pattern"]) for policy in policies]

    for queue in (topic, f"{topic}.dead", "stocktake_notifications.info", f"{fed}.info"):
        assert any(pattern.search(queue) for pattern in covered), queue


def test_no_policy_sets_a_delivery_limit() -> None:
    policies = json.loads((ETC / "rabbitmq-policy.json").read_text())["policies"]

    assert all("delivery-limit" not in policy["definition"] for policy in policies)
