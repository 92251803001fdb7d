"""What holds for every test that has a worker at work in this process."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests import invariant


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Prove the accounts of every database that the body of the test touched."""
    with invariant.Watch() as databases:
        result = yield
        databases.prove()
    return result
