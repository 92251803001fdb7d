"""What a flavor uses, by resource class, as Nova asks Placement for it."""

from __future__ import annotations

from collections.abc import Mapping

from worker.core import records, resources

PREFIX = "resources:"
MIB_PER_GIB = 1024
MOST_CPUS = 65536
"""Guest CPUs beyond this one are not looked for in a list: it may name billions."""


def usage(
    flavor: records.Flavor,
    volume_backed: bool,
    topology: records.GuestTopology | None = None,
    extra: resources.Amounts = resources.NOTHING,
) -> resources.Amounts:
    """Return the whole amounts that an instance of this flavor holds.

    ``topology`` says how many of the guest's CPUs are dedicated, ``extra`` is what no flavor says. Classes that the
    extra specs set by ``resources:CLASS`` replace the computed ones; an amount of 0 takes the class away.
    """
    explicit = explicit_amounts(flavor.extra_specs)
    amounts = dict(explicit)
    if resources.VCPU not in explicit and resources.PCPU not in explicit:
        amounts.update(cpus(flavor, topology))
    amounts.setdefault(resources.MEMORY_MB, flavor.memory_mb)
    amounts.setdefault(resources.DISK_GB, disk_gb(flavor, volume_backed))
    for name, amount in extra.items():
        amounts[name] = amounts.get(name, 0) + amount
    return resources.without_zeros(amounts)


def disk_gb(flavor: records.Flavor, volume_backed: bool) -> int:
    """Return GiB of local disk; swap is whole GiB, rounded up."""
    root = 0 if volume_backed else flavor.root_gb
    return root + flavor.ephemeral_gb + -(-flavor.swap // MIB_PER_GIB)


def explicit_amounts(extra_specs: Mapping[str, str]) -> dict[str, int]:
    """Return the amounts of ``resources:CLASS=n`` extra specs; others than whole numbers are not amounts."""
    if not extra_specs:
        return {}
    return {
        key.removeprefix(PREFIX): int(value)
        for key, value in extra_specs.items()
        if key.startswith(PREFIX) and is_whole(value)
    }


def is_whole(text: str) -> bool:
    """Whether the text is a plain whole number."""
    return text.isascii() and text.isdigit()


def cpus(flavor: records.Flavor, topology: records.GuestTopology | None) -> dict[str, int]:
    """Return the flavor's CPUs, split into shared (VCPU) and dedicated (PCPU) ones."""
    dedicated = min(dedicated_cpus(flavor, topology), flavor.vcpus)
    amounts = {resources.VCPU: flavor.vcpus - dedicated}
    if dedicated:
        amounts[resources.PCPU] = dedicated + isolated_emulator_cpus(flavor, topology)
    return amounts


def dedicated_cpus(flavor: records.Flavor, topology: records.GuestTopology | None) -> int:
    """Return how many of the guest's CPUs are dedicated; the flavor's policy speaks before the topology."""
    policy = flavor.extra_specs.get("hw:cpu_policy")
    if policy == "dedicated":
        return flavor.vcpus
    if policy == "mixed":
        mask = flavor.extra_specs.get("hw:cpu_dedicated_mask") or flavor.extra_specs.get("hw:cpu_realtime_mask") or ""
        return len(cpu_list(mask, flavor.vcpus))
    if policy is None and topology is not None:
        return sum(len(cell.pcpuset) for cell in topology.cells)
    return 0


def isolated_emulator_cpus(flavor: records.Flavor, topology: records.GuestTopology | None) -> int:
    """Return 1 when the emulator threads get a CPU of their own, else 0."""
    policy = flavor.extra_specs.get("hw:emulator_threads_policy")
    if policy is None and topology is not None:
        policy = topology.emulator_threads_policy
    return 1 if policy == "isolate" else 0


def cpu_list(text: str, vcpus: int) -> frozenset[int]:
    """Return the guest CPUs of a list such as ``0-3,^2`` below ``vcpus``; what is only excluded counts from all."""
    vcpus = min(vcpus, MOST_CPUS)
    chosen: set[int] = set()
    excluded: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        target = excluded if part.startswith("^") else chosen
        first, _, last = part.removeprefix("^").partition("-")
        if is_whole(first) and is_whole(last or first):
            target.update(range(int(first), min(int(last or first), vcpus - 1) + 1))
    if excluded and not chosen:
        chosen.update(range(vcpus))
    return frozenset(cpu for cpu in chosen - excluded if cpu < vcpus)
