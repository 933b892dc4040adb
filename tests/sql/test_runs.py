"""Durable runs in SQL: one worker by lease and token, a step recorded once, with a version of the head for each."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds

LEASE = seconds(30)


async def finish(caller: Caller, *steps: tuple[str, int, str, int, Any]) -> list[Any]:
    """Records (key, token, step, position, result)."""
    keys, tokens, names, positions, results = (list(column) for column in zip(*steps, strict=True))
    count = len(steps)
    return await caller.rows(
        "finish_steps",
        keys,
        tokens,
        names,
        names,
        ["step"] * count,
        positions,
        [True] * count,
        ["done"] * count,
        ["json"] * count,
        [json.dumps(result).encode() for result in results],
        [1] * count,
        [0.5] * count,
    )


@pytest.mark.core
async def test_what_was_done_is_there_for_the_next_worker(root: Caller, clock: Clock) -> None:
    run = await root("start_run", "research/r", LEASE, name="report", input_type="json", input=b'{"topic": "owls"}')
    assert (run["status"], run["created"], run["state"], run["steps"]) == ("ok", True, "open", None)
    (done,) = await finish(root, ("research/r", run["token"], "plan", 1, [1, 2]))
    assert (done["status"], done["version"], done["cancelled"]) == ("ok", 2, False)
    held = await root("start_run", "research/r", LEASE)
    assert held["status"] == "held" and held["retry_in"] <= LEASE and held["token"] is None
    assert await root.rows("take_runs", ["report"], 10, LEASE, pattern="research/**") != []

    await clock.advance(31)
    (taken, none) = await root.rows("take_runs", ["report", "other"], 2, LEASE)
    assert (taken["key"], taken["attempts"], taken["input"]) == ("research/r", 2, b'{"topic": "owls"}')
    assert (taken["steps"], taken["positions"], taken["types"], taken["data"]) == (["plan"], [1], ["json"], [b"[1, 2]"])
    assert none["status"] == "missing" and none["retry_in"] is not None
    # who was slow records nothing, whatever the step
    (stale,) = await finish(root, ("research/r", run["token"], "write", 2, "late"))
    assert (stale["status"], stale["version"]) == ("stale", None)
    assert (await root("end_run", "research/r", run["token"], "done"))["status"] == "stale"

    rows = await finish(
        root, ("research/r", taken["token"], "plan", 1, "again"), ("research/r", taken["token"], "write", 2, "ok")
    )
    assert [(row["status"], row["version"]) for row in rows] == [("exists", None), ("ok", 3)]
    ended = await root("end_run", "research/r", taken["token"], "done", "json", b'"report"')
    assert (ended["status"], ended["version"]) == ("ok", 4)
    history = await root.rows("history", "research/r")
    assert [(row["version"], row["value"]["status"], row["value"].get("step")) for row in history] == [
        (4, "done", "write"),
        (3, "running", "write"),
        (2, "running", "plan"),
        (1, "running", None),
    ]
    again = await root("start_run", "research/r", LEASE)
    assert (again["status"], again["state"], again["result"], again["steps"]) == (
        "ended",
        "done",
        b'"report"',
        ["plan", "write"],
    )
    assert await root.rows("list_claims") == []
    (row,) = await root.rows("runs", "research/**")
    assert (row["state"], row["steps"], row["result"], row["holder"]) == ("done", 2, "report", None)
    steps = await root.rows("run_steps", "research/r")
    assert [(row["step"], row["result"], row["finished_at"] - row["started_at"]) for row in steps] == [
        ("plan", [1, 2], timedelta(seconds=0.5)),
        ("write", "ok", timedelta(seconds=0.5)),
    ]


async def test_steps_of_many_runs_in_one_statement_each_by_itself(root: Caller, agent: MakeAgent) -> None:
    tokens = {key: (await root("start_run", key, LEASE))["token"] for key in ("a/1", "a/2", "b/1")}
    await root("put", "a/value", 1)
    other = await agent("o", "read a/**", "write a/**")
    rows = await finish(
        root,
        ("b/1", tokens["b/1"], "x", 1, 1),
        ("a/1", tokens["a/1"], "x", 1, 1),
        ("a/none", 1, "x", 1, 1),
        ("a/1", tokens["a/1"], "y", 2, 1),
        ("a/2", tokens["a/1"], "x", 1, 1),
        ("a/value", 1, "x", 1, 1),
        ("a//b", 1, "x", 1, 1),
        ("a/2", tokens["a/2"], "", 1, 1),
        ("a/1", tokens["a/1"], "z", 3, "x" * 2_000_000),
    )
    assert [(row["status"], row["version"], row["code"]) for row in rows] == [
        ("ok", 2, None),
        ("ok", 2, None),
        ("missing", None, None),
        ("ok", 3, None),
        ("stale", None, None),
        ("missing", None, None),
        ("invalid", None, "PS001"),
        ("invalid", None, "PS007"),
        ("invalid", None, "PS004"),
    ]
    # nobody records for another, even with the token
    (row,) = await finish(other, ("a/1", tokens["a/1"], "z", 3, 1))
    assert row["status"] == "stale"
    (row,) = await finish(other, ("b/1", tokens["b/1"], "z", 3, 1))
    assert (row["status"], row["code"]) == ("denied", "PS010")


async def test_a_statement_that_is_sent_again_records_once(root: Caller) -> None:
    lane = "6a0f0f2e-0000-4000-8000-000000000001"
    first = await root("start_run", "r", LEASE, lane=lane, turn=1)
    again = await root("start_run", "r", LEASE, lane=lane, turn=1)
    assert again["token"] == first["token"] and again["created"]
    arguments = (["r"], [first["token"]], ["s"], ["s"], ["step"], [1], [True], ["done"], ["json"], [b"1"], [1], [0.0])
    (one,) = await root.rows("finish_steps", *arguments, lane=lane, turn=2)
    (two,) = await root.rows("finish_steps", *arguments, lane=lane, turn=2)
    assert one["version"] == two["version"] == 2 and two["status"] == "ok"
    # what was refused is refused again
    refused_ones = (["r", "none", "a//b"], [first["token"], 1, 1], *(column * 3 for column in arguments[2:]))
    once, twice = [await root.rows("finish_steps", *refused_ones, lane=lane, turn=3) for _ in range(2)]
    assert [row["status"] for row in once] == [row["status"] for row in twice] == ["exists", "missing", "invalid"]
    signalled = await root("signal_run", "r", "go", "json", b"1", lane=lane, turn=4)
    assert signalled["version"] == (await root("signal_run", "r", "go", "json", b"1", lane=lane, turn=4))["version"]
    assert (await root("take_signal", "r", first["token"], "go", "go", 2, True))["status"] == "ok"
    assert (await root("take_signal", "r", first["token"], "go#2", "go", 3, True))["status"] == "pending"


async def test_who_asks_again_gets_no_claim_that_another_has_taken_over(root: Caller, clock: Clock) -> None:
    lane = "6a0f0f2e-0000-4000-8000-000000000002"
    await root("start_run", "r/1", name="w")
    taken = ("take_runs", ["w"], 1, LEASE)
    (first,) = await root.rows(*taken, lane=lane, turn=1)
    assert [row["token"] for row in await root.rows(*taken, lane=lane, turn=1)] == [first["token"]]
    begun = await root("start_run", "r/2", LEASE, lane=lane, turn=2)
    await clock.advance(31)
    # of the same agent, in another process
    (other,) = await root.rows(*taken)
    assert other["key"] == "r/1" and other["token"] != first["token"]
    again = await root("start_run", "r/2", LEASE, lane=lane, turn=2)
    assert begun["status"] == "ok" and (again["status"], again["token"]) == ("held", None)
    lane = "6a0f0f2e-0000-4000-8000-000000000003"
    await clock.advance(31)
    (third,) = await root.rows(*taken, lane=lane, turn=1)
    await clock.advance(31)
    assert (await root.rows(*taken))[0]["key"] == "r/1"
    assert third["key"] == "r/1" and await root.rows(*taken, lane=lane, turn=1) == []


async def test_a_signal_arrives_once_and_a_wait_ends(root: Caller, clock: Clock) -> None:
    token = (await root("start_run", "r", seconds(3600)))["token"]
    assert (await root("signal_run", "none", "go"))["status"] == "missing"
    wait = ("take_signal", "r", token, "go", "go", 1, True, seconds(100))
    first = await root(*wait)
    assert first["status"] == "pending"
    await clock.advance(60)
    second = await root(*wait)
    assert (second["status"], second["due_at"]) == ("pending", first["due_at"])
    (row,) = await root.rows("run_steps", "r")
    assert (row["state"], row["due_at"]) == ("pending", first["due_at"])
    await root("signal_run", "r", "go", "json", b"1")
    await root("signal_run", "r", "go", "json", b"2")
    assert [(row["status"], row["data"]) for row in [await root(*wait)]] == [("ok", b"1")]
    assert (await root(*wait))["status"] == "exists"
    token = (token, "go#2", "go", 2, True)
    assert (await root("take_signal", "r", *token))["data"] == b"2"
    late = ("take_signal", "r", token[0], "go#3", "go", 3, True, seconds(100))
    assert (await root(*late))["status"] == "pending"
    await clock.advance(101)
    assert (await root(*late))["status"] == "timeout"
    assert (await root("end_run", "r", token[0], "done"))["status"] == "ok"
    assert (await root("signal_run", "r", "go"))["status"] == "ended"


async def test_cancel_retry_fork_delete(root: Caller) -> None:
    run = await root("start_run", "r", LEASE, name="w")
    await finish(root, ("r", run["token"], "a", 1, 1), ("r", run["token"], "b", 2, 2))
    assert (await root("cancel_run", "r"))["status"] == "pending"
    assert [row[0] for row in await root.rows("cancelled_runs", ["r", "s"])] == ["r"]
    (row,) = await finish(root, ("r", run["token"], "c", 3, 3))
    assert (row["status"], row["cancelled"]) == ("ok", True)
    assert (await root("end_run", "r", run["token"], "cancelled"))["status"] == "ok"
    assert (await root("start_run", "r", LEASE))["state"] == "cancelled"
    assert (await root("retry_run", "r"))["status"] == "ok"
    assert (await root("retry_run", "r"))["status"] == "open"
    assert (await root("fork_run", "r", "f", "b"))["status"] == "ok"
    assert (await root("fork_run", "r", "f", "b"))["status"] == "conflict"
    assert (await root("fork_run", "r", "g", "none"))["status"] == "missing"
    fork = await root("start_run", "f", LEASE)
    assert (fork["steps"], fork["seed"], fork["name"]) == (["a"], run["seed"], "w")
    assert (await root("delete_run", "f"))["status"] == "held"
    assert (await root("delete_run", "f", fork["token"]))["status"] == "ok"
    assert (await root("delete_run", "f"))["status"] == "missing"
    # anew under the same key: nothing of before is there
    assert (await root("start_run", "f", LEASE))["steps"] is None
    # what it has done has to be undone by who knows how: a worker
    assert [(await root("cancel_run", "r"))["status"] for _ in range(2)] == ["pending", "pending"]
    (row,) = await root.rows("take_runs", ["w"], 1, LEASE)
    assert (row["key"], row["cancelled"], row["steps"]) == ("r", True, ["a", "b", "c"])
    assert (await root("end_run", "r", row["token"], "cancelled"))["status"] == "ok"
    assert (await root("cancel_run", "r"))["status"] == "ended"
    # one that has done nothing, and one that no worker would know
    await root("start_run", "n", name="w")
    assert (await root("cancel_run", "n"))["status"] == "ok"
    run = await root("start_run", "o", LEASE)
    await finish(root, ("o", run["token"], "a", 1, 1))
    assert (await root("end_run", "o", run["token"], "open"))["status"] == "ok"
    assert (await root("cancel_run", "o"))["status"] == "ok"


async def test_what_undid_a_run_is_not_forked_and_a_retry_has_all_the_time(root: Caller, clock: Clock) -> None:
    run = await root("start_run", "r/1", LEASE, name="w", timeout=seconds(60))
    await finish(root, ("r/1", run["token"], "pay", 1, 5))
    for step, kind in (("#undo", "undo"), ("undo:pay", "undo")):
        await root.rows(
            "finish_steps", ["r/1"], [run["token"]], [step], [step], [kind], [1], [False], ["done"], ["json"], [b"1"], [1], [0.0],
        )  # fmt: skip
    await root("end_run", "r/1", run["token"], "failed", "error", b"broken")
    await root("fork_run", "r/1", "r/2")
    assert [row["step"] for row in await root.rows("run_steps", "r/2")] == ["pay"]
    await clock.advance(61)
    assert (await root("retry_run", "r/1"))["status"] == "ok"
    (taken, *_) = await root.rows("take_runs", ["w"], 1, LEASE, "r/1")
    assert (taken["key"], taken["deadline"], taken["steps"]) == ("r/1", None, None)


async def test_failed_steps_are_done_again(root: Caller) -> None:
    token = (await root("start_run", "r", LEASE))["token"]
    columns = [["r"] * 3, [token] * 3, ["a", "b", "c"], ["a", "b", "c"], ["step"] * 3, [1, 2, 3], [True] * 3]
    columns += [["failed", "done", "failed"], ["error", "json", "error"], [b"E: caught", b"1", b"E: not caught"]]
    await root.rows("finish_steps", *columns, [1] * 3, [0.0] * 3)
    await root("end_run", "r", token, "failed", "error", b"E: not caught")
    assert (await root("get", "r"))["value"]["error"] == "E: not caught"
    again = await root("start_run", "r", LEASE)
    assert (again["status"], again["state"], again["steps"]) == ("ok", "open", ["a", "b"])


async def test_workers_take_the_most_urgent_that_is_ready(root: Caller, clock: Clock) -> None:
    now = await root.fetchval("select pgstate._now()")
    await root("start_run", "r/low", name="w")
    await root("start_run", "r/high", name="w", priority=5)
    await root("start_run", "r/later", name="w", ready_at=now + seconds(60))
    await root("start_run", "r/other", name="x")
    assert (await root("start_run", "r/low", name="w"))["status"] == "exists"
    rows = await root.rows("take_runs", ["w"], 10, seconds(600))
    assert [row["key"] for row in rows] == ["r/high", "r/low", None]
    assert seconds(50) < rows[-1]["retry_in"] <= seconds(60)
    await clock.advance(61)
    (row,) = await root.rows("take_runs", ["w"], 1, seconds(600))
    assert row["key"] == "r/later"
    assert (await root("end_run", "r/later", row["token"], "open", ready_in=seconds(5)))["status"] == "ok"
    (row,) = await root.rows("take_runs", ["w"], 1, seconds(600))
    assert (row["status"], row["retry_in"] <= seconds(5)) == ("missing", True)


async def test_a_worker_is_told_when_to_look_again(root: Caller, session: MakeAgent) -> None:
    async def retry_in() -> timedelta | None:
        rows = await root.rows("take_runs", ["w"], 1, LEASE)
        assert [row["status"] for row in rows] == ["missing"]
        return rows[0]["retry_in"]

    # not before there is something
    assert await retry_in() is None
    await root("start_run", "r/1", name="w")
    other = await session()
    transaction = other.transaction()
    await transaction.start()
    await other("signal_run", "r/1", "go")
    # who has it locked lets go of it without a word
    assert await retry_in() == seconds(0.05)
    await transaction.rollback()
    (row,) = await root.rows("take_runs", ["w"], 1, LEASE)
    assert row["key"] == "r/1"
    left = await retry_in()
    assert left is not None and seconds(20) < left <= LEASE


async def test_a_run_that_kills_its_workers_is_given_up(root: Caller, clock: Clock) -> None:
    await root("set_policy", "r/**", max_attempts=2)
    await root("start_run", "r/1", name="w")
    for _ in range(2):
        assert (await root.rows("take_runs", ["w"], 1, LEASE))[0]["status"] == "ok"
        await clock.advance(31)
    assert (await root.rows("take_runs", ["w"], 1, LEASE))[0]["status"] == "missing"
    (row,) = await root.rows("runs")
    assert row["state"] == "failed" and "given up after 2 workers" in row["error"]


@pytest.mark.core
async def test_a_run_that_fail_has_given_up_keeps_no_worker_from_others(root: Caller) -> None:
    await root("set_policy", "r/**", max_attempts=1)
    run = await root("start_run", "r/1", LEASE, name="w")
    failed = await root("fail", "r/1", run["token"], "broken")
    assert (failed["status"], failed["retry_in"]) == ("ok", None)
    (row,) = await root.rows("take_runs", ["w"], 1, LEASE)
    assert (row["status"], row["retry_in"]) == ("missing", None)
    await root("start_run", "r/2", name="w")
    assert [row["key"] for row in await root.rows("take_runs", ["w"], 1, LEASE)] == ["r/2"]
    # until somebody lets it be tried again
    assert (await root("release", "r/1", force=True))["status"] == "ok"
    assert [row["key"] for row in await root.rows("take_runs", ["w"], 1, LEASE)] == ["r/1"]


async def test_who_may(root: Caller, agent: MakeAgent) -> None:
    await root("start_run", "r/1", LEASE, name="w")
    await root("put", "r/value", 1)
    reader = await agent("reader", "read r/**")
    for call in ("start_run", "cancel_run", "retry_run", "delete_run"):
        with refused("PS010"):
            await reader(call, "r/1")
        with refused("PS040"):
            await root(call, "r/value")
    with refused("PS010"):
        await reader("signal_run", "r/1", "go")
    with refused("PS010"):
        await reader.rows("take_runs", ["w"], 1, LEASE, "r/**")
    assert len(await reader.rows("runs", "r/**")) == 1 and await reader.rows("run_steps", "r/1") == []
    stranger = await agent("stranger", "read s/**", "write s/**")
    assert await stranger.rows("runs") == []
    with refused("PS010"):
        await stranger.rows("run_steps", "r/1")
    with refused("PS010"):
        await stranger("fork_run", "r/1", "s/1")
    assert [row["status"] for row in await stranger.rows("take_runs", ["w"], 1, LEASE)] == ["missing"]
    with refused("PS040"):
        await root("put", "r/1", 1)


async def test_a_run_that_expires_is_gone_and_collected(root: Caller, clock: Clock, superuser_dsn: str) -> None:
    run = await root("start_run", "r", seconds(600), ttl=seconds(100))
    await clock.advance(50)
    await finish(root, ("r", run["token"], "a", 1, 1))
    await clock.advance(80)
    assert len(await root.rows("runs")) == 1
    await clock.advance(30)
    assert await root.rows("runs") == []
    await root("expire")
    fresh = await root("start_run", "r", LEASE)
    assert fresh["created"] and fresh["steps"] is None
    await root("maintain")
    assert await root.fetchval("select count(*) from pgstate.steps") == 0


async def test_a_run_that_is_to_stay_whatever_the_policy_says(root: Caller) -> None:
    await root("set_policy", "r", ttl=timedelta(seconds=10))
    run = await root("start_run", "r", LEASE, ttl=timedelta(0))
    await finish(root, ("r", run["token"], "a", 1, 1))
    assert (await root("get", "r"))["expires_at"] is None


async def asleep(root: Caller, key: str, **how: Any) -> Any:
    """Takes a run and sets it down: who takes it next."""
    rows = await root.rows("take_runs", ["w"], 1000, LEASE)
    (token,) = [row["token"] for row in rows if row["key"] == key]
    assert (await root("end_run", key, token, "open", **{"waits_for": [], **how}))["status"] == "ok"
    return [row["key"] for row in await root.rows("take_runs", ["w"], 1000, LEASE) if row["status"] == "ok"]


async def wait_for_signal(root: Caller, key: str) -> None:
    token = (await root("start_run", key, LEASE, name="w"))["token"]
    assert (await root("take_signal", key, token, "go", "go", 1, True))["status"] == "pending"
    assert (await root("end_run", key, token, "open"))["status"] == "ok"


@pytest.mark.core
async def test_a_run_sleeps_until_it_is_due_or_woken(root: Caller, clock: Clock) -> None:
    # by time, which is the deadline's when that comes first
    await root("start_run", "t", name="w")
    assert await asleep(root, "t", ready_in=seconds(50)) == []
    assert (await root.rows("take_runs", ["w"], 1, LEASE))[-1]["retry_in"] <= seconds(50)
    assert (await root("get", "t"))["value"]["status"] == "asleep"
    await clock.advance(51)
    assert [row["key"] for row in await root.rows("take_runs", ["w"], 1, seconds(9999))] == ["t"]
    await root("start_run", "d", name="w", timeout=seconds(40))
    assert await asleep(root, "d", ready_in=seconds(5000)) == []
    await clock.advance(41)
    assert [row["key"] for row in await root.rows("take_runs", ["w"], 1, seconds(9999))] == ["d"]
    # by a signal that a step waits for, and no other
    await wait_for_signal(root, "s")
    assert await asleep(root, "s") == []
    assert (await root.rows("take_runs", ["w"], 1, LEASE))[-1]["retry_in"] > seconds(60)
    await root("signal_run", "s", "other")
    assert (await root.rows("take_runs", ["w"], 1, LEASE))[0]["status"] == "missing"
    await root("signal_run", "s", "go")
    assert (await root("get", "s"))["value"]["status"] == "waiting"
    (row,) = await root.rows("take_runs", ["w"], 1, LEASE)
    assert row["key"] == "s"
    # one that came meanwhile lets it not fall asleep
    assert (await root("end_run", "s", row["token"], "open", waits_for=[]))["status"] == "ok"
    assert [row["key"] for row in await root.rows("take_runs", ["w"], 1, seconds(9999))] == ["s"]
    # when it is cancelled, or entered by its key
    await wait_for_signal(root, "c")
    token = (await root("start_run", "c", LEASE))["token"]
    await finish(root, ("c", token, "a", 1, 1))
    await root("end_run", "c", token, "open")
    assert await asleep(root, "c") == []
    assert (await root("cancel_run", "c"))["status"] == "pending"
    assert await asleep(root, "c") == ["c"]
    await root("start_run", "e", name="w")
    assert await asleep(root, "e") == []
    await root("start_run", "e", LEASE)
    await clock.advance(31)
    # and its worker has died
    assert "e" in [row["key"] for row in await root.rows("take_runs", ["w"], 9, LEASE)]


async def test_the_end_of_a_child_wakes_who_waits_for_it(root: Caller) -> None:
    async def end(key: str, **how: Any) -> None:
        token = (await root("start_run", key, LEASE, **how))["token"]
        assert (await root("end_run", key, token, "done", "json", b"1"))["status"] == "ok"

    await root("start_run", "p", name="w")
    await root("start_run", "p/x", parent="p")
    await root("start_run", "p/y", parent="p")
    assert await asleep(root, "p", waits_for=["p/x"]) == []
    await end("p/y")
    assert (await root.rows("take_runs", ["w"], 1, LEASE))[0]["status"] == "missing"
    # who names it as its parent, and is not waited for, wakes nobody
    await end("q", parent="p")
    assert (await root.rows("take_runs", ["w"], 1, LEASE))[0]["status"] == "missing"
    await end("p/x")
    assert (await root("get", "p/x"))["value"]["wakes"] is True
    # one that has ended meanwhile, or is not there, lets it not fall asleep
    for other in ("p/x", "p/none"):
        (row,) = await root.rows("take_runs", ["w"], 1, LEASE)
        assert row["key"] == "p"
        await root("end_run", "p", row["token"], "open", waits_for=[other])


async def test_a_run_waits_for_no_other_that_it_may_not_read(root: Caller, agent: MakeAgent) -> None:
    """Whether one is there, and has ended, is told by when the waiting ends."""
    worker = await agent("worker", "read own/**", "write own/**")
    await root("start_run", "hidden")
    for key, other in (("own/a", "hidden"), ("own/b", "not/there")):
        token = (await worker("start_run", key, LEASE, name="w"))["token"]
        assert (await worker("end_run", key, token, "open", waits_for=[other]))["status"] == "ok"
        assert (await worker.rows("take_runs", ["w"], 1, LEASE))[0]["status"] == "missing"


async def test_a_time_to_wait_is_looked_at_by_each_of_its_fields(root: Caller) -> None:
    """Comparing takes a month for 30 days, and adding does not."""
    token = (await root("start_run", "r", LEASE))["token"]
    for span in ("-1 s", "1200 mon -36000 days", "-1200 mon 36001 days", "71582780 mon -2147483399 days"):
        await root.refuses(
            "PS007",
            f"take_signal('r', {token}, 'go', 'go', 1, true, '{span}')",
            f"end_run('r', {token}, 'open', ready_in => '{span}')",
            f"end_run('r', {token}, 'open', ready_in => '{span}', waits_for => '{{}}')",
        )
    late = await root("take_signal", "r", token, "go", "go", 1, True, timedelta(0))
    assert late["status"] == "timeout"
    assert (await root("end_run", "r", token, "open", ready_in=timedelta(0)))["status"] == "ok"


async def test_a_step_twice_in_one_statement_is_recorded_once(root: Caller) -> None:
    token = (await root("start_run", "r", LEASE))["token"]
    other = (await root("start_run", "s", LEASE))["token"]
    rows = await finish(
        root,
        ("r", token + 100, "a", 1, 0),
        ("r", token, "a", 1, 1),
        ("r", token, "a", 2, 2),
        ("s", other, "a", 1, 3),
        ("r", token, "b", 3, 4),
        ("r", token + 100, "a", 1, 0),
    )
    assert [(row["status"], row["version"]) for row in rows] == [
        ("stale", None),
        ("ok", 2),
        ("exists", None),
        ("ok", 2),
        ("ok", 3),
        ("stale", None),
    ]
    assert [(row["step"], row["result"]) for row in await root.rows("run_steps", "r")] == [("a", 1), ("b", 4)]


async def test_a_fork_from_a_step_that_waits_has_all_before_it(root: Caller) -> None:
    token = (await root("start_run", "r", LEASE, code="1"))["token"]
    await finish(root, ("r", token, "a", 1, 1), ("r", token, "b", 2, 2))
    await root("take_signal", "r", token, "go", "go", 3, True)
    await root("end_run", "r", token, "open")
    # the order of the code is not known any more
    assert (await root("start_run", "r", LEASE, code="2"))["positions"] == [None] * 3
    await root("fork_run", "r", "s", "go")
    assert [row["step"] for row in await root.rows("run_steps", "s")] == ["a", "b"]
