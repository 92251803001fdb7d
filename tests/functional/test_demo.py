"""The demonstration: it runs by itself, adds up, and says so."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator

import pytest
import rich.console
from kombu.transport import memory
from oslo_config import cfg

from tests import builders, stands
from tests.unit.core import devices
from worker import demo
from worker.core import pci, records
from worker.db import reading
from worker.demo import conductor, listening, screen

FIGURES = {"used": 10, "settled": 6, "in_move": 4, "capacity": 16}


@pytest.fixture(name="conf")
def _conf() -> Iterator[cfg.ConfigOpts]:
    yield stands.configuration("kombu+memory://", "sqlite://")
    memory.Transport.global_state.clear()  # type: ignore[no-untyped-call]
    memory.Channel.queues.clear()


def test_the_demo_adds_up_and_says_what_became_of_everything(conf: cfg.ConfigOpts) -> None:
    out = io.StringIO()
    began = time.monotonic()

    code = demo.run(conf, 3, 3, 1, out)

    said = out.getvalue()
    assert code == 0, said
    assert time.monotonic() - began < 3 + 15
    assert "node-03" in said
    casts = re.search(r"casts taken +(\d+)", said)
    outcomes = re.search(r"outcomes +(.*)", said)
    assert casts is not None
    assert outcomes is not None
    assert int(casts[1]) == sum(int(count) for count in re.findall(r"\d+", outcomes[1])) > 20
    assert re.search(r"hardware in use +\d+ of 24 PCI devices, \d+ of 16 dedicated CPUs", said)
    assert re.search(r"notifications +[1-9]\d* received, 0 gaps", said)
    assert "invariant        holds" in said


class Terminal(io.StringIO):
    """An output that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_the_table_move(conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()

    code = demo.run(conf, 1, 2, 5, out)

    assert code == 0
    assert out.getvalue().count("node-01") > 2


def test_one_node_is_enough(conf: cfg.ConfigOpts) -> None:
    out = io.StringIO()

    assert demo.run(conf, 0.5, 1, 2, out) == 0


def test_a_bar_shows_settled_and_in_move_apart() -> None:
    text = screen.bar(FIGURES, screen.ASCII)

    assert text.plain == "###~~... 10/16"


@pytest.mark.parametrize(
    ("figures", "drawn"),
    [
        ({"used": 0, "settled": 0, "capacity": 16}, "........ 0/16"),
        ({"used": 1, "settled": 1, "capacity": 1000}, "#....... 1/1000"),
        ({"used": 99, "settled": 99, "capacity": 16}, "######## 99/16"),
        ({"used": 0, "settled": 0, "capacity": 0}, "........ 0/0"),
    ],
)
def test_a_bar_is_never_longer_than_its_place_and_never_hides_what_is_there(
    figures: dict[str, int], drawn: str
) -> None:
    assert screen.bar(figures, screen.ASCII).plain == drawn


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", screen.BLOCKS), ("ascii", screen.ASCII)])
def test_blocks_are_for_outputs_that_can_show_them(encoding: str, expected: screen.Glyphs) -> None:
    class Output(io.StringIO):
        """An output with that encoding."""

    Output.encoding = encoding

    assert screen.glyphs(rich.console.Console(file=Output())) == expected


@pytest.mark.parametrize(
    ("broken", "gaps", "outcomes", "code"),
    [(0, 0, {"applied": 9}, 0), (1, 0, {}, 1), (0, 1, {}, 1), (0, 0, {"applied": 9, "parked": 1}, 1)],
)
def test_whatever_does_not_add_up_is_a_finding(broken: int, gaps: int, outcomes: dict[str, int], code: int) -> None:
    assert demo.exit_code(broken, gaps, outcomes) == code


def test_devices_and_dedicated_cpus_that_somebody_has_are_counted() -> None:
    gpu = devices.plain(7)
    cell = records.HostCell(0, frozenset({0, 1}), frozenset({2, 3, 4}), 1024)
    report = builders.a_node(numa_topology=(cell,), pci_devices=(gpu, devices.plain(8)))
    guest = records.PlacedCell(0, frozenset(), frozenset({0}), 512, cpu_policy="dedicated", cpu_pinning={0: 3})
    place = records.Place(records.PlacedTopology((guest,)), (pci.grant(gpu, builders.uid(70)),))
    account = records.Account(builders.account_of(), builders.pair())
    equipped = reading.Sheet(None, account, report, speaks=True, places={(builders.VM, "instance"): place})
    plain = reading.Sheet(None, account, None, speaks=True)

    assert screen.hardware([equipped, plain]) == "1 of 2 PCI devices, 1 of 3 dedicated CPUs"


def heard(listener: listening.Listener, *sequences: int) -> None:
    for sequence in sequences:
        payload = {"stocktake_object.data": {"node_uuid": "n", "sequence": sequence}}
        listener.info({}, "stocktake:h", "resource_provider.update", payload, {"message_id": str(sequence)})


@pytest.mark.parametrize(
    ("sequences", "gaps"), [((1, 2, 3), 0), ((1, 2, 2, 1, 3), 0), ((1, 3), 1), ((2,), 1), ((1, 3, 2, 4), 1)]
)
def test_the_listener_counts_gaps_and_no_repeats(conf: cfg.ConfigOpts, sequences: tuple[int, ...], gaps: int) -> None:
    listener = listening.Listener(conf)

    heard(listener, *sequences)

    assert listener.gaps == gaps
    assert listener.count == len(set(sequences))


class Recorder:
    """What a conductor sends, instead of a bus: method and the uuid and revision of its first record."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def __getattr__(self, method: str) -> object:
        def send(_context: object, *arguments: object) -> None:
            first = arguments[0]
            self.sent.append((method, str(getattr(first, "uuid", first))))

        return send


def test_the_same_seed_sends_the_same() -> None:
    sent = []
    for _ in range(2):
        recorder = Recorder()
        sender = conductor.Conductor(recorder, 4, 11)  # type: ignore[arg-type]
        sender.report()
        for _ in range(300):
            sender.step(set())
        sender.finish()
        sent.append(recorder.sent)

    assert sent[0] == sent[1]
    assert {method for method, _ in sent[0]} == {
        "report_node", "claim_instance", "abort_claim", "update_instance", "delete_instance", "claim_migration",
        "update_migration",
    }  # fmt: skip


def test_some_casts_are_sent_twice_and_some_late() -> None:
    recorder = Recorder()
    sender = conductor.Conductor(recorder, 4, 3)  # type: ignore[arg-type]
    for _ in range(300):
        sender.step(set())
    before = len(recorder.sent)

    sender.finish()

    assert len(recorder.sent) >= before
    assert sender.cast == len(recorder.sent) > sum(sender.kinds.values())


def test_a_refused_build_is_forgotten_and_a_refused_move_ends() -> None:
    recorder = Recorder()
    sender = conductor.Conductor(recorder, 2, 1)  # type: ignore[arg-type]
    sender.step(set())
    (guest,) = sender._guests
    for one in sender._guests.values():
        sender._migrate(one)
    (move,) = (one.move for one in sender._guests.values())
    assert move is not None

    sender.step({move.uuid})
    sender.finish()

    assert ("update_migration", move.uuid) in recorder.sent
    sender._take_back(guest)
    assert guest not in sender._guests
