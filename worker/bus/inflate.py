"""Bodies that a sender compressed, unpacked within bounds: a small message may hold a very large one."""

from __future__ import annotations

import bz2
import zlib
from typing import Any

from worker import errors

GZIP = "application/x-gzip"  # kombu's name; the bytes are a zlib stream
BZIP2 = "application/x-bz2"


def inflate(body: bytes, compression: Any, limit: int) -> bytes:
    """Return the plain body, ``limit`` bytes at most, else Malformed."""
    if compression == GZIP:
        return _zlib(body, limit)
    if compression == BZIP2:
        return _bzip2(body, limit)
    raise errors.Malformed("compression: is not one that is understood here", field="compression")


def deflate(body: bytes, compression: str) -> bytes:
    """Undo ``inflate``."""
    return zlib.compress(body) if compression == GZIP else bz2.compress(body)


def _zlib(body: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error:
        raise _corrupt() from None
    return _whole(plain, stream.eof, limit)


def _bzip2(body: bytes, limit: int) -> bytes:
    stream = bz2.BZ2Decompressor()
    try:
        plain = stream.decompress(body, limit + 1)
    except (OSError, EOFError):
        raise _corrupt() from None
    return _whole(plain, stream.eof, limit)


def _whole(plain: bytes, ended: bool, limit: int) -> bytes:
    if len(plain) > limit:
        raise too_large("inflated body", limit)
    if not ended:
        raise _corrupt()
    return plain


def _corrupt() -> errors.Malformed:
    return errors.Malformed("body: is not what its compression header says", field="body")


def too_large(what: str, limit: int) -> errors.Malformed:
    """The refusal of a body over the limit, which names the option that sets it."""
    return errors.Malformed(f"{what}: is larger than {limit} bytes ([limits] message_bytes)", field="body")
