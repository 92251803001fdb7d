"""Reading from the broker in large pieces.

py-amqp asks the kernel for the seven bytes of a frame's head, for its payload and for its last byte, and sets the socket's
time limit around each frame: thirty system calls a message. Here one call fetches what there is, and whole frames are cut
off it. What is not whole is left to py-amqp, which goes on from the very bytes that are already here.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from amqp import transport as amqp_transport

PIECE = 256 * 1024
_HEAD = struct.Struct(">BHI")
_END = 0xCE


class Reader:
    """Stands between py-amqp's connection and its plain TCP socket."""

    def __init__(self, connection: Any) -> None:
        """Take the place of the connection's own reading."""
        self._connection = connection
        self._transport = connection.transport
        self._sock = connection.transport.sock
        self._piece = b""
        self._at = 0
        self._read_one = connection.blocking_read
        connection.transport._quick_recv = self._recv  # noqa: SLF001 - private; pinned by range and by the bus's tests
        connection.blocking_read = self.blocking_read

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Take one frame; TimeoutError if there is none within ``timeout`` seconds."""
        frame = self._whole_frame()
        if frame is None and timeout == 0:
            self._fetch_what_is_there()
            frame = self._whole_frame()
        if frame is None:
            return self._read_one(timeout)
        return self._connection.on_inbound_frame(frame)

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


def read_ahead(connection: Any) -> None:
    """Let a connection of py-amqp read in large pieces; one over TLS stays as it is."""
    if type(connection.transport) is amqp_transport.TCPTransport:
        Reader(connection)
