"""The buses that the suites of consumer and publisher run on, and the stores of the unit of work's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import bus_sides, services
from tests.contract import units_of_work


@pytest.fixture(scope="module")
def rabbit_url() -> Iterator[str]:
    """Lend a virtual host of RabbitMQ for the tests of one module."""
    with services.rabbit_vhost() as url:
        yield url


@pytest.fixture(params=["double", "faulty", "fake", "memory", pytest.param("rabbit", marks=pytest.mark.rabbitmq)])
def side(request: pytest.FixtureRequest) -> Iterator[bus_sides.Side]:
    """Each bus in turn: the double, the same behind no faults, oslo's in-process fake, kombu's in-process transport, RabbitMQ."""
    if request.param == "double":
        made: bus_sides.Side = bus_sides.Double()
    elif request.param == "faulty":
        made = bus_sides.Faulty()
    elif request.param == "rabbit":
        made = bus_sides.Oslo(request.getfixturevalue("rabbit_url"))
    else:
        made = bus_sides.Oslo({"fake": "fake://", "memory": "kombu+memory://"}[request.param])
    yield made
    made.close()


@pytest.fixture(scope="module", params=list(units_of_work.FACTORIES))
def lent(request: pytest.FixtureRequest) -> Iterator[units_of_work.Place]:
    with units_of_work.FACTORIES[request.param]() as place:
        yield place


@pytest.fixture
def place(lent: units_of_work.Place) -> Iterator[units_of_work.Place]:
    lent.clear()
    yield lent
    lent.clear()
