"""The main job over kombu's in-process transport and SQLite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import main_job, stands


@pytest.fixture
def stand() -> Iterator[stands.Stand]:
    with stands.embedded() as made:
        yield made


class TestMainJob(main_job.MainJob):
    pass
