"""Many values in one text, and when they cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.db import arrays

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


class Word(str):
    """A text that prints as something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "?"


class Octets(bytes):
    """Bytes by another name."""


def taken_apart(text: str) -> list[str | None]:
    """Do what PostgreSQL's string_to_array does with a text that is not empty."""
    return [None if part == arrays.NULL else part for part in text.split(arrays.BETWEEN)]


@given(st.lists(TEXTS | st.none() | st.integers() | st.booleans(), min_size=2))
def test_what_is_joined_comes_apart_into_the_same_values(values: list[str | int | None]) -> None:
    text = arrays.joined(values)

    if text is not None:
        assert taken_apart(text) == [None if value is None else str(value) for value in values]


@pytest.mark.parametrize("values", [["a", "b", ""], ["", ""], [1, 2], [True, None], ["x", None, "y"]])
def test_usual_values_are_joined(values: list[object]) -> None:
    assert arrays.joined(values) is not None


@pytest.mark.parametrize("values", [
    [], ["a"], [""], ["a\x1fb", "c"], ["a\x1e", "c"], ["\x1e", None], [b"a", b"b"], [Octets(b"a"), None],
])  # fmt: skip
def test_what_would_not_come_apart_again_is_not_joined(values: list[object]) -> None:
    assert arrays.joined(values) is None


def test_a_text_is_joined_as_it_is_whatever_its_class_prints() -> None:
    assert arrays.joined([Word("on"), Word("off")]) == "on\x1foff"
