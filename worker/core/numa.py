"""The NUMA topology that a flavor asks for by its extra specs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

from worker.core import cells, pairing, records, resources, usage

CPU_POLICY = "hw:cpu_policy"
THREAD_POLICY = "hw:cpu_thread_policy"
EMULATOR_POLICY = "hw:emulator_threads_policy"
DEDICATED_MASK = "hw:cpu_dedicated_mask"
REALTIME_MASK = "hw:cpu_realtime_mask"
NODES = "hw:numa_nodes"
CPUS = "hw:numa_cpus"
MEMORY = "hw:numa_mem"
PAGE_SIZE = "hw:mem_page_size"
PERSISTENT_MEMORY = "hw:pmem"
HYPERTHREADING = "trait:HW_CPU_HYPERTHREADING"

MOST = 2147483647
PAGE_WORDS = {"small": pairing.SMALL, "large": pairing.LARGE, "any": pairing.ANY}
UNITS = {"K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}
"""KiB of each unit; KB and KiB are the same, as everywhere in Nova."""
_SIZE = re.compile(r"(\d{1,10})([KMGT])i?B", re.ASCII)
_PIECE = re.compile(r"\^?\d+(-\d+)?", re.ASCII)

Specs = Mapping[str, str]
Parts = Sequence[tuple[frozenset[int], int]]
"""The guest CPUs and the MiB of each cell."""


class Contradiction(ValueError):
    """The extra specs ask for a topology that cannot be; the text begins with the one at fault."""


def derived(flavor: records.Flavor) -> records.GuestTopology | None:
    """Return the topology that the extra specs ask for, or None if they ask for none.

    There is one for a number of cells, a page size, persistent memory or dedicated CPUs. Raises Contradiction.
    """
    specs = flavor.extra_specs
    policy = _cpu_policy(flavor)
    thread_policy = _thread_policy(specs, policy)
    emulator_policy = _emulator_policy(specs, policy)
    _check_mask(specs, policy)
    nodes = _number(specs, NODES) if specs.get(NODES) else None
    pagesize = _page_size(specs)
    if not (nodes or pagesize or specs.get(PERSISTENT_MEMORY) or policy in cells.PINNING):
        return None
    if flavor.vcpus > usage.MOST_CPUS:
        raise Contradiction(f"vcpus: a guest with NUMA cells has at most {usage.MOST_CPUS} CPUs, not {flavor.vcpus}")
    dedicated = _dedicated(flavor, policy)
    parts = enumerate(_parts(flavor, nodes or 1))
    return records.GuestTopology(
        tuple(
            records.GuestCell(number, cpus - dedicated, cpus & dedicated, memory, pagesize, policy, thread_policy)
            for number, (cpus, memory) in parts
        ),
        emulator_policy,
    )


def _word(specs: Specs, name: str, words: Sequence[str]) -> str | None:
    """Return what an extra spec says, None if nothing."""
    text = specs.get(name) or None
    if text is not None and text not in words:
        raise Contradiction(f"{name}: must be one of {', '.join(words)}, not {text[:40]!r}")
    return text


def _number(specs: Specs, name: str) -> int:
    text = specs[name]
    if not usage.is_whole(text) or len(text) > len(str(MOST)) or not 0 < int(text) <= MOST:
        raise Contradiction(f"{name}: must be a whole number from 1 to {MOST}, not {text[:40]!r}")
    return int(text)


def _cpu_policy(flavor: records.Flavor) -> str | None:
    specs = flavor.extra_specs
    policy = _word(specs, CPU_POLICY, (cells.DEDICATED, cells.MIXED, cells.SHARED))
    amounts = usage.explicit_amounts(specs)
    asked = [name for name in (resources.PCPU, resources.VCPU) if amounts.get(name)]
    if not asked:
        return policy
    if policy or len(asked) > 1:
        other = CPU_POLICY if policy else f"{usage.PREFIX}{asked[1]}"
        raise Contradiction(f"{usage.PREFIX}{asked[0]}: cannot go with {other}")
    if asked == [resources.VCPU]:
        return cells.SHARED
    needed = flavor.vcpus + usage.isolated_emulator_cpus(flavor, None)
    if amounts[resources.PCPU] != needed:
        raise Contradiction(f"{usage.PREFIX}{resources.PCPU}: must be {needed}, not {amounts[resources.PCPU]}")
    return cells.DEDICATED


def _thread_policy(specs: Specs, policy: str | None) -> str | None:
    name = THREAD_POLICY
    thread_policy = _word(specs, name, ("prefer", cells.ISOLATE, cells.REQUIRE))
    trait = _word(specs, HYPERTHREADING, ("required", "forbidden"))
    if trait:
        if thread_policy:
            raise Contradiction(f"{HYPERTHREADING}: cannot go with {THREAD_POLICY}")
        name = HYPERTHREADING
        thread_policy = cells.ISOLATE if trait == "forbidden" else cells.REQUIRE
    if thread_policy and policy not in cells.PINNING:
        raise Contradiction(f"{name}: needs dedicated CPUs")
    return thread_policy


def _emulator_policy(specs: Specs, policy: str | None) -> str | None:
    emulator_policy = _word(specs, EMULATOR_POLICY, (cells.ISOLATE, "share"))
    if emulator_policy == cells.ISOLATE and policy not in cells.PINNING:
        raise Contradiction(f"{EMULATOR_POLICY}: isolate needs dedicated CPUs")
    return emulator_policy


def _check_mask(specs: Specs, policy: str | None) -> None:
    """Refuse masks that do not go with the CPU policy; ``mixed`` needs exactly one."""
    given = [name for name in (DEDICATED_MASK, REALTIME_MASK) if specs.get(name)]
    if policy != cells.MIXED:
        if DEDICATED_MASK in given:
            raise Contradiction(f"{DEDICATED_MASK}: needs {CPU_POLICY} {cells.MIXED}")
    elif len(given) != 1:
        raise Contradiction(f"{CPU_POLICY}: {cells.MIXED} needs exactly one of {DEDICATED_MASK} and {REALTIME_MASK}")


def _dedicated(flavor: records.Flavor, policy: str | None) -> frozenset[int]:
    if policy == cells.DEDICATED:
        return frozenset(range(flavor.vcpus))
    if policy != cells.MIXED:
        return frozenset()
    name = DEDICATED_MASK if flavor.extra_specs.get(DEDICATED_MASK) else REALTIME_MASK
    dedicated = _cpu_list(flavor, name)
    if not dedicated or (name == DEDICATED_MASK and len(dedicated) == flavor.vcpus):
        raise Contradiction(f"{name}: must leave both dedicated and shared CPUs")
    return dedicated


def _cpu_list(flavor: records.Flavor, name: str) -> frozenset[int]:
    text = flavor.extra_specs[name]
    wrong = [piece for piece in map(str.strip, text.split(",")) if piece and not _PIECE.fullmatch(piece)]
    if wrong:
        raise Contradiction(f"{name}: {wrong[0][:40]!r} is no list of CPUs")
    # with one CPU named, a list of exclusions does not count from all there could be
    beyond = [cpu for cpu in usage.cpu_list(f"0,{text}", usage.MOST_CPUS) if cpu >= flavor.vcpus]
    if beyond:
        raise Contradiction(f"{name}: the flavor has {flavor.vcpus} CPUs, no CPU {min(beyond)}")
    return usage.cpu_list(text, flavor.vcpus)


def _page_size(specs: Specs) -> int | None:
    text = specs.get(PAGE_SIZE)
    if not text:
        return None
    if text in PAGE_WORDS:
        return PAGE_WORDS[text]
    size = _SIZE.fullmatch(text)
    kib = int(size[1]) * UNITS[size[2]] if size else _number(specs, PAGE_SIZE)
    if not 0 < kib <= MOST:
        raise Contradiction(f"{PAGE_SIZE}: {text!r} is no size of a page")
    return kib


def _parts(flavor: records.Flavor, nodes: int) -> Parts:
    """Return what each cell has of the flavor: equal parts, or what the lists say for every cell."""
    specs = flavor.extra_specs
    cpus = [_cpu_list(flavor, name) for name in _numbered(specs, CPUS)]
    memory = [_number(specs, name) for name in _numbered(specs, MEMORY)]
    if not cpus and not memory:
        return _equal(flavor, nodes)
    for name, listed in ((CPUS, cpus), (MEMORY, memory)):
        if len(listed) != nodes:
            raise Contradiction(f"{name}: {len(listed)} cells are listed, {NODES} is {nodes}")
    _check_cpus(flavor.vcpus, cpus)
    if sum(memory) != flavor.memory_mb:
        raise Contradiction(f"{MEMORY}: the cells have {sum(memory)} MiB, the flavor has {flavor.memory_mb}")
    return list(zip(cpus, memory, strict=True))


def _numbered(specs: Specs, name: str) -> Sequence[str]:
    """Return the extra specs ``name.0``, ``name.1`` … as far as there is none missing."""
    return list(itertools.takewhile(specs.__contains__, (f"{name}.{number}" for number in itertools.count())))


def _equal(flavor: records.Flavor, nodes: int) -> Parts:
    if nodes > max(flavor.vcpus, 1) or flavor.vcpus % nodes or flavor.memory_mb % nodes:
        amounts = f"{flavor.vcpus} CPUs and {flavor.memory_mb} MiB"
        raise Contradiction(f"{NODES}: {amounts} cannot be split into {nodes} equal cells")
    size = flavor.vcpus // nodes
    memory = flavor.memory_mb // nodes
    return [(frozenset(range(number * size, (number + 1) * size)), memory) for number in range(nodes)]


def _check_cpus(vcpus: int, listed: Sequence[frozenset[int]]) -> None:
    """Refuse lists that do not have each of the guest's CPUs exactly once."""
    seen: frozenset[int] = frozenset()
    for number, cpus in enumerate(listed):
        if cpus & seen:
            raise Contradiction(f"{CPUS}.{number}: CPUs {cells.cpu_text(cpus & seen)} are in another cell too")
        seen |= cpus
    missing = frozenset(range(vcpus)) - seen
    if missing:
        raise Contradiction(f"{CPUS}: CPUs {cells.cpu_text(missing)} are in no cell")
