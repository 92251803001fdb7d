"""Applies what is wanted, in an order that Placement accepts, and keeps what it refuses for a better moment.

Providers before allocations, parents before children, what is given back before what is taken, deletions last. What is
refused while other things change is tried again right then: a class may be in use until its allocations have gone. What
is still refused afterwards is a finding, told once, and tried again with the next change of a provider that it touches.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from typing import Any

from worker.placement import allocations, client, desired, faults, memory, patience, providers

LOG = logging.getLogger(__name__)

Findings = dict[str, faults.Finding]


class Sync:
    """Brings Placement to what is wanted; ``size`` is the most consumers in one request. One thread only."""

    def __init__(
        self, placement: client.Placement, kept: memory.Memory, patient: patience.Patience, size: int = 100
    ) -> None:
        self._memory = kept
        self._providers = providers.Providers(placement, kept, patient)
        self._allocations = allocations.Allocations(placement, self._providers, patient, size)
        self._pending: dict[str, desired.Wanted] | None = None
        self._job: desired.Wanted | None = None
        self.findings: Findings = {}

    def apply(self, wanted: desired.Wanted) -> Findings:
        """Apply what is wanted and return what of it cannot be, by provider or instance uuid.

        Raises Unavailable or DatabaseUnavailable: then some of it is done, and the same can be applied again.
        """
        if wanted is not self._job:
            self._job = wanted
            self._allocations.begin()
        work = desired.joined(self._touched(wanted), wanted)
        left, findings = work, self._pass(work, work)
        while findings:
            again = _only(left, findings)
            if _size(again) == _size(left):
                break
            left, findings = again, self._pass(again, work)
        self._settle(work, findings)
        self._job = None
        return findings

    def retry(self) -> Findings:
        """Try everything once more that is pending."""
        return self.apply(desired.Wanted()) if not self._waiting() else self.apply(_all(self._waiting()))

    def _pass(self, work: desired.Wanted, everything: desired.Wanted) -> Findings:
        findings: Findings = {}
        ordered = desired.top_down(work.providers.values())
        for one in ordered:
            if not one.gone:
                _add(findings, self._providers.ensure(one, everything.providers))
        findings |= self._allocations.apply(desired.groups(work.consumers.values()))
        for one in reversed(ordered):
            if one.gone:
                _add(findings, self._providers.remove(one))
        return findings

    def _waiting(self) -> dict[str, desired.Wanted]:
        """Return what is pending by subject; that of an earlier life the first time."""
        if self._pending is None:
            self._pending = {subject: read(text) for subject, text in self._memory.pending().items()}
        return self._pending

    def _touched(self, wanted: desired.Wanted) -> desired.Wanted:
        """Return what is pending and concerns a provider or an instance of which there is news."""
        news = set(wanted.providers) | {one.instance_uuid for one in wanted.consumers.values()}
        news |= {uuid for one in wanted.consumers.values() for uuid in one.allocations}
        concerned = {
            subject: one for subject, one in self._waiting().items() if news & (_touches(one) | self._blockers(subject))
        }
        return _all(concerned)

    def _blockers(self, subject: str) -> frozenset[str]:
        finding = self.findings.get(subject)
        return frozenset({subject}) | (finding.blockers if finding is not None else frozenset())

    def _settle(self, work: desired.Wanted, findings: Findings) -> None:
        """Remember what is still to be done, tell what is new of it, and forget what is done."""
        waiting = self._waiting()
        for subject, finding in findings.items():
            told = self.findings.get(subject)
            if told is None or told.text != finding.text:
                LOG.warning("action=finding kind=%s %s", finding.kind.replace(" ", "_"), finding.text)
            if not finding.final:
                one = _only(work, {subject: finding})
                if waiting.get(subject) != one:
                    self._memory.keep(subject, written(one))
                    waiting[subject] = one
                self.findings[subject] = finding
        for subject in _subjects(work):
            done = subject not in findings or findings[subject].final
            if done and waiting.pop(subject, None) is not None:
                self._memory.drop(subject)
                self.findings.pop(subject, None)
                LOG.info("action=resolved %s", subject)


def written(wanted: desired.Wanted) -> str:
    """Return what is wanted as text, to be kept."""
    return json.dumps(
        {
            "providers": [
                dataclasses.asdict(one) | {"traits": sorted(one.traits)} for one in wanted.providers.values()
            ],
            "consumers": [dataclasses.asdict(one) for one in wanted.consumers.values()],
        }
    )


def read(text: str) -> desired.Wanted:
    """Return what was written."""
    found: dict[str, Any] = json.loads(text)
    known = [desired.Provider(**{**one, "traits": frozenset(one["traits"])}) for one in found["providers"]]
    consumers = [desired.Consumer(**one) for one in found["consumers"]]
    return desired.Wanted({one.uuid: one for one in known}, {one.uuid: one for one in consumers})


def _add(findings: Findings, finding: faults.Finding | None) -> None:
    if finding is not None:
        findings[finding.subject] = finding


def _all(waiting: Mapping[str, desired.Wanted]) -> desired.Wanted:
    found = desired.Wanted()
    for one in waiting.values():
        found = desired.joined(found, one)
    return found


def _only(wanted: desired.Wanted, subjects: Findings) -> desired.Wanted:
    return desired.Wanted(
        {uuid: one for uuid, one in wanted.providers.items() if uuid in subjects and not subjects[uuid].final},
        {uuid: one for uuid, one in wanted.consumers.items() if one.instance_uuid in subjects},
    )


def _subjects(wanted: desired.Wanted) -> set[str]:
    return set(wanted.providers) | {one.instance_uuid for one in wanted.consumers.values()}


def _size(wanted: desired.Wanted) -> int:
    return len(wanted.providers) + len(wanted.consumers)


def _touches(wanted: desired.Wanted) -> set[str]:
    found = _subjects(wanted) | {uuid for one in wanted.consumers.values() for uuid in one.allocations}
    return found | {one.parent_uuid for one in wanted.providers.values() if one.parent_uuid}
