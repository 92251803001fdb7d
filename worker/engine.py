"""The batch engine: deliveries in, one committed transaction, answers out.

The whole batch shares one transaction. If that fails on data, the batch is repeated one message per transaction, so
that one bad message takes no other down with it; what fails alone again and again is parked. A database that is away
is nobody's fault: DatabaseUnavailable leaves ``process`` and the caller tries the same deliveries again later.
"""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from oslo_log import log

from objects import exceptions
from objects import limits as object_limits
from worker import errors, handler, intake, interfaces, reporting
from worker.bus import redact, wire
from worker.core import claims, commands, events

LOG = log.getLogger(__name__)

EXPIRED = "expired"
READ = "read"
TRACEBACK_LINES = 20
CONFLICTS = 20
"""How often a batch is repeated because another worker was first, before the database counts as away."""


class Settings(msgspec.Struct, frozen=True, gc=False):
    """What the operator decided; read anew for every batch, since most of it may change while the worker runs."""

    policy: claims.Policy = msgspec.field(default_factory=claims.Policy)
    wire_limits: wire.Limits = wire.DEFAULT_LIMITS
    object_limits: object_limits.Limits = object_limits.DEFAULT
    max_attempts: int = 5
    queue: str = "accounts"
    host: str = ""


class _Order(msgspec.Struct, frozen=True, gc=False):
    """A delivery that was understood: a task for the handler, or arguments of a read."""

    delivery: interfaces.Delivery
    envelope: interfaces.Envelope
    task: commands.Task | None
    question: dict[str, Any] | None


class _Refuse(msgspec.Struct, frozen=True, gc=False):
    """A delivery that is parked as it came."""

    delivery: interfaces.Delivery
    message: interfaces.ParkedMessage
    to: interfaces.ReplyTo | None
    bare: bool = False


class Reading(msgspec.Struct, frozen=True, gc=False):
    """Deliveries that were read, and the settings that were in force then.

    ``suspects`` came before and were not acknowledged: one of them may have killed a worker, so none is looked at before
    that is counted.
    """

    orders: Sequence[_Order | _Refuse]
    settings: Settings
    suspects: Sequence[interfaces.Delivery] = ()

    def __len__(self) -> int:
        """Return of how many deliveries it is."""
        return len(self.orders) + len(self.suspects)

    def first(self) -> tuple[Reading, Reading]:
        """Return the first delivery, and the others."""
        if self.orders:
            one = Reading(self.orders[:1], self.settings)
            return one, Reading(self.orders[1:], self.settings, self.suspects)
        return Reading((), self.settings, self.suspects[:1]), Reading((), self.settings, self.suspects[1:])

    def then(self, later: Reading) -> Reading:
        """Return both together, in order."""
        return Reading((*self.orders, *later.orders), later.settings, (*self.suspects, *later.suspects))


NOTHING = Reading((), Settings())


class Uncounted:
    """Starts that nobody counts: where no message comes again."""

    def known(self, contents: Sequence[str]) -> Mapping[str, int]:  # noqa: ARG002 - the form of interfaces.Starts
        """Return nothing."""
        return {}

    def begin(self, contents: Sequence[str]) -> None:
        """Count nothing."""

    def finish(self, contents: Sequence[str]) -> None:
        """Forget nothing."""


class Engine:
    """Carries out deliveries; ``clock`` gives microseconds since 1970, ``settings`` the present options."""

    def __init__(
        self,
        unit_of_work: Callable[[], interfaces.UnitOfWork],
        library: interfaces.Library,
        clock: Callable[[], int],
        settings: Callable[[], Settings],
        starts: interfaces.Starts,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._library = library
        self._starts = starts
        self._begun: set[str] = set()  # counted by this process, which has not died of them
        self._clock = clock
        self._settings = settings

    def process(self, deliveries: Sequence[interfaces.Delivery]) -> list[interfaces.Answer]:
        """Carry out deliveries and return what became of each, committed; raises DatabaseUnavailable."""
        return self.carry_out(self.read(deliveries))

    def read(self, deliveries: Sequence[interfaces.Delivery]) -> Reading:
        """Understand deliveries, without the database; nothing of them raises."""
        settings = self._settings()
        fresh = [self._read(one, settings) for one in deliveries if not one.redelivered]
        return Reading(fresh, settings, [one for one in deliveries if one.redelivered])

    def carry_out(self, reading: Reading) -> list[interfaces.Answer]:
        """Carry out what was read and return what became of each, committed; raises DatabaseUnavailable."""
        began = time.monotonic()
        answers = self._carry_out(reading.orders, reading.settings)
        if reading.suspects:
            answers += self._inspect(reading.suspects, reading.settings)
        reporting.batch(answers, time.monotonic() - began)
        return answers

    def _inspect(self, suspects: Sequence[interfaces.Delivery], settings: Settings) -> list[interfaces.Answer]:
        """Carry out what came before: together the first time, then each by itself, the most suspicious ones last.

        Each start is counted in the database before it is made, and forgotten once it went well. What was started so
        often that it can only be what kills the worker is parked unread.
        """
        known = self._deaths([_content(one) for one in suspects])
        first = [one for one in suspects if _content(one) not in known]
        answers = self._started(first, settings) if first else []
        for one in sorted(suspects, key=lambda one: known.get(_content(one), 0)):
            count = known.get(_content(one), 0)
            if count >= settings.max_attempts:
                answers += self._alone(self._killer(one, count, settings), settings)
            elif count:
                answers += self._started([one], settings)
        return answers

    def _deaths(self, contents: Sequence[str]) -> Mapping[str, int]:
        """Return how often each was started and did not end: a start of our own is none while the database is away."""
        known = self._starts.known(contents)
        return {one: times for one, count in known.items() if (times := count - (one in self._begun))}

    def _started(self, suspects: Sequence[interfaces.Delivery], settings: Settings) -> list[interfaces.Answer]:
        contents = [_content(one) for one in suspects]
        fresh = [one for one in contents if one not in self._begun]
        if fresh:
            self._starts.begin(fresh)
            self._begun.update(fresh)
        answers = self._carry_out([self._read(one, settings) for one in suspects], settings)
        self._starts.finish(contents)
        self._begun.difference_update(contents)
        return answers

    def _killer(self, delivery: interfaces.Delivery, count: int, settings: Settings) -> _Refuse:
        message = interfaces.ParkedMessage(
            reason=f"the worker died {count} times while it had this message in hand ([worker] max_attempts)",
            parked_at=self._clock(),
            queue=_queue(delivery, settings),
            attempts=count,
            host=settings.host,
            **_kept(delivery),
        )
        return _Refuse(delivery, message, None)

    def _carry_out(self, orders: Sequence[_Order | _Refuse], settings: Settings) -> list[interfaces.Answer]:
        answers = [interfaces.Answer(one.delivery, EXPIRED) for one in orders if _is_expired_call(one)]
        read = [one for one in orders if not _is_expired_call(one)]
        together = [one for one in read if not one.delivery.dead and not _is_question(one)]
        if together:
            answers += self._group(together, settings)
        for one in read:
            if one.delivery.dead:
                answers += self._alone(one, msgspec.structs.replace(settings, max_attempts=1))
            elif _is_question(one):  # after the commit; one that fails must not repeat what is committed
                answers += self._alone(one, settings)
        return answers

    def _read(self, delivery: interfaces.Delivery, settings: Settings) -> _Order | _Refuse:
        envelope = None
        try:
            envelope = wire.decode(delivery, settings.wire_limits)
            if envelope.method in intake.READS:
                return _Order(delivery, envelope, None, intake.query(envelope, settings.object_limits))
            return _Order(delivery, envelope, intake.task(envelope, settings.object_limits), None)
        except errors.Malformed as error:
            return self._refusal(delivery, envelope, error, settings)

    def _refusal(
        self,
        delivery: interfaces.Delivery,
        envelope: interfaces.Envelope | None,
        error: errors.Malformed,
        settings: Settings,
    ) -> _Refuse:
        message = interfaces.ParkedMessage(
            reason=_storable(str(error)),
            parked_at=self._clock(),
            queue=_queue(delivery, settings),
            message_id=envelope.message_id if envelope is not None else error.message_id,
            method=envelope.method if envelope is not None else error.method,
            field=None if error.field is None else _storable(error.field),
            host=settings.host,
            cause=None if envelope is None else intake.cause(envelope, None, None),
            **_kept(delivery),
        )
        return _Refuse(delivery, message, envelope.reply if envelope is not None else error.reply)

    def _group(self, orders: Sequence[_Order | _Refuse], settings: Settings) -> list[interfaces.Answer]:
        try:
            return self._commit(orders, settings)
        except errors.DatabaseUnavailable:
            raise
        except Exception:  # whatever one message raises must not take the others down with it
            LOG.warning("action=split a batch of %d failed and is repeated one by one", len(orders), exc_info=True)
            return [answer for order in orders for answer in self._alone(order, settings)]

    def _alone(self, order: _Order | _Refuse, settings: Settings) -> list[interfaces.Answer]:
        """Carry out one order; one that fails max_attempts times is parked, in the end with nothing but its bytes."""
        attempt = 0
        while True:
            try:
                return self._commit([order], settings)
            except errors.DatabaseUnavailable:
                raise
            except Exception as error:  # a message that fails for any reason is parked with that reason
                attempt += 1
                if isinstance(order, _Refuse):
                    if order.bare and attempt >= settings.max_attempts:
                        raise
                    order = _bare(order, error, attempt)
                elif attempt >= settings.max_attempts:
                    order = self._failure(order, error, attempt, settings)

    def _failure(self, order: _Order, error: Exception, attempt: int, settings: Settings) -> _Refuse:
        lines = traceback.format_exception(error)[-TRACEBACK_LINES:]
        message = interfaces.ParkedMessage(
            reason=_storable(f"{order.envelope.method} failed: {type(error).__name__}: {_first_line(error)}"),
            parked_at=self._clock(),
            queue=_queue(order.delivery, settings),
            message_id=order.envelope.message_id,
            method=order.envelope.method,
            error=type(error).__name__,
            traceback=_storable("".join(lines)),
            attempts=attempt,
            host=settings.host,
            cause=None if order.task is None else order.task.cause,
            **_kept(order.delivery),
        )
        return _Refuse(order.delivery, message, order.envelope.reply)

    def _commit(self, orders: Sequence[_Order | _Refuse], settings: Settings) -> list[interfaces.Answer]:
        """Carry out orders in one transaction, again as often as another worker was first; then answer the reads."""
        work = [order for order in orders if isinstance(order, _Order) and order.task is not None]
        parked = [order for order in orders if isinstance(order, _Refuse)]
        results = self._handle(work, parked, settings) if work or parked else ()
        reporting.outcomes([order.task for order in work if order.task is not None], results)
        for order in parked:
            reporting.parked(order.message)
        told = zip(work, results, strict=True)
        answers = [
            interfaces.Answer(order.delivery, *_answered(result, order.envelope.reply)) for order, result in told
        ]
        answers += [_parked_answer(order) for order in parked]
        questions = [order for order in orders if isinstance(order, _Order) and order.task is None]
        return answers + [self._ask(order) for order in questions]

    def _handle(
        self, work: Sequence[_Order], parked: Sequence[_Refuse], settings: Settings
    ) -> tuple[events.Outcome | interfaces.Mark, ...]:
        batch = handler.Batch(
            [order.task for order in work if order.task is not None],
            [order.message for order in parked],
        )
        for _ in range(CONFLICTS):
            try:
                return handler.handle(batch, self._unit_of_work(), self._clock(), settings.policy)
            except errors.Conflict as conflict:
                LOG.debug("action=repeat %s", conflict)
        if len(batch.tasks) + len(batch.parked) > 1:
            raise errors.Conflict(
                f"other workers were first {CONFLICTS} times in a row"
            )  # one by one they have a chance
        raise errors.DatabaseUnavailable(f"other workers were first {CONFLICTS} times in a row")

    def _ask(self, order: _Order) -> interfaces.Answer:
        arguments = order.question or {}
        reply: Any
        try:
            if order.envelope.method == "get_node_usage":
                reply = self._library.node_usage(arguments["node_uuid"])
            elif order.envelope.method == "list_node_usages":
                reply = self._library.node_usages(arguments["marker"], arguments["limit"])
            else:
                reply = self._library.instance_usage(arguments["instance_uuid"], self._clock())
        except exceptions.NotFound as error:
            reply = interfaces.RemoteFailure("NotFound", str(error))
        return interfaces.Answer(order.delivery, READ, order.envelope.reply, reply)


def _content(delivery: interfaces.Delivery) -> str:
    """Return what identifies a delivery that may not be read yet."""
    return hashlib.blake2b(delivery.body, digest_size=24).hexdigest()


def _is_question(order: _Order | _Refuse) -> bool:
    return isinstance(order, _Order) and order.task is None


def _is_expired_call(order: _Order | _Refuse) -> bool:
    """Tell whether nobody waits for the answer any more; a cast that the broker gave up is still carried out."""
    to = order.envelope.reply if isinstance(order, _Order) else order.to
    return order.delivery.death_reason == EXPIRED and to is not None


def _queue(delivery: interfaces.Delivery, settings: Settings) -> str:
    return f"{settings.queue}.dead" if delivery.dead else settings.queue


def _kept(delivery: interfaces.Delivery) -> dict[str, Any]:
    """Return body and headers as they are parked: without secrets, and with all that a replay needs to read them."""
    body = wire.strip_secret(delivery.body, delivery.headers)
    headers = {
        **delivery.headers,
        "content_type": delivery.content_type,
        "content_encoding": delivery.content_encoding,
    }
    if body == redact.WITHHELD:  # or all such messages would pass for one
        headers["withheld"] = hashlib.blake2b(delivery.body, digest_size=16).hexdigest()
    return {"body": body, "headers": headers}


def _storable(text: str) -> str:
    """Return text as every database and every consumer takes it."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _bare(order: _Refuse, error: Exception, attempts: int) -> _Refuse:
    """Return the same message with nothing that could be what cannot be parked."""
    message = interfaces.ParkedMessage(
        reason=f"cannot be parked as it is: {type(error).__name__}",
        body=order.message.body,
        parked_at=order.message.parked_at,
        queue=order.message.queue,
        error=type(error).__name__,
        attempts=attempts,
        host=order.message.host,
    )
    return _Refuse(order.delivery, message, order.to, bare=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:500]


def _answered(
    result: events.Outcome | interfaces.Mark, to: interfaces.ReplyTo | None
) -> tuple[str, interfaces.ReplyTo | None, Any]:
    """Return word, address and reply; a call that was answered before gets the very same answer again."""
    if isinstance(result, events.Outcome):
        return result.outcome, to, handler.wire_form(result) if to is not None else None
    if result.reply is not None:
        return events.DUPLICATE, to, json.loads(result.reply)
    known = events.Outcome(events.DUPLICATE, result.message_id, reason=f"known since before as {result.outcome}")
    return events.DUPLICATE, to, handler.wire_form(known)


def _parked_answer(order: _Refuse) -> interfaces.Answer:
    outcome = events.Outcome(events.PARKED, order.message.message_id or "", reason=order.message.reason)
    return interfaces.Answer(order.delivery, events.PARKED, order.to, handler.wire_form(outcome))
