"""Claimed work: many at once, completed to another key, failed and tried again or given up, released by an operator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from _server import SUPERUSER
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds


async def _worker(agent: MakeAgent, name: str = "worker", *more: str) -> Caller:
    return await agent(name, "read t/**", "write t/**", *more)


async def _many(caller: Caller, limit: int, pattern: str = "t/*", lease: float = 60, **more: Any) -> list[Any]:
    return await caller.rows("claim_many", pattern, limit, seconds(lease), **more)


async def _states(caller: Caller, pattern: str = "") -> dict[str, str]:
    return {row["key"]: row["state"] for row in await caller.rows("tasks", pattern)}


@pytest.mark.core
@pytest.mark.parametrize("pattern", ["t/*", "t/**"])
async def test_claim_many_takes_the_best_and_says_when_there_are_fewer(
    root: Caller, agent: MakeAgent, pattern: str
) -> None:
    worker = await _worker(agent)
    for key, priority in (("t/c", 0), ("t/a", 0), ("t/b", 5), ("t/d", -1)):
        await root("put", key, {"n": key}, priority=priority)
    first = await _many(worker, 2, pattern)
    assert [(c["status"], c["key"], c["value"]) for c in first] == [
        ("ok", "t/b", {"n": "t/b"}),
        ("ok", "t/c", {"n": "t/c"}),
    ]
    rest = await _many(worker, 5, pattern)
    assert [(c["status"], c["key"]) for c in rest] == [("ok", "t/a"), ("ok", "t/d"), ("missing", None)]
    assert seconds(0) < rest[2]["retry_in"] <= seconds(60)
    assert len({c["token"] for c in first + rest[:2]}) == 4
    # each of them alone writes with its own token
    assert await worker("put", "t/a", 1, token=rest[0]["token"]) == ("ok", 2, None)
    assert (await worker("put", "t/a", 1, token=rest[1]["token"]))["status"] == "stale"
    (nothing,) = await _many(worker, 3, pattern)
    assert (nothing["status"], nothing["key"]) == ("missing", None)
    await worker.refuses(
        "PS007", "claim_many('t/*', 0, '1 s')", "claim_many('t/*', 1001, '1 s')", "claim_many('t/*', null, '1 s')",
        "claim_many('t/*', 1, '0')",
    )  # fmt: skip
    await worker.refuses("PS010", "claim_many('u/*', 1, '1 s')")


@pytest.mark.core
@pytest.mark.parametrize("function", ["claim", "claim_next", "claim_many"])
@pytest.mark.parametrize("how", ["lane", "op_id"])
async def test_a_claim_sent_again_is_the_same_claim(root: Caller, session: MakeAgent, function: str, how: str) -> None:
    await root.rows("put_many", ["t/a", "t/b", "t/c"], [1, 2, 3])
    arguments = {"claim": ["t/a"], "claim_next": ["t/*"], "claim_many": ["t/*", 2]}[function]
    lane = uuid4()
    again = {"lane": lane, "turn": 1} if how == "lane" else {"op_id": "once"}
    first = await root.rows(function, *arguments, seconds(60), **again)
    other = await session()
    assert await other.rows(function, *arguments, seconds(60), **again) == first
    assert [c["attempts"] for c in first] == [1] * len(first)
    if how == "op_id":
        await root.refuses("PS030", f"{function}({', '.join(map(repr, arguments))}, '61 s', op_id => 'once')")
        await root.refuses("PS007", f"{function}({', '.join(map(repr, arguments))}, '61 s', op_id => '')")
    else:
        await other.rows(function, *arguments, seconds(60), lane=lane, turn=2)
        with refused("PS031"):
            await other.rows(function, *arguments, seconds(60), lane=lane, turn=1)
    # the value that the claim was of is not shown for another one's
    await root("put", "t/a", 9, token=first[0]["token"])
    if how == "op_id":
        assert (await other.rows(function, *arguments, seconds(60), **again))[0]["value"] is None


async def test_a_release_sent_again_has_the_answer_of_the_first(root: Caller) -> None:
    await root("put", "t/a", 1)
    token = (await root("claim", "t/a", seconds(60)))["token"]
    lane = uuid4()
    first = await root("release", "t/a", token, lane=lane, turn=1)
    assert (first["status"], (await root("claim", "t/a", seconds(60)))["status"]) == ("ok", "ok")
    assert await root("release", "t/a", token, lane=lane, turn=1) == first
    assert (await root("release", "t/a", token))["status"] == "stale"


@pytest.mark.core
@pytest.mark.parametrize("many", [False, True])
async def test_complete_moves_the_result(root: Caller, agent: MakeAgent, many: bool) -> None:
    worker = await _worker(agent, "worker", "write done/**", "read done/**")

    async def complete(key: str, token: int, result: Any = None, move_to: str | None = None) -> tuple[Any, ...]:
        if not many:
            return tuple(await worker("complete", key, token, result=result, move_to=move_to))
        (row,) = await worker.rows("complete_many", [key], [token], [result], [move_to])
        return row["status"], row["version"], row["value"]

    await root.rows("put_many", ["t/a", "t/b", "t/c"], [{"n": 1}, {"n": 2}, {"n": 3}])
    await root("merge", "t/b", {"big": "x" * 3000}, "merge")
    await root("merge", "t/b", {"more": 1}, "merge")
    a, b, c = [x["token"] for x in await _many(worker, 3)]
    assert await complete("t/a", a, {"sum": 3}, "done/a") == ("ok", 2, None)
    # without a result the entry's own value goes there
    assert await complete("t/b", b, None, "done/b") == ("ok", 4, None)
    assert (await root("get", "done/a"))["value"] == {"sum": 3}
    assert (await root("get", "done/b"))["value"] == {"n": 2, "big": "x" * 3000, "more": 1}
    assert (await root("get", "t/a"))["status"] == "missing"
    assert [v["op"] for v in await root.rows("history", "t/a")] == ["complete", "put"]
    assert [(v["op"], v["created"]) for v in await root.rows("history", "done/a")] == [("put", True)]
    # nothing twice, and nothing half
    assert (await complete("t/a", a, {"sum": 4}, "done/a"))[0] == "stale"
    assert (await root("get", "done/a"))["value"] == {"sum": 3}
    await root("claim", "done/a", seconds(600))
    held = await complete("t/c", c, 1, "done/a")
    # what stands there is not the task's value
    assert (held[0], held[2]) == ("held", None)
    assert (await root("get", "t/c"))["status"] == "ok"
    # over what is there: the version after it
    await worker("put", "done/c", 0)
    assert (await complete("t/c", c, 1, "done/c"))[:2] == ("ok", 2)
    assert [v["version"] for v in await root.rows("history", "done/c")] == [2, 1]
    assert await _states(root, "t/*") == {"t/a": "finished", "t/b": "finished", "t/c": "finished"}


@pytest.mark.core
async def test_complete_needs_rights_on_both_keys(root: Caller, agent: MakeAgent) -> None:
    worker = await _worker(agent, "worker", "write out/**", "read ro/**")
    await root.rows("put_many", ["t/a", "ro/x", "hid/x"], [1, 1, 1])
    token = (await worker("claim", "t/a", seconds(60)))["token"]
    said = await worker.refuses(
        "PS010",
        *(f"complete('t/a', {token}, move_to => '{key}')" for key in ("ro/x", "ro/y", "hid/x", "hid/y")),
        f"complete('ro/x', {token}, move_to => 't/x')",
    )
    assert len(said) == 1
    for key in ("ro/x", "hid/x", "hid/y"):
        (row,) = await worker.rows("complete_many", ["t/a"], [token], None, [key])
        assert (row["status"], row["code"]) == ("denied", "PS010")
    await worker.refuses("PS001", f"complete('t/a', {token}, move_to => 'a//b')")
    await worker.refuses(
        "PS007", f"complete('t/a', {token}, result => '1')", f"complete('t/a', {token}, move_to => 't/a')"
    )
    await root("set_policy", "out/**", schema={"type": "string"})
    await worker.refuses("PS008", f"complete('t/a', {token}, result => '1', move_to => 'out/a')")
    assert (await root("get", "t/a"))["status"] == "ok"
    # a place that may be written but not read will do
    assert (await worker("complete", "t/a", token, result="done", move_to="out/a"))["status"] == "ok"
    assert (await root("get", "out/a"))["value"] == "done"


@pytest.mark.core
async def test_many_are_completed_each_by_itself(root: Caller, agent: MakeAgent, session: MakeAgent) -> None:
    worker = await _worker(agent)
    await root.rows("put_many", [f"t/{n}" for n in range(6)], [{"n": n} for n in range(6)])
    claims = {c["key"]: c["token"] for c in await _many(worker, 6)}
    keys = [f"t/{n}" for n in (3, 1, 0, 2)] + ["t/none", "hid/x", "a//b", "t/4"]
    tokens = [claims["t/3"], claims["t/1"], claims["t/0"], 1, 5, 5, 5, claims["t/4"]]
    lane = uuid4()
    arguments = (keys, tokens, None, ["t/done/3", None, "t/done/0", "t/done/2", None, None, None, "hid/y"])
    rows = await worker.rows("complete_many", *arguments, lane=lane, turn=1)
    expected = ["ok", "ok", "ok", "stale", "stale", "denied", "invalid", "denied"]
    assert [r["ord"] for r in rows] == list(range(1, 9))
    assert [r["status"] for r in rows] == expected
    other = await session(await worker.fetchval("select session_user::text"))
    assert [r["status"] for r in await other.rows("complete_many", *arguments, lane=lane, turn=1)] == expected
    assert [r["key"] for r in await root.rows("list", "t/**")] == ["t/2", "t/4", "t/5", "t/done/0", "t/done/3"]
    # the usual batch: all as it should be, in one go
    rows = await worker.rows("complete_many", ["t/5", "t/4", "t/2"], [claims["t/5"], claims["t/4"], claims["t/2"]], [1, None, None],
                             ["t/done/5", "t/done/4", None])  # fmt: skip
    assert [(r["status"], r["version"]) for r in rows] == [("ok", 2)] * 3
    assert [(r["key"], r["value"]) for r in await root.rows("list", "t/**")] == [
        ("t/done/0", {"n": 0}), ("t/done/3", {"n": 3}), ("t/done/4", {"n": 4}), ("t/done/5", 1),
    ]  # fmt: skip
    for key in ("t/done/4", "t/done/5"):
        assert [(v["version"], v["op"], v["created"]) for v in await root.rows("history", key)] == [(1, "put", True)]
    await worker.refuses(
        "PS007", "complete_many(array['t/1'], array[1, 2])", "complete_many(array['t/1'], array[1], array['1'::jsonb])"
    )


async def test_completing_under_an_op_id_happens_once(root: Caller) -> None:
    await root.rows("put_many", ["t/a", "t/b"], [1, 2])
    a, b = [c["token"] for c in await _many(root, 2)]
    for _ in range(2):
        assert await root("complete", "t/a", a, result="r", move_to="d/a", op_id="one") == ("ok", 2, None)
    await root.refuses("PS030", f"complete('t/a', {a}, result => '2', move_to => 'd/a', op_id => 'one')")
    for _ in range(2):
        rows = await root.rows("complete_many", ["t/b", "t/a"], [b, a], [3, 4], ["d/b", "d/c"], op_ids=["two", "three"])
        assert [r["status"] for r in rows] == ["ok", "stale"]
    assert len(await root.rows("history", "d/a")) == len(await root.rows("history", "d/b")) == 1


@pytest.mark.core
async def test_failed_work_waits_longer_each_time(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    worker = await _worker(agent)
    await root("set_policy", "t/**", backoff=seconds(10), backoff_limit=seconds(35))
    await root("put", "t/a", 1)
    for attempt, pause in ((1, 10), (2, 20), (3, 35), (4, 35)):
        claim = await worker("claim_next", "t/*", seconds(60))
        assert (claim["status"], claim["attempts"]) == ("ok", attempt)
        failed = await worker("fail", "t/a", claim["token"], f"broke {attempt}")
        assert (failed["status"], failed["attempts"], failed["retry_in"]) == ("ok", attempt, seconds(pause))
        assert (await worker("put", "t/a", 2, token=claim["token"]))["status"] == "stale"
        missing = await worker("claim_next", "t/*", seconds(60))
        assert missing["status"] == "missing" and seconds(pause / 2) < missing["retry_in"] <= seconds(pause)
        held = await worker("claim", "t/a", seconds(60))
        assert held["status"] == "held" and seconds(pause / 2) < held["retry_in"] <= seconds(pause)
        (task,) = await worker.rows("tasks", "t/*")
        assert (task["state"], task["attempts"], task["error"]) == ("waiting", attempt, f"broke {attempt}")
        assert task["next_try"] - await clock.now() <= seconds(pause)
        await clock.advance(pause + 0.1)
    # it makes no version
    assert (await root("get", "t/a"))["version"] == 1
    claim = await worker("claim_next", "t/*", seconds(60))
    assert (await worker("fail", "t/a", claim["token"], retry_in=seconds(0)))["retry_in"] == seconds(0)
    claim = await worker("claim_next", "t/*", seconds(60))
    assert claim["attempts"] == 6
    # the last two are equal to 0, as a month is to 30 days
    for pause in ("-1 s", "1200 mon -36000 days", "71582780 mon -2147483400 days"):
        await worker.refuses("PS007", f"fail('t/a', {claim['token']}, retry_in => '{pause}')")
    await worker.refuses("PS010", "fail('u/a', 1)")
    await worker.refuses("PS001", "fail('a//b', 1)")


async def test_without_a_policy_the_pause_is_a_second_at_first(root: Caller) -> None:
    await root("put", "t/a", 1)
    token = (await root("claim", "t/a", seconds(60)))["token"]
    assert (await root("fail", "t/a", token))["retry_in"] == seconds(1)
    assert (await root("fail", "t/a", token))["status"] == "stale"


@pytest.mark.core
async def test_after_so_many_attempts_it_goes_to_the_dead_letters(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    worker = await _worker(agent, "worker", "write dead/**")
    await root("set_policy", "t/**", max_attempts=2, dead_letter="dead/mail", backoff=seconds(1))
    await root("put", "t/x/a", {"n": 1}, priority=7)
    for last in (False, True):
        claim = await worker("claim_next", "t/**", seconds(60))
        failed = await worker("fail", "t/x/a", claim["token"], "it broke")
        assert failed["moved_to"] == ("dead/mail/x/a" if last else None)
        await clock.advance(2)
    assert failed["retry_in"] is None
    (dead,) = await root.rows("list", "dead/**")
    assert (dead["key"], dead["value"], dead["priority"]) == ("dead/mail/x/a", {"n": 1}, 7)
    assert [v["op"] for v in await root.rows("history", "t/x/a")] == ["delete", "put"]
    (task,) = await root.rows("tasks", "dead/**")
    assert (task["state"], task["attempts"], task["error"], task["next_try"]) == ("failed", 2, "it broke", None)
    assert (await root("claim_next", "dead/**", seconds(60)))["status"] == "missing"
    assert (await root("claim_next", "dead/**", seconds(60)))["retry_in"] is None
    held = await root("claim", "dead/mail/x/a", seconds(60))
    assert (held["status"], held["retry_in"]) == ("held", None)
    # an operator lets it be tried once more; what fails there stays there
    assert (await root("release", "dead/mail/x/a", force=True))["status"] == "ok"
    await root("set_policy", "**", max_attempts=1, dead_letter="dead/mail")
    again = await root("claim_next", "dead/**", seconds(60))
    assert (again["status"], again["attempts"], again["value"]) == ("ok", 1, {"n": 1})
    failed = await root("fail", "dead/mail/x/a", again["token"])
    assert (failed["moved_to"], failed["retry_in"]) == (None, None)
    assert await _states(root, "dead/**") == {"dead/mail/x/a": "failed"}
    # it may be written and removed as anything else
    assert (await root("delete", "dead/mail/x/a"))["status"] == "ok"


@pytest.mark.core
async def test_who_may_not_write_the_dead_letters_leaves_it_where_it_is(root: Caller, agent: MakeAgent) -> None:
    worker = await _worker(agent)
    await root("set_policy", "t/**", max_attempts=1, dead_letter="dead")
    await root.rows("put_many", ["t/a", "t/b"], [1, 2])
    token = (await worker("claim", "t/a", seconds(60)))["token"]
    failed = await worker("fail", "t/a", token, "no")
    assert (failed["status"], failed["moved_to"], failed["retry_in"]) == ("ok", None, None)
    assert await _states(worker, "t/*") == {"t/a": "failed", "t/b": "waiting"}
    assert (await worker("claim_next", "t/*", seconds(60)))["key"] == "t/b"
    assert await root.rows("list", "dead/**") == []


@pytest.mark.core
@pytest.mark.parametrize("pattern", ["t/*", "t/**"])
async def test_leases_that_end_count_as_attempts(root: Caller, agent: MakeAgent, clock: Clock, pattern: str) -> None:
    """Work that kills its workers does not kill them for ever."""
    worker = await _worker(agent, "worker", "write dead/**")
    await root("set_policy", "t/**", max_attempts=2, dead_letter="dead")
    await root("put", "t/poison", 1, priority=1)
    await root("put", "t/good", 1)
    for attempt in (1, 2):
        claim = await worker("claim_next", pattern, seconds(10))
        assert (claim["key"], claim["attempts"]) == ("t/poison", attempt)
        await clock.advance(11)
    assert (await worker("claim_next", pattern, seconds(1000)))["key"] == "t/good"
    (task,) = await root.rows("tasks", "dead/*")
    assert (task["key"], task["state"], task["error"]) == (
        "dead/poison",
        "failed",
        "the lease of its last attempt ended",
    )
    assert (await worker("claim_next", pattern, seconds(10)))["status"] == "missing"
    # what was given back was not tried
    await root("put", "t/shy", 1)
    for _ in range(5):
        claim = await worker("claim", "t/shy", seconds(10))
        await worker("release", "t/shy", claim["token"])
    claim = await worker("claim_next", pattern, seconds(10))
    assert claim["attempts"] == 6
    # its first failure, of which it may have two
    failed = await worker("fail", "t/shy", claim["token"])
    assert (failed["moved_to"], failed["retry_in"]) == (None, seconds(1))


@pytest.mark.core
async def test_many_fail_each_by_itself(root: Caller, agent: MakeAgent, session: MakeAgent) -> None:
    worker = await _worker(agent)
    await root.rows("put_many", ["t/a", "t/b", "t/c"], [1, 2, 3])
    claims = {c["key"]: c["token"] for c in await _many(worker, 3)}
    keys = ["t/c", "t/a", "t/b", "u/x", "a//b", "t/none"]
    tokens = [claims["t/c"], claims["t/a"], 1, 1, 1, 1]
    arguments = (keys, tokens, ["e1", None] * 3, [None, seconds(9), None, None, None, None])
    lane = uuid4()
    rows = await worker.rows("fail_many", *arguments, lane=lane, turn=1)
    expected = ["ok", "ok", "stale", "denied", "invalid", "stale"]
    assert [(r["ord"], r["key"], r["status"]) for r in rows] == [
        (n, k, s) for n, (k, s) in enumerate(zip(keys, expected, strict=True), 1)
    ]
    assert [r["retry_in"] for r in rows[:2]] == [seconds(1), seconds(9)]
    other = await session(await worker.fetchval("select session_user::text"))
    assert await other.rows("fail_many", *arguments, lane=lane, turn=1) == rows
    for _ in range(2):
        assert (await worker("fail", "t/b", claims["t/b"], "e", op_id="once"))["status"] == "ok"
    await worker.refuses("PS030", f"fail('t/b', {claims['t/b']}, 'f', op_id => 'once')")
    assert await _states(worker, "t/*") == dict.fromkeys(["t/a", "t/b", "t/c"], "waiting")
    await worker.refuses("PS007", "fail_many(array['t/a'], array[1, 2])")


@pytest.mark.core
async def test_many_are_renewed_and_released_each_by_itself(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    worker = await _worker(agent)
    await root.rows("put_many", ["t/a", "t/b", "t/c"], [1, 2, 3])
    claims = {c["key"]: c["token"] for c in await _many(worker, 3, lease=30)}
    await clock.advance(20)
    keys = ["t/c", "t/a", "t/b", "u/x", "a//b"]
    tokens = [claims["t/c"], claims["t/a"], 1, 1, 1]
    rows = await worker.rows("renew_many", keys, tokens, [seconds(30), seconds(60), *[seconds(1)] * 3])
    assert [r["status"] for r in rows] == ["ok", "ok", "stale", "denied", "invalid"]
    assert [r["key"] for r in rows] == keys
    await clock.advance(15)
    assert await _states(root, "t/*") == {"t/a": "claimed", "t/b": "waiting", "t/c": "claimed"}
    rows = await worker.rows("release_many", keys, tokens)
    assert [r["status"] for r in rows] == ["ok", "ok", "stale", "denied", "invalid"]
    assert set((await _states(root, "t/*")).values()) == {"waiting"}
    await worker.refuses("PS007", "renew_many(array['t/a'], array[1], null)", "release_many(array['t/a'], null)")
    await worker.refuses("PS007", "renew_many(array['t/a'], array[1], array['0'::interval])")


@pytest.mark.core
async def test_an_operator_ends_a_claim_and_that_is_kept(root: Caller, agent: MakeAgent, gateway: MakeAgent) -> None:
    worker, other = await _worker(agent), await _worker(agent, "other", "read **", "write **")
    operator = await agent("operator", "admin t/**")
    await root.rows("put_many", ["t/a", "t/b", "u/a"], [1, 2, 3])
    claim = await worker("claim", "t/a", seconds(600))
    await root("claim", "u/a", seconds(600))
    said = await other.refuses("PS010", "release('t/a', force => true)", "claim_log('t/*')", "claim_log('none/*')")
    said |= await operator.refuses("PS010", "release('u/a', force => true)", "claim_log('u/*')", "release('t/a', 1)")
    said |= await worker.refuses("PS010", "release('t/a', force => true)", "release('hid/x', force => true)")
    assert len(said) == 1
    lane = uuid4()
    for _ in range(2):
        assert (await operator("release", "t/a", force=True, lane=lane, turn=1))["status"] == "ok"
    assert (await operator("release", "t/a", force=True))["status"] == "missing"
    assert (await operator("release", "t/none", force=True))["status"] == "missing"
    await operator.refuses("PS001", "release('a//b', force => true)")
    assert (await worker("complete", "t/a", claim["token"]))["status"] == "stale"
    assert (await other("claim", "t/a", seconds(60)))["token"] > claim["token"]
    (kept,) = await operator.rows("claim_log")
    assert (kept["key"], kept["token"], kept["holder"], kept["released_by"]) == (
        "t/a",
        claim["token"],
        "worker",
        "operator",
    )
    assert (kept["lease_until"], kept["via"]) == (
        claim["lease_until"],
        await operator.fetchval("select session_user::text"),
    )
    assert await root.rows("claim_log", "t/*", 5) == [kept]
    assert await root.rows("claim_log", "u/*") == []
    await root.refuses("PS007", "claim_log('', 0)")
    # no version: whoever compares is not disturbed
    assert (await root("get", "t/a"))["version"] == 1


@pytest.mark.core
async def test_a_policy_may_open_claimed_entries_to_all_writers(root: Caller, agent: MakeAgent) -> None:
    worker = await _worker(agent)
    await root("set_policy", "t/board/**", claimed_writes=True)
    await root("set_policy", "t/board/shut/**", claimed_writes=False)
    keys = ["t/a", "t/board/a", "t/board/b", "t/board/shut/a"]
    await root.rows("put_many", keys, [1, 1, 1, 1])
    tokens = [(await worker("claim", key, seconds(60)))["token"] for key in keys]
    assert [(await root("put", key, 2))["status"] for key in keys] == ["held", "ok", "ok", "held"]
    assert [r["status"] for r in await root.rows("put_many", keys, [3] * 4)] == ["held", "ok", "ok", "held"]
    assert (await root("merge", "t/board/a", 1, "add"))["status"] == "ok"
    # a stale token stays stale, and the claim is what it was
    assert (await root("put", "t/board/a", 2, token=tokens[1]))["status"] == "stale"
    assert (await worker("put", "t/board/a", 2, token=tokens[1]))["status"] == "ok"
    assert (await root("delete", "t/board/b"))["status"] == "ok"
    assert (await worker("complete", "t/board/b", tokens[2]))["status"] == "stale"
    assert await _states(root, "t/**") == {"t/a": "claimed", "t/board/a": "claimed", "t/board/shut/a": "claimed"}


@pytest.mark.core
async def test_twelve_tasks_in_every_state(root: Caller, agent: MakeAgent, clock: Clock, session: MakeAgent) -> None:
    worker = await _worker(agent)
    other = await agent("other", "read t/sub/a/**", "read u/**")
    keys = [f"t/sub/{n:02}" for n in range(12)]
    await root.rows("put_many", keys, [{"n": n} for n in range(12)])
    await root("put", "t/sub/11", 1, not_before=await clock.now() + seconds(500))
    await root("put", "t/sub/a/x", 1)
    await root("delete", "t/sub/10")
    await root("set_policy", "t/sub/09", max_attempts=1)
    claims = {c["key"]: c for c in await _many(worker, 9, "t/sub/0?", lease=100)}
    (tenth,) = [c for c in await _many(worker, 1, "t/sub/0?", lease=100) if c["status"] == "ok"]
    await worker("complete", "t/sub/00", claims["t/sub/00"]["token"])
    await worker("complete", "t/sub/01", claims["t/sub/01"]["token"], result=1, move_to="t/done/01")
    await worker("fail", "t/sub/02", claims["t/sub/02"]["token"], "broke", seconds(50))
    await worker("release", "t/sub/03", claims["t/sub/03"]["token"])
    await worker("fail", "t/sub/09", tenth["token"], "for good")
    await clock.advance(10)
    rows = {r["key"]: r for r in await worker.rows("tasks", "t/sub/*")}
    assert {key: row["state"] for key, row in rows.items()} == {
        "t/sub/00": "finished", "t/sub/01": "finished", "t/sub/02": "waiting", "t/sub/03": "waiting",
        **{f"t/sub/0{n}": "claimed" for n in range(4, 9)}, "t/sub/09": "failed", "t/sub/11": "waiting",
    }  # fmt: skip
    one = rows["t/sub/04"]
    assert (one["holder"], one["attempts"], one["error"], one["next_try"]) == ("worker", 1, None, None)
    assert seconds(60) < one["lease_left"] <= seconds(90) and one["lease_until"] == claims["t/sub/04"]["lease_until"]
    assert (rows["t/sub/02"]["error"], rows["t/sub/02"]["holder"]) == ("broke", None)
    assert seconds(10) < rows["t/sub/02"]["next_try"] - await clock.now() <= seconds(40)
    assert rows["t/sub/11"]["next_try"] is not None and rows["t/sub/03"]["next_try"] is None
    assert rows["t/sub/09"]["error"] == "for good" and rows["t/sub/00"]["attempts"] == 0
    assert [r["key"] for r in await worker.rows("tasks", "t/sub/*", 2, "t/sub/03")] == ["t/sub/04", "t/sub/05"]
    assert [r["key"] for r in await worker.rows("tasks", "t/**", states=["failed", "finished"])] == [
        "t/sub/00",
        "t/sub/01",
        "t/sub/09",
    ]
    # the view says the same, to those who may read it
    superuser = await session(SUPERUSER)
    seen = await superuser.fetch("select * from pgstate.tasks where key like 't/sub/__' order by key")
    compared = sorted(set(one.keys()) - {"lease_left"})
    assert [[r[c] for c in compared] for r in seen] == [[r[c] for c in compared] for r in rows.values()]
    assert [r["key"] for r in await other.rows("tasks")] == ["t/sub/a/x"]
    assert len(await other.refuses("PS010", "tasks('t/sub/0*')", "tasks('none/*')")) == 1
    await other.refuses("PS007", "tasks('', 0)", "tasks('', states => array['done'])")
    await other.refuses("PS001", "tasks('', 10, 'a//b')")
    await other.refuses("PS002", "tasks('a***')")
    # and so does list()
    held = [f"t/sub/0{n}" for n in range(4, 9)]
    assert [r["key"] for r in await worker.rows("list", "t/sub/*", claimed=True)] == held
    free = ["t/sub/02", "t/sub/03", "t/sub/09", "t/sub/11"]
    assert [r["key"] for r in await worker.rows("list", "t/sub/*", claimed=False)] == free
    page = await worker.rows("list", "t/sub/*", 2, "t/sub/02", True, claimed=False)
    assert [r["key"] for r in page] == ["t/sub/03", "t/sub/09", None] and page[-1]["cursor"] is not None
    plain = await worker.rows("list", "t/sub/*")
    assert [r["key"] for r in plain] == sorted(held + free)
    listed = await worker.rows("list", "t/sub/*", claimed=True)
    assert [tuple(r)[:-1] for r in plain if r["key"] in held] == [tuple(r)[:-1] for r in listed]


@pytest.mark.core
@pytest.mark.parametrize("function", ["complete_many", "fail_many"])
async def test_an_op_id_twice_in_one_statement_is_one_request(root: Caller, function: str) -> None:
    await root.rows("put_many", ["t/a", "t/b", "t/c"], [1, 2, 3])
    a, b, c = [claim["token"] for claim in sorted(await _many(root, 3), key=lambda claim: str(claim["key"]))[:3]]
    rows = await root.rows(function, ["t/a", "t/a"], [a, a], op_ids=["one", "one"])
    assert [row["status"] for row in rows] == ["ok", "ok"]
    # what was done is what is kept
    rows = await root.rows(function, ["t/a", "t/a"], [a, a], op_ids=["one", "one"])
    assert [row["status"] for row in rows] == ["ok", "ok"]
    # another request under an op_id, or one that is none, harms no other
    rows = await root.rows(
        function, ["t/b", "t/c", "t/b", "u//v", "u//v"], [b, c, b, 1, 1], op_ids=["one", "two", "", "bad", "bad"]
    )
    assert [(row["status"], row["code"]) for row in rows] == [
        ("invalid", "PS030"),
        ("ok", None),
        ("invalid", "PS007"),
        ("invalid", "PS001"),
        ("invalid", "PS001"),
    ]
    single = function.removesuffix("_many")
    await root.refuses("PS030", f"{single}('t/b', {b}, op_id => 'one')")
    assert (await root(single, "t/b", b, op_id="three"))["status"] == "ok"
    await root.refuses("PS007", f"{function}('[0:0]={{t/b}}', '{{1}}')", f"{function}('{{{{t/b}}}}', '{{1}}')")


@pytest.mark.core
async def test_a_pause_that_is_doubled_often_stays_within_its_limit(root: Caller, session: MakeAgent) -> None:
    await root("set_policy", "t/**", backoff=timedelta(days=36500), backoff_limit=timedelta(days=36500))
    await root("set_policy", "t/b", backoff=seconds(0.001), backoff_limit=seconds(3600))
    await root.rows("put_many", ["t/a", "t/b"], [1, 2])
    tokens = [(await root("claim", key, seconds(60)))["token"] for key in ("t/a", "t/b")]
    await (await session(SUPERUSER)).execute("update pgstate.claim set attempts = 40")
    rows = await root.rows("fail_many", ["t/a", "t/b"], tokens)
    assert [(row["status"], row["retry_in"]) for row in rows] == [("ok", timedelta(days=36500)), ("ok", seconds(3600))]


async def test_what_has_expired_is_completed_by_no_call(root: Caller, clock: Clock) -> None:
    calls: list[tuple[str, Any]] = [
        ("complete", lambda key, token: (key, token)),
        ("complete_many", lambda key, token: ([key], [token])),
        ("complete_many", lambda key, token: ([key], [token], None, [f"done/{key}"])),
        ("write_many", lambda key, token: (["complete"], [key], None, None, None, None, [token])),
    ]
    keys = [f"t/{number}" for number in range(len(calls))]
    await root.rows("put_many", keys, [1] * len(keys), ttls=[seconds(10)] * len(keys))
    tokens = {row["key"]: row["token"] for row in await root.rows("claim_many", "t/*", len(keys), seconds(60))}
    await clock.advance(11)
    for key, (name, arguments) in zip(keys, calls, strict=True):
        assert [row["status"] for row in await root.rows(name, *arguments(key, tokens[key]))] != ["ok"], name
    assert [row["key"] for row in await root.rows("list", "done/**") if row["key"]] == []
    assert {row["op"] for key in keys for row in await root.rows("history", key)} <= {"put", "expire"}
