"""What the tests of the worker as a process start from."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests import invariant, stands
from tests.acceptance import site as sites


@pytest.fixture
def bare_site(tmp_path: pathlib.Path) -> Iterator[sites.Site]:
    """Lend a site whose database has no schema."""
    with sites.lent(tmp_path) as found:
        yield found


@pytest.fixture
def site(bare_site: sites.Site) -> Iterator[sites.Site]:
    """Lend a site that is ready; its accounts must add up at the end."""
    bare_site.sync()
    yield bare_site
    invariant.prove(bare_site.bind)


@pytest.fixture
def conductor(site: sites.Site) -> Iterator[stands.Conductor]:
    """Lend a party with oslo.messaging and none of our code."""
    found = stands.Conductor(site.sender_url)
    yield found
    found.close()
