"""What holds for every test that has a worker at work on real services."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest
from oslo_config import cfg

from tests import bus_sides, invariant, services


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Prove the accounts of every database that the body of the test touched."""
    with invariant.Watch() as databases:
        result = yield
        databases.prove()
    return result


@pytest.fixture
def vhost_url() -> Iterator[str]:
    """Lend a virtual host of RabbitMQ of its own."""
    with services.rabbit_vhost() as url:
        yield url


@pytest.fixture
def conf(vhost_url: str) -> cfg.ConfigOpts:
    """Return a configuration whose bus is that virtual host."""
    return bus_sides.conf_for(vhost_url)
