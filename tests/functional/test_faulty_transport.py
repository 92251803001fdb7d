"""Faults between oslo.messaging and its driver: what a sender and a listener of theirs get to feel."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import oslo_messaging
import pytest

from tests import bus_sides, plain, stands
from worker import client, listening
from worker.testing import driver, faults

TOPIC = "stocktake_notifications"
COUNT = 60
BREAK = 5
"""Every so many notifications the numbers are those of another node."""


class Ends:
    """A sender and a listener of oslo.messaging on a bus of their own, each of which may have faults."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._conf = stands.bare()
        self._transports: list[Any] = []
        self._servers: list[Any] = []

    def transport(self, plan: faults.Faults | None, make: Any = oslo_messaging.get_notification_transport) -> Any:
        made = make(self._conf, self._url)
        self._transports.append(made)
        return made if plan is None else driver.with_faults(made, plan)

    def send(self, count: int = COUNT, plan: faults.Faults | None = None) -> list[int]:
        """Send notifications by number as a worker does, through the driver; return the numbers that seemed to fail."""
        transport, failed = self.transport(plan), []
        for number in range(count):
            target = oslo_messaging.Target(exchange="stocktake", topic=f"{TOPIC}.info")
            try:
                transport._driver.send_notification(target, {}, _message(number), 2.0, retry=0)
            except oslo_messaging.MessageDeliveryFailure:
                failed.append(number)
        return failed

    def listen(self, endpoint: Any, plan: faults.Faults | None = None) -> Any:
        """Listen, in one thread and so in order."""
        target = oslo_messaging.Target(exchange="stocktake", topic=TOPIC)
        server = oslo_messaging.get_notification_listener(
            self.transport(plan), [target], [endpoint], executor="threading", allow_requeue=True
        )
        server.start(override_pool_size=1)
        self._servers.append(server)
        return server

    def stop(self) -> None:
        """Have the listeners finish."""
        for server in self._servers:
            server.stop()
            server.wait()
        self._servers.clear()

    def close(self) -> None:
        """Leave nothing behind."""
        self.stop()
        for transport in self._transports:
            transport.cleanup()


@pytest.fixture(params=["fake://", "kombu+memory://"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    stands.forget_memory()
    made = Ends(request.param)
    yield made
    made.close()
    stands.forget_memory()


def _message(number: int) -> dict[str, Any]:
    payload = {"node_uuid": f"n{number % BREAK}", "sequence": number // BREAK + 1}
    return {
        "message_id": f"e{number}", "publisher_id": "here", "event_type": "resource_provider.update",
        "priority": "INFO", "payload": payload, "timestamp": "now",
    }  # fmt: skip


class Heard:
    """An endpoint that keeps the ids, in order; each of ``refuses`` is put back once."""

    def __init__(self, refuses: Sequence[str] = ()) -> None:
        self.ids: list[str] = []
        self._refuses = list(refuses)
        self._lock = threading.Lock()

    def info(self, _context: Any, _publisher: str, _kind: str, _payload: Any, metadata: Any) -> Any:
        with self._lock:
            self.ids.append(metadata["message_id"])
            if metadata["message_id"] in self._refuses:
                self._refuses.remove(metadata["message_id"])
                return oslo_messaging.NotificationResult.REQUEUE
            return oslo_messaging.NotificationResult.HANDLED


def test_a_transport_without_rates_is_as_it_was(ends: Ends) -> None:
    plan, endpoint = faults.Faults(1, faults.Rates()), Heard()
    ends.listen(endpoint, plan)

    failed = ends.send(plan=plan)
    bus_sides.until(lambda: len(endpoint.ids) >= COUNT, "every notification")
    ends.stop()

    assert (failed, plan.done) == ([], [])
    assert endpoint.ids == [f"e{number}" for number in range(COUNT)]


def test_a_listener_hears_everything_some_of_it_twice_and_in_another_order(ends: Ends) -> None:
    plan = faults.Faults(3, faults.Rates(duplicate=0.2, delay=0.2, reorder=0.5))
    endpoint = Heard()
    ends.send()

    ends.listen(endpoint, plan)
    bus_sides.until(lambda: set(endpoint.ids) == {f"e{number}" for number in range(COUNT)}, "every notification")
    ends.stop()

    done = Counter(fault.kind for fault in plan.done)
    assert len(endpoint.ids) == COUNT + done["duplicate"] > COUNT
    assert endpoint.ids != sorted(endpoint.ids, key=lambda name: int(name[1:]))


def test_what_is_kept_back_comes_before_a_listener_has_stopped(ends: Ends) -> None:
    plan = faults.Faults(1, faults.Rates(delay=1.0, polls=1000))
    endpoint = Heard()
    ends.listen(endpoint, plan)
    ends.send(3)
    bus_sides.until(lambda: len(plan.done) == 3, "three that are kept back")

    ends.stop()

    assert sorted(endpoint.ids) == ["e0", "e1", "e2"]


def test_a_message_that_is_put_back_comes_again_and_so_does_its_copy(ends: Ends) -> None:
    plan, endpoint = faults.Faults(1, faults.Rates(duplicate=1.0, polls=1)), Heard(["e0", "e0"])
    ends.listen(endpoint, plan)

    ends.send(1)
    bus_sides.until(
        lambda: len(endpoint.ids) >= 5, "message and copy, the copy again, message and copy of what came back"
    )
    ends.stop()

    assert endpoint.ids == ["e0"] * 5


def test_the_library_for_consumers_hands_each_on_once_and_finds_what_was_lost(ends: Ends) -> None:
    plan = faults.Faults(5, faults.Rates(duplicate=0.3, delay=0.2, lose=0.1))
    handled: list[str] = []
    gaps: list[listening.Gap] = []
    endpoint = listening.Endpoint(lambda told: handled.append(told.message_id), gaps.append)
    ends.send()

    with plan:
        ends.listen(endpoint, plan)
        names = {f"e{number}" for number in range(COUNT)}
        bus_sides.until(
            lambda: len(plan.done) and _settled(plan, handled, names), "every notification that is not lost"
        )
        ends.stop()

        gone = {fault.what for fault in plan.done if fault.kind == "lose"}
        assert len(handled) == len(set(handled))
        assert set(handled) == names - gone
        missing = {(f"n{node}", number) for node in range(BREAK) for number in endpoint.tracker.missing(f"n{node}")}
        newest = {node: max(_numbers(handled, node)) for node in range(BREAK)}
        assert missing == {_number(name) for name in gone if _number(name)[1] < newest[int(name[1:]) % BREAK]}
        assert gaps


def _number(name: str) -> tuple[str, int]:
    payload = _message(int(name[1:]))["payload"]
    return payload["node_uuid"], payload["sequence"]


def _numbers(handled: Sequence[str], node: int) -> list[int]:
    return [_number(name)[1] for name in handled if _number(name)[0] == f"n{node}"]


def _settled(plan: faults.Faults, handled: Sequence[str], names: set[str]) -> bool:
    return set(handled) | {fault.what for fault in plan.done if fault.kind == "lose"} == names


def test_a_sender_is_told_of_failures_behind_which_some_have_arrived(ends: Ends) -> None:
    plan, endpoint = faults.Faults(2, faults.Rates(refuse=0.2, lose_confirms=0.2)), Heard()

    failed = ends.send(plan=plan)
    ends.listen(endpoint)
    refused = [fault for fault in plan.done if fault.kind == "refuse"]
    bus_sides.until(lambda: len(endpoint.ids) == COUNT - len(refused), "all that has arrived")
    ends.stop()

    assert len(failed) == len(plan.done) > len(refused) > 0
    assert {f"e{number}" for number in failed} & set(endpoint.ids)


def test_a_conductor_that_sends_again_what_seemed_to_fail_is_counted_once() -> None:
    plan = faults.Faults(3, faults.Rates(refuse=0.2, lose_confirms=0.3))
    with plan, stands.embedded() as stand:
        transport = oslo_messaging.get_rpc_transport(stand.conf, f"{stand.conf.transport_url}?rabbit_quorum_queue=true")
        api = client.UsageAPI(stand.conf, driver.with_faults(transport, plan))

        _insist(api.report_node, plain.node(1))
        for number in range(1, 9):
            _insist(api.claim_instance, plain.instance(number, vm_state="building"))
            _insist(api.update_instance, plain.instance(number, revision=2))
        for number in range(1, 5):
            _insist(api.delete_instance, plain.uid(number), 3)
        stand.finish()
        transport.cleanup()

        assert stand.parked() == []
        assert stand.conductor.used() == {name: 4 * amount for name, amount in plain.SMALL.items()}
        assert {fault.kind for fault in plan.done} == {"refuse", "lose_confirms"}


def _insist(send: Callable[..., None], *arguments: Any) -> None:
    """Send until it seems to have gone well, as a conductor does."""
    for _ in range(50):
        try:
            return send(stands.CONTEXT, *arguments)
        except oslo_messaging.MessageDeliveryFailure:
            continue
    raise AssertionError("fifty times in a row is no fault any more")


def test_a_call_that_comes_twice_is_answered_all_the_same(ends: Ends) -> None:
    plan, endpoint = faults.Faults(1, faults.Rates(duplicate=1.0, polls=1)), Server()
    serving = ends.transport(plan, oslo_messaging.get_rpc_transport)
    with _served(serving, endpoint):
        client_ = _caller(ends.transport(None, oslo_messaging.get_rpc_transport))

        answer = client_.call({}, "ask", number=1)
        bus_sides.until(lambda: len(endpoint.asked) == 2, "both")

    assert answer == 1
    assert endpoint.asked == [1, 1]


@contextlib.contextmanager
def _served(transport: Any, endpoint: Any) -> Iterator[None]:
    target = oslo_messaging.Target(exchange="stocktake", topic="accounts", server="here")
    server = oslo_messaging.get_rpc_server(transport, target, [endpoint], executor="threading")
    server.start()
    yield
    server.stop()
    server.wait()


def _caller(transport: Any) -> Any:
    target = oslo_messaging.Target(exchange="stocktake", topic="accounts", version="1.0")
    return oslo_messaging.get_rpc_client(transport, target, timeout=20)


class Server:
    """An endpoint of an RPC server that counts what it was asked."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(self) -> None:
        self.asked: list[int] = []

    def ask(self, _context: Any, number: int) -> int:
        self.asked.append(number)
        return number


@pytest.mark.parametrize(
    ("rates", "error", "asked"),
    [
        (faults.Rates(refuse=1.0), oslo_messaging.MessageDeliveryFailure, []),
        (faults.Rates(lose_confirms=1.0), oslo_messaging.MessagingTimeout, [1]),
    ],
)
def test_a_call_fails_before_or_after_it_was_answered(
    rates: faults.Rates, error: type[Exception], asked: list[int], ends: Ends
) -> None:
    plan, endpoint = faults.Faults(1, rates), Server()
    with _served(ends.transport(None, oslo_messaging.get_rpc_transport), endpoint):
        client_ = _caller(ends.transport(plan, oslo_messaging.get_rpc_transport))
        with pytest.raises(error, match="fault of seed 1 at the sender: the connection is lost"):
            client_.call({}, "ask", number=1)
        plan.calm()

        answer = client_.call({}, "ask", number=2)

    assert answer == 2
    assert endpoint.asked == [*asked, 2]
