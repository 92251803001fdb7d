"""How often messages were started, kept in memory and by each database."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import pytest

from tests import builders
from tests.contract import units_of_work
from tests.fakes import starts as fake
from worker import interfaces
from worker.db import engine, schema, starts

KINDS = [
    "memory",
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgresql),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]


@contextlib.contextmanager
def _url(kind: str, folder: pathlib.Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'starts.db'}"
    else:
        with units_of_work.scratch(kind) as url:
            yield url


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[interfaces.Starts]:
    """Lend starts of each kind."""
    if request.param == "memory":
        yield fake.Starts()
        return
    with _url(request.param, tmp_path) as url:
        bind = engine.of_url(url)
        schema.sync(bind)
        yield starts.Starts(bind, lambda: builders.NOW)
        bind.dispose()


def test_each_start_counts_one(kept: interfaces.Starts) -> None:
    kept.begin(["b", "a"])
    kept.begin(["c", "b"])

    assert kept.known(["a", "b", "c", "d"]) == {"a": 1, "b": 2, "c": 1}


def test_one_message_twice_in_a_start_counts_once(kept: interfaces.Starts) -> None:
    kept.begin(["a", "a"])

    assert kept.known(["a"]) == {"a": 1}


def test_what_ended_well_is_forgotten(kept: interfaces.Starts) -> None:
    kept.begin(["a", "b"])
    kept.finish(["a", "c"])

    assert kept.known(["a", "b"]) == {"b": 1}
