"""Quotas: what an agent may keep, and how often it may write, without holding anybody up."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds


async def _used(caller: Caller, name: str = "alice") -> tuple[int, int]:
    (row,) = [row for row in await caller.rows("quotas") if row["agent"] == name]
    return row["used_entries"], row["used_writes"]


@pytest.mark.core
@pytest.mark.parametrize("named", [False, True], ids=["login", "gateway"])
async def test_entries(root: Caller, agent: MakeAgent, gateway: MakeAgent, clock: Clock, named: bool) -> None:
    alice, bob = await agent("alice", "read a/**", "write a/**"), await agent("bob", "read **", "write **")
    await alice("put", "a/0", 0)
    await root("set_quota", "alice", entries=3)
    caller, who = (await gateway("alice"), {"agent": "alice"}) if named else (alice, {})
    # writes are counted by minutes of the clock
    await clock.advance(60 - (await clock.now()).second)
    assert await _used(root) == (1, 0)
    for key in ("a/1", "a/2"):
        assert (await caller("put", key, 1, **who))["status"] == "ok"
    with refused("PS060") as caught:
        await caller("put", "a/3", 1, **who)
    assert str(caught.value).startswith("quota exceeded: agent alice may keep 3 entries")
    for call in (
        ("put_many", ["a/4"], [1]),
        ("merge", "a/5", 1, "add"),
        ("apply", [], [{"op": "put", "key": "a/6", "value": 1}]),
    ):
        with refused("PS060"):
            await caller.rows(*call, **who)
    # what is there may be written, others go on, and deleting makes room
    assert (await caller("put", "a/1", 2, **who))["status"] == "ok"
    assert (await bob("put", "b/1", 1))["status"] == "ok"
    assert (await caller("delete", "a/1", **who))["status"] == "ok"
    assert (await caller("put", "a/3", 1, **who))["status"] == "ok"
    assert await _used(root) == (3, 5)
    # what others take over or remove is counted when it would be refused
    await bob("put", "a/2", 2)
    await bob("delete", "a/3")
    for key in ("a/5", "a/6"):
        assert (await caller("put", key, 1, ttl=seconds(60), **who))["status"] == "ok"
    with refused("PS060"):
        await caller("put", "a/7", 1, **who)
    await clock.advance(61)
    # and so is what has expired
    assert (await caller("put", "a/7", 1, **who))["status"] == "ok"
    assert (await root.rows("list", "a/*"))[-1]["key"] == "a/7"
    await root("set_quota", "alice")
    assert await root.rows("quotas") == []
    for number in range(5):
        assert (await caller("put", f"a/more{number}", 1, **who))["status"] == "ok"


@pytest.mark.core
async def test_bytes(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await root("set_quota", "alice", bytes=1000)
    await alice("put", "a/1", "x" * 600)
    with refused("PS060") as caught:
        await alice("put", "a/2", "x" * 600)
    assert "may keep 1000 bytes" in str(caught.value)
    # an overwritten value takes no room
    for _ in range(5):
        await alice("put", "a/1", "y" * 700)
    with refused("PS060"):
        await alice("put", "a/1", "x" * 1200)
    await alice("put", "a/1", "x" * 10)
    await alice("put", "a/2", "x" * 600)
    (row,) = await root.rows("quotas")
    assert 600 < row["used_bytes"] < 1000


@pytest.mark.core
async def test_writes_per_minute(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    now = await clock.now()
    # to the start of a minute
    await clock.advance(60 - now.second)
    alice = await agent("alice", "write a/**")
    await root("set_quota", "alice", writes_per_minute=4)
    await alice.rows("put_many", ["a/1", "a/2"], [1, 1])
    async with alice.transaction():
        await alice("put", "a/1", 2)
        await alice("put", "a/1", 3)
        with refused("PS060") as caught:
            async with alice.transaction():
                await alice("delete", "a/1")
        assert "4 times a minute" in str(caught.value)
    with refused("PS060"):
        await alice.rows("put_many", ["a/1", "a/2"], [1, 1])
    await clock.advance(60)
    await alice.rows("put_many", ["a/1", "a/2"], [1, 1])
    assert [row["version"] for row in await root.rows("history", "a/1")] == [4, 3, 2, 1]


@pytest.mark.core
async def test_writers_of_one_agent_do_not_wait_for_each_other(
    root: Caller, agent: MakeAgent, session: MakeAgent, clock: Clock
) -> None:
    alice = await agent("alice", "write a/**")
    # writes are counted by minutes of the clock
    await clock.advance(60 - (await clock.now()).second)
    await root("set_quota", "alice", entries=100)
    login = await alice.fetchval("select session_user::text")
    writers = [await session(login) for _ in range(4)]
    open_ = [writer.transaction() for writer in writers]
    for number, (writer, transaction) in enumerate(zip(writers, open_, strict=True)):
        await transaction.start()
        await writer.execute("set local lock_timeout = '5 s'")
        for again in range(3):
            await writer("put", f"a/{number}/{again}", 1)
    # nor do those who set the quota, grant, or drop the agent
    await root.execute("set lock_timeout = '5 s'")
    await root("set_quota", "alice", entries=20)
    await root("grant_access", "alice", "b/**", "write")
    for transaction in open_[1:]:
        await transaction.commit()
    await open_[0].rollback()
    assert await _used(root) == (9, 9)
    await writers[0]("put", "a/x", 1)
    assert await _used(root) == (10, 10)
    open_again = writers[0].transaction()
    await open_again.start()
    await writers[0]("put", "a/y", 1)
    await root("drop_agent", "alice")
    await open_again.rollback()
    await root("maintain")


async def test_no_setting_evades_a_quota(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "write a/**")
    await root("set_quota", "alice", entries=1)
    await alice("put", "a/1", 1)
    for name, value in (
        ("quota", "off"),
        ("woken", "999999999"),
        ("wake", "off"),
        ("call_agent", "admin"),
        ("agent", "admin"),
    ):
        for local in (False, True):
            transaction = alice.transaction()
            await transaction.start()
            await alice.execute("select set_config($1, $2, $3)", f"pgstate.{name}", value, local)
            with refused("PS060"):
                await alice("put", "a/2", 1)
            await transaction.rollback()


@pytest.mark.core
async def test_who_sets_and_sees_quotas(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "admin a/**")
    await agent("bob")
    await root("set_quota", "alice", 1, 2, 3)
    await root("set_quota", "bob", 4)
    assert [tuple(row)[:4] for row in await alice.rows("quotas")] == [("alice", 1, 2, 3)]
    assert [tuple(row)[:4] for row in await root.rows("quotas")] == [("alice", 1, 2, 3), ("bob", 4, None, None)]
    await alice.refuses("PS010", "set_quota('alice')", "set_quota('bob', 1)")
    await root.refuses("PS007", "set_quota('nobody', 1)", "set_quota('alice', -1)")
    await root("set_login", "alice", await alice.fetchval("select session_user || '_2'"))
    detail: dict[str, Any] = (await root.rows("audit", events=["set_quota"]))[-1]["detail"]
    assert detail == {"agent": "alice", "entries": 1, "bytes": 2, "writes_per_minute": 3}
    await root.execute(f'drop role "{await alice.fetchval("select session_user")}_2"')


@pytest.mark.core
async def test_what_it_may_not_write_for_a_while_is_no_room(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read **", "write a/**", "write b/**", "admin a/**")
    await root("set_quota", "alice", entries=3, bytes=2000)
    for key in ("a/1", "a/2", "a/3"):
        await alice("put", key, "x" * 500)
    # by which what is under a/ was not counted, and room was for as much again
    await alice("deny_access", "alice", "a/**", "write")
    with refused("PS060"):
        await alice("put", "b/1", "x" * 500)
    await alice("revoke_access", "alice", "a/**", "write", deny=True)
    # an administrator takes it away and gives it back: what is deleted then was not counted
    await root("revoke_access", "alice", "a/**", "admin")
    await root("deny_access", "alice", "a/**", "write")
    await root("set_quota", "alice", entries=3, bytes=2000)
    await root("revoke_access", "alice", "a/**", "write", deny=True)
    assert (await _used(root))[0] == 0
    for key in ("a/1", "a/2", "a/3"):
        await alice("delete", key)
    for key in ("b/1", "b/2", "b/3"):
        await alice("put", key, "x" * 500)
    with refused("PS060"):
        await alice("put", "b/4", 1)


@pytest.mark.core
async def test_what_is_remembered_of_writes_without_effect_is_limited_too(
    root: Caller, agent: MakeAgent, clock: Clock
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await alice("put", "a/x", [1])
    now = await clock.now()
    await clock.advance(60 - now.second)
    await root("set_quota", "alice", writes_per_minute=7)
    for number, call in enumerate([
        ("delete", "a/missing"), ("merge", "a/x", 1, "union"), ("claim", "a/missing", seconds(60)), ("claim_next", "a/none/*", seconds(60)),
        ("rollback", "a/x", 1),
    ]):  # fmt: skip
        for _ in range(2):
            await alice.rows(*call, op_id=str(number))
        assert (await _used(root))[1] == number + 1, call
    lane = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"]
    for turn in (1, 2):
        await alice.rows("write_many", ["delete"], ["a/missing"], lane=lane[0], turn=turn)
    assert (await _used(root))[1] == 6
    assert (await alice("put", "a/x", 2))["status"] == "ok"
    for named in ({"op_id": "more"}, {"lane": lane[1], "turn": 1}):
        with refused("PS060"):
            await alice.rows("write_one", "delete", "a/missing", **named)
    # and what is asked again is answered
    assert (await alice("delete", "a/missing", op_id="0"))["status"] == "missing"
    await alice.rows("write_many", ["delete"], ["a/missing"], lane=lane[0], turn=2)


async def test_work_that_is_given_up_keeps_nobody_from_other_work(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    worker = await agent("worker", "read t/**", "write t/**")
    await root("set_policy", "t/todo/**", max_attempts=1, dead_letter="t/dead")
    for number in range(1, 5):
        await root("put", f"t/todo/{number}", number)
    await worker("put", "t/own", 1)
    await root("set_quota", "worker", entries=1)
    # no room among the dead letters: it stays, whether it failed or its lease ended
    first = await worker("claim_next", "t/todo/*", seconds(30))
    failed = await worker("fail", "t/todo/1", first["token"], "broken")
    assert (failed["status"], failed["moved_to"], failed["retry_in"]) == ("ok", None, None)
    assert (await worker("claim_next", "t/todo/*", seconds(30)))["key"] == "t/todo/2"
    await clock.advance(31)
    assert (await worker("claim_next", "t/todo/*", seconds(30)))["key"] == "t/todo/3"
    rows = await root.rows("tasks", "t/todo/*", states=["failed"])
    assert [(row["key"], row["error"]) for row in rows] == [
        ("t/todo/1", "broken"),
        ("t/todo/2", "the lease of its last attempt ended"),
    ]
    await root("set_quota", "worker", entries=2)
    await clock.advance(31)
    assert (await worker("claim_next", "t/todo/*", seconds(30)))["key"] == "t/todo/4"
    assert await root.fetchval("select key from pgstate.list('t/dead/**')") == "t/dead/3"


async def test_what_others_wrote_and_it_writes_anew_is_its_own(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await root.rows("put_many", ["a/1", "a/2", "a/3"], [1, 2, 3])
    await root("set_quota", "alice", entries=2)
    assert (await alice("put", "a/1", "x"))["status"] == "ok"
    assert (await alice("merge", "a/2", 1, "add"))["status"] == "ok"
    assert (await _used(root))[0] == 2
    with refused("PS060"):
        await alice("put", "a/3", "x")
    # and what is written anew by others is not
    await root("put", "a/1", "y")
    assert (await alice("put", "a/3", "x"))["status"] == "ok"
    await alice("delete", "a/3")
    assert (await alice("put", "a/1", "x"))["status"] == "ok"
