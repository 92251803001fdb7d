"""Bad input over RabbitMQ and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import bad_input, stands

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]


@pytest.fixture(scope="module")
def played() -> Iterator[bad_input.Played]:
    with stands.real() as stand:
        yield bad_input.play(stand)


class TestBadInput(bad_input.BadInput):
    pass
