"""What every second node of the demonstration has besides: two NUMA cells, and a network card and a GPU on each."""

from __future__ import annotations

from objects import numa, pci

SHARED_CPUS = 8
_CELLS = 2
_FUNCTIONS = 4
_CPUS = 8
_NIC = {"vendor_id": "8086", "product_id": "1572"}
_FUNCTION = {"vendor_id": "8086", "product_id": "154c"}
_GPU = {"vendor_id": "10de", "product_id": "1db6"}


def cells(memory_mb: int) -> numa.NUMATopology:
    """Return cells of eight CPUs, the second half of each dedicated, with an equal part of the memory in small pages."""
    return numa.NUMATopology(cells=[_cell(number, memory_mb // _CELLS) for number in range(_CELLS)])


def _cell(number: int, memory_mb: int) -> numa.NUMACell:
    first = number * _CPUS
    middle = first + _CPUS // 2
    return numa.NUMACell(
        id=number,
        cpuset=set(range(first, middle)),
        pcpuset=set(range(middle, first + _CPUS)),
        memory=memory_mb,
        siblings=[{cpu, cpu + 1} for cpu in range(first, first + _CPUS, 2)],
        mempages=[numa.NUMAPagesTopology(size_kb=4, total=memory_mb * 256, reserved=0)],
        socket=number,
        physnets=set(),
        tunneled=False,
    )


def devices() -> list[pci.PciDevice]:
    """Return for each cell a PF, its functions and a GPU."""
    return [device for number in range(_CELLS) for device in _near(number)]


def _near(cell: int) -> list[pci.PciDevice]:
    bus = 0x41 + 0x40 * cell
    card = f"0000:{bus:02x}:00.0"
    return [
        _device(card, "type-PF", cell, None, _NIC),
        *(_device(f"0000:{bus:02x}:02.{one}", "type-VF", cell, card, _FUNCTION) for one in range(_FUNCTIONS)),
        _device(f"0000:{bus + 1:02x}:00.0", "type-PCI", cell, None, _GPU),
    ]


def _device(address: str, dev_type: str, cell: int, parent: str | None, kind: dict[str, str]) -> pci.PciDevice:
    return pci.PciDevice(
        address=address, dev_type=dev_type, parent_addr=parent, numa_node=cell, label=None, tags={}, **kind
    )


def request(request_id: str, *, gpu: bool) -> pci.InstancePCIRequest:
    """Return a request for a GPU, or for a function of a network card."""
    return pci.InstancePCIRequest(
        request_id=request_id,
        count=1,
        spec=[_GPU if gpu else _FUNCTION],
        alias_name="gpu" if gpu else "nic",
        numa_policy="preferred",
        requester_id=None,
    )
