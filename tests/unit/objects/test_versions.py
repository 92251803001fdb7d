"""A changed field needs a new version, and a new version is written for those who know only an older one."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest
from oslo_versionedobjects import base as ovo
from oslo_versionedobjects import exception

from objects import catalogue, schemas, stocktake_object


def checkers() -> Any:
    """Return oslo's module of version checkers; where its extra is missing: skip at home, fail in CI."""
    name = "oslo_versionedobjects.fixture"
    if os.environ.get("CI") == "true":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason="the fixtures package is not installed")


FINGERPRINTS: dict[str, str] = {
    "AllocationPayload": "1.0-4bad77aa0ccd3a6347c3f8dd3e3b9152",
    "Cause": "1.0-8deaeec3d73ccc53d9d548dfb86780e9",
    "ClaimPayload": "1.0-4fa1a4d66de1748a91a0f3efef97270f",
    "ComputeNode": "1.0-2346183980861d123776ae97e49e3942",
    "FindingPayload": "1.0-593cbf481b1a0b81c3afc4de63f2dac2",
    "Flavor": "1.0-cbc552220d57f4b4735c670eae9ba0b7",
    "Instance": "1.0-4fec731412717b6f6fac7dc72bce8321",
    "InstanceNUMACell": "1.0-dcae03cdc798a3325ccc3754d1ab9712",
    "InstanceNUMACellUsage": "1.0-57cfa0d95cd22203d313bd6c91ba36aa",
    "InstanceNUMATopology": "1.0-8ab56822b8c8c7ba5901b60ab270b9ae",
    "InstanceNUMATopologyUsage": "1.0-249f4d73e3a2ed433f0a177c738a9411",
    "InstancePCIRequest": "1.0-cff63e67dc68b6cfd23a91b908dc11db",
    "InstanceUsage": "1.0-578c7a70d619d9b123269912b397560f",
    "Inventory": "1.0-4a8f21522c02d26cf897527d365dec23",
    "Limits": "1.0-36593bf729037756f5c68478f2613612",
    "Migration": "1.0-4d22829aa080cad2dd6eba732ded44b5",
    "MigrationUsage": "1.0-14aaf11a52cffb9dcb4fbd61055764c9",
    "NUMACell": "1.0-32e95a6ed4af1cf50cb90039a86983c8",
    "NUMACellUsage": "1.0-1923b857320c0e9c97f411727e1a2ae8",
    "NUMAPagesTopology": "1.0-50de6f7aa0d28886f6cb6a37f646cc28",
    "NUMAPagesUsage": "1.0-8286f8f617e87db6b3d72b08a2321013",
    "NUMATopology": "1.0-27d509afc17a1e32a3567cd84a8d42ad",
    "NUMATopologyUsage": "1.0-92982a3fb0f76a51a0203ef184131d9e",
    "NodeUsage": "1.0-9b6f50726e6827a5a1c71eeaaba15429",
    "ParkedPayload": "1.0-e510ed27a82da78ca5f3cb7fc2b191f6",
    "PciDevice": "1.0-be43b021f9e6b2603e0462a3c9366b90",
    "PciDevicePool": "1.0-9652a194c7df8b5a29875aa6e0bcdeda",
    "PciDeviceUsage": "1.0-ca486fc7d397d19d9e275e46817811af",
    "ResourceProvider": "1.0-8f016c4f098da683cc9a683a15bdf55d",
    "ResourceProviderPayload": "1.0-8dd8c97138e55f6698c6c68c5b0c5055",
}


def test_no_object_changed_without_a_new_version() -> None:
    checker = checkers().ObjectVersionChecker(stocktake_object.VersionedObjectRegistry.obj_classes())

    expected, actual = checker.test_hashes(FINGERPRINTS)

    assert actual == expected, "a field changed: raise VERSION, write the back-port, then take over the fingerprint"


def versions() -> list[tuple[type[ovo.VersionedObject], str]]:
    """Return every class with each version that it ever had."""
    found: list[tuple[type[ovo.VersionedObject], str]] = []
    for cls in catalogue.ALL:
        major, minor = (int(part) for part in cls.VERSION.split("."))
        found += [(cls, f"{major}.{older}") for older in range(minor + 1)]
    return found


@pytest.mark.parametrize(("cls", "version"), versions(), ids=str)
def test_an_object_is_written_for_each_older_version(cls: type[ovo.VersionedObject], version: str) -> None:
    thing = cls.obj_from_primitive(schemas.sample(cls))

    primitive = thing.obj_to_primitive(target_version=version)

    assert primitive[stocktake_object.KEY_VERSION] == version
    assert primitive[stocktake_object.KEY_DATA].keys() <= cls.fields.keys()


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
def test_an_object_is_not_written_for_a_version_to_come(cls: type[ovo.VersionedObject]) -> None:
    thing = cls.obj_from_primitive(schemas.sample(cls))

    with pytest.raises(exception.InvalidTargetVersion):
        thing.obj_to_primitive(target_version="1.99")
