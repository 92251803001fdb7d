"""Which part of a holding is on which provider below the root: the step after places.

A class that the root lacks and a child has goes to one child, all of it. A claim takes a child with room, and there the
share stays. For facts the choice depends on the newest report and on who asks, on nothing else: so their order does not
matter. A PCI device counts on its own provider, besides the amounts of the holding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from worker.core import claims, places, records, resources

PLAIN = frozenset({resources.VCPU, resources.PCPU, resources.MEMORY_MB, resources.DISK_GB})
"""Classes that are the root's in any case: who holds nothing else needs no look at the children."""

Trees = Callable[[str], records.Capacity | None]
"""Returns what the node of an account has, or None while there is nothing below its root."""

Taken = Mapping[tuple[str, str], int]
"""Provider uuid and class -> amount."""


class Terms(msgspec.Struct, frozen=True, gc=False):
    """How a claim is tested on an account: within ``limits``, and by class if ``claims`` tells so of a holding.

    ``strict`` returns those of the amounts that must fit.
    """

    account: str
    limits: records.Limits | None
    claims: Callable[[records.Holding], bool]
    strict: Callable[[resources.Amounts], resources.Amounts]


def concerns(book: records.Book, trees: Trees) -> bool:
    """Whether something of the book's holdings is below a root, or may be."""
    for holding in book.holdings:
        place = holding.place
        if place is not None and place.shares:
            return True
        asks = (place is not None and bool(place.grants)) or not PLAIN.issuperset(holding.amounts)
        if asks and trees(holding.account) is not None:
            return True
    return False


def offered(tree: records.Capacity) -> dict[str, list[records.Child]]:
    """Return the classes that the root lacks, with the children that have them; those of PCI devices are not given so."""
    found: dict[str, list[records.Child]] = {}
    for child in tree.children:
        for name in child.inventories.keys() - tree.inventories.keys() - PLAIN:
            if name != child.device_class:
                found.setdefault(name, []).append(child)
    return found


def assigned(
    new: records.Book,
    kept: Sequence[records.Place | None],
    trees: Trees,
    others: Callable[[str], Iterable[records.Place]],
    terms: Terms | None,
) -> tuple[tuple[records.Holding, ...], Mapping[str, places.Reasons]]:
    """Return the holdings of ``new`` with their shares, and by side what a claim could not be given.

    ``kept`` are the places that go on as the holdings' own, ``others`` those of other instances on an account.
    """
    held = [
        _with_shares(holding, place.shares if place is not None else ())
        for holding, place in zip(new.holdings, kept, strict=True)
    ]
    lacks = {}
    for index, holding in enumerate(held):
        tree = trees(holding.account)
        found: list[records.Share] = []
        if tree is not None:
            own = [one.place for one in held if one is not holding and one.account == holding.account and one.place]
            claimed = terms is not None and terms.account == holding.account and terms.claims(holding)
            seeker = _Seeker(new.uuid, holding, tree, terms if claimed else None)
            found, lacks[holding.side] = seeker.shares(_taken((*others(holding.account), *own)))
        held[index] = _with_shares(holding, tuple(found))
    return tuple(held), lacks


def _with_shares(holding: records.Holding, found: tuple[records.Share, ...]) -> records.Holding:
    place = holding.place or places.NOTHING
    place = msgspec.structs.replace(place, shares=found)
    return msgspec.structs.replace(holding, place=None if place == places.NOTHING else place)


def _taken(held: Iterable[records.Place]) -> Taken:
    found: dict[tuple[str, str], int] = {}
    for place in held:
        for share in place.shares:
            key = share.provider_uuid, share.resource_class
            found[key] = found.get(key, 0) + share.amount
    return found


def elsewhere(held: Iterable[records.Place]) -> resources.Amounts:
    """Return what of the amounts of holdings is not on their root providers."""
    away = (share for place in held for share in place.shares if share.device is None)
    return resources.total({share.resource_class: share.amount} for share in away)


class _Seeker(msgspec.Struct, frozen=True, gc=False):
    """Looks for the shares of a holding, which has those that it had; ``terms`` if they are claimed."""

    uuid: str
    holding: records.Holding
    tree: records.Capacity
    terms: Terms | None

    def shares(self, taken: Taken) -> tuple[list[records.Share], places.Reasons]:
        """Return the shares, and why some of them are not to be had."""
        place = self.holding.place or places.NOTHING
        known = {child.uuid: child for child in self.tree.children}
        kept = {
            share.resource_class: share.provider_uuid
            for share in place.shares
            if share.chosen and share.provider_uuid in known
        }
        options = offered(self.tree)
        strict = self.terms.strict(self.holding.amounts) if self.terms is not None else resources.NOTHING
        found, reasons = [], []
        for name in sorted(self.holding.amounts.keys() - self.tree.inventories.keys() - PLAIN):
            there = options.get(name, [])
            roomy = self._roomy(name, there, kept.get(name), taken) if self.terms is not None else None
            if roomy is not None:
                found.append(self._share(name, roomy, chosen=True))
            elif name in strict:
                reasons += [self._reason(name, there, taken)] if there else []
            elif name in kept:
                found.append(self._share(name, kept[name], chosen=True))
            elif there:
                found.append(self._share(name, self._drawn(name, there), chosen=False))
        return [*found, *self._devices(place, known)], tuple(reasons)

    def _roomy(self, name: str, options: Sequence[records.Child], kept: str | None, taken: Taken) -> str | None:
        """Return a child with room for the class, the one where it is before all others; None if there is none."""
        for child in sorted(options, key=lambda one: one.uuid != kept):
            if claims.shortage(child.inventories[name], taken.get((child.uuid, name), 0), self._asked(name)) is None:
                return child.uuid
        return None

    def _drawn(self, name: str, options: Sequence[records.Child]) -> str:
        """Return the child of those that could ever have it that is this instance's by lot, which is always the same."""
        able = [one for one in options if claims.shortage(one.inventories[name], 0, self._asked(name)) is None]
        return max(able or options, key=lambda one: (_lot(self.uuid, one.uuid), one.uuid)).uuid

    def _asked(self, name: str) -> int:
        return self.holding.amounts[name]

    def _share(self, name: str, provider_uuid: str, *, chosen: bool) -> records.Share:
        return records.Share(provider_uuid, name, self._asked(name), self.holding.settled, chosen=chosen)

    def _reason(self, name: str, options: Sequence[records.Child], taken: Taken) -> str:
        """Return why no child can give the class, by the one that has most left."""
        used = {child.uuid: taken.get((child.uuid, name), 0) for child in options}
        best = max(options, key=lambda child: child.inventories[name].capacity - used[child.uuid])
        why = claims.shortage(best.inventories[name], used[best.uuid], self._asked(name))
        return f"{name}: asked {self._asked(name)}, {why} on provider {best.name}"

    def _devices(self, place: records.Place, known: Mapping[str, records.Child]) -> Iterator[records.Share]:
        """Yield what each device that is held counts: on its provider, or as before if the report has it no more."""
        if not place.grants:
            return
        by_address = {address: child for child in known.values() for address in child.devices if not child.gone}
        before = {share.device: share for share in place.shares if share.device is not None}
        for grant in place.grants:
            child, was = by_address.get(grant.address), before.get(grant.address)
            if child is not None and child.device_class is not None:
                yield records.Share(child.uuid, child.device_class, 1, self.holding.settled, grant.address)
            elif was is not None and was.provider_uuid in known:
                yield msgspec.structs.replace(was, settled=self.holding.settled)


def _lot(instance_uuid: str, provider_uuid: str) -> bytes:
    return hashlib.blake2b(f"{instance_uuid} {provider_uuid}".encode(), digest_size=8).digest()
