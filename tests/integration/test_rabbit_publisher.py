"""The publisher on a real RabbitMQ, with oslo.messaging's own listener at the other side."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg

from tests import bus_sides, services
from worker import errors, interfaces, steps
from worker.bus import connect

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def telling(conf: cfg.ConfigOpts) -> Iterator[interfaces.Publisher]:
    made = connect.publisher(conf)
    made.open()
    yield made
    made.close()


def _frames(count: int) -> list[interfaces.Frame]:
    return [
        interfaces.Frame(
            f"event-{number}", "resource_provider.update", "INFO", "stocktake:h", {"n": number}, "2026-01-02 03:04:05.0"
        )
        for number in range(count)
    ]


def _depth(conf: cfg.ConfigOpts, queue: str) -> int:
    with bus_sides.broker_session(conf) as live:
        return int(live.channel.queue_declare(queue, passive=True).message_count)


def _wait_for_depth(conf: cfg.ConfigOpts, queue: str, depth: int) -> None:
    bus_sides.until(lambda: _depth(conf, queue) == depth, f"{depth} messages in {queue}")


def test_oslos_listener_hears_the_frames(telling: Any, conf: cfg.ConfigOpts) -> None:
    heard: list[tuple[Any, ...]] = []
    done = threading.Event()

    class Endpoint:
        def info(self, ctxt: Any, publisher_id: str, event_type: str, payload: Any, metadata: Any) -> None:  # noqa: ARG002
            heard.append((publisher_id, event_type, payload, metadata["message_id"]))
            if len(heard) == 3:
                done.set()

    transport = oslo_messaging.get_notification_transport(conf)
    target = oslo_messaging.Target(topic="stocktake_notifications")
    listener = oslo_messaging.get_notification_listener(transport, [target], [Endpoint()], executor="threading")

    confirmed = telling.publish(_frames(3))
    listener.start()
    arrived = done.wait(bus_sides.DEADLINE)
    listener.stop()
    listener.wait()
    transport.cleanup()

    assert (confirmed, arrived) == (3, True)
    assert heard == [("stocktake:h", "resource_provider.update", {"n": n}, f"event-{n}") for n in range(3)]


def test_a_missing_queue_is_made_again_and_nothing_is_lost(telling: Any, conf: cfg.ConfigOpts) -> None:
    with bus_sides.broker_session(conf) as live:
        live.channel.queue_delete("stocktake_notifications.info")

    confirmed = telling.publish(_frames(20))

    assert confirmed == 20
    _wait_for_depth(conf, "stocktake_notifications.info", 20)


def test_a_full_queue_shortens_the_count_and_what_counts_is_there(conf: cfg.ConfigOpts) -> None:
    with bus_sides.broker_session(conf) as live:
        limits = {"x-max-length": 10, "x-overflow": "reject-publish"}
        live.channel.queue_declare("stocktake_notifications.info", durable=True, auto_delete=False, arguments=limits)
    telling = connect.publisher(conf)
    telling.open()

    confirmed = telling.publish(_frames(200))
    telling.close()

    assert 0 < confirmed < 200
    assert _depth(conf, "stocktake_notifications.info") >= confirmed


def test_an_idle_publisher_that_was_cut_off_connects_again_by_itself(
    telling: Any, conf: cfg.ConfigOpts, vhost_url: str
) -> None:
    telling.publish(_frames(1))
    services.rabbitmqctl("close_all_connections", "-p", vhost_url.rsplit("/", 1)[1], "test")

    confirmed = telling.publish(_frames(2))

    assert confirmed == 2
    _wait_for_depth(conf, "stocktake_notifications.info", 3)


def test_while_confirms_are_awaited_something_else_is_done(conf: cfg.ConfigOpts) -> None:
    done: list[int] = []
    telling = connect.publisher(conf, lambda: done.append(1))
    telling.open()

    confirmed = telling.publish(_frames(1))
    telling.close()

    assert confirmed == 1
    assert done


@contextlib.contextmanager
def _at_write(number: int, act: Callable[[], None]) -> Iterator[None]:
    """Do something once so many pieces are written to the broker."""
    written = []

    def reached(step: str) -> None:
        written.extend([step] if step == steps.WRITTEN else [])
        if step == steps.WRITTEN and len(written) == number:
            act()

    nobody, steps.WATCH.reached = steps.WATCH.reached, reached
    try:
        yield
    finally:
        steps.WATCH.reached = nobody


def test_a_publisher_cut_off_at_work_counts_only_what_is_confirmed(
    telling: Any, conf: cfg.ConfigOpts, vhost_url: str
) -> None:
    frames = _frames(3000)

    def cut() -> None:
        services.rabbitmqctl("close_all_connections", "-p", vhost_url.rsplit("/", 1)[1], "test")

    with _at_write(20, cut):
        confirmed = telling.publish(frames)
    with pytest.raises(errors.BusUnavailable, match="not open"):
        telling.publish(frames)
    telling.open()
    rest = telling.publish(frames[confirmed:])

    assert 0 < confirmed < len(frames) == confirmed + rest
    bus_sides.until(lambda: _depth(conf, "stocktake_notifications.info") >= len(frames), "each frame at least once")


def test_a_dead_host_is_passed_over(vhost_url: str) -> None:
    conf = bus_sides.conf_for(vhost_url.replace("guest:guest@", "guest:guest@127.0.0.1:1,guest:guest@"))
    telling = connect.publisher(conf)

    telling.open()
    confirmed = telling.publish(_frames(1))
    telling.close()

    assert confirmed == 1
