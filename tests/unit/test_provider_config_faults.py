"""provider.yaml files: each fault is one line that names file, line and key."""

from __future__ import annotations

import os
import pathlib

import pytest

from tests.unit import provider_files as files
from worker import errors, provider_config


@pytest.fixture
def write(tmp_path: pathlib.Path) -> files.Write:
    return files.writer(tmp_path)


def _faults(location: str) -> list[str]:
    """Return the lines of the refusal, without the directory."""
    with pytest.raises(errors.Misconfigured) as refused:
        provider_config.load(location)
    return [line.removeprefix(f"{location}/") for line in str(refused.value).split("\n")]


X = "providers[0].inventories.additional[0].CUSTOM_X"
NOT_THE_FORM = "is not 1 to 255 characters of A-Z, 0-9 and _"
NOBODYS = "is neither a standard name nor CUSTOM_ with something after it"
STANDARD = "is a standard name, only names of CUSTOM_ can be added"
KNOWN = "unknown key, known are total, reserved, min_unit, max_unit, step_size, allocation_ratio"
VERSION = 'must be a version in quotes, such as "1.0", not '
PRINTABLE = "must be a text of 1 to 200 printable characters, not "
ANY_UUID = "must be a uuid with dashes or $COMPUTE_NODE, not "
OF_THE_FILE: list[tuple[str | bytes, str]] = [
    ("", "a.yaml:1: is empty"),
    ("# nothing\n", "a.yaml:1: is empty"),
    ("- 1\n", "a.yaml:1: must be a mapping, not a list"),
    ("\nwords\n", "a.yaml:2: must be a mapping, not 'words'"),
    ("a: 1\n--- \nb: 2\n", "a.yaml:2: expected a single document in the stream, but found another document"),
    ("a: 1\nb: [1, 2\nc: 3\n", "a.yaml:3: while parsing a flow sequence, expected ',' or ']', but got ':'"),
    (
        "a: 1\n\tb: 2\n",
        "a.yaml:2: while scanning for the next token, found character '\\t' that cannot start any token",
    ),
    ("a: 1\nb: *nobody\n", "a.yaml:2: found undefined alias 'nobody'"),
    ("a: 1\nb: 2\na: 3\n", "a.yaml:3: the key 'a' is there already, on line 1"),
    ("a: {b: {c: 1, c: 2}}\n", "a.yaml:1: the key 'c' is there already, on line 1"),
    ("a: 1\n? [b]\n: 2\n", "a.yaml:2: a key must be a text"),
    (b"a: 1\nb: \xff\n", "a.yaml:2: is not UTF-8: invalid start byte"),
    ("a: 1\nb: \x00\n", "a.yaml:2: the character #x00 cannot stand in YAML"),
    ("a:\n" + "- " * 5000, "a.yaml:2: is nested too deeply"),
    ("providers: []\n", "a.yaml:1: meta is missing"),
    ("meta:\nproviders: []\n", "a.yaml:1: meta: must be a mapping, not nothing"),
    ("\nmeta: {}\n", "a.yaml:2: meta: schema_version is missing"),
    ("meta:\n  schema_version: 1.0\n", f"a.yaml:2: meta.schema_version: {VERSION}'1.0'"),
    ('meta:\n  schema_version: "1"\n', f"a.yaml:2: meta.schema_version: {VERSION}'1'"),
    ('meta:\n  schema_version: "1.0\\n"\n', f"a.yaml:2: meta.schema_version: {VERSION}'1.0\\n'"),
    ('meta:\n  schema_version: "1.00"\n', f"a.yaml:2: meta.schema_version: {VERSION}'1.00'"),
    ("meta:\n  schema_version: [1]\n", f"a.yaml:2: meta.schema_version: {VERSION}a list"),
    ('meta:\n  schema_version: "2.0"\n', "a.yaml:2: meta.schema_version: the major version must be 1, not 2"),
    (files.GOOD + "__source_file: a\n", "a.yaml:24: __source_file: is a reserved key"),
    ('meta: {schema_version: "1.0"}\nproviders:\n', "a.yaml:2: providers: must be a list, not nothing"),
    (files.HEAD + "  a: 1\n", "a.yaml:2: providers: must be a list, not a mapping"),
]
OF_AN_ENTRY: list[tuple[str | bytes, str]] = [
    (files.HEAD + "- a\n", "a.yaml:3: providers[0]: must be a mapping, not 'a'"),
    (files.HEAD + "- traits: {additional: [CUSTOM_A]}\n", "a.yaml:3: providers[0]: identification is missing"),
    (files.ENTRY + "  __source_file: x\n", "a.yaml:4: providers[0].__source_file: is a reserved key"),
    (files.HEAD + "- identification: a\n", "a.yaml:3: providers[0].identification: must be a mapping, not 'a'"),
    (files.HEAD + "- identification: {}\n", "a.yaml:3: providers[0].identification: must have exactly one of uuid and name"),
    (files.HEAD + f"- identification:\n    uuid: {files.UUID}\n    name: a\n",
     "a.yaml:3: providers[0].identification: must have exactly one of uuid and name"),
    (files.HEAD + "- identification:\n    name: a\n    nickname: b\n",
     "a.yaml:5: providers[0].identification.nickname: unknown key, known are uuid, name"),
    (files.HEAD + "- identification:\n    name: ''\n", f"a.yaml:4: providers[0].identification.name: {PRINTABLE}nothing"),
    (files.HEAD + "- identification:\n    name: 5\n", f"a.yaml:4: providers[0].identification.name: {PRINTABLE}'5'"),
    (files.HEAD + "- identification:\n    name: [a]\n", f"a.yaml:4: providers[0].identification.name: {PRINTABLE}a list"),
    (files.HEAD + f"- identification:\n    name: {'x' * 201}\n",
     f"a.yaml:4: providers[0].identification.name: {PRINTABLE}'{'x' * 59}..."),
    (files.HEAD + '- identification:\n    name: "a\\nb"\n',
     f"a.yaml:4: providers[0].identification.name: {PRINTABLE}'a\\nb'"),
    (files.HEAD + '- identification:\n    name: "\\ud800"\n',
     f"a.yaml:4: providers[0].identification.name: {PRINTABLE}'\\ud800'"),
    (files.HEAD + "- identification:\n    uuid: $COMPUTE\n",
     f"a.yaml:4: providers[0].identification.uuid: {ANY_UUID}'$COMPUTE'"),
    (files.HEAD + f"- identification:\n    uuid: {files.UUID.replace('-', '')}\n",
     f"a.yaml:4: providers[0].identification.uuid: {ANY_UUID}'{files.UUID.replace('-', '')}'"),
    (files.HEAD + "- identification:\n    uuid:\n", f"a.yaml:4: providers[0].identification.uuid: {ANY_UUID}nothing"),
    (files.ENTRY + "  inventories: []\n", "a.yaml:4: providers[0].inventories: must be a mapping, not a list"),
    (files.ENTRY + "  inventories:\n    additional: {CUSTOM_X: {total: 1}}\n",
     "a.yaml:5: providers[0].inventories.additional: must be a list, not a mapping"),
    (files.ENTRY + "  inventories:\n    additional:\n",
     "a.yaml:5: providers[0].inventories.additional: must be a list, not nothing"),
    (files.ENTRY + "  inventories:\n    additional:\n    - {}\n    - CUSTOM_X\n",
     "a.yaml:7: providers[0].inventories.additional[1]: must be a mapping, not 'CUSTOM_X'"),
    (files.ENTRY + "  traits: [CUSTOM_X]\n", "a.yaml:4: providers[0].traits: must be a mapping, not a list"),
    (files.ENTRY + "  traits:\n    additional: CUSTOM_X\n",
     "a.yaml:5: providers[0].traits.additional: must be a list, not 'CUSTOM_X'"),
    (files.ENTRY + "  traits:\n    additional:\n    - CUSTOM_X\n    - 5\n",
     "a.yaml:7: providers[0].traits.additional[1]: must be the name of a trait, not '5'"),
    (files.ENTRY + "  traits:\n    additional:\n    - {CUSTOM_X: 1}\n",
     "a.yaml:6: providers[0].traits.additional[0]: must be the name of a trait, not a mapping"),
    (files.ENTRY + "  traits:\n    additional:\n    - HW_CPU_X86_AVX\n",
     f"a.yaml:6: providers[0].traits.additional[0]: 'HW_CPU_X86_AVX' {STANDARD}"),
    (files.ENTRY + "  traits:\n    additional:\n    - GOLD\n",
     f"a.yaml:6: providers[0].traits.additional[0]: 'GOLD' {NOBODYS}"),
    (files.ENTRY + "  traits:\n    additional:\n    - custom_gold\n",
     f"a.yaml:6: providers[0].traits.additional[0]: 'custom_gold' {NOT_THE_FORM}"),
]  # fmt: skip
RATIO = f"{X}.allocation_ratio: must be a number greater than 0, at most 3.40282e+38, not"
OF_AN_INVENTORY = [
    ("        reserved: 1\n", f"6: {X}: total is missing"),
    ("        []\n", f"6: {X}: must be a mapping, not a list"),
    ("        total: 1\n        totel: 1\n", f"8: {X}.totel: {KNOWN}"),
    ("        total: 1\n        a b: 1\n", f"8: {X}.'a b': {KNOWN}"),
    ("        total: 0\n", f"7: {X}.total: must be a whole number from 1 to 2147483647, not '0'"),
    ("        total: 2147483648\n", f"7: {X}.total: must be a whole number from 1 to 2147483647, not '2147483648'"),
    ("        total: '5'\n", f"7: {X}.total: must be a whole number from 1 to 2147483647, not '5'"),
    ("        total: 5.0\n", f"7: {X}.total: must be a whole number from 1 to 2147483647, not '5.0'"),
    ("        total: true\n", f"7: {X}.total: must be a whole number from 1 to 2147483647, not 'true'"),
    ("        total: [5]\n", f"7: {X}.total: must be a whole number from 1 to 2147483647, not a list"),
    ("        total: 2026-99-99\n", f"7: {X}.total: '2026-99-99' cannot be read as 'timestamp'"),
    ("        total: !!int ''\n", f"7: {X}.total: nothing cannot be read as 'int'"),
    ("        total: !!python/object:os.system 5\n", f"7: {X}.total: '5' cannot be read as 'python/object:os.system'"),
    ("        total: !x%0Ay 5\n", f"7: {X}.total: '5' cannot be read as '!x\\ny'"),
    (f"        total: {'9' * 5000}\n", f"7: {X}.total: '{'9' * 59}... cannot be read as 'int'"),
    ("        <<: 5\n", f"6: {X}: expected a mapping or list of mappings for merging, but found scalar"),
    ("        total: 1\n        reserved: -1\n",
     f"8: {X}.reserved: must be a whole number from 0 to 2147483647, not '-1'"),
    ("        reserved: 6\n        total: 5\n", f"7: {X}.reserved: must be at most total, which is 5, not 6"),
    ("        total: 1\n        min_unit: 0\n",
     f"8: {X}.min_unit: must be a whole number from 1 to 2147483647, not '0'"),
    ("        total: 1\n        max_unit: 0\n",
     f"8: {X}.max_unit: must be a whole number from 1 to 2147483647, not '0'"),
    ("        total: 1\n        step_size: 0\n",
     f"8: {X}.step_size: must be a whole number from 1 to 2147483647, not '0'"),
    ("        total: 1\n        allocation_ratio: 0\n", f"8: {RATIO} '0'"),
    ("        total: 1\n        allocation_ratio: -1.5\n", f"8: {RATIO} '-1.5'"),
    ("        total: 1\n        allocation_ratio: .nan\n", f"8: {RATIO} '.nan'"),
    ("        total: 1\n        allocation_ratio: .inf\n", f"8: {RATIO} '.inf'"),
    ("        total: 1\n        allocation_ratio: 3.5e+38\n", f"8: {RATIO} '3.5e+38'"),
    ("        total: 1\n        allocation_ratio: true\n", f"8: {RATIO} 'true'"),
    ("        total: 1\n        allocation_ratio:\n", f"8: {RATIO} nothing"),
    ("        total: 1\n    - CUSTOM_X: {total: 1}\n",
     "8: providers[0].inventories.additional[1].CUSTOM_X: this entry has the class already"),
    ("        total: 1\n      VCPU: {total: 1}\n",
     f"8: providers[0].inventories.additional[0].VCPU: 'VCPU' {STANDARD}"),
    ("        total: 1\n      SEAT: {total: 1}\n",
     f"8: providers[0].inventories.additional[0].SEAT: 'SEAT' {NOBODYS}"),
    ("        total: 1\n      CUSTOM_Seat: {total: 1}\n",
     f"8: providers[0].inventories.additional[0].CUSTOM_Seat: 'CUSTOM_Seat' {NOT_THE_FORM}"),
]  # fmt: skip


ALL = [*OF_THE_FILE, *OF_AN_ENTRY]


@pytest.mark.parametrize(("content", "said"), ALL, ids=[said for _, said in ALL])
def test_a_fault_is_one_line_that_names_file_line_and_key(write: files.Write, content: str | bytes, said: str) -> None:
    assert _faults(write(a=content)) == [said]


@pytest.mark.parametrize(("rest", "said"), OF_AN_INVENTORY, ids=[said for _, said in OF_AN_INVENTORY])
def test_a_fault_of_an_inventory_is_one_line_that_names_file_line_and_key(
    write: files.Write, rest: str, said: str
) -> None:
    assert _faults(write(a=files.INVENTORY + rest)) == [f"a.yaml:{said}"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").mkdir()

    assert _faults(str(tmp_path)) == ["a.yaml: Is a directory"]


def test_a_file_name_that_cannot_be_printed_is_refused_on_one_line(tmp_path: pathlib.Path) -> None:
    with open(os.fsencode(tmp_path) + b"/a\n\xff.yaml", "w"):  # noqa: PTH123 - a name of bytes
        pass

    assert _faults(str(tmp_path)) == [f"{tmp_path}: the name of the file 'a\\n\\udcff.yaml' cannot be printed"]


def test_all_faulty_entries_of_all_files_are_told_at_once(write: files.Write) -> None:
    bad = "- {identification: {name: b}, traits: {additional: [GOLD]}}\n- {}\n"
    location = write(a="[", b=files.HEAD + bad, c=files.GOOD)

    faults = _faults(location)

    assert [line.split(": ")[0] for line in faults] == ["a.yaml:1", "b.yaml:3", "b.yaml:4"]


@pytest.mark.parametrize(
    ("identification", "who"),
    [
        ("{uuid: $COMPUTE_NODE}", "$COMPUTE_NODE"),
        (f"{{uuid: {files.UUID}}}", files.UUID),
        ("{name: 'rack 7, EGS'}", "rack 7, EGS"),
    ],
)
def test_a_provider_that_has_an_entry_already_is_refused(write: files.Write, identification: str, who: str) -> None:
    twice = f"{files.HEAD}- traits: {{additional: [CUSTOM_B]}}\n  identification: {identification}\n"
    location = write(a=files.GOOD, b=twice)
    first = {"$COMPUTE_NODE": (4, 0), files.UUID: (16, 1), "rack 7, EGS": (19, 2)}[who]

    assert _faults(location) == [
        f"b.yaml:3: providers[0]: '{who}' has an entry already: {location}/a.yaml:{first[0]}: providers[{first[1]}]"
    ]
