"""The schemas and samples in the tree: current, valid, readable."""

from __future__ import annotations

import json
import pathlib
import runpy
import sys

import jsonschema
import pytest
from oslo_versionedobjects import base as ovo

from objects import catalogue, reading, schemas, stocktake_object

TREE = pathlib.Path(__file__).parents[3] / "docs" / "schemas"


def test_the_files_in_the_tree_are_current() -> None:
    expected = {str(name): text for name, text in schemas.files().items()}

    present = {str(path.relative_to(TREE)): path.read_text(encoding="utf-8") for path in TREE.rglob("*.json")}

    assert present.keys() == expected.keys()
    assert [name for name in sorted(expected) if present[name] != expected[name]] == []


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
def test_a_schema_is_one_and_its_sample_is_valid(cls: type[ovo.VersionedObject]) -> None:
    name = f"{cls.obj_name()}-{cls.VERSION}.json"
    schema = json.loads((TREE / name).read_text(encoding="utf-8"))
    sample = json.loads((TREE / "samples" / name).read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(sample)


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
def test_a_sample_is_read_back(cls: type[ovo.VersionedObject]) -> None:
    sample = json.loads((TREE / "samples" / f"{cls.obj_name()}-{cls.VERSION}.json").read_text(encoding="utf-8"))

    assert reading.read(cls, sample, "sample").keys() == cls.fields.keys()
    assert cls.obj_from_primitive(sample).obj_to_primitive() == sample


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
def test_a_schema_refuses_what_reading_refuses(cls: type[ovo.VersionedObject]) -> None:
    validator = jsonschema.Draft202012Validator(schemas.schema(cls))
    strange = schemas.sample(cls)
    strange[stocktake_object.KEY_DATA]["strange"] = 1

    assert not validator.is_valid(strange)
    for name in cls.fields:
        wrong = schemas.sample(cls)
        wrong[stocktake_object.KEY_DATA][name] = b""
        assert not validator.is_valid(wrong), name


def test_a_text_longer_than_allowed_breaks_the_schema() -> None:
    cause = next(cls for cls in catalogue.PAYLOADS if cls.obj_name() == "Cause")
    sample = schemas.sample(cause)
    sample[stocktake_object.KEY_DATA]["method"] = "x" * 256

    assert not jsonschema.Draft202012Validator(schemas.schema(cause)).is_valid(sample)


def test_the_files_are_written_where_they_are_wanted(tmp_path: pathlib.Path) -> None:
    code = schemas.main([str(tmp_path)])

    assert code == 0
    assert len(list(tmp_path.rglob("*.json"))) == 2 * len(catalogue.ALL)


def test_without_a_directory_the_files_go_to_docs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["objects.schemas"])
    monkeypatch.delitem(sys.modules, "objects.schemas")

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("objects.schemas", run_name="__main__")

    assert ended.value.code == 0
    assert (tmp_path / "docs" / "schemas" / "samples" / "ClaimPayload-1.0.json").exists()
