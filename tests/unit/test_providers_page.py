"""What docs/providers.md shows is what happens."""

from __future__ import annotations

import pathlib
import re

from tests.architecture import tree
from worker import provider_config, standard_names
from worker.core import names

PAGE = (tree.ROOT / "docs/providers.md").read_text(encoding="utf-8")


def test_the_example_is_a_good_file(tmp_path: pathlib.Path) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "a.yaml").write_text(example, encoding="utf-8")

    everywhere, one = provider_config.load(str(tmp_path))[0]

    assert (everywhere.uuid, everywhere.name) == (None, None)
    assert (one.name, list(one.inventories), one.traits) == (
        "compute-7.example",
        ["CUSTOM_LICENSE"],
        ("CUSTOM_RACK_7",),
    )


def test_the_table_of_names_is_what_becomes_of_them() -> None:
    rows = re.findall(r"^\| (`.*`) \| `(\w+)`.* \| `(\w+)`.* \|$", PAGE, re.MULTILINE)

    shown = [(text, *told) for texts, *told in rows for text in re.findall("`(.+?)`", texts)]

    assert len(shown) == 7
    assert shown == [
        (text, names.normal_class(text, standard_names.CLASSES), names.normal_trait(text, standard_names.TRAITS))
        for text, *_ in shown
    ]
