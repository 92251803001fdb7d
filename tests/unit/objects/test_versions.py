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
    "AllocationPayload": "1.0-e90a95ff9fd06b2a3c7dc9d632e67c81",
    "Cause": "1.0-8deaeec3d73ccc53d9d548dfb86780e9",
    "ClaimPayload": "1.0-1bf86cf1fea74a3dd205817a091955ef",
    "ComputeNode": "1.0-7e9efda6733a00d0b010321e54a91843",
    "FindingPayload": "1.0-b5830b815a6ab5cf44ea50cff5fbd5bc",
    "Flavor": "1.0-b1866939b9e729783385726cddc2671f",
    "Instance": "1.0-d029cf2d6389374ee46ba750f22baf36",
    "InstanceNUMACell": "1.0-872d0fb871a7e9dd6e7fb1e3b98fb96b",
    "InstanceNUMACellUsage": "1.0-be34c65f6e5abc57571fea2396c3b7e6",
    "InstanceNUMATopology": "1.0-8ab56822b8c8c7ba5901b60ab270b9ae",
    "InstanceNUMATopologyUsage": "1.0-249f4d73e3a2ed433f0a177c738a9411",
    "InstancePCIRequest": "1.0-8e704956bc97254c74692fe446284d18",
    "InstanceUsage": "1.0-c7138c54c53fa893317bebf843f2951e",
    "Inventory": "1.0-4a8f21522c02d26cf897527d365dec23",
    "Limits": "1.0-36593bf729037756f5c68478f2613612",
    "Migration": "1.0-57b421301d7ce02282cd33b9825d1daa",
    "MigrationUsage": "1.0-70cb07c6a8779a89d0fdef4701705829",
    "NUMACell": "1.0-716e6993d24f7215478c05dd1128655a",
    "NUMACellUsage": "1.0-888297ac6fc8db8c188b157ddd15bf46",
    "NUMAPagesTopology": "1.0-50de6f7aa0d28886f6cb6a37f646cc28",
    "NUMAPagesUsage": "1.0-8286f8f617e87db6b3d72b08a2321013",
    "NUMATopology": "1.0-27d509afc17a1e32a3567cd84a8d42ad",
    "NUMATopologyUsage": "1.0-92982a3fb0f76a51a0203ef184131d9e",
    "NodeUsage": "1.0-25950eb5fea51b00e974fef28090b7e2",
    "ParkedPayload": "1.0-ce0213ff098d6274bc41c95b3d684855",
    "PciDevice": "1.0-277ca0636bf1a209a78c37167062fca9",
    "PciDevicePool": "1.0-f57f9d8ccfd2a187e6c8d09b2158c58d",
    "PciDeviceUsage": "1.0-ca486fc7d397d19d9e275e46817811af",
    "ResourceProvider": "1.0-c5afe3283c86ad77a01d12b93fead9df",
    "ResourceProviderPayload": "1.0-b00dbe809af31d0dbf4e32657e2e5a1e",
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
