"""Bad input over kombu's in-process transport and SQLite; replay; and whatever else a mutated cast may be."""

from __future__ import annotations

import copy
import itertools
import json
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from oslo_config import cfg

from tests import bad_input, plain, stands
from worker import engine, interfaces, wiring
from worker.db import parked, schema


@pytest.fixture(scope="module")
def played() -> Iterator[bad_input.Played]:
    with stands.embedded() as stand:
        yield bad_input.play(stand)


class TestBadInput(bad_input.BadInput):
    pass


class Desk:
    """An engine on a database, without any bus."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.conf = conf
        self.bind = wiring.database(conf)
        schema.sync(self.bind)
        self.engine: engine.Engine = wiring.batch_engine(conf, self.bind)

    def process(self, *bodies: bytes) -> list[str]:
        """Carry out bodies in one batch; return what became of each."""
        deliveries = [interfaces.Delivery(tag=number, body=body) for number, body in enumerate(bodies)]
        words = {answer.delivery.tag: answer.word for answer in self.engine.process(deliveries)}
        return [words[delivery.tag] for delivery in deliveries]

    def again(self, kept: interfaces.ParkedMessage) -> str:
        """Carry out what was parked, from its bytes and headers alone."""
        delivery = interfaces.Delivery(
            tag=0,
            body=kept.body,
            headers=kept.headers,
            content_type=kept.headers["content_type"],
            content_encoding=kept.headers["content_encoding"],
        )
        (answer,) = self.engine.process([delivery])
        return answer.word

    def parked(self) -> list[interfaces.ParkedMessage]:
        return parked.listed(self.bind, limit=100_000)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    database = tmp_path_factory.mktemp("desk") / "stocktake.db"
    made = Desk(stands.configuration("kombu+memory://", f"sqlite:///{database}"))
    yield made
    made.bind.dispose()


@pytest.fixture
def fresh(tmp_path: pathlib.Path) -> Iterator[Desk]:
    made = Desk(stands.configuration("kombu+memory://", f"sqlite:///{tmp_path / 'stocktake.db'}"))
    yield made
    made.bind.dispose()


TOO_LONG = plain.node(1, traits=[f"CUSTOM_{number}" for number in range(70000)])
TOO_WIDE = plain.node(2, stats={"x" * 5000: "1"})
NO_TOKEN = {"_context_auth_token": None}  # so that not a byte of the body is changed when it is parked


@pytest.mark.parametrize(
    ("body", "option", "value", "field"),
    [
        (stands.body("report_node", {"node": TOO_LONG}), "list_length", 70000, "node.traits"),
        (stands.body("report_node", {"node": TOO_WIDE}), "text_length", 5000, f"node.stats['{'x' * 40}"),
        (stands.body("report_node", {"node": plain.node(3)}, **NO_TOKEN) + b" " * 5_000_000, "message_bytes", 6_000_000,
         "body"),
    ],
    ids=["a list", "a text", "a body"],
)  # fmt: skip
def test_what_was_too_large_is_applied_once_the_limit_is_raised(
    fresh: Desk, body: bytes, option: str, value: int, field: str
) -> None:
    assert fresh.process(body) == ["parked"]
    (kept,) = fresh.parked()
    assert str(kept.field).startswith(field)
    assert fresh.again(kept) == "parked"

    fresh.conf.set_override(option, value, group="limits")

    assert fresh.again(kept) == "applied"
    assert fresh.again(kept) == "duplicate"
    assert len(fresh.parked()) == 1


def test_two_unreadable_bodies_of_which_none_may_be_kept_are_two_parked_messages(fresh: Desk) -> None:
    headers = {"compression": "application/x-gzip"}
    deliveries = [interfaces.Delivery(tag=tag, body=body, headers=headers) for tag, body in enumerate((b"one", b"two"))]

    words = [answer.word for answer in fresh.engine.process([*deliveries, deliveries[0]])]

    assert words == ["parked"] * 3
    assert [kept.body[:9] for kept in fresh.parked()] == [b"withheld:"] * 2


# Whatever a mutation makes of a good cast, the worker says what became of it.

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, "", "nope", "\0", "\udc80", "ß" * 300, "1", [], {},
     [None], [[]], {"": ""}, plain.uid(1), plain.uid(1).upper(), plain.flavor(), plain.instance(3), ["\0"], {"\0": 1}]
)  # fmt: skip
VALUES = ODD | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("report_node", {"node": plain.node(1)}),
    ("claim_instance", {"instance": plain.instance(1), "limits": plain.limits(1.0, 1.0)}),
    ("update_instance", {"instance": plain.instance(2, pci_requests=[plain.request()])}),
    ("claim_migration", {"migration": plain.migration(1), "instance": plain.instance(1), "limits": None}),
    ("update_migration", {"migration": plain.migration(2, status="done"), "instance": plain.instance(1)}),
    ("abort_claim", {"instance_uuid": plain.uid(1), "revision": 7, "migration_uuid": plain.uid(900_001)}),
    ("audit_node", {"node_uuid": plain.node_uuid(1), "instances": [plain.instance(1)],
                    "taken_at": "2026-01-02T03:04:05+00:00", "authoritative": True}),
    ("set_node_disabled", {"node_uuid": plain.node_uuid(1), "disabled": True, "revision": 3}),
    ("get_node_usage", {"node_uuid": plain.node_uuid(1)}),
]  # fmt: skip


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (holder, key) below a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """Draw the body of a good cast or call with up to three places of it changed, or its bytes."""
    method, arguments = draw(st.sampled_from(GOOD))
    call = draw(st.sampled_from([{}, {"_msg_id": "m", "_reply_q": "q"}]))
    body = stands.body(method, arguments, _unique_id=uuid.uuid4().hex, **call)
    message = json.loads(json.loads(body)["oslo.message"])
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from(list(_places(message))))
        if isinstance(holder, dict) and draw(st.booleans()):
            value = holder.pop(key)
            holder[draw(st.sampled_from(["", "revision", "uuid", "x"]))] = value
        else:
            holder[key] = copy.deepcopy(draw(VALUES))
    body = stands.wrapped(json.dumps(message))
    if draw(st.integers(0, 4)) == 0:
        start = draw(st.integers(0, len(body)))
        body = body[:start] + draw(st.binary(max_size=3)) + body[start + draw(st.integers(0, 9)) :]
    return body


NUMBERS = itertools.count(10_000)


@hypothesis.given(mutant=mutants())
@hypothesis.settings(max_examples=150, suppress_health_check=[hypothesis.HealthCheck.too_slow])
def test_a_mutated_cast_is_applied_or_stale_or_parked_and_takes_nobody_with_it(desk: Desk, mutant: bytes) -> None:
    good = stands.body("update_instance", {"instance": plain.instance(next(NUMBERS))})

    became, beside = desk.process(mutant, good)

    assert became in {"applied", "accepted", "refused", "stale", "duplicate", "parked", "read"}
    assert beside == "applied"
    assert {kept.error for kept in desk.parked()} <= {None}, "a parked message names what is wrong, not our own failure"
