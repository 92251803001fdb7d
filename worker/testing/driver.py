"""Faults between oslo.messaging and the driver of one of its transports, for any program that sends or listens by it.

    transport = driver.with_faults(oslo_messaging.get_notification_transport(conf, "fake://"), plan)

What is sent may be refused, or arrive although the sender is told that it did not; what comes may come twice, late, in
another order or, if that is asked for, never. A message that comes twice is two messages to whoever gets it: each is
acknowledged or put back by itself.
"""

from __future__ import annotations

import collections
import copy
from collections.abc import Iterator
from typing import Any

import oslo_messaging

from worker.testing import faults

TICK = 0.01
"""Seconds for which a listener waits for more while it keeps something back."""


def with_faults(transport: Any, plan: faults.Faults) -> Any:
    """Put faults into a transport of oslo.messaging, whatever its driver is, and return it."""
    transport._driver = FaultyDriver(transport._driver, plan)  # noqa: SLF001 - there is no other way between the two
    return transport


class FaultyDriver:
    """A driver with faults before another one."""

    def __init__(self, driver: Any, plan: faults.Faults) -> None:
        self._inner = driver
        self._plan = plan
        self._place = plan.at("sender")

    def __getattr__(self, name: str) -> Any:
        """Return what has no faults."""
        return getattr(self._inner, name)

    def send(self, target: Any, context: Any, message: Any, **options: Any) -> Any:
        """Send a cast or a call; raises MessageDeliveryFailure or MessagingTimeout, whether it has arrived or not."""
        waits = bool(options.get("wait_for_reply"))
        self._refuse(target)
        answer = self._inner.send(target, context, message, **options)
        self._forget(target, oslo_messaging.MessagingTimeout if waits else oslo_messaging.MessageDeliveryFailure)
        return answer

    def send_notification(self, target: Any, *arguments: Any, **options: Any) -> None:
        """Send a notification; raises MessageDeliveryFailure, whether it has arrived or not."""
        self._refuse(target)
        self._inner.send_notification(target, *arguments, **options)
        self._forget(target, oslo_messaging.MessageDeliveryFailure)

    def listen(self, *arguments: Any, **options: Any) -> Any:
        """Return a listener of a server."""
        return self._listener(self._inner.listen(*arguments, **options))

    def listen_for_notifications(self, *arguments: Any, **options: Any) -> Any:
        """Return a listener of a notification listener."""
        return self._listener(self._inner.listen_for_notifications(*arguments, **options))

    def _listener(self, adapter: Any) -> Any:
        adapter._poll_style_listener = FaultyListener(  # noqa: SLF001 - every driver of oslo.messaging has this adapter
            adapter._poll_style_listener,  # noqa: SLF001
            self._plan.at("listener"),
        )
        return adapter

    def _refuse(self, target: Any) -> None:
        if self._place.happens("refuse", target.topic):
            raise oslo_messaging.MessageDeliveryFailure(self._place.lost("before it sends"))

    def _forget(self, target: Any, error: type[Exception]) -> None:
        if self._place.happens("lose_confirms", target.topic):
            raise error(self._place.lost("after it has sent"))


class FaultyListener:
    """What one listener is given by its driver, with faults; once stopped, it gives all that it has kept back."""

    def __init__(self, listener: Any, place: faults.Place) -> None:
        self._inner = listener
        self._place = place
        self._later: list[tuple[int, Any]] = []
        self._copies: set[_Copy] = set()
        self._back: collections.deque[_Copy] = collections.deque()
        self._stopped = False

    def __getattr__(self, name: str) -> Any:
        """Return what has no faults."""
        return getattr(self._inner, name)

    def poll(self, timeout: float | None = None, batch_size: int = 1, batch_timeout: float | None = None) -> list[Any]:
        """Return up to ``batch_size`` messages."""
        wait = TICK if self._later or self._copies else timeout
        fresh = self._inner.poll(timeout=wait, batch_size=batch_size, batch_timeout=batch_timeout)
        coming = [(polls - 1, one) for polls, one in self._later]
        coming += [(0, self._back.popleft()) for _ in range(len(self._back))]
        for one in fresh:
            coming.extend(self._fate(one))
        ripe = [one for polls, one in coming if polls <= 0 or self._stopped]
        if len(ripe) > 1 and self._place.happens("reorder", f"{len(ripe)} messages"):
            self._place.shuffle(ripe)
        self._later = [(0, one) for one in ripe[batch_size:]]
        self._later += [(polls, one) for polls, one in coming if polls > 0 and not self._stopped]
        return ripe[:batch_size]

    def stop(self) -> None:
        """Keep nothing back any more."""
        self._stopped = True
        self._inner.stop()

    def _fate(self, one: Any) -> Iterator[tuple[int, Any]]:
        name = one.message.get("message_id") or one.message.get("method")
        if self._place.happens("lose", name):
            one.acknowledge()
            return
        if self._place.happens("duplicate", name):
            another = _Copy(one, self._copies, self._back)
            yield self._place.polls("duplicate"), another
        yield self._place.polls("delay") if self._place.happens("delay", name) else 0, one


class _Copy:
    """A message that comes once more and of which the broker knows nothing; ``kept`` has it until it is acknowledged."""

    def __init__(self, one: Any, kept: set[_Copy], back: collections.deque[_Copy]) -> None:
        self._inner = one
        self._kept = kept
        self._back = back
        self.message = copy.deepcopy(one.message)
        self.ctxt = copy.deepcopy(one.ctxt)
        kept.add(self)

    def __getattr__(self, name: str) -> Any:
        """Return what it has in common with the first one: where the answer of a call goes to."""
        return getattr(self._inner, name)

    def acknowledge(self) -> None:
        """Be done with."""
        self._kept.discard(self)

    def requeue(self) -> None:
        """Come again."""
        self._back.append(self)
