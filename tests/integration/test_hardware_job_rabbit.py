"""CPUs, pages and devices over RabbitMQ and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import hardware_job, stands

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]


@pytest.fixture
def stand() -> Iterator[stands.Stand]:
    with stands.real() as made:
        yield made


class TestHardwareJob(hardware_job.HardwareJob):
    pass
