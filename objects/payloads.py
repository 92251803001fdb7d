"""What notifications carry."""

from __future__ import annotations

from objects import containers, fields, providers, scalars, stocktake_object, usages, words

_FIGURE = scalars.Integer(-scalars.REVISION_MAX, scalars.REVISION_MAX)
_COUNT = scalars.Integer(0, scalars.REVISION_MAX)


@stocktake_object.VersionedObjectRegistry.register
class Cause(stocktake_object.StocktakeObject):
    """The cast or call that a change comes from, and who sent it."""

    fields = {
        "message_id": fields.StringField(),
        "method": fields.StringField(),
        "request_id": fields.StringField(nullable=True),
        "global_request_id": fields.StringField(nullable=True),
        "user_id": fields.StringField(nullable=True),
        "project_id": fields.StringField(nullable=True),
        "consumer_uuid": fields.UUIDField(nullable=True),
        "revision": fields.RevisionField(nullable=True),
    }


@stocktake_object.VersionedObjectRegistry.register
class ResourceProviderPayload(stocktake_object.StocktakeObject):
    """A provider after a transaction; ``sequence`` is contiguous for each node, ``delta`` the change of used."""

    fields = {
        "event_id": fields.UUIDField(),
        "uuid": fields.UUIDField(),
        "name": fields.NameField(),
        "parent_provider_uuid": fields.UUIDField(nullable=True),
        "root_provider_uuid": fields.UUIDField(),
        "node_uuid": fields.UUIDField(),
        "generation": fields.RevisionField(),
        "sequence": fields.RevisionField(),
        "inventories": fields.DictField(containers.Object(providers.Inventory), scalars.SymbolicName()),
        "usages": fields.DictField(
            containers.Struct(used=_FIGURE, settled=_FIGURE, in_move=_FIGURE), scalars.SymbolicName()
        ),
        "traits": fields.ListField(scalars.SymbolicName()),
        "delta": fields.DictField(_FIGURE, scalars.SymbolicName()),
        "causes": fields.ListOfObjectsField(Cause),
        "effective_at": fields.DateTimeField(),
        "emitted_at": fields.DateTimeField(),
    }


@stocktake_object.VersionedObjectRegistry.register
class AllocationPayload(stocktake_object.StocktakeObject):
    """All that a consumer holds now; empty allocations mean nothing."""

    fields = {
        "event_id": fields.UUIDField(),
        "consumer_uuid": fields.UUIDField(),
        "consumer_type": fields.EnumField(words.CONSUMER_TYPES),
        "instance_uuid": fields.UUIDField(),
        "project_id": fields.StringField(nullable=True),
        "user_id": fields.StringField(nullable=True),
        "consumer_generation": fields.RevisionField(),
        "allocations": fields.DictField(containers.Dict(_COUNT, scalars.SymbolicName()), scalars.UUID()),
        "causes": fields.ListOfObjectsField(Cause),
        "effective_at": fields.DateTimeField(),
    }


@stocktake_object.VersionedObjectRegistry.register
class ClaimPayload(stocktake_object.StocktakeObject):
    """What became of a claim: what was asked, and what was given or why not."""

    fields = {
        "event_id": fields.UUIDField(),
        "instance_uuid": fields.UUIDField(),
        "migration_uuid": fields.UUIDField(nullable=True),
        "node_uuid": fields.UUIDField(nullable=True),
        "method": fields.StringField(),
        "outcome": fields.EnumField(words.CLAIM_OUTCOMES),
        "reason": fields.TextField(nullable=True),
        "requested": fields.DictField(_COUNT, scalars.SymbolicName()),
        "allocations": fields.DictField(containers.Dict(_COUNT, scalars.SymbolicName()), scalars.UUID()),
        "pci_devices": fields.ListOfObjectsField(usages.PciDeviceUsage),
        "numa_topology": fields.ObjectField(usages.InstanceNUMATopologyUsage, nullable=True),
        "causes": fields.ListOfObjectsField(Cause),
        "effective_at": fields.DateTimeField(),
    }


@stocktake_object.VersionedObjectRegistry.register
class FindingPayload(stocktake_object.StocktakeObject):
    """Something that does not add up, or a move that takes too long."""

    fields = {
        "event_id": fields.UUIDField(),
        "node_uuid": fields.UUIDField(nullable=True),
        "kind": fields.EnumField(words.FINDING_KINDS),
        "instance_uuid": fields.UUIDField(nullable=True),
        "migration_uuid": fields.UUIDField(nullable=True),
        "text": fields.TextField(),
        "detail": fields.DictField(scalars.String("text_length")),
        "causes": fields.ListOfObjectsField(Cause),
        "effective_at": fields.DateTimeField(),
    }


@stocktake_object.VersionedObjectRegistry.register
class ParkedPayload(stocktake_object.StocktakeObject):
    """A message that could not be applied; ``field`` is the path of what is wrong with it, if one thing is."""

    fields = {
        "event_id": fields.UUIDField(),
        "message_id": fields.StringField(nullable=True),
        "method": fields.StringField(nullable=True),
        "reason": fields.TextField(),
        "field": fields.TextField(nullable=True),
        "attempts": fields.IntegerField(),
        "queue": fields.StringField(),
        "parked_at": fields.DateTimeField(),
        "causes": fields.ListOfObjectsField(Cause),
    }
