"""Reading from the broker in large pieces.

py-amqp asks the kernel for the seven bytes of a frame's head, for its payload and for its last byte, and sets the socket's
time limit around each frame: thirty system calls a message. Here one call fetches what there is, and whole frames are cut
off it. Deliveries that are there in full, method, header and one body frame, go to whoever asked for them without py-amqp's
nine calls a frame. What is not whole, or anything else, is left to py-amqp, which goes on from the very bytes that are
already here.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from amqp import transport as amqp_transport

PIECE = 256 * 1024
_HEAD = struct.Struct(">BHI")
_END = 0xCE
_METHOD, _HEADER, _BODY = 1, 2, 3
_DELIVER = struct.pack(">HH", 60, 60)
_SIZE = struct.Struct(">Q")
_BEFORE_SIZE, _BEFORE_PROPERTIES = 4, 12

Take = Callable[[bytes, bytes, bytes], bool]
"""Takes the arguments of a basic.deliver, the properties and the body as they came; False leaves it to py-amqp."""


class Reader:
    """Stands between py-amqp's connection and its plain TCP socket."""

    def __init__(self, connection: Any) -> None:
        """Take the place of the connection's own reading."""
        self._connection = connection
        self._transport = connection.transport
        self._sock = connection.transport.sock
        self._piece = b""
        self._at = 0
        self._channel: int | None = None
        self._take: Take | None = None
        self._read_one = connection.blocking_read
        connection.transport._quick_recv = self._recv  # noqa: SLF001 - private; pinned by range and by the bus's tests
        connection.blocking_read = self.blocking_read

    def deliver(self, channel: int, take: Take) -> None:
        """Hand whole deliveries of a channel over."""
        self._channel, self._take = channel, take

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Take one frame, or the deliveries that are there; TimeoutError if there is none within ``timeout`` seconds."""
        if self._take is not None and self._delivered(self._take):
            return True
        frame = self._whole_frame()
        if frame is None and timeout == 0:
            self._fetch_what_is_there()
            if self._take is not None and self._delivered(self._take):
                return True
            frame = self._whole_frame()
        if frame is None:
            return self._read_one(timeout)
        return self._connection.on_inbound_frame(frame)

    def _delivered(self, take: Take) -> bool:
        """Hand over every whole delivery at the front; whether there was one."""
        if self._transport._read_buffer:  # noqa: SLF001 - what py-amqp has of a frame
            return False
        before = self._at
        while True:
            method = self._span(self._at, _METHOD)
            if method is None or self._piece[method[0] : method[0] + 4] != _DELIVER:
                break
            header = self._span(method[1] + 1, _HEADER)
            body = None if header is None else self._span(header[1] + 1, _BODY)
            if header is None or body is None:
                break
            if _SIZE.unpack_from(self._piece, header[0] + _BEFORE_SIZE)[0] != body[1] - body[0]:
                break
            arguments = self._piece[method[0] + len(_DELIVER) : method[1]]
            properties = self._piece[header[0] + _BEFORE_PROPERTIES : header[1]]
            if not take(arguments, properties, self._piece[body[0] : body[1]]):
                break
            self._at = body[1] + 1
            self._connection.bytes_recv += 3  # frames, as py-amqp counts them for its heartbeat
        return self._at > before

    def _span(self, at: int, kind: int) -> tuple[int, int] | None:
        """Return where the payload of a whole frame of this kind on our channel begins and ends."""
        start = at + _HEAD.size
        if start > len(self._piece):
            return None
        found, channel, size = _HEAD.unpack_from(self._piece, at)
        end = start + size
        if found != kind or channel != self._channel or end >= len(self._piece) or self._piece[end] != _END:
            return None
        return start, end

    def _whole_frame(self) -> tuple[int, int, bytes] | None:
        start = self._at + _HEAD.size
        if start > len(self._piece) or self._transport._read_buffer:  # noqa: SLF001 - what py-amqp has of a frame
            return None
        kind, channel, size = _HEAD.unpack_from(self._piece, self._at)
        end = start + size
        if end >= len(self._piece) or self._piece[end] != _END:
            return None
        self._at = end + 1
        return kind, channel, self._piece[start:end]

    def _fetch_what_is_there(self) -> None:
        if self._at < len(self._piece):
            return
        try:
            piece = self._sock.recv(PIECE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise TimeoutError("nothing is there") from None
        if not piece:
            raise ConnectionResetError("the broker closed the connection")
        self._piece, self._at = piece, 0

    def _recv(self, size: int) -> bytes:
        """Return up to ``size`` bytes, as a socket does; waits as long as the socket is set to."""
        if self._at >= len(self._piece):
            self._piece, self._at = self._sock.recv(PIECE), 0
        found = self._piece[self._at : self._at + size]
        self._at += len(found)
        return found


def read_ahead(connection: Any) -> Reader | None:
    """Let a connection of py-amqp read in large pieces; one over TLS stays as it is."""
    return Reader(connection) if type(connection.transport) is amqp_transport.TCPTransport else None
