"""NUMA: the cells of a node, and the cells that an instance asks for."""

from __future__ import annotations

from objects import containers, fields, scalars, stocktake_object, words

# A cell's id is -1 while the instance has no place; a page size is -1 (small), -2 (large), -3 (any) or KiB.
UNPLACED = -1
ANY_PAGE_SIZE = -3


@stocktake_object.VersionedObjectRegistry.register
class NUMAPagesTopology(stocktake_object.StocktakeObject):
    """The memory pages of one size in a cell; counts, not bytes."""

    fields = {
        "size_kb": fields.IntegerField(minimum=1),
        "total": fields.IntegerField(maximum=scalars.REVISION_MAX),
        "reserved": fields.IntegerField(maximum=scalars.REVISION_MAX),
    }


@stocktake_object.VersionedObjectRegistry.register
class NUMACell(stocktake_object.StocktakeObject):
    """One cell of a node: CPUs for shared (cpuset) and dedicated use (pcpuset), memory in MiB."""

    fields = {
        "id": fields.IntegerField(),
        "cpuset": fields.SetField(scalars.Integer()),
        "pcpuset": fields.SetField(scalars.Integer()),
        "memory": fields.IntegerField(),
        "siblings": fields.ListField(containers.Set(scalars.Integer())),
        "mempages": fields.ListOfObjectsField(NUMAPagesTopology, bare=True),
        "socket": fields.IntegerField(nullable=True),
        "physnets": fields.SetField(scalars.String()),
        "tunneled": fields.BooleanField(),
    }


@stocktake_object.VersionedObjectRegistry.register
class NUMATopology(stocktake_object.StocktakeObject):
    """The cells of a node."""

    fields = {"cells": fields.ListOfObjectsField(NUMACell, limit="cells")}


@stocktake_object.VersionedObjectRegistry.register
class InstanceNUMACell(stocktake_object.StocktakeObject):
    """One cell of a guest; memory in MiB, pagesize in KiB or as one of the words -1, -2, -3."""

    fields = {
        "id": fields.IntegerField(minimum=UNPLACED),
        "cpuset": fields.SetField(scalars.Integer()),
        "pcpuset": fields.SetField(scalars.Integer()),
        "memory": fields.IntegerField(),
        "pagesize": fields.IntegerField(minimum=ANY_PAGE_SIZE, nullable=True),
        "cpu_policy": fields.EnumField(words.CPU_POLICIES, nullable=True),
        "cpu_thread_policy": fields.EnumField(words.CPU_THREAD_POLICIES, nullable=True),
    }


@stocktake_object.VersionedObjectRegistry.register
class InstanceNUMATopology(stocktake_object.StocktakeObject):
    """The cells of a guest."""

    fields = {
        "cells": fields.ListOfObjectsField(InstanceNUMACell, limit="cells"),
        "emulator_threads_policy": fields.EnumField(words.EMULATOR_THREADS_POLICIES, nullable=True),
    }
