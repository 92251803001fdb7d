"""What the log says of messages, in a fixed vocabulary: ``action=`` batch, cast, refuse, park.

Each cast's outcome is said at debug, a refusal at info, a message that is parked at warning; each with the request id of its
sender, as oslo.log prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oslo_log import log

from worker import interfaces
from worker.core import commands, events

LOG = log.getLogger(__name__)

Result = events.Outcome | interfaces.Mark


def outcomes(tasks: Sequence[commands.Task], results: Sequence[Result]) -> None:
    """Say what became of tasks: every one at debug, refusals at info."""
    every = LOG.isEnabledFor(log.DEBUG)
    for task, result in zip(tasks, results, strict=True):
        refused = isinstance(result, events.Outcome) and result.outcome == events.REFUSED
        if refused:
            _say(LOG.info, "refuse", task, result)
        elif every:
            _say(LOG.debug, "cast", task, result)


def parked(message: interfaces.ParkedMessage) -> None:
    """Say that a message was parked, and why."""
    LOG.warning(
        "action=park message_id=%s method=%s queue=%s attempts=%d: %s",
        message.message_id,
        message.method,
        message.queue,
        message.attempts,
        message.reason,
    )


def batch(answers: Sequence[interfaces.Answer], seconds: float) -> None:
    """Say how many messages came to what in one batch, and how long it took."""
    if not LOG.isEnabledFor(log.DEBUG):
        return
    counts: dict[str, int] = {}
    for answer in answers:
        counts[answer.word] = counts.get(answer.word, 0) + 1
    listed = " ".join(f"{word}={count}" for word, count in sorted(counts.items()))
    LOG.debug("action=batch size=%d %s seconds=%.4f", len(answers), listed, seconds)


def _say(level: Callable[..., None], action: str, task: commands.Task, result: Result) -> None:
    cause = task.cause
    known_before = isinstance(result, interfaces.Mark)
    level(
        "action=%s outcome=%s method=%s message_id=%s subject=%s revision=%s%s",
        action,
        events.DUPLICATE if known_before else result.outcome,
        cause.method,
        cause.message_id,
        cause.consumer_uuid,
        cause.revision,
        f": {result.reason}" if isinstance(result, events.Outcome) and result.reason else "",
        context=_context(cause),
    )


def _context(cause: commands.Cause) -> dict[str, str | None]:
    """Return what oslo.log's formatter prints of a request."""
    return {
        "request_id": cause.request_id,
        "global_request_id": cause.global_request_id,
        "user": cause.user_id,
        "project": cause.project_id,
    }
