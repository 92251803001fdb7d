"""One connection to the broker with one channel, from its opening to the first error; never used after that.

kombu and py-amqp reopen a failed connection or channel by themselves, but without consumer, prefetch or confirm mode:
a worker that looks well and hears nothing. So whatever goes wrong ends the session, and a new one is built.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from amqp import method_framing
from kombu import connection as kombu_connection

from worker import errors
from worker.bus import buffered, urls

LOG = logging.getLogger(__name__)

_HEADER_FRAME = 2
_NO_PROPERTIES = b"\0\0"


def tolerant(connection: Any, callback: Callable[..., Any]) -> Callable[[Any], Any]:
    """Read frames as py-amqp does, but take a message whose properties cannot be read as one without any.

    Otherwise the error comes out of ``drain_events``, the message stays unacknowledged and is back at each reconnect.
    """
    called: list[bool] = []

    def note(*arguments: Any) -> Any:
        called.append(True)
        return callback(*arguments)

    read = method_framing.frame_handler(connection, note)

    def on_frame(frame: Any) -> Any:
        called.clear()
        try:
            return read(frame)
        except Exception:
            kind, channel, data = frame
            if kind == _HEADER_FRAME and not called:
                return read((kind, channel, bytes(data[:12]) + _NO_PROPERTIES))
            raise

    return on_frame


class Session:
    """A live connection and its one channel; ``memory`` tells kombu's in-process transport from a real broker."""

    def __init__(self, connection: Any, name: str) -> None:
        self.connection = connection
        self.name = name
        self.memory = connection.transport.driver_type == "memory"
        self.channel: Any = None
        self.reader: buffered.Reader | None = None
        self.live = True

    def open_channel(self) -> Any:
        """Return a fresh channel."""
        return self.connection.channel()

    def read(self, timeout: float) -> bool:
        """Take what the broker sent, one step of it; False if nothing came within ``timeout`` seconds."""
        try:
            self.connection.drain_events(timeout=timeout)
        except TimeoutError:
            return False
        return True

    def beat(self) -> None:
        """Send a heartbeat when one is due, and notice a silent broker.

        Four times in an interval: py-amqp takes its own heartbeat for traffic, so the real gap is up to two calls longer.
        """
        self.connection.heartbeat_check(rate=4)

    def drop(self) -> None:
        """Cut the connection without a word: a closing handshake may hang for ever."""
        self.live = False
        with contextlib.suppress(Exception):
            self.connection.collect()


class Dialer:
    """Opens sessions on the hosts of a bus in turn, beginning where the last one went well."""

    def __init__(self, bus: urls.Bus, name: str) -> None:
        self._connections = bus.connections
        self._name = name
        self._turn = 0

    def dial(self) -> Session:
        """Return a session with the first host that answers; raises BusUnavailable after one round."""
        failures = []
        for _ in self._connections:
            arguments = self._connections[self._turn]
            try:
                return self._connect(arguments)
            except errors.BusUnavailable as error:
                failures.append(f"{arguments['hostname']}: {_said(error.__cause__)}")
                self._turn = (self._turn + 1) % len(self._connections)
        raise errors.BusUnavailable(f"transport_url: no broker answers: {'; '.join(failures)}")

    def _connect(self, arguments: dict[str, Any]) -> Session:
        own = _with_own_dicts(arguments, self._name)
        connection: Any = kombu_connection.Connection(**own)  # type: ignore[no-untyped-call]
        session = Session(connection, self._name)
        with ending(session):
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, interval_max=0)
            if not session.memory:
                session.reader = buffered.read_ahead(connection.connection)
            session.channel = session.open_channel()
        return session


@contextlib.contextmanager
def ending(*sessions: Session) -> Iterator[None]:
    """Whatever goes wrong inside ends the sessions and leaves as BusUnavailable."""
    try:
        yield
    except Exception as error:
        for session in sessions:
            session.drop()
        if isinstance(error, errors.BusUnavailable):
            raise
        raise errors.BusUnavailable(f"{sessions[0].name}: the bus is lost: {_said(error)}") from error


def _with_own_dicts(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    """Copy what kombu writes into, and add what concerns only real connections."""
    own = {key: dict(value) if isinstance(value, dict) else value for key, value in arguments.items()}
    if own["hostname"] != "memory://":
        own["transport_options"] = {
            "frame_handler": tolerant,
            "client_properties": {"connection_name": name},
        }
    return own


def _said(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}".strip().rstrip(":")
