"""Which combination of host cells a guest gets: the first one in order that fits and is accepted.

A combination is one host cell for each guest cell, none of them twice; combinations are ordered as words are: by the
host cell of the first guest cell, then of the second one, and so on. Going through all of them takes for ever from a
dozen cells on, so

- no beginning is followed that the remaining guest cells cannot complete: a complete combination is carried along, and
  changed by one augmenting path (bipartite matching) for each other choice;
- what can follow depends on the set of host cells taken, not on which guest cell has which: a set that led nowhere is
  not followed again;
- whoever accepts is asked about a set once.

So one step after the other leads to the answer where every combination is accepted. Where acceptance is refused again and
again the steps double with each host cell: ``MOST_STEPS`` bounds them, and up to 12 host cells never need so many.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence

MOST_STEPS = 32_768
NO_COMBINATION = "no combination of NUMA cells fits all cells of the guest"
NOT_ACCEPTED = "no combination of NUMA cells that fits has the affinity asked for"
GAVE_UP = f"no combination of NUMA cells with the affinity asked for in {MOST_STEPS} steps"

Places = Sequence[int]
"""The position of a host cell for each guest cell."""


def first(fits: Sequence[int], accepts: Callable[[int], bool]) -> Places | str:
    """Return the first combination, or why there is none.

    ``fits`` has for each guest cell the host cells that it fits on, bit n for the host cell at position n; ``accepts``
    is asked about a set of as many host cells, in the same form.
    """
    whole = _complete(fits)
    if whole is None:
        return NO_COMBINATION
    search = _Search(fits, accepts)
    found = search.from_here(0, whole)
    if found is None:
        return NOT_ACCEPTED if search.steps else GAVE_UP
    return found


class _Search:
    """One search: what was asked, what led nowhere, and how many steps are left."""

    def __init__(self, fits: Sequence[int], accepts: Callable[[int], bool]) -> None:
        self.steps = MOST_STEPS
        self._fits = fits
        self._accepts = accepts
        self._asked: dict[int, bool] = {}
        self._nowhere: set[int] = set()
        self._reach = [0]
        for mask in reversed(fits):
            self._reach.insert(0, self._reach[0] | mask)

    def from_here(self, taken: int, whole: Places) -> Places | None:
        """Return the first accepted combination that begins as ``whole`` does on the host cells ``taken``."""
        guest = taken.bit_count()
        if taken in self._nowhere or not self._hopeful(taken, guest):
            return None
        if guest == len(self._fits):
            return whole
        for host in _bits(self._fits[guest] & ~taken):
            if not self.steps:
                return None
            self.steps -= 1
            changed = _changed(self._fits, whole, guest, host)
            found = None if changed is None else self.from_here(taken | 1 << host, changed)
            if found is not None:
                return found
        self._nowhere.add(taken)
        return None

    def _hopeful(self, taken: int, guest: int) -> bool:
        """Whether acceptance is open: it is not when only one set of host cells is left, and that one is refused."""
        reach = taken | self._reach[guest]
        if reach.bit_count() > len(self._fits):
            return True
        if reach not in self._asked:
            self._asked[reach] = self._accepts(reach)
        return self._asked[reach]


def _complete(fits: Sequence[int]) -> Places | None:
    places: Places | None = [-1] * len(fits)
    for guest in range(len(fits)):
        places = None if places is None else _placed(fits, places, guest, 0)
    return places


def _changed(fits: Sequence[int], places: Places, guest: int, host: int) -> Places | None:
    """Return the combination with the guest cell on that host cell, and those before it where they are."""
    changed = list(places)
    changed[guest] = host
    if host not in places or places[guest] == host:
        return changed
    closed = sum(1 << place for place in changed[: guest + 1])
    return _placed(fits, changed, places.index(host), closed)


def _placed(fits: Sequence[int], places: Places, guest: int, closed: int) -> Places | None:
    """Return the combination with a place for that guest cell, on none of the host cells ``closed``; others may move."""
    owners = {place: owner for owner, place in enumerate(places) if owner != guest}
    seekers: dict[int, int] = {}
    queue = collections.deque([guest])
    while queue:
        seeker = queue.popleft()
        for host in _bits(fits[seeker] & ~closed):
            closed |= 1 << host
            seekers[host] = seeker
            if host not in owners:
                return _moved(places, seekers, guest, host)
            queue.append(owners[host])
    return None


def _moved(places: Places, seekers: dict[int, int], guest: int, host: int) -> Places:
    """Return the combination after each seeker took the host cell it found, back to the first one."""
    moved = list(places)
    seeker = seekers[host]
    while seeker != guest:
        left = moved[seeker]
        moved[seeker] = host
        host = left
        seeker = seekers[host]
    moved[guest] = host
    return moved


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
