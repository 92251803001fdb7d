"""YAML files of which every value knows its file, line and key, so that an error can name them."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from worker import errors

SHOWN = 60
"""Most characters of a wrong value in an error."""
YAML_TAG = "tag:yaml.org,2002:"
# what PyYAML raises, besides errors of its own, for scalars like 2001-99-99 or !!int ""
_UNREADABLE = (yaml.YAMLError, ValueError, LookupError, AttributeError)


class Entry(msgspec.Struct, frozen=True):
    """A value in a file. ``line`` counts from 1; ``key`` is the way to it, such as ``providers[0].traits``."""

    file: str
    line: int
    key: str
    node: yaml.Node | None

    def told(self, text: str) -> str:
        """Return one line that says something of this value and names it."""
        where = f"{self.file}:{self.line}: "
        return f"{where}{self.key}: {text}" if self.key else f"{where}{text}"

    def fault(self, text: str) -> errors.Misconfigured:
        """Return the error that something is wrong with this value."""
        return errors.Misconfigured(self.told(text))

    def mapping(self) -> Mapping[str, Entry]:
        """Return the values of a mapping by the texts of their keys; raises Misconfigured if it is none."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.fault(f"must be a mapping, not {self.shown}")
        try:
            _loader().flatten_mapping(self.node)
        except yaml.MarkedYAMLError as error:
            raise self.fault(str(error.problem)) from error
        return {key.value: self._below(key, value) for key, value in self.node.value}

    def items(self) -> list[Entry]:
        """Return the values of a list; raises Misconfigured if it is none."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.fault(f"must be a list, not {self.shown}")
        return [
            Entry(self.file, _line(node), f"{self.key}[{number}]", node) for number, node in enumerate(self.node.value)
        ]

    def scalar(self) -> Any:
        """Return a value that is neither a mapping nor a list, and None for these; raises Misconfigured."""
        if not isinstance(self.node, yaml.ScalarNode):
            return None
        try:
            return _loader().construct_object(self.node)
        except _UNREADABLE as error:
            kind = shown(self.node.tag.removeprefix(YAML_TAG))
            raise self.fault(f"{self.shown} cannot be read as {kind}") from error

    @property
    def shown(self) -> str:
        """What an error shows of a value that is wrong: short, on one line."""
        if isinstance(self.node, yaml.ScalarNode):
            return shown(self.node.value) if self.node.value else "nothing"
        return "a list" if isinstance(self.node, yaml.SequenceNode) else "a mapping"

    def _below(self, key: yaml.ScalarNode, node: yaml.Node) -> Entry:
        name = key.value if key.value.isidentifier() else shown(key.value)
        return Entry(self.file, _line(key), f"{self.key}.{name}" if self.key else name, node)


def read(path: pathlib.Path) -> Entry:
    """Return the only document of a file; raises Misconfigured, with the line where there is one."""
    loader = _Loader(_text(path))
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(text for text in (error.context, error.problem) if text)
        raise _at(path, mark.line + 1 if mark else 1, said) from error
    except RecursionError as error:
        raise _at(path, loader.line + 1, "is nested too deeply") from error
    if node is None:
        raise _at(path, 1, "is empty")
    return Entry(str(path), _line(node), "", node)


def shown(text: str) -> str:
    """Return a text as an error shows it: short, on one line, in quotes."""
    whole = ascii(text)
    return whole if len(whole) <= SHOWN else f"{whole[:SHOWN]}..."


def _text(path: pathlib.Path) -> str:
    """Return the content of a file, of which every character may stand in YAML."""
    try:
        content = path.read_bytes()
        text = content.decode()
        yaml.reader.Reader(text)
    except OSError as error:
        raise errors.Misconfigured(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _at(path, content.count(b"\n", 0, error.start) + 1, f"is not UTF-8: {error.reason}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _at(path, line, f"the character #x{error.character:02x} cannot stand in YAML") from error
    return text


def _at(path: pathlib.Path, line: int, text: str) -> errors.Misconfigured:
    return errors.Misconfigured(f"{path}:{line}: {' '.join(text.split())}")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses what it would drop: a key's first value, if the key stands there twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Look at the keys as they are written: a merge is resolved later, and may be overridden."""
        node = super().compose_mapping_node(anchor)
        first: dict[str, int] = {}
        for key, _ in node.value:
            problem = None
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key must be a text"
            elif key.value in first:
                problem = f"the key {shown(key.value)} is there already, on line {first[key.value]}"
            if problem is not None:
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            first[key.value] = _line(key)
        return node


def _loader() -> yaml.SafeLoader:
    return yaml.SafeLoader("")


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line + 1
    return line
