"""The figures of a node as a reader gets them, held against the model of the contract."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from tests import builders, model
from tests.unit.core import histories
from worker import mapping
from worker.core import holdings, records

EXAMPLES = hypothesis.settings(max_examples=60, suppress_health_check=list(hypothesis.HealthCheck))


def _figures(worker: builders.Worker, pair: tuple[str, str]) -> dict[str, int]:
    """Return the figures of a NodeUsage that the model knows."""
    account = worker.store.account(*pair)
    speaker = histories.loaded(worker.store).speaker(account.id)
    report = worker.store.reports.get(speaker.uuid) if speaker is not None else None
    data = mapping.node_usage(speaker, account, report, {})["stocktake_object.data"]
    names = (
        "vcpus_used", "memory_mb_used", "local_gb_used", "free_ram_mb", "free_disk_gb", "running_vms",
        "current_workload",
    )  # fmt: skip
    return {name: data[name] for name in names}


def _consumers(worker: builders.Worker, book: records.Book) -> dict[str, dict[str, dict[str, int]]]:
    seen = histories.loaded(worker.store)
    held = holdings.of_consumers(book.holdings)
    return {
        consumer: {uuid: dict(amounts) for uuid, amounts in holdings.by_provider(own, seen.provider_uuid).items()}
        for consumer, own in held.items()
    }


@EXAMPLES
@hypothesis.given(st.data())
def test_a_reader_gets_the_figures_of_the_model(data: st.DataObject) -> None:
    facts = data.draw(histories.histories().flatmap(histories.shuffled))
    oracle = model.Model(facts)

    worker = histories.told([[fact] for fact in facts])

    for pair in oracle.pairs():
        assert _figures(worker, pair) == oracle.figures(pair)
    for book in worker.store.books.values():
        assert _consumers(worker, book) == oracle.consumers(book.uuid)
