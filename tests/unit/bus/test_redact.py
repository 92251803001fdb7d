"""The sender's token is not in what is parked, whatever state the body is in."""

from __future__ import annotations

import bz2
import json
import pickle
import zlib

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.unit.bus import poison
from worker import errors
from worker.bus import redact, wire

TOKEN = 'gAAAA"quoted\\ HUSH'
KEY = "_context_auth_token"


def _bodies() -> dict[str, bytes]:
    inner = json.dumps(poison.GOOD | {KEY: TOKEN})
    whole = poison.wrapped(inner)
    return {
        "a good message": whole,
        "the old form": inner.encode(),
        "cut in the middle of the token": whole[: whole.index(b"HUSH") + 4],
        "cut behind the token": whole[:-2],
        "the old form cut": inner.encode()[:-1],
        "not UTF-8": whole[:-1] + b'\xff"}',
        "utf-16": whole.decode().encode("utf-16"),
        "utf-16 cut": whole.decode().encode("utf-16")[:-4],
        "twice": poison.wrapped(inner[:-1] + f', "{KEY}": "HUSH"}}'),
        "inner JSON broken": poison.wrapped(inner[:-1]),
        "its name escaped": poison.wrapped(inner.replace(KEY, "_context_auth_\\u0074oken")),
        "in an object": poison.wrapped(json.dumps({KEY: {"id": "HUSH"}})),
        "in an object cut": poison.wrapped(json.dumps({KEY: {"id": "HUSH"}}))[:-3],
        "within the arguments": poison.body(args={"x": [{KEY: "HUSH"}]}),
        "in a list": json.dumps([{KEY: "HUSH"}]).encode(),
        "behind a deep nest": poison.wrapped("[" * 2000 + inner),
    }


@pytest.mark.parametrize("kind", _bodies())
def test_the_token_is_taken_out(kind: str) -> None:
    kept = wire.strip_secret(_bodies()[kind])

    assert b"HUSH" not in kept.replace(b"\0", b"")


def _odd_bodies() -> dict[str, bytes]:
    plain = '{"_context_auth_token": "HUSH"}'
    return {
        "a byte order mark of another encoding": b"\xff\xfe" + plain.encode(),
        "a NUL first": b"\0" + plain.encode(),
        "a NUL within": b"{\0" + plain[1:].encode(),
        "single quotes": b"{'_context_auth_token': 'HUSH'}",
        "a form": b"_context_user=u&_context_auth_token=HUSH",
        "a form in an envelope": poison.wrapped("_context_auth_token=HUSH"),
        "a pickle": pickle.dumps({KEY: "HUSH"}, protocol=2),
        "a pickle of the context": pickle.dumps({"context": {"auth_token": "HUSH"}}),
        "JSON three times": json.dumps(json.dumps(plain)).encode(),
        "an envelope once more as text": poison.wrapped(json.dumps(plain)),
        "text in an argument": poison.body(args={"x": plain}),
        "escapes, cut": plain.replace("_", "\\u005f")[:-1].encode(),
        "escapes within escapes, cut": poison.wrapped(plain.replace("_", "\\u005F"))[:-1],
        "utf-7": b'{"+AF8-context+AF8-auth+AF8-token": "HUSH", }',
        "behind a deep nest that parses by itself": b'{"a": ' + b"[" * 900 + plain.encode() + b"]" * 900 + b"}",
        "compressed": zlib.compress(plain[:-1].encode()),
    }


@pytest.mark.parametrize("kind", _odd_bodies())
def test_a_body_whose_token_cannot_be_taken_out_is_withheld_or_loses_it(kind: str) -> None:
    headers = {"compression": "application/x-gzip"} if kind == "compressed" else {}

    kept = wire.strip_secret(_odd_bodies()[kind], headers)

    assert b"HUSH" not in kept
    assert kept == redact.WITHHELD or "deep nest" in kind


@pytest.mark.parametrize(
    "body", [b"hello", b'{"cut": "in the mid', b"\x80\x04K\x01.", b"\xff\xfe\0", b"auth", b'{"token": "of nobody"}']
)
def test_an_odd_body_that_speaks_of_no_token_is_kept_as_it_is(body: bytes) -> None:
    assert wire.strip_secret(body) == body


def test_a_good_message_may_speak_of_tokens() -> None:
    kept = wire.strip_secret(poison.body(args={"x": "my auth_token"}, _context_auth_token=TOKEN))

    assert wire.decode(poison.delivery(kept)).args == {"x": "my auth_token"}


@pytest.mark.parametrize("pack", [zlib.compress, bz2.compress])
def test_the_token_is_taken_out_of_a_compressed_body(pack: object) -> None:
    packed, unpack, name = (
        (zlib.compress, zlib.decompress, "application/x-gzip")
        if pack is zlib.compress
        else (bz2.compress, bz2.decompress, "application/x-bz2")
    )
    body = packed(_bodies()["a good message"])

    kept = wire.strip_secret(body, {"compression": name})

    assert b"HUSH" not in unpack(kept)
    assert wire.decode(poison.delivery(kept, headers={"compression": name})).message_id == "id-1"


def test_a_compressed_body_that_cannot_be_searched_is_withheld() -> None:
    kept = wire.strip_secret(zlib.compress(b"x" * 40_000_000), {"compression": "application/x-gzip"})

    assert kept == redact.WITHHELD


@pytest.mark.parametrize("compression", [None, "application/x-gzip"])
def test_a_body_without_token_stays_byte_for_byte(compression: str | None) -> None:
    body = poison.body(args={"x": 'auth \\ " é'}) if compression is None else zlib.compress(poison.body())

    assert wire.strip_secret(body, {"compression": compression}) == body


def test_the_rest_of_a_good_message_stays() -> None:
    kept = wire.decode(poison.delivery(wire.strip_secret(_bodies()["a good message"])))

    assert kept == wire.decode(poison.delivery(poison.body()))


def test_a_key_given_twice_is_still_given_twice() -> None:
    inner = '{"a": 1, "a": 2, "_context_auth_token": "HUSH", "method": "x"}'

    kept = wire.strip_secret(poison.wrapped(inner))

    with pytest.raises(errors.Malformed, match="'a' is given twice"):
        wire.decode(poison.delivery(kept))


def test_a_message_of_nothing_but_the_token_is_kept_empty() -> None:
    kept = wire.strip_secret(poison.wrapped('{"_context_auth_token": "HUSH"}'))

    assert json.loads(json.loads(kept)["oslo.message"]) == {}


@hypothesis.given(st.binary(max_size=300))
def test_whatever_the_bytes_are_it_gives_bytes(noise: bytes) -> None:
    assert isinstance(wire.strip_secret(noise), bytes)


@hypothesis.given(st.text(max_size=60), st.integers(0, 400))
def test_whatever_the_token_is_and_wherever_the_body_ends_it_is_gone(token: str, end: int) -> None:
    secret = f"{token}HUSH{token}"
    body = poison.wrapped(json.dumps({"method": "x", KEY: secret, "z": 1}))

    assert b"HUSH" not in wire.strip_secret(body[:end])
