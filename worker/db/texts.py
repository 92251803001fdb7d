"""Between the core's frozen values and the JSON text that the tables keep: what is read back equals what was written."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec

from worker.core import commands, places, records


class Body(msgspec.Struct, frozen=True):
    """The part of an instance's book that no statement looks into."""

    record: records.Instance | None
    moves: tuple[records.Move, ...]
    holdings: tuple[records.Holding, ...]
    attachments: tuple[records.Attachment, ...] = ()


class _Report(msgspec.Struct, frozen=True):
    """The part of a report that says what is given out one by one, unread."""

    numa_topology: msgspec.Raw = msgspec.Raw(b"null")
    pci_devices: msgspec.Raw = msgspec.Raw(b"[]")


_encoder = msgspec.json.Encoder()
_any_encoder = msgspec.json.Encoder(enc_hook=str)

read_body = msgspec.json.Decoder(Body).decode
read_whole = msgspec.json.Decoder(dict[str, int]).decode
# Nodes of one kind have the same text, and a batch reads many nodes; what it makes is never changed.
read_capacity = functools.lru_cache(maxsize=4096)(msgspec.json.Decoder(records.Capacity).decode)
read_report = msgspec.json.Decoder(records.ComputeNode).decode
_read_parts = msgspec.json.Decoder(_Report).decode
_read_cells = msgspec.json.Decoder(tuple[records.HostCell, ...] | None).decode
_read_devices = msgspec.json.Decoder(tuple[records.Device, ...]).decode
read_place = msgspec.json.Decoder(records.Place).decode
read_cause = msgspec.json.Decoder(commands.Cause).decode
read_dict = msgspec.json.Decoder(dict[str, Any]).decode


def read_hardware(report: str) -> places.Hardware:
    """Return what the text of a report says of cells and devices; the rest is not read."""
    found = _read_parts(report)
    return _hardware(bytes(found.numa_topology), bytes(found.pci_devices))


@functools.lru_cache(maxsize=256)
def _hardware(cells: bytes, devices: bytes) -> places.Hardware:
    """Read cells and devices, once for all nodes of one kind."""
    return places.hardware(_read_cells(cells), _read_devices(devices))


def write(value: Any) -> str:
    """Return a core value, or a mapping of such, as JSON text."""
    return _encoder.encode(value).decode()


def as_it_is(text: str) -> msgspec.Raw:
    """Return JSON text so that it is written as it is, without being read before."""
    return msgspec.Raw(text)


def write_or_none(value: Any) -> str | None:
    """Return a core value as JSON text; None stays None."""
    return None if value is None else write(value)


def write_any(value: Any) -> str:
    """Return what may hold anything as JSON text; what JSON or a database has no form for is written out as text."""
    try:
        return write(value)
    except (TypeError, UnicodeError):
        return _any_encoder.encode(_plain(value)).decode()


def write_headers(headers: Mapping[str, Any]) -> str:
    """Return the headers of a message as JSON text; what JSON has no form for is written as its text."""
    return _any_encoder.encode(_plain(headers)).decode()


def quoted(text: str) -> int:
    """Return how many bytes JSON text has at most once it stands in a statement in quotation marks."""
    marks = text.count('"') + text.count("'") + text.count("\\")
    return len(text.encode()) + marks


def storable(text: str | None, longest: int | None = None) -> str | None:
    """Return text of unknown origin so that each database takes it: NUL and lone surrogates are written out.

    No more of it is taken than the ``longest`` first characters.
    """
    if text is None:
        return None
    return text[:longest].encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _plain(value: Any) -> Any:
    """Return what came off the wire with every text in it storable."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
