"""oslo.messaging's in-process transport, ``fake://``, behind the same interfaces: for tests of conductors and consumers.

It goes through private parts of oslo.messaging (``_driver``, ``_send_notification``), which a test pins. Never over
rabbit: that listener acknowledges a message when it receives it, before anything is committed.
"""

from __future__ import annotations

import importlib
import json
import queue
import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import oslo_messaging
from oslo_config import cfg

from worker import errors, interfaces
from worker.bus import urls, wire


class FakeConsumer:
    """Consumes a topic of ``fake://``; satisfies ``interfaces.Consumer``. Messages there have no id: one is made."""

    def __init__(self, conf: cfg.ConfigOpts, topic: str, batch_size: int, batch_wait: float) -> None:
        _refuse_others(conf, None)
        self._transport = oslo_messaging.get_rpc_transport(conf)
        self._target = oslo_messaging.Target(topic=topic)  # no server: no fanout
        self.batch_size = batch_size
        self._batch_wait = batch_wait
        self._listener: Any = None
        self._taking = False
        self._waiting: queue.Queue[Any] = queue.Queue()
        self._unsettled: dict[str, Any] = {}

    def open(self) -> None:
        """Start to listen."""
        self.close()
        driver = self._transport._driver  # noqa: SLF001 - see the module's docstring; _listen wants a server
        self._listener = driver.listen(self._target, 1, None)
        self._listener.start(self._hand_over)
        self._taking = True

    def batch(self, idle: float = interfaces.IDLE, *, begun: int = 0, haste: float = 0.0) -> list[interfaces.Delivery]:
        """Return up to batch_size deliveries, or what came within batch_wait; empty after ``idle`` seconds of nothing."""
        self._check_open()
        taken: list[interfaces.Delivery] = []
        end = time.monotonic() + idle
        while self._taking and len(taken) < self.batch_size - begun:
            try:
                message = self._waiting.get(timeout=max(end - time.monotonic(), 0))
            except queue.Empty:
                break
            if not taken:
                end = time.monotonic() + self._batch_wait * (1 - haste)
            taken.append(self._deliver(message))
        return taken

    def settle(self, deliveries: Sequence[interfaces.Delivery]) -> None:
        """Forget these deliveries; the transport has no acknowledgement."""
        self._check_open()
        for delivery in deliveries:
            self._unsettled.pop(delivery.tag, None)

    def beat(self) -> None:
        """There is no connection to keep alive."""
        self._check_open()

    def answer(self, delivery: interfaces.Delivery, to: interfaces.ReplyTo, reply: Any) -> None:  # noqa: ARG002
        """Send the reply of a call once; a RemoteFailure is raised in the caller as the very class it names."""
        self._check_open()
        message = self._unsettled.get(delivery.tag)
        if message is None:
            return
        if isinstance(reply, interfaces.RemoteFailure):
            failure = _exception(reply)
            message.reply(failure=(type(failure), failure, None))
        else:
            message.reply(json.loads(json.dumps(reply)))

    def stop_taking(self) -> None:
        """Take no further deliveries; those in hand may still be settled, the others go back when it closes."""
        self._check_open()
        self._taking = False
        self._listener.stop()

    def close(self) -> None:
        """Stop to listen and give back what is unsettled; never raises."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        if self._taking:
            listener.stop()
        listener.cleanup()
        self._taking = False
        for message in [*self._unsettled.values(), *self._left()]:
            message.requeue()
        self._unsettled.clear()

    def _hand_over(self, messages: list[Any]) -> None:
        """Run on the listener's own thread."""
        for message in messages:
            self._waiting.put(message)

    def _left(self) -> list[Any]:
        left = []
        while not self._waiting.empty():
            left.append(self._waiting.get_nowait())
        return left

    def _deliver(self, message: Any) -> interfaces.Delivery:
        tag = uuid.uuid4().hex
        self._unsettled[tag] = message
        return interfaces.Delivery(
            tag=tag,
            body=_body(message, tag),
            content_type=wire.CONTENT_TYPE,
            content_encoding=wire.CONTENT_ENCODING,
        )

    def _check_open(self) -> None:
        if self._listener is None:
            raise errors.BusUnavailable("the consumer is not open")


class FakePublisher:
    """Publishes over ``fake://``; satisfies ``interfaces.Publisher``. What is sent is there at once."""

    def __init__(self, conf: cfg.ConfigOpts, topics: Sequence[str]) -> None:
        _refuse_others(conf, urls.notification_url(conf))
        self._transport = oslo_messaging.get_notification_transport(conf)
        self._topics = tuple(topics)
        self._is_open = False

    def open(self) -> None:
        """Nothing to connect to, nothing to declare."""
        self._is_open = True

    def publish(self, frames: Sequence[interfaces.Frame]) -> int:
        """Publish in order; return how many of the first ones are sent."""
        if not self._is_open:
            raise errors.BusUnavailable("the publisher is not open")
        for place, frame in enumerate(frames):
            try:
                self._send(frame)
            except oslo_messaging.MessagingException:
                return place
        return len(frames)

    def close(self) -> None:
        """Take no more."""
        self._is_open = False

    def _send(self, frame: interfaces.Frame) -> None:
        message = msgspec.json.decode(msgspec.json.encode(wire.notification(frame)))
        del message["_unique_id"]  # the transport's own matter
        for topic in self._topics:
            target = oslo_messaging.Target(topic=f"{topic}.{frame.priority.lower()}")
            self._transport._send_notification(  # noqa: SLF001 - see the module's docstring
                target, {}, message, version=2.0, retry=0
            )


def _refuse_others(conf: cfg.ConfigOpts, url: str | None) -> None:
    found = urls.scheme(conf, url)
    if found != urls.FAKE:
        raise errors.Misconfigured(f"transport_url: {found}:// is not for this listener, which is for fake:// only")


def _body(message: Any, message_id: str) -> bytes:
    """Write what the sender would have put on the wire; sets become lists as oslo.messaging makes them."""
    envelope = dict(message.message) | {"_unique_id": message_id}
    context = message.ctxt if isinstance(message.ctxt, dict) else message.ctxt.to_dict()
    envelope |= {f"{wire.CONTEXT}{name}": value for name, value in context.items()}
    if message._reply_q is not None:  # noqa: SLF001 - nothing else tells a call from a cast
        envelope |= {"_msg_id": message_id, "_reply_q": urls.FAKE, "_timeout": None}
    return wire.wrap(envelope, default=_primitive)


def _primitive(value: Any) -> Any:
    return list(value) if isinstance(value, (set, frozenset)) else str(value)


def _exception(failure: interfaces.RemoteFailure) -> Exception:
    """Build what the failure names, or what a caller over a real broker gets for a class that cannot be built."""
    try:
        exception = getattr(importlib.import_module(failure.module), failure.exc_class)(failure.message)
    except (ImportError, AttributeError, TypeError):
        exception = None
    return exception if isinstance(exception, Exception) else _remote_error(failure)


def _remote_error(failure: interfaces.RemoteFailure) -> Exception:
    error: Exception = oslo_messaging.RemoteError(failure.exc_class, failure.message, [])
    return error
