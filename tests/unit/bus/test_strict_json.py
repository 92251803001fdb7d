"""JSON read at the speed of C where it is beyond doubt: it must agree with the thorough way, whatever the text."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from worker import errors
from worker.bus import strict_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
PIECES = ['"', "\\", "\\u0022", ":", ",", "{", "}", "[", "]", "1e999", "NaN", "\0", "\ud800", "a", '"a":1,', "0" * 5000]


def _thorough(text: str) -> Any:
    try:
        return strict_json._strict(text, "it", 64)
    except errors.Malformed:
        return None


@hypothesis.given(VALUES, st.booleans())
@hypothesis.settings(max_examples=300, deadline=None)
def test_what_is_taken_at_once_is_what_the_thorough_way_reads(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)

    taken = strict_json._quick(text)

    assert taken is None or taken == _thorough(text)


@hypothesis.given(VALUES, st.integers(0, 200), st.sampled_from(PIECES), st.integers(0, 5))
@hypothesis.settings(max_examples=600, deadline=None)
def test_a_spoilt_text_is_never_taken_as_something_else(value: Any, place: int, piece: str, cut: int) -> None:
    text = json.dumps(value)
    spoilt = text[:place] + piece + text[place + cut :]

    taken = strict_json._quick(spoilt)

    assert taken is None or taken == _thorough(spoilt)


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"b": {"a": "", "a": ""}}', '{"\\u0061\\u0022": 1, "a": 1, "a": 2}']
)
def test_a_name_given_twice_is_never_taken_at_once(text: str) -> None:
    assert strict_json._quick(text) is None


def test_a_plain_message_is_taken_at_once() -> None:
    assert strict_json._quick('{"a": ["\\n", 1.5, null], "é": {}}') == {"a": ["\n", 1.5, None], "é": {}}
