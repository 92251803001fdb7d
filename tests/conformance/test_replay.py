"""What each operation of a scenario comes to, where the shared scenarios do not tell."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from kombu.transport import memory
from oslo_config import cfg

from tests import invariant, stands
from worker import errors, interfaces, replay, wiring
from worker.db import schema, unit_of_work
from worker.replay import watching

FLAVOR = {"id": "f1", "vcpus": 1, "memory_mb": 512, "root_gb": 10}
BIG = {"id": "f2", "vcpus": 2, "memory_mb": 1024, "root_gb": 20}
HAS = {"vcpus": 4, "memory_mb": 4096, "local_gb": 100}

Said = dict[str, Any]


def said(op: str, instance: str | None = None, host: str | None = None, **keys: Any) -> Said:
    named = {"instance": instance, "host": host}
    return {"op": op, **{name: value for name, value in named.items() if value is not None}, **keys}


N1, N2, N3 = (said("node_report", host=name, resources=HAS) for name in ("n1", "n2", "n3"))
BUILD = said("build_claim", "a", "n1", flavor=FLAVOR)
ACTIVE = said("instance_state", "a", vm_state="active", task_state=None)
UP = (N1, N2, BUILD, ACTIVE)


@pytest.fixture(name="conf")
def _conf(tmp_path: pathlib.Path) -> Iterator[cfg.ConfigOpts]:
    conf = stands.configuration("kombu+memory://", f"sqlite:///{tmp_path / 'books.db'}")
    bind = wiring.database(conf)
    schema.sync(bind)
    yield conf
    invariant.prove(bind)
    bind.dispose()
    memory.Transport.global_state.clear()  # type: ignore[no-untyped-call]
    memory.Channel.queues.clear()


def play(conf: cfg.ConfigOpts, *lines: Said, policy: str | None = None) -> list[Any]:
    out = io.StringIO()
    assert replay.play(conf, [json.dumps(line) for line in lines], out, policy) == 0
    return [json.loads(line) for line in out.getvalue().splitlines()]


def memory_mb(answer: Any) -> dict[str, int]:
    return {name: node["memory_mb_used"] for name, node in answer["nodes"].items()}


def oks(answers: list[Any]) -> list[bool]:
    return [answer["ok"] for answer in answers]


def test_each_answer_names_the_operation_and_every_node(conf: cfg.ConfigOpts) -> None:
    answers = play(conf, N1, N2, BUILD)

    assert [sorted(answer["nodes"]) for answer in answers] == [["n1"], ["n1", "n2"], ["n1", "n2"]]
    assert (answers[2]["index"], answers[2]["op"], answers[2]["instance"]) == (2, "build_claim", "a")
    assert "instance" not in answers[0]
    assert answers[2]["nodes"]["n1"]["placement"]["consumers"] == ["a"]


def test_a_lost_deletion_stays_counted_until_the_audit(conf: cfg.ConfigOpts) -> None:
    answers = play(conf, *UP, said("delete", "a", lost=True), said("audit", host="n1"))

    assert [memory_mb(answer)["n1"] for answer in answers[-2:]] == [512, 0]


def test_a_state_that_nobody_told_is_seen_at_the_audit(conf: cfg.ConfigOpts) -> None:
    quiet = said("instance_state", "a", vm_state="stopped", notify=False)

    answers = play(conf, *UP, quiet, said("audit", host="n1"))

    counters = [answer["nodes"]["n1"]["stats"] for answer in answers[-2:]]
    assert "num_vm_stopped" not in counters[0]
    assert counters[1]["num_vm_stopped"] == 1


def test_several_nodes_of_one_host_have_accounts_of_their_own(conf: cfg.ConfigOpts) -> None:
    nodes = [said("node_report", host="n1", node=name, resources=HAS) for name in ("x", "y")]

    answers = play(conf, *nodes, {**BUILD, "node": "y"}, said("audit", host="n1"))

    assert memory_mb(answers[-1]) == {"n1/x": 0, "n1/y": 512}


def test_a_new_configuration_counts_on_every_node_of_the_service(conf: cfg.ConfigOpts) -> None:
    nodes = [said("node_report", host="n1", node=name, resources=HAS) for name in ("x", "y")]
    again = {**nodes[0], "reserved": {"memory_mb": 100}}

    answers = play(conf, *nodes, again, nodes[0])

    assert memory_mb(answers[2]) == {"n1/x": 100, "n1/y": 100}
    assert memory_mb(answers[3]) == {"n1/x": 100, "n1/y": 100}


def test_a_removed_node_is_not_shown_and_comes_back_with_what_is_held(conf: cfg.ConfigOpts) -> None:
    answers = play(conf, *UP, said("node_remove", host="n1"), said("node_remove", host="n1"), N1)

    assert oks(answers[-3:]) == [True, False, True]
    assert memory_mb(answers[-2]) == {"n2": 0}
    assert memory_mb(answers[-1]) == {"n1": 512, "n2": 0}


def test_a_claim_on_a_node_that_is_not_reported_is_refused(conf: cfg.ConfigOpts) -> None:
    answers = play(conf, N1, {**BUILD, "host": "n9"}, {**BUILD, "flavor": FLAVOR})

    assert oks(answers) == [True, False, True]
    assert "n9/n9" in answers[1]["error"]["message"]


def test_only_the_policy_all_refuses_for_want_of_memory(conf: cfg.ConfigOpts) -> None:
    huge = {"id": "huge", "vcpus": 1, "memory_mb": 9999, "root_gb": 1}

    local = play(conf, N1, {**BUILD, "flavor": huge})
    strict = play(conf, N2, said("build_claim", "b", "n2", flavor=huge), policy="all")

    assert oks(local) == [True, True]
    assert oks(strict) == [True, False]
    assert "MEMORY_MB" in strict[1]["error"]["message"]


def test_a_refused_resize_leaves_the_instance_without_a_task(conf: cfg.ConfigOpts) -> None:
    huge = {"id": "huge", "vcpus": 1, "memory_mb": 9999, "root_gb": 1}

    answers = play(conf, *UP, said("resize_claim", "a", "n2", flavor=huge), policy="all")

    assert not answers[-1]["ok"]
    assert answers[-1]["nodes"]["n1"]["stats"]["num_task_None"] == 1
    assert answers[-1]["nodes"]["n1"]["placement"]["consumers"] == ["a"]
    assert memory_mb(answers[-1]) == {"n1": 512, "n2": 0}


def test_a_live_migration_without_a_claim_counts_as_a_fact(conf: cfg.ConfigOpts) -> None:
    move = said("live_migration_claim", "a", "n2", claim="as_nova")

    answers = play(conf, *UP, move, said("live_migration_complete", "a"), policy="all")

    assert memory_mb(answers[-2]) == {"n1": 512, "n2": 512}
    assert answers[-2]["nodes"]["n1"]["placement"]["consumers"] == ["move of a"]
    assert memory_mb(answers[-1]) == {"n1": 0, "n2": 512}


def test_an_evacuation_may_overtake_a_resize(conf: cfg.ConfigOpts) -> None:
    resize = said("resize_claim", "a", "n2", flavor=BIG)

    answers = play(conf, *UP, N3, resize, said("evacuate_claim", "a", "n3"), said("evacuate_finish", "a"))

    assert [memory_mb(answer) for answer in answers[-3:]] == [
        {"n1": 512, "n2": 1024, "n3": 0},
        {"n1": 512, "n2": 0, "n3": 512},
        {"n1": 0, "n2": 0, "n3": 512},
    ]


def test_a_recovered_source_learns_what_was_evacuated(conf: cfg.ConfigOpts) -> None:
    away = (said("evacuate_claim", "a", "n2"), said("evacuate_finish", "a"))

    answers = play(conf, *UP, *away, said("evacuate_source_recover", host="n1"))

    assert answers[-1]["ok"]
    assert memory_mb(answers[-1]) == {"n1": 0, "n2": 512}


@pytest.mark.parametrize("finish", [said("resize_confirm", "a"), said("resize_revert", "a")])
def test_a_stopped_instance_is_stopped_after_its_resize(conf: cfg.ConfigOpts, finish: Said) -> None:
    stop = said("instance_state", "a", vm_state="stopped")

    answers = play(conf, *UP, stop, said("resize_claim", "a", "n2", flavor=BIG), said("resize_finish", "a"), finish)

    where = "n2" if finish["op"] == "resize_confirm" else "n1"
    assert answers[-1]["nodes"][where]["stats"]["num_vm_stopped"] == 1


@pytest.mark.parametrize("restart", [said("service_restart", host="n2"), {**N2, "reserved": {"vcpus": 1}}])
def test_a_restart_ends_the_claims_of_that_service(conf: cfg.ConfigOpts, restart: Said) -> None:
    claim = said("resize_claim", "a", "n2", flavor=BIG)

    answers = play(conf, *UP, claim, restart, said("abort_claim", "a"), said("resize_finish", "a"))

    assert oks(answers[-3:]) == [True, False, True]


def test_an_unshelved_instance_may_be_given_up_and_tried_again(conf: cfg.ConfigOpts) -> None:
    unshelve = said("unshelve_claim", "a", "n2")

    answers = play(conf, *UP, unshelve, said("shelve_offload", "a"), unshelve, said("abort_claim", "a"), unshelve)

    assert oks(answers[-5:]) == [False, True, True, True, True]
    assert [memory_mb(answer)["n2"] for answer in answers[-3:]] == [512, 0, 512]


IMPOSSIBLE = [
    said("audit", host="n9"),
    said("service_restart", host="n9"),
    said("build_succeeded", host="n9"),
    said("node_remove", host="n9"),
    said("evacuate_source_recover", host="n9"),
    said("build_claim", "new", "n1"),
    said("build_claim", "a", "n2", flavor=FLAVOR),
    said("delete", "nobody"),
    said("instance_state", "nobody", vm_state="active"),
    said("abort_claim", "a"),
    said("unshelve_claim", "a", "n2"),
    said("resize_source", "a"),
    said("resize_finish", "a"),
    said("resize_confirm", "a"),
    said("resize_revert", "a"),
    said("live_migration_complete", "a"),
    said("live_migration_rollback", "a"),
    said("live_migration_claim", "a", "n1"),
    said("live_migration_claim", "a", "n9", claim="as_nova"),
    said("evacuate_claim", "a", "n1"),
    said("evacuate_finish", "a"),
]


def test_impossible_operations_change_nothing_and_are_not_ok(conf: cfg.ConfigOpts) -> None:
    answers = play(conf, *UP, *IMPOSSIBLE)

    assert not any(oks(answers[len(UP) :]))
    assert all(answer["nodes"] == answers[len(UP) - 1]["nodes"] for answer in answers[len(UP) :])


def test_during_a_move_no_other_begins_and_only_its_next_step_is_possible(conf: cfg.ConfigOpts) -> None:
    claim = said("resize_claim", "a", "n2", flavor=BIG)
    others = (claim, said("live_migration_claim", "a", "n2"), said("shelve_offload", "a"))
    early = (said("resize_confirm", "a"), said("resize_revert", "a"), said("evacuate_finish", "a"))

    answers = play(conf, *UP, claim, *others, *early, said("resize_finish", "a"), said("abort_claim", "a"))

    assert oks(answers[len(UP) :]) == [True, *[False] * 6, True, False]


def test_instances_with_cells_and_devices_are_sent_whole(conf: cfg.ConfigOpts) -> None:
    cells = [{"id": 0, "cpus": [0, 1], "pcpus": [2, 3], "memory_mb": 4096}]
    pinned = {**FLAVOR, "id": "pinned", "numa": {"cpu_policy": "dedicated"}}
    node = said("node_report", host="n1", resources=HAS, numa_cells=cells)

    answers = play(conf, node, {**BUILD, "flavor": pinned}, N2, said("resize_claim", "a", "n2", flavor=BIG))

    assert oks(answers) == [True] * 4
    assert answers[-1]["nodes"]["n1"]["placement"]["usages"]["PCPU"] == 1
    assert answers[-1]["nodes"]["n2"]["placement"]["usages"]["VCPU"] == 2
    assert [cell["pcpus"] for cell in answers[-1]["nodes"]["n1"]["numa_cells"]] == [[2, 3]]


def test_a_database_that_knows_the_scenario_s_records_is_refused(conf: cfg.ConfigOpts) -> None:
    play(conf, N1, BUILD)

    with pytest.raises(errors.Misconfigured, match=r"\[database\] connection: node n1"):
        play(conf, N1)
    with pytest.raises(errors.Misconfigured, match=r"\[database\] connection: instance a"):
        play(conf, N2, {**BUILD, "host": "n2"})


def test_a_malformed_scenario_is_refused_before_anything_is_sent(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(errors.Misconfigured, match="line 2: audit: host: is missing"):
        play(conf, N1, {"op": "audit"})

    assert oks(play(conf, N1)) == [True]


def test_a_database_without_tables_is_refused(tmp_path: pathlib.Path) -> None:
    empty = stands.configuration("kombu+memory://", f"sqlite:///{tmp_path / 'empty.db'}")

    with pytest.raises(errors.Misconfigured, match="db sync"):
        play(empty, N1)


def test_the_options_of_the_worker_are_as_before_afterwards(conf: cfg.ConfigOpts) -> None:
    before = (conf.worker.claim_policy, conf.worker.audit_grace, conf.worker.batch_wait)

    play(conf, N1)

    assert (conf.worker.claim_policy, conf.worker.audit_grace, conf.worker.batch_wait) == before


def test_what_the_accounts_never_show_is_an_error_that_names_the_operation(conf: cfg.ConfigOpts) -> None:
    bind = wiring.database(conf)
    accounts = watching.Accounts(bind, patience=0.05)
    accounts.about = "operation 3 (delete, line 5)"

    with pytest.raises(
        watching.NotSeen, match=r"operation 3 \(delete, line 5\): .* do not show the end after 0\.05 s$"
    ):
        accounts.until(lambda: None, "the end")
    bind.dispose()


def test_what_was_parked_is_said_by_an_error_that_waited_for_it(conf: cfg.ConfigOpts) -> None:
    bind = wiring.database(conf)
    message = interfaces.ParkedMessage(reason="args.node: is missing", body=b"", parked_at=0, queue="accounts")
    with unit_of_work.UnitOfWork(bind) as unit:
        unit.parked.add([message])
        unit.commit()

    with pytest.raises(watching.NotSeen, match=r"\(last parked: args\.node: is missing\)"):
        watching.Accounts(bind, patience=0.01).until(lambda: None, "the end")
    bind.dispose()
