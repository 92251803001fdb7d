"""The operator's provider.yaml files: what they add to providers, read once at start.

Each entry of each file is looked at, and a fault is one line that names file, line and key.
"""

from __future__ import annotations

import hashlib
import logging
import pathlib
import re
import types
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from worker import errors, marked_yaml, standard_names
from worker.core import additions, names, records

LOG = logging.getLogger(__name__)

SUFFIX = ".yaml"
COMPUTE_NODE = "$COMPUTE_NODE"
MAJOR, MINOR = 1, 0
"""The version of the form that is known here. A file of a newer minor one is read for what is known of it."""
LONGEST_NAME = 200
RESERVED = "__source_file"
"""A key that Nova writes itself."""
MOST = 2147483647
HIGHEST_RATIO = 3.40282e38
"""The largest that Placement takes."""
LEAST: Mapping[str, int] = types.MappingProxyType(
    {"total": 1, "reserved": 0, "min_unit": 1, "max_unit": 1, "step_size": 1}
)
RATIO = "allocation_ratio"

_VERSION = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

Found = tuple[marked_yaml.Entry, additions.Addition]
Fault = errors.Misconfigured


def load(location: str) -> tuple[tuple[additions.Addition, ...], str]:
    """Return what the files of a directory add, and the mark of it.

    No location, and a directory that is not there, are no files. Raises Misconfigured with all faults of all files, a
    line each.
    """
    read = [one for path in _files(location) for one in _read(path)]
    found = [one for one in read if not isinstance(one, Fault)]
    faults = [str(one) for one in [*read, *_repeated(found)] if isinstance(one, Fault)]
    if faults:
        raise errors.Misconfigured("\n".join(faults))
    added = tuple(addition for _, addition in found)
    return added, mark(added)


def mark(added: Iterable[additions.Addition]) -> str:
    """Return a text that is another one when something else is added; empty for nothing.

    Where it is written does not matter: names of files, the order of files, of entries and of keys.
    """
    encoded = msgspec.json.Encoder(order="deterministic").encode
    content = sorted(encoded((one.uuid, one.name, one.inventories, sorted(one.traits))) for one in added)
    return hashlib.blake2b(b"\n".join(content), digest_size=16).hexdigest() if content else ""


def _files(location: str) -> list[pathlib.Path]:
    """Return the files to read, sorted by name; hidden ones are an editor's."""
    if not location:
        return []
    try:
        paths = sorted(pathlib.Path(location).iterdir())
    except FileNotFoundError:
        LOG.debug("action=start no directory %s, so no provider.yaml file", location)
        return []
    except OSError as error:
        raise errors.Misconfigured(f"[compute] provider_config_location: {location}: {error.strerror}") from error
    return [path for path in paths if path.name.endswith(SUFFIX) and not path.name.startswith(".")]


def _read(path: pathlib.Path) -> Iterator[Found | Fault]:
    """Yield what each entry of a file adds, or what is wrong with it."""
    if not path.name.isprintable():
        yield Fault(f"{path.parent}: the name of the file {path.name!a} cannot be printed")
        return
    try:
        entries = _entries(marked_yaml.read(path))
    except Fault as fault:
        yield fault
        return
    for entry in entries:
        try:
            addition = _addition(entry)
        except Fault as fault:
            yield fault
        else:
            if addition.inventories or addition.traits:
                yield entry, addition
            else:
                LOG.warning("action=start %s", entry.told("adds no inventory and no trait, it is ignored"))


def _entries(document: marked_yaml.Entry) -> list[marked_yaml.Entry]:
    content = document.mapping()
    _refuse_reserved(content)
    _check_version(_required(_required(document, "meta"), "schema_version"))
    return content["providers"].items() if "providers" in content else []


def _check_version(entry: marked_yaml.Entry) -> None:
    version = entry.scalar()
    parts = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if parts is None:
        raise entry.fault(f'must be a version in quotes, such as "{MAJOR}.{MINOR}", not {entry.shown}')
    major, minor = int(parts[1]), int(parts[2])
    if major != MAJOR:
        raise entry.fault(f"the major version must be {MAJOR}, not {major}")
    if minor > MINOR:
        LOG.warning(
            "action=start %s", entry.told(f"{version} is newer than {MAJOR}.{MINOR}, what is new in it is ignored")
        )


def _addition(entry: marked_yaml.Entry) -> additions.Addition:
    content = entry.mapping()
    _refuse_reserved(content)
    uuid, name = _identification(_required(entry, "identification"))
    return additions.Addition(
        origin=f"{entry.file}: {entry.key}",
        uuid=uuid,
        name=name,
        inventories=_inventories(_additional(content.get("inventories"))),
        traits=_traits(_additional(content.get("traits"))),
    )


def _identification(entry: marked_yaml.Entry) -> tuple[str | None, str | None]:
    """Return the uuid and the name of a provider, of which one at most is set; neither: every compute node."""
    content = entry.mapping()
    _refuse_unknown(content, ("uuid", "name"))
    if len(content) != 1:
        raise entry.fault("must have exactly one of uuid and name")
    return (_uuid(content["uuid"]), None) if "uuid" in content else (None, _name(content["name"]))


def _uuid(entry: marked_yaml.Entry) -> str | None:
    value = entry.scalar()
    if value == COMPUTE_NODE:
        return None
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise entry.fault(f"must be a uuid with dashes or {COMPUTE_NODE}, not {entry.shown}")
    return value.lower()


def _name(entry: marked_yaml.Entry) -> str:
    value = entry.scalar()
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME or not value.isprintable():
        raise entry.fault(f"must be a text of 1 to {LONGEST_NAME} printable characters, not {entry.shown}")
    return value


def _additional(entry: marked_yaml.Entry | None) -> list[marked_yaml.Entry]:
    content = entry.mapping() if entry is not None else {}
    return content["additional"].items() if "additional" in content else []


def _inventories(listed: Iterable[marked_yaml.Entry]) -> dict[str, records.Inventory]:
    found: dict[str, records.Inventory] = {}
    for item in listed:
        for name, entry in item.mapping().items():
            _refuse_name(entry, name, standard_names.CLASSES)
            if name in found:
                raise entry.fault("this entry has the class already")
            found[name] = _inventory(entry)
    return found


def _inventory(entry: marked_yaml.Entry) -> records.Inventory:
    """Return an inventory in the ranges that Placement has; what is not said is Placement's default."""
    content = entry.mapping()
    _refuse_unknown(content, (*LEAST, RATIO))
    _required(entry, "total")
    whole = {key: _whole(content[key], least) for key, least in LEAST.items() if key in content}
    if whole.get("reserved", 0) > whole["total"]:
        raise content["reserved"].fault(f"must be at most total, which is {whole['total']}, not {whole['reserved']}")
    return records.Inventory(**whole, allocation_ratio=_ratio(content[RATIO]) if RATIO in content else 1.0)


def _whole(entry: marked_yaml.Entry, least: int) -> int:
    value = entry.scalar()
    if type(value) is not int or not least <= value <= MOST:
        raise entry.fault(f"must be a whole number from {least} to {MOST}, not {entry.shown}")
    return value


def _ratio(entry: marked_yaml.Entry) -> float:
    value = entry.scalar()
    if type(value) not in (int, float) or not 0 < value <= HIGHEST_RATIO:
        raise entry.fault(f"must be a number greater than 0, at most {HIGHEST_RATIO}, not {entry.shown}")
    return float(value)


def _traits(listed: Iterable[marked_yaml.Entry]) -> tuple[str, ...]:
    found = set()
    for entry in listed:
        value = entry.scalar()
        if not isinstance(value, str):
            raise entry.fault(f"must be the name of a trait, not {entry.shown}")
        _refuse_name(entry, value, standard_names.TRAITS)
        found.add(value)
    return tuple(sorted(found))


def _refuse_name(entry: marked_yaml.Entry, name: str, standard: frozenset[str]) -> None:
    problem = names.fault(name, standard)
    if problem is None and not names.is_custom(name):
        problem = f"is a standard name, only names of {names.CUSTOM} can be added"
    if problem is not None:
        raise entry.fault(f"{marked_yaml.shown(name)} {problem}")


def _refuse_reserved(content: Mapping[str, marked_yaml.Entry]) -> None:
    if RESERVED in content:
        raise content[RESERVED].fault("is a reserved key")


def _refuse_unknown(content: Mapping[str, marked_yaml.Entry], known: tuple[str, ...]) -> None:
    for key, entry in content.items():
        if key not in known:
            raise entry.fault(f"unknown key, known are {', '.join(known)}")


def _required(entry: marked_yaml.Entry, key: str) -> marked_yaml.Entry:
    content = entry.mapping()
    if key not in content:
        raise entry.fault(f"{key} is missing")
    return content[key]


def _repeated(found: Iterable[Found]) -> Iterator[Fault]:
    """Yield a fault for each entry that names a provider in the same way as an earlier one."""
    first: dict[tuple[str | None, str | None], marked_yaml.Entry] = {}
    for entry, addition in found:
        known = first.setdefault((addition.uuid, addition.name), entry)
        if known is not entry:
            who = addition.uuid or addition.name or COMPUTE_NODE
            yield entry.fault(f"{marked_yaml.shown(who)} has an entry already: {known.file}:{known.line}: {known.key}")
