"""What every object of ours has in common: the namespace, the registry, the serializer."""

from __future__ import annotations

import collections
from typing import Any, Self

from oslo_utils import versionutils
from oslo_versionedobjects import base as ovo
from oslo_versionedobjects import exception

KEY_NAME = "stocktake_object.name"
KEY_NAMESPACE = "stocktake_object.namespace"
KEY_VERSION = "stocktake_object.version"
KEY_DATA = "stocktake_object.data"
KEY_CHANGES = "stocktake_object.changes"
NAMESPACE = "stocktake"


class VersionedObjectRegistry(ovo.VersionedObjectRegistry):
    """Our classes by name, apart from oslo's own table.

    That one is shared by the whole process, and a conductor has an Instance and a Migration of its own in it.
    """

    _ours: collections.defaultdict[str, list[type[ovo.VersionedObject]]] = collections.defaultdict(list)

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        """Return a view of our table."""
        self = object.__new__(cls)
        self._obj_classes = cls._ours
        return self


class StocktakeObject(ovo.VersionedObject):
    """What all words on the wire are: a versioned object in the namespace ``stocktake``."""

    VERSION = "1.0"
    OBJ_SERIAL_NAMESPACE = "stocktake_object"
    OBJ_PROJECT_NAMESPACE = NAMESPACE

    @classmethod
    def obj_class_from_name(cls, objname: str, objver: str) -> type[ovo.VersionedObject]:
        """Return our class of that name; raises UnsupportedObjectError or IncompatibleObjectVersion."""
        known = VersionedObjectRegistry.obj_classes().get(objname)
        if not known:
            raise exception.UnsupportedObjectError(objtype=objname)
        if not versionutils.is_compatible(objver, known[0].VERSION):
            raise exception.IncompatibleObjectVersion(objname=objname, objver=objver, supported=known[0].VERSION)
        return known[0]


class Serializer(ovo.VersionedObjectSerializer):
    """Turns objects into primitives and back at the edge of oslo.messaging."""

    OBJ_BASE_CLASS = StocktakeObject
