"""What holds for every history of facts, whatever the order in which they come."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from tests import builders
from tests.unit.core import histories
from worker.core import claims, commands

EXAMPLES = hypothesis.settings(
    max_examples=120, suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]
)


@EXAMPLES
@hypothesis.given(st.data())
def test_any_order_and_any_number_of_facts_end_in_the_same_accounts(data: st.DataObject) -> None:
    facts = data.draw(histories.histories())
    once = data.draw(histories.shuffled(facts))
    again = data.draw(histories.shuffled(facts))

    first = histories.told([[fact] for fact in once])
    second = histories.told([[fact] for fact in again])

    assert histories.picture(first.store) == histories.picture(second.store)


@EXAMPLES
@hypothesis.given(st.data())
def test_batches_of_any_split_give_the_same_as_one_by_one(data: st.DataObject) -> None:
    facts = data.draw(histories.histories().flatmap(histories.shuffled))
    batches = data.draw(histories.split(facts))

    together = histories.told(batches)
    alone = histories.told([[fact] for fact in facts])

    assert histories.picture(together.store) == histories.picture(alone.store)


@EXAMPLES
@hypothesis.given(st.data())
def test_the_accounts_are_those_of_a_model_written_from_the_contract(data: st.DataObject) -> None:
    facts = data.draw(histories.histories())
    batches = data.draw(histories.shuffled(facts).flatmap(histories.split))

    worker = histories.told(batches)

    assert histories.picture(worker.store) == histories.expected(facts)


@EXAMPLES
@hypothesis.given(st.data())
def test_claims_are_facts_like_others_under_the_policy_none(data: st.DataObject) -> None:
    facts = data.draw(histories.histories())
    batches = data.draw(histories.shuffled(facts).flatmap(histories.with_claims).flatmap(histories.split))

    worker = histories.told(batches, claims.NONE)

    assert histories.picture(worker.store) == histories.expected(facts)


@EXAMPLES
@hypothesis.given(st.data())
def test_figures_are_sums_after_every_claim_and_audit(data: st.DataObject) -> None:
    facts = data.draw(histories.histories().flatmap(histories.shuffled).flatmap(histories.with_claims))
    orders = [histories.command(*fact) for fact in facts]
    mixed = data.draw(st.permutations([*orders, *data.draw(st.lists(histories.audits(), max_size=4))]))
    batches = data.draw(histories.split(mixed))

    worker = builders.Worker()
    for batch in filter(None, batches):
        worker.tell(*batch)

        histories.check_all(worker.store)


@EXAMPLES
@hypothesis.given(st.data())
def test_claims_alone_never_hold_more_than_there_is(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    worker = builders.Worker()
    worker.tell(builders.a_report())

    for number, vcpus in enumerate(sizes):
        flavor = builders.a_flavor(vcpus=vcpus)
        worker.tell(commands.ClaimInstance(builders.an_instance(builders.uid(number), flavor=flavor)))

    assert worker.used().get("VCPU", 0) <= 8
