"""Samples with something changed, and the error that reading them ends with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from oslo_versionedobjects import base as ovo

from objects import (
    exceptions,
    reading,
    schemas,
    stocktake_object,
)

DATA = stocktake_object.KEY_DATA


def nested_lists(depth: int) -> list[Any]:
    """Return a list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def of(cls: type[ovo.VersionedObject], **changes: Any) -> dict[str, Any]:
    """Return the sample of a class with some fields changed."""
    primitive = json.loads(json.dumps(schemas.sample(cls)))
    primitive[DATA].update(changes)
    return dict(primitive)


def without(cls: type[ovo.VersionedObject], *names: str) -> dict[str, Any]:
    """Return the sample of a class with some fields left out."""
    primitive = of(cls)
    for name in names:
        del primitive[DATA][name]
    return primitive


def refusal(cls: type[ovo.VersionedObject], primitive: Any, path: str = "it") -> exceptions.InvalidField:
    """Return the error that reading ends with."""
    with pytest.raises(exceptions.InvalidField) as caught:
        reading.read(cls, primitive, path)
    return caught.value
