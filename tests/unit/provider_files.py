"""provider.yaml files for tests."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

UUID = "5213b75d-9260-42a6-b236-f39b0fd10561"
GOOD = f"""\
meta:
  schema_version: "1.0"
providers:
  - identification:
      uuid: $COMPUTE_NODE
    inventories:
      additional:
        - CUSTOM_LICENSE: {{total: 8}}
          CUSTOM_SEAT:
            total: 10
            reserved: 2
            min_unit: 2
            max_unit: 4
            step_size: 2
            allocation_ratio: 1.5
  - identification: {{uuid: {UUID.upper()}}}
    traits:
      additional: [CUSTOM_GOLD, CUSTOM_FAST, CUSTOM_GOLD]
  - identification:
      name: rack 7, EGS
    traits:
      additional:
        - CUSTOM_SILVER
"""
HEAD = 'meta: {schema_version: "1.0"}\nproviders:\n'
"""The first two lines of a file; what is put behind it starts on line 3."""
ENTRY = HEAD + "- identification: {name: a}\n"
"""The same with an entry of which the rest starts on line 4."""
INVENTORY = ENTRY + "  inventories:\n    additional:\n    - CUSTOM_X:\n"
"""The same with a class of which the inventory starts on line 7, indented by eight."""

Write = Callable[..., str]


def writer(directory: pathlib.Path) -> Write:
    """Return what writes files by their names without .yaml, and returns the directory."""

    def write(**files: str | bytes) -> str:
        for name, content in files.items():
            (directory / f"{name}.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(directory)

    return write
