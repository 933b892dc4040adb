"""Quotas of what an agent stores in threads and runs: its bytes, and how often it writes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds

LEASE = seconds(30)


def _some(number: int, size: int = 1000) -> bytes:
    """What does not compress: quotas go by what is stored."""
    return random.Random(number).randbytes(size)


async def _used(caller: Caller, name: str = "alice") -> Any:
    (row,) = [row for row in await caller.rows("quotas") if row["agent"] == name]
    return row


async def _save(caller: Caller, key: str, data: bytes, **named: Any) -> Any:
    return await caller("save_checkpoint", key, ["a"], ["bytes"], [data], **named)


async def _step(caller: Caller, key: str, token: int, step: str, data: bytes) -> Any:
    (row,) = await caller.rows(
        "finish_steps", [key], [token], [step], [step], ["step"], [1], [True], ["done"], ["bytes"], [data], [1], [0.5]
    )
    return row


async def _chunks(caller: Caller, key: str, *data: bytes) -> Any:
    """Names a chunk that nobody has: what was sent stays."""
    return await caller(
        "save_checkpoint", key, ["a"], ["@"], [b"\0" * 16], chunk_types=["bytes"] * len(data), chunk_data=list(data)
    )


@pytest.mark.core
@pytest.mark.parametrize("named", [False, True], ids=["login", "gateway"])
async def test_each_way_to_store_bytes(root: Caller, agent: MakeAgent, gateway: MakeAgent, named: bool) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    caller = await gateway("alice") if named else alice
    if named:
        await caller.execute("set pgstate.agent = 'alice'")
    await root("set_quota", "alice", bytes=100_000)
    held = (await caller("start_run", "a/held", LEASE))["token"]
    await _save(caller, "a/thread", b"1")
    await caller("signal_run", "a/held", "go", "bytes", _some(0))
    await caller("start_run", "a/source", LEASE, input_type="bytes", input=_some(0))
    big = _some(1, 3000)
    ways: dict[str, Any] = {
        "save": lambda: _save(caller, "a/thread", big),
        "begins a thread": lambda: _save(caller, "a/new", big),
        "many": lambda: caller.rows("save_checkpoints", ["a/thread"], [1], ["a"], ["bytes"], [big]),
        "metadata": lambda: _save(caller, "a/thread", b"", metadata={"a": big.hex()}),
        "names": lambda: caller("save_checkpoint", "a/thread", [big.hex()], ["bytes"], [b""]),
        "header": lambda: _save(caller, "a/thread", b"", header=big),
        "chunks that nothing names": lambda: _chunks(caller, "a/thread", big),
        "writes": lambda: caller("put_writes", "a/thread", "1", "task", [0], ["a"], ["bytes"], [big]),
        "writes of no thread": lambda: caller("put_writes", "a/none", "1", "task", [0], ["a"], ["bytes"], [big]),
        "input": lambda: caller("start_run", "a/run", input_type="bytes", input=big),
        "code": lambda: caller("start_run", "a/code", code=big.hex()),
        "signal": lambda: caller("signal_run", "a/held", "go", "bytes", big),
        "step": lambda: _step(caller, "a/held", held, "one", big),
        "taken signal": lambda: caller("take_signal", "a/held", held, "take", "go", 1, True),
        "fork of a thread": lambda: caller("fork_thread", "a/thread", "a/fork", history=True),
        "fork of a run": lambda: caller("fork_run", "a/source", "a/fork-of-run"),
        "rollback": lambda: caller("rollback_thread", "a/thread", first, metadata={"a": big.hex()}),
        "result": lambda: caller("end_run", "a/held", held, "done", "bytes", big),
    }
    first = (await caller.rows("checkpoints", "a/thread"))[0]["id"]
    await root("set_quota", "alice", bytes=0)
    used = (await _used(root))["used_bytes"]
    await root("set_quota", "alice", bytes=used)
    for way, store in ways.items():
        with refused("PS060") as caught:
            await store()
        assert f"agent alice may keep {used} bytes" in str(caught.value), way
        assert (await _used(root))["used_bytes"] == used, way
    hint = caught.value.hint
    assert "prune" in hint and "threads and runs" in hint and "set_quota()" in hint
    # with room it is counted, and counted anew it is what is there
    await root("set_quota", "alice", bytes=1_000_000)
    for way, store in ways.items():
        before = (await _used(root))["used_bytes"]
        await store()
        after = (await _used(root))["used_bytes"]
        at_least = 1000 if way in ("taken signal", "fork of a run") else 20 if way == "fork of a thread" else 2000
        assert after - before >= at_least, way
        await root("set_quota", "alice", bytes=1_000_000)
        assert before < (await _used(root))["used_bytes"] <= after, way


@pytest.mark.core
async def test_what_is_removed_makes_room(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    bob = await agent("bob", "read a/**", "write a/**")
    await root("set_quota", "alice", bytes=9000)

    async def fill(prefix: str, **named: Any) -> None:
        """Five threads or so are what fits."""
        number = 0
        try:
            while True:
                await _save(alice, f"a/{prefix}/{number}", _some(number), **named)
                number += 1
        except Exception as error:
            assert getattr(error, "sqlstate", None) == "PS060" and 5 <= number < 9, (error, number)

    await fill("deleted")
    await alice("delete_thread", "a/deleted/0")
    await _save(alice, "a/pruned", _some(1), id="1")
    with refused("PS060"):
        await _save(alice, "a/pruned", _some(2), id="2")
    # by others too, and their own does not count to her
    await bob("delete_thread", "a/deleted/1")
    await bob("delete_thread", "a/deleted/2")
    await _save(alice, "a/pruned", _some(2), id="2")
    await _save(bob, "a/pruned", _some(3, 20000), id="3")
    await bob("prune_thread", "a/pruned")
    for number in (4, 5):
        await _save(alice, f"a/more/{number}", _some(number), ttl=seconds(60))
    with refused("PS060"):
        for number in range(6, 9):
            await _save(alice, f"a/more/{number}", _some(number))
    # what has expired, when it is collected
    await clock.advance(61)
    await root("expire")
    await root("maintain")
    await _save(alice, "a/more/6", _some(6))
    for (key,) in await root.fetch("select key from pgstate.threads"):
        await root("delete_thread", key)
    run = await alice("start_run", "a/run", LEASE, input_type="bytes", input=_some(0))
    with refused("PS060"):
        for number in range(9):
            await _step(alice, "a/run", run["token"], f"step {number}", _some(number))
    await alice("delete_run", "a/run", run["token"])
    await root("maintain")
    await root("set_quota", "alice", bytes=9000)
    assert (await _used(root))["used_bytes"] == 0
    await fill("again")


async def test_a_fork_counts_what_it_holds_itself_and_not_what_it_refers_to(
    root: Caller, agent: MakeAgent, session: MakeAgent
) -> None:
    alice, bob = await agent("alice", "read a/**", "write a/**"), await agent("bob", "read **", "write **")
    await root("set_quota", "alice", bytes=100_000)
    await root("set_quota", "bob", bytes=4000)
    data = _some(1, 20_000)
    missing = (await _chunks(alice, "a/thread", data))["missing"]
    # agents compute it, with the digest that they have
    chunk = await (await session("postgres")).fetchval("select hash from pgstate.chunk")
    assert missing == [b"\0" * 16]
    await alice("save_checkpoint", "a/thread", ["a"], ["@"], [chunk])
    await bob("fork_thread", "a/thread", "b/fork")
    assert (await _used(root, "bob"))["used_bytes"] < 1000 < 20_000 < (await _used(root))["used_bytes"]
    # who forks again and again pays for the roots of others
    with refused("PS060"):
        for number in range(100):
            await bob("fork_thread", "a/thread", f"b/{number}")
    assert (await _used(root))["used_bytes"] < 60_000


async def test_the_same_sent_again_takes_no_room(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await root("set_quota", "alice", bytes=4000)
    for _ in range(10):
        row = await _save(alice, "a/thread", _some(1), id="1", parent="")
        assert row["status"] == "ok"
        assert (
            await alice("put_writes", "a/thread", "1", "task", [0], ["a"], ["bytes"], [_some(2)], replace=True) == "ok"
        )
    # who replaces another's pays for it, and the other does not any more
    bob = await agent("bob", "read a/**", "write a/**")
    await bob("put_writes", "a/thread", "1", "task", [0], ["a"], ["bytes"], [_some(3)], replace=True)
    await _save(alice, "a/other", _some(4))


@pytest.mark.core
async def test_what_counts_as_a_write(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    now = await clock.now()
    await clock.advance(60 - now.second)
    await root("set_quota", "alice", writes_per_minute=1000)
    run = await alice("start_run", "a/run", LEASE)
    calls: list[tuple[str, Any, int]] = [
        ("save", lambda: _save(alice, "a/thread", b"1", id="1"), 1),
        ("the same again", lambda: _save(alice, "a/thread", b"1", id="1"), 1),
        (
            "saves",
            lambda: alice.rows("save_checkpoints", ["a/thread"] * 2, [1, 1], ["a"] * 2, ["json"] * 2, [b"1"] * 2),
            2,
        ),
        ("incomplete", lambda: _chunks(alice, "a/thread", b"1"), 1),
        ("writes", lambda: alice("put_writes", "a/thread", "1", "t", [0, 1], ["a"] * 2, ["json"] * 2, [b"1"] * 2), 1),
        ("step", lambda: _step(alice, "a/run", run["token"], "one", b"1"), 1),
        ("signal", lambda: alice("signal_run", "a/run", "go", "json", b"1"), 1),
        ("taken", lambda: alice("take_signal", "a/run", run["token"], "two", "go", 2, True), 1),
        ("waits", lambda: alice("take_signal", "a/run", run["token"], "three", "go", 3, True), 2),
        ("waits in another step", lambda: alice("take_signal", "a/run", run["token"], "four", "go", 4, True), 1),
        ("still waits", lambda: alice("take_signal", "a/run", run["token"], "four", "go", 4, True), 0),
    ]
    for what, call, count in calls:
        before = (await _used(root))["used_writes"]
        await call()
        assert (await _used(root))["used_writes"] - before == count, what
    await root("set_quota", "alice", writes_per_minute=0)
    for what, call, count in calls[:5]:
        with refused("PS060") as caught:
            await call()
        assert "alice may write 0 times a minute" in str(caught.value), (what, count)


@pytest.mark.core
async def test_writers_at_once_do_not_wait_and_are_counted(root: Caller, agent: MakeAgent, session: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await root("set_quota", "alice", bytes=10_000)
    other = await session(await alice.fetchval("select session_user::text"))
    for number, caller in enumerate((alice, other)):
        await caller.execute("set lock_timeout = '5 s'")
        await caller.execute("begin")
        await _save(caller, f"a/{number}", _some(number, 3000))
        await caller("put_writes", f"a/{number}", "1", "task", [number], ["a"], ["bytes"], [_some(9)])
    await alice.execute("commit")
    # what the other has under way is seen once it is there
    with refused("PS060"):
        await other("put_writes", "a/1", "1", "more", [0], ["a"], ["bytes"], [_some(2, 6000)])
    await other.execute("rollback")
    assert 4000 < (await _used(root))["used_bytes"] < 5500
    await other.execute("begin")
    await _save(other, "a/2", _some(2, 3000))
    await other.execute("commit")
    with refused("PS060"):
        await _save(alice, "a/3", _some(3, 3000))


async def test_no_setting_evades_it(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await root("set_quota", "alice", bytes=2000)
    await _save(alice, "a/1", b"1")
    for name, value in (
        ("quota", "off"),
        ("woken", "999999999"),
        ("wake", "off"),
        ("call_agent", "admin"),
        ("agent", "admin"),
    ):
        for store in (
            lambda: _save(alice, "a/1", _some(1, 3000)),
            lambda: alice("put_writes", "a/1", "1", "task", [0], ["a"], ["bytes"], [_some(1, 3000)]),
            lambda: _chunks(alice, "a/1", _some(1, 3000)),
        ):
            transaction = alice.transaction()
            await transaction.start()
            await alice.execute("select set_config($1, $2, true)", f"pgstate.{name}", value)
            with refused("PS060"):
                await store()
            await transaction.rollback()
    # nor by one small piece after the other, in one transaction or in many
    for transaction in (alice.transaction, None):
        with refused("PS060"):
            for number in range(10):
                if transaction is None:
                    await _chunks(alice, f"a/{number}", _some(number))
                else:
                    async with transaction():
                        await alice("put_writes", "a/1", "1", "task", [number], ["a"], ["bytes"], [_some(number)])


async def test_without_a_quota_nothing_is_marked(root: Caller, agent: MakeAgent, session: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await _save(alice, "a/1", _some(1))
    await _chunks(alice, "a/1", _some(2))
    await root("set_quota", "alice", bytes=500)
    # what was there before is nobody's
    assert (await _used(root))["used_bytes"] < 200
    # nobody but a superuser sees these tables
    marked = "select (select count(agent_id) from pgstate.checkpoint) + (select count(agent_id) from pgstate.chunk)"
    assert await (await session("postgres")).fetchval(marked) == 0
