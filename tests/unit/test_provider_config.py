"""provider.yaml files: what they add, and the mark of it."""

from __future__ import annotations

import logging
import pathlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit import provider_files as files
from worker import errors, provider_config
from worker.core import additions, records


@pytest.fixture
def write(tmp_path: pathlib.Path) -> files.Write:
    return files.writer(tmp_path)


def test_a_file_adds_inventories_and_traits_to_providers_by_uuid_by_name_and_to_all_nodes(write: files.Write) -> None:
    location = write(a=files.GOOD)

    added, _ = provider_config.load(location)

    seat = records.Inventory(total=10, reserved=2, min_unit=2, max_unit=4, step_size=2, allocation_ratio=1.5)
    file = f"{location}/a.yaml"
    assert added == (
        additions.Addition(
            f"{file}: providers[0]", inventories={"CUSTOM_LICENSE": records.Inventory(8), "CUSTOM_SEAT": seat}
        ),
        additions.Addition(f"{file}: providers[1]", uuid=files.UUID, traits=("CUSTOM_FAST", "CUSTOM_GOLD")),
        additions.Addition(f"{file}: providers[2]", name="rack 7, EGS", traits=("CUSTOM_SILVER",)),
    )


def test_files_are_read_in_the_order_of_their_names(write: files.Write) -> None:
    location = write(b=files.ENTRY + "  traits: {additional: [CUSTOM_B]}", a=files.GOOD)

    added, _ = provider_config.load(location)

    assert [one.origin.removeprefix(f"{location}/") for one in added] == [
        "a.yaml: providers[0]", "a.yaml: providers[1]", "a.yaml: providers[2]", "b.yaml: providers[0]"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a.yml", "a.yaml.bak", ".a.yaml", "a"])
def test_only_files_of_that_suffix_that_are_not_hidden_are_read(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).write_text("]")

    assert provider_config.load(str(tmp_path)) == ((), "")


def test_no_location_adds_nothing() -> None:
    assert provider_config.load("") == ((), "")


def test_a_directory_that_is_not_there_adds_nothing_and_is_told(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = tmp_path / "away"

    with caplog.at_level(logging.DEBUG):
        nothing = provider_config.load(str(away))

    assert nothing == ((), "")
    assert caplog.messages == [f"action=start no directory {away}, so no provider.yaml file"]


def test_a_location_that_is_a_file_is_refused(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(files.GOOD)

    with pytest.raises(errors.Misconfigured) as refused:
        provider_config.load(str(file))

    assert str(refused.value) == f"[compute] provider_config_location: {file}: Not a directory"


def test_unknown_keys_are_left_alone_where_a_newer_form_may_have_some(write: files.Write) -> None:
    location = write(
        a='meta: {schema_version: "1.0", author: me}\nmore: [1]\nproviders:\n'
        "- {identification: {name: a}, more: 1, inventories: {more: 1}, traits: {more: 2, additional: [CUSTOM_A]}}\n"
    )

    (one,), _ = provider_config.load(location)

    assert (one.name, one.inventories, one.traits) == ("a", {}, ("CUSTOM_A",))


def test_a_merged_mapping_may_be_overridden(write: files.Write) -> None:
    location = write(
        a=files.ENTRY + "  inventories:\n    additional:\n    - CUSTOM_A: &a {total: 5, reserved: 1}\n"
        "    - CUSTOM_B: {<<: *a, total: 7}\n    - CUSTOM_C: *a\n"
    )

    (one,), _ = provider_config.load(location)

    assert one.inventories == {
        "CUSTOM_A": records.Inventory(5, 1), "CUSTOM_B": records.Inventory(7, 1), "CUSTOM_C": records.Inventory(5, 1)
    }  # fmt: skip


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_file_may_have_a_byte_order_mark_and_lines_of_another_system(write: files.Write, newline: str) -> None:
    location = write(a=b"\xef\xbb\xbf" + files.GOOD.replace("\n", newline).encode())

    added, _ = provider_config.load(location)

    assert len(added) == 3


def test_a_file_without_providers_adds_nothing(write: files.Write) -> None:
    assert provider_config.load(write(a='meta: {schema_version: "1.0"}')) == ((), "")


def test_a_newer_minor_version_is_read_with_a_warning(write: files.Write, caplog: pytest.LogCaptureFixture) -> None:
    location = write(a=files.GOOD.replace("1.0", "1.12", 1))

    added, _ = provider_config.load(location)

    assert len(added) == 3
    assert caplog.messages == [
        f"action=start {location}/a.yaml:2: meta.schema_version: 1.12 is newer than 1.0, what is new in it is ignored"
    ]


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "  inventories: {}\n  traits: {additional: []}\n",
        "  inventories: {additional: [{}]}\n",
        "  more: [CUSTOM_A]\n",
    ],
)
def test_an_entry_that_adds_nothing_is_ignored_with_a_warning(
    write: files.Write, caplog: pytest.LogCaptureFixture, rest: str
) -> None:
    location = write(a=files.ENTRY + rest, b=files.ENTRY + "  traits: {additional: [CUSTOM_A]}")

    added, _ = provider_config.load(location)

    assert [one.traits for one in added] == [("CUSTOM_A",)]
    assert caplog.messages == [
        f"action=start {location}/a.yaml:3: providers[0]: adds no inventory and no trait, it is ignored"
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [("total", 2147483647), ("reserved", 0), ("reserved", 1), ("min_unit", 2147483647), ("allocation_ratio", 1e-9)],
)
def test_the_ends_of_the_ranges_are_in_them(write: files.Write, field: str, value: float) -> None:
    numbers = {"total": 1, field: value}
    location = write(a=files.INVENTORY + "".join(f"        {key}: {number:.9f}\n" if number < 1 and number else
                                           f"        {key}: {number}\n" for key, number in numbers.items()))  # fmt: skip

    (one,), _ = provider_config.load(location)

    assert getattr(one.inventories["CUSTOM_X"], field) == value


def test_a_ratio_may_be_a_whole_number(write: files.Write) -> None:
    (one,), _ = provider_config.load(write(a=files.INVENTORY + "        total: 1\n        allocation_ratio: 16\n"))

    ratio = one.inventories["CUSTOM_X"].allocation_ratio
    assert (ratio, type(ratio)) == (16.0, float)


def _mark(write: files.Write, **files: str) -> str:
    return provider_config.load(write(**files))[1]


SWAPPED = f"""\
# another way to write it
meta: {{schema_version: "1.3", by: me}}
providers:
  - {{traits: {{additional: [CUSTOM_SILVER]}}, identification: {{name: "rack 7, EGS"}}}}
  - identification: {{uuid: {files.UUID}}}
    traits: {{additional: [CUSTOM_FAST, CUSTOM_GOLD]}}
  - identification: {{uuid: $COMPUTE_NODE}}
    inventories:
      additional:
        - CUSTOM_SEAT: {{allocation_ratio: 1.5, max_unit: 4, total: 10, min_unit: 2, reserved: 2, step_size: 2}}
        - CUSTOM_LICENSE: {{total: 8, reserved: 0}}
"""


def test_the_mark_is_the_same_however_it_is_written(tmp_path: pathlib.Path, write: files.Write) -> None:
    first = _mark(write, a=files.GOOD)
    (tmp_path / "a.yaml").unlink()

    assert _mark(write, z=SWAPPED) == first


@pytest.mark.parametrize(
    ("before", "after"),
    [("total: 8", "total: 9"), ("CUSTOM_SILVER", "CUSTOM_BRONZE"), ("rack 7", "rack 8"), ("1.5", "1.25"),
     ("$COMPUTE_NODE", "aaaaaaaa-0000-4000-8000-000000000001"), ("CUSTOM_SEAT", "CUSTOM_SEATS")],
)  # fmt: skip
def test_the_mark_is_another_one_when_something_else_is_added(write: files.Write, before: str, after: str) -> None:
    first = _mark(write, a=files.GOOD)

    assert _mark(write, a=files.GOOD.replace(before, after)) != first


BITS = st.sampled_from(
    ["", "\n", "\n- ", ": ", "{", "}", "[", "]", "&a ", "*a", "<<: ", "'", '"', "!!int ", "!x ", "? ", "---\n", "\x07", "#",
     "|\n", "total", "\ud7ff", "~", "2026-99-99", "\t", "%", "  ", "$COMPUTE_NODE", "0x", "=", "..."]
)  # fmt: skip


@given(
    cuts=st.lists(
        st.tuples(st.integers(0, len(files.GOOD)), st.integers(0, 12), BITS | st.text(max_size=3)), max_size=4
    )
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_stands_in_a_file_is_taken_or_refused_with_lines_that_name_it(
    tmp_path: pathlib.Path, cuts: list[tuple[int, int, str]]
) -> None:
    text = files.GOOD
    for start, length, put in cuts:
        text = text[:start] + put + text[start + length :]
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")

    said = []
    try:
        provider_config.load(str(tmp_path))
    except errors.Misconfigured as refused:
        said = str(refused).split("\n")

    assert [line for line in said if not line.startswith(f"{tmp_path}/a.yaml:")] == []
