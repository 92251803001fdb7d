"""What holds for every test that has a worker at work in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests import invariant
from tests.placement import compare, desks, server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Prove the accounts of every database that the body of the test touched."""
    with invariant.Watch() as databases:
        result = yield
        databases.prove()
    return result


@pytest.fixture(scope="module")
def placement(tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.Server]:
    """Lend a real Placement, one for all tests of a module."""
    with server.running(tmp_path_factory.mktemp("placement")) as found:
        yield found


@pytest.fixture
def api(placement: server.Server) -> Iterator[compare.Api]:
    """Lend a way to ask and to change a Placement that is empty."""
    found = compare.Api(placement.url)
    desks.empty(found)
    yield found
    found.close()


@pytest.fixture
def desk(placement: server.Server, api: compare.Api) -> Iterator[desks.Desk]:
    """Lend a worker whose notifications that empty Placement can be fed with."""
    with desks.desk(placement.url) as found:
        yield found
