"""Scenario files: what is read, and what is refused with the line and the key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker import errors
from worker.replay import scenario

FLAVOR = {"id": "f1", "vcpus": 1, "memory_mb": 512, "root_gb": 10}
REPORT = {"op": "node_report", "host": "n1", "resources": {"vcpus": 4, "memory_mb": 4096, "local_gb": 100}}
BUILD = {"op": "build_claim", "instance": "a", "host": "n1", "flavor": FLAVOR}


def read(*lines: Any) -> list[scenario.Operation]:
    return scenario.read([line if isinstance(line, str) else json.dumps(line) for line in lines])


def test_headers_comments_and_blank_lines_are_no_operations() -> None:
    found = read({"scenario": 1, "name": "x"}, "", "# a comment", REPORT, "  ", BUILD)

    assert [(one.index, one.line, one.name) for one in found] == [(0, 4, "node_report"), (1, 6, "build_claim")]


@pytest.mark.parametrize("second", [{}, {"scenario": 1}])
def test_only_the_first_line_can_be_a_header(second: dict[str, Any]) -> None:
    with pytest.raises(errors.Misconfigured, match=r"^scenario: line 3: op: must be one of"):
        read({}, "# a comment", second)


def test_an_error_names_where_the_scenario_comes_from() -> None:
    with pytest.raises(errors.Misconfigured, match=r"^bad\.jsonl: line 2: is not JSON"):
        scenario.read(["{}", "[" * 100_000], "bad.jsonl")


def test_a_node_has_the_name_of_its_host_unless_it_is_given() -> None:
    first, second = read(REPORT, {**REPORT, "node": "h1"})

    assert (first.host, first.node) == ("n1", "n1")
    assert (second.host, second.node) == ("n1", "h1")


def test_unknown_keys_are_ignored() -> None:
    (found,) = read({**REPORT, "colour": {"nested": [1]}})

    assert found.name == "node_report"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: is not JSON"),
        ("[]", "line 2: is not a JSON object"),
        ({"name": "a header that comes late"}, "line 2: op: must be one of"),
        ({"op": "explode", "host": "n1"}, "line 2: op: must be one of"),
        ({"op": "audit"}, "line 2: audit: host: is missing"),
        ({"op": "delete"}, "line 2: delete: instance: is missing"),
        ({"op": "audit", "host": ""}, "line 2: audit: host: must be text"),
        ({"op": "audit", "host": 7}, "line 2: audit: host: must be text"),
        ({**REPORT, "uuid": "x"}, "line 2: node_report: uuid: must be a uuid"),
        ({**REPORT, "resources": {"vcpus": 4}}, r"line 2: node_report: resources\.memory_mb: is missing"),
        ({**REPORT, "reserved": {"vcpus": -1}}, r"line 2: node_report: reserved\.vcpus: must be a whole number"),
        ({**REPORT, "allocation_ratio": {"disk": 0}}, r"line 2: node_report: allocation_ratio\.disk: must be a number"),
        ({**REPORT, "numa_cells": [{"id": 0}]}, r"line 2: node_report: numa_cells\[0\]\.memory_mb: is missing"),
        ({**REPORT, "pci_devices": {}}, "line 2: node_report: pci_devices: must be a list"),
        ({**REPORT, "pci_device_spec": [{"vendor_id": 1}]}, r"pci_device_spec\[0\]: must be an object of texts"),
        ({**BUILD, "flavor": {**FLAVOR, "vcpus": True}}, r"line 2: build_claim: flavor\.vcpus: must be a whole number"),
        ({**BUILD, "flavor": {**FLAVOR, "numa": {"cpu_policy": "x"}}}, r"flavor\.numa\.cpu_policy: must be one of"),
        ({**BUILD, "flavor": {**FLAVOR, "numa": {"page_size": "big"}}}, r"flavor\.numa\.page_size: must be"),
        ({**BUILD, "volume_backed": 1}, "line 2: build_claim: volume_backed: must be true or false"),
        ({**BUILD, "limits": 3}, "line 2: build_claim: limits: must be an object"),
        ({**BUILD, "flavor": {**FLAVOR, "vcpus": 2}}, "line 2: build_claim: flavor: differs from the flavor 'f1'"),
        (
            {"op": "instance_state", "instance": "a", "vm_state": "asleep"},
            "line 2: instance_state: vm_state: must be one of",
        ),
    ],
)
def test_what_cannot_be_followed_is_named_by_line_and_key(line: Any, says: str) -> None:
    with pytest.raises(errors.Misconfigured, match=says):
        read(BUILD, line)


@pytest.mark.parametrize(
    "keys",
    [
        {"limits": None},
        {"limits": {"cpu_allocation_ratio": None, "ram_allocation_ratio": 1.5}},
        {"flavor": {**FLAVOR, "numa": None, "pci_requests": []}},
        {"flavor": {**FLAVOR, "numa": {"nodes": 2, "page_size": "large", "cpu_thread_policy": None}}},
        {"os_type": None, "project_id": None, "node": None},
    ],
)
def test_null_is_a_value_where_the_form_allows_it(keys: dict[str, Any]) -> None:
    (found,) = read({**BUILD, **keys})

    assert keys.items() <= found.keys.items()
