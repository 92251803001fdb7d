"""Every option can be understood from the sample, and the sample is what the code says."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest
from oslo_config import cfg, generator

from objects import limits
from tests.architecture import tree
from worker import conf

OURS = [(group, opt) for group, opts in conf.list_opts() for opt in opts]
NAMES = [f"{group}.{opt.name}" for group, opt in OURS]
NUMBERS = [(group, opt) for group, opt in OURS if isinstance(opt, cfg.IntOpt | cfg.FloatOpt)]


@pytest.mark.parametrize(("group", "opt"), OURS, ids=NAMES)
def test_every_option_says_what_it_does_in_whole_sentences(group: str, opt: cfg.Opt) -> None:
    said = opt.help or ""

    assert len(said) > 20
    assert said.endswith(".")


@pytest.mark.parametrize(("group", "opt"), NUMBERS, ids=[f"{group}.{opt.name}" for group, opt in NUMBERS])
def test_every_number_has_a_range_and_a_default_in_it(group: str, opt: cfg.Opt) -> None:
    kind: Any = opt.type
    least, most = kind.min, kind.max

    assert least is not None
    assert most is not None
    assert least <= opt.default <= most


def test_every_limit_of_the_objects_is_an_option_with_the_same_default() -> None:
    options = {opt.dest: opt.default for group, opt in OURS if group == "limits"}

    asked = dataclasses.asdict(limits.DEFAULT)

    assert asked.items() <= options.items()


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tree.ROOT)
    return tree.ROOT


def test_the_sample_configuration_is_current(project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    fresh = tmp_path / "fresh.sample"

    generator.main(["--config-file", "etc/stocktake/config-generator.conf", "--output-file", str(fresh)])

    kept = project / "etc/stocktake/stocktake.conf.sample"
    assert fresh.read_text() == kept.read_text(), "tox -e sample writes it anew"
