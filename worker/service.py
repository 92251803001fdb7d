"""The worker's life: take a batch, commit it, settle it, again; wait out what is away; drain when told to stop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures

from oslo_log import log

from worker import brake, engine, errors, interfaces, relay, steps
from worker.core import events

LOG = log.getLogger(__name__)

WORKING = "working"
DATABASE_AWAY = "database away"
BROKER_AWAY = "broker away"
PAUSED = "paused: nearly every message fails"
STOPPED = "stopped"


Work = futures.Future[list[interfaces.Answer]]


class Worker:
    """One consumer and one engine: a thread that has the bus, and one that has the database.

    ``committed`` is called after each commit, ``health`` with a word at each change of it. A batch that the database
    does not take for ``PATIENCE`` seconds is given back to the broker, well before its consumer timeout.
    """

    PATIENCE = 600.0
    BEAT = 1.0
    AGAIN = 1.0  # seconds between two tries of a batch
    LOOK = 0.01  # seconds between two looks at what has come while the database works
    LOAD = 50
    """Messages in a batch with which the next one is given all of batch_wait to fill up; fewer, that part of it."""

    def __init__(
        self,
        consumer: interfaces.Consumer,
        batches: engine.Engine,
        backoff: relay.Backoff,
        committed: Callable[[], None],
        health: Callable[[str], None],
    ) -> None:
        self._consumer = consumer
        self._engine = batches
        self._backoff = backoff
        self._committed = committed
        self._health = health
        self.brake = brake.Brake(brake.Settings)
        self._stopping = threading.Event()
        self._committer = futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="stocktake-commit")
        self._work: Work | None = None
        self._state = ""
        self._haste = 1.0
        self.outcomes: dict[str, int] = {}

    def stop(self) -> None:
        """Finish the batch in hand, give the rest back and end; may be called from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Work until stopped; connect anew, after a while, whenever the broker drops us."""
        while not self._stopping.is_set():
            try:
                self._session()
            except (errors.BusUnavailable, errors.DatabaseUnavailable) as error:
                self._say(BROKER_AWAY if isinstance(error, errors.BusUnavailable) else DATABASE_AWAY)
                seconds = self._backoff.wait()
                LOG.warning("action=reconnect in %.1f s: %s", seconds, error)
                self._stopping.wait(seconds)
            finally:
                self._consumer.close()
                self._see_out()
        self._committer.shutdown()
        self._say(STOPPED)

    def _session(self) -> None:
        """Take, read and settle in this thread, commit in the other one: under load it reads ahead meanwhile."""
        self._consumer.open()
        self._backoff.reset()
        self._say(WORKING)
        read: engine.Reading = engine.NOTHING
        while self._work is not None or not self._stopping.is_set():
            if self._work is not None:
                read = self._finish(read, self._work)
            elif not read:
                read = self._read(interfaces.IDLE)
            elif self.brake.engaged:
                read = self._probe(read)
            else:
                self._begin(read)
        self._consumer.stop_taking()

    def _see_out(self) -> None:
        """Wait for what the other thread has in hand when a session ends: committed or not, all of it comes again."""
        work, self._work = self._work, None
        if work is not None:
            with contextlib.suppress(errors.DatabaseUnavailable):
                work.result()

    def _probe(self, read: engine.Reading) -> engine.Reading:
        """Wait a while, then try one message; the others are kept, and nothing new is taken until one goes well."""
        self._say(PAUSED)
        LOG.error("action=pause nearly every message fails: one is tried in %.0f s", self.brake.seconds)
        end = time.monotonic() + self.brake.seconds
        while not self._stopping.is_set() and time.monotonic() < end:
            self._stopping.wait(min(self.BEAT, max(end - time.monotonic(), 0)))
            self._consumer.beat()
        if self._stopping.is_set():
            return read
        one, others = read.first()
        answers = self._committed_answers(one, self._begin(one))
        self._note(answers)
        if not self.brake.engaged:
            self._say(WORKING)
        self._settle(answers)
        return others

    def _begin(self, read: engine.Reading) -> Work:
        """Have the other thread commit a batch."""
        self._haste = 1 - min(len(read) / self.LOAD, 1.0)
        self._work = self._committer.submit(self._commit, read)
        return self._work

    def _finish(self, read: engine.Reading, work: Work) -> engine.Reading:
        """See a batch through to its end; return what came and was read meanwhile, whose commit has begun if it may.

        The database need not wait until the broker has been told. If that fails, what the other thread has in hand is
        committed all the same, before anything of the next session: it comes again and is known.
        """
        ahead = self._ahead(work)
        answers = self._committed_answers(read, work)
        self._note(answers)
        if ahead and not self.brake.engaged and not self._stopping.is_set():
            self._begin(ahead)
        self._settle(answers)
        return ahead

    def _note(self, answers: Sequence[interfaces.Answer]) -> None:
        for answer in answers:
            self.outcomes[answer.word] = self.outcomes.get(answer.word, 0) + 1
        self.brake.note(len(answers), sum(answer.word == events.PARKED for answer in answers))

    def _settle(self, answers: Sequence[interfaces.Answer]) -> None:
        """Answer, then settle: a call whose answer is lost with the connection comes again and gets it."""
        for answer in answers:
            if answer.to is not None:
                self._consumer.answer(answer.delivery, answer.to, answer.reply)
        steps.WATCH.reached(steps.ANSWERED)
        self._consumer.settle([answer.delivery for answer in answers])
        steps.WATCH.reached(steps.SETTLED)

    def _ahead(self, work: Work) -> engine.Reading:
        """Take and understand what comes while the database works: it is the next batch.

        Under load the broker sends on when the last batch is settled, which takes it a moment.
        """
        read = self._read(0.0)
        while (read or not self._haste) and len(read) < self._consumer.batch_size and not work.done():
            futures.wait([work], self.LOOK)
            read = read.then(self._read(0.0, len(read)))
        return read

    def _read(self, idle: float, begun: int = 0) -> engine.Reading:
        """Take what there is and understand it."""
        deliveries = self._consumer.batch(idle, begun=begun, haste=self._haste)
        if not deliveries:
            return self._engine.read(deliveries)
        steps.WATCH.reached(steps.TAKEN)
        read = self._engine.read(deliveries)
        steps.WATCH.reached(steps.READ)
        return read

    def _commit(self, read: engine.Reading) -> list[interfaces.Answer]:
        answers = self._engine.carry_out(read)
        self._committed()
        return answers

    def _committed_answers(self, read: engine.Reading, work: Work) -> list[interfaces.Answer]:
        """Return the answers of a committed batch, however long the database takes to come back."""
        began = time.monotonic()
        while True:
            try:
                answers = work.result(timeout=self.BEAT)
            except futures.TimeoutError:
                self._consumer.beat()
            except errors.DatabaseUnavailable as error:
                self._work = None
                self._wait_for_database(error, time.monotonic() - began)
                work = self._begin(read)
            else:
                self._work = None
                if not self.brake.engaged:
                    self._say(WORKING)
                return answers

    def _wait_for_database(self, error: Exception, waited: float) -> None:
        """Keep the batch and the connection for a while; when that is no use any more, raise and so give both up."""
        if waited >= self.PATIENCE or self._stopping.is_set():
            raise errors.DatabaseUnavailable(f"the batch is given back, the database is away: {error}") from error
        if self._state != DATABASE_AWAY:
            LOG.warning("action=wait the database is away, the batch is kept: %s", error)
        self._say(DATABASE_AWAY)
        self._stopping.wait(self.AGAIN)
        self._consumer.beat()

    def _say(self, state: str) -> None:
        if state != self._state:
            self._state = state
            LOG.info("action=health %s", state)
            self._health(state)
