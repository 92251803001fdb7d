"""CPUs, pages and devices over kombu's in-process transport and over oslo.messaging's in-process fake, on SQLite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import hardware_job, stands


@pytest.fixture(params=["kombu+memory://", "fake://"])
def stand(request: pytest.FixtureRequest) -> Iterator[stands.Stand]:
    with stands.embedded(request.param) as made:
        yield made


class TestHardwareJob(hardware_job.HardwareJob):
    pass
