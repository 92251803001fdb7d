"""Writes a JSON Schema and a sample of every object: ``python -m objects.schemas [DIRECTORY]``."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from oslo_versionedobjects import base as ovo

from objects import catalogue, fields, primitives, samples, stocktake_object

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DIRECTORY = pathlib.Path("docs/schemas")


def schema(cls: type[ovo.VersionedObject]) -> dict[str, Any]:
    """Return the JSON Schema of an object's primitive, nested objects included."""
    parts: dict[str, Any] = {}
    _define(cls, parts)
    return {
        "$schema": DIALECT,
        "title": f"{cls.obj_name()} {cls.VERSION}",
        "$ref": f"#/$defs/{cls.obj_name()}",
        "$defs": dict(sorted(parts.items())),
    }


def sample(cls: type[ovo.VersionedObject]) -> dict[str, Any]:
    """Return a realistic primitive of an object."""
    return primitives.primitive(cls, samples.data(cls))


def files() -> dict[pathlib.PurePath, str]:
    """Return every generated file by its path below the directory."""
    found: dict[pathlib.PurePath, str] = {}
    for cls in catalogue.ALL:
        name = pathlib.PurePath(f"{cls.obj_name()}-{cls.VERSION}.json")
        found[name] = _text(schema(cls))
        found["samples" / name] = _text(sample(cls))
    return found


def write(directory: pathlib.Path) -> None:
    """Write every generated file."""
    for name, text in files().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Write the files into the directory named, or into docs/schemas; return the exit code."""
    write(pathlib.Path(arguments[0]) if arguments else DIRECTORY)
    return 0


def _text(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _define(cls: type[ovo.VersionedObject], parts: dict[str, Any]) -> None:
    if cls.obj_name() in parts:
        return
    parts[cls.obj_name()] = _envelope(cls)
    for field in fields.of(cls).values():
        for nested in _nested(field.field_type):
            _define(nested, parts)


def _nested(field_type: Any) -> list[type[ovo.VersionedObject]]:
    inner = getattr(field_type, "entry", field_type)
    return [inner.cls] if hasattr(inner, "cls") else []


def _envelope(cls: type[ovo.VersionedObject]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": (cls.__doc__ or "").strip(),
        "properties": {
            stocktake_object.KEY_NAME: {"const": cls.obj_name()},
            stocktake_object.KEY_NAMESPACE: {"const": cls.OBJ_PROJECT_NAMESPACE},
            stocktake_object.KEY_VERSION: {"const": cls.VERSION},
            stocktake_object.KEY_DATA: _data(cls),
            stocktake_object.KEY_CHANGES: {"type": "array", "items": {"type": "string"}},
        },
        "required": [
            stocktake_object.KEY_NAME,
            stocktake_object.KEY_NAMESPACE,
            stocktake_object.KEY_VERSION,
            stocktake_object.KEY_DATA,
        ],
        "additionalProperties": False,
    }


def _data(cls: type[ovo.VersionedObject]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: field.get_schema() for name, field in fields.of(cls).items()},
        "required": [name for name, field in fields.of(cls).items() if field.absent() is None],
        "additionalProperties": False,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
