"""Threads through the client."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
from collections.abc import Awaitable
from typing import Any

import asyncpg
import psycopg
import pytest
from pydantic import BaseModel

import pgstate
from client._locks import Locks
from client._proxy import Proxy
from client.conftest import Connect, MakeLogin
from pgstate import State, _gather, errors
from pgstate._areas import _threads
from pgstate._calls import threads as calls


async def ids(thread: pgstate.Thread, **options: Any) -> list[str]:
    return [point.id async for point in thread.history(**options)]


@pytest.mark.core
async def test_save_and_resume(state: State) -> None:
    thread = state.thread("research/t-1")
    assert await thread.latest() is None
    first = await thread.save({"step": 1, "messages": ["a"]}, metadata={"step": 1})
    second = await thread.save({"step": 2, "messages": ["a", "b" * 600]}, metadata={"step": 2, "run_id": "r"})
    found = await state.thread("research/t-1").latest()
    assert found is not None
    assert (found.id, found.parent, found.state) == (second, first, {"step": 2, "messages": ["a", "b" * 600]})
    assert (found.metadata, found.key, found.writer) == ({"step": 2, "run_id": "r"}, "research/t-1", "admin")
    old = await thread.get(first)
    assert old is not None and old.state == {"step": 1, "messages": ["a"]}
    assert await thread.get("nothing") is None
    assert await ids(thread) == [second, first]
    assert await ids(thread, limit=1) == [second]
    assert await ids(thread, before=second) == [first]
    assert await ids(thread, where={"step": 1}) == [first]
    (info,) = await state.threads("research/*")
    assert (info.key, info.checkpoint, info.checkpoints, info.version) == ("research/t-1", second, 2, 2)
    entry = await state.get("research/t-1")
    assert entry is not None and entry.kind == "thread" and entry.value["checkpoint"] == second


async def test_lines_and_heads(state: State) -> None:
    mine, theirs = state.thread("t/1"), state.thread("t/1")
    base = await mine.save({"n": 1}, expect_head=None)
    with pytest.raises(errors.CheckpointConflict) as conflict:
        await theirs.save({"n": 1}, expect_head=None)
    assert (conflict.value.key, conflict.value.head) == ("t/1", base)
    await theirs.latest()
    second = await mine.save({"n": 2}, expect_head=base)
    with pytest.raises(errors.CheckpointConflict):
        await theirs.save({"n": 3}, expect_head=base)
    branch = await theirs.save({"n": 3})
    found = await theirs.latest()
    assert found is not None and (found.id, found.parent) == (branch, base)
    # without a line of its own: after the latest
    third = await state.thread("t/1").save({"n": 4})
    assert await ids(mine) == [third, branch, second, base]
    explicit = await mine.save({"n": 5}, parent=second)
    found = await mine.get(explicit)
    assert found is not None and found.parent == second


async def test_what_was_deleted_stays_deleted(state: State) -> None:
    late = state.thread("t/1")
    old = await late.save({"text": "x" * 500})
    assert await state.thread("t/1").delete() is True
    assert await state.thread("t/1").delete() is False
    with pytest.raises(errors.CheckpointMissing) as missing:
        await late.save({"text": "x" * 500})
    assert missing.value.key == "t/1"
    with pytest.raises(errors.CheckpointMissing):
        await late.rollback(old)
    with pytest.raises(errors.CheckpointMissing):
        await late.fork(old, "t/2")
    assert await late.prune() == 0
    assert await late.latest() is None
    assert await ids(late) == []
    assert await state.threads() == []
    # by intent: from nothing, with chunks that this client thought were there
    await late.save({"text": "x" * 500}, parent=None)
    assert [row.checkpoints for row in await state.threads()] == [1]


async def test_chunks_that_others_removed_are_sent_again(state: State, connect: Connect) -> None:
    thread, other = state.thread("t/1"), (await connect()).thread("t/1")
    items = {"items": [f"{n} " * 200 for n in range(200)]}
    await thread.save(items)
    await other.save({})
    assert await other.prune() == 1
    statements = state.stats.statements
    items = {**items, "new": "x" * 500_000}
    await thread.save(items)
    assert state.stats.statements == statements + 2
    found = await other.latest()
    assert found is not None and found.state == items
    # with what came first, though that was there already
    assert found.size > 500_000
    # and not a third time
    await thread.save({**items, "n": 1})
    assert state.stats.statements == statements + 3


async def test_fork_rollback_prune(state: State) -> None:
    thread = state.thread("t/1")
    line = [await thread.save({"n": n, "text": "x" * 500}) for n in range(4)]
    fork = await thread.fork(line[1], "t/2", ttl=60)
    assert fork.key == "t/2"
    found = await fork.latest()
    assert found is not None and found.state == {"n": 1, "text": "x" * 500}
    mine = await fork.save({"n": 9})
    found = await fork.latest()
    assert found is not None and (found.id, found.parent) == (mine, line[1])
    with pytest.raises(errors.CheckpointConflict):
        await thread.fork(None, "t/2")
    whole = await thread.fork(None, "t/3", history=True)
    assert await ids(whole) == line[::-1]
    back = await thread.rollback(line[0], metadata={"why": "wrong"})
    found = await thread.latest()
    assert found is not None
    assert (found.id, found.state["n"], found.parent, found.metadata) == (back, 0, line[0], {"why": "wrong"})
    assert await thread.prune(2) == 3
    assert await ids(thread) == [back, line[3]]
    by_key = {row.key: row for row in await state.threads("t/*")}
    assert by_key["t/2"].forked_from == "t/1" and by_key["t/2"].expires_at is not None
    assert await state.delete_runs(["none"]) == 0


@pytest.mark.parametrize("history", [False, True])
async def test_a_fork_goes_on_without_what_is_there_already(state: State, history: bool) -> None:
    thread, items = state.thread("t/1"), [f"{n} " * 200 for n in range(200)]
    first = await thread.save({"items": items[:150], "text": "x" * 500})
    await thread.save({"items": items})
    for number, (id, known) in enumerate(((first, 150), (None, 200))):
        fork = await thread.fork(id, f"t/fork-{number}", history=history)
        await fork.save({"items": [*items[: 200 if history else known], "new"]})
        (info,) = await state.threads(fork.key)
        # the copied roots, and a leaf, a page and a root
        assert info.bytes < 10_000
        found = await fork.latest()
        assert found is not None and found.state["items"][-2:] == [items[(200 if history else known) - 1], "new"]


async def test_nested_agents_have_namespaces(state: State) -> None:
    thread = state.thread("t/1")
    await thread.save({"who": "outer"})
    inner = thread.namespace("researcher").namespace("reader")
    for n in range(3):
        await inner.save({"n": n})
    outer, nested = await thread.latest(), await state.thread("t/1", namespace="researcher|reader").latest()
    assert outer is not None and outer.state == {"who": "outer"}
    assert nested is not None and (nested.state, nested.namespace) == ({"n": 2}, "researcher|reader")
    assert await inner.prune() == 2
    assert await thread.prune(everywhere=True) == 0
    assert [row.checkpoints for row in await state.threads()] == [2]


async def test_writes_that_a_crash_left(state: State) -> None:
    thread = state.thread("t/1")
    id = await thread.save({"n": 1})
    for _ in range(2):
        await thread.put_writes(id, "task-2", [("found", ["a"]), ("found", {"b": 1})])
        await thread.put_writes(id, "task-1", [("n", 2)], task_path="~")
    await thread.put_writes(id, "task-2", [("found", "other")], replace=True)
    found = await state.thread("t/1").latest()
    assert found is not None
    assert [(write.task_id, write.channel, write.value) for write in found.writes] == [
        ("task-2", "found", "other"), ("task-2", "found", {"b": 1}), ("task-1", "n", 2)
    ]  # fmt: skip
    await thread.save({"n": 2})
    found = await thread.latest()
    assert found is not None and found.writes == []


async def test_a_long_history_comes_in_pages(state: State) -> None:
    thread = state.thread("t/1")
    line = [await thread.save({"n": n}) for n in range(205)]
    statements = state.stats.statements
    assert await ids(thread) == line[::-1]
    assert state.stats.statements == statements + 2
    async for point in thread.history():
        assert point.id == line[-1]
        break
    assert state.stats.statements == statements + 3
    assert await ids(thread, limit=200) == line[:4:-1]
    assert state.stats.statements == statements + 4
    assert await ids(thread, limit=203) == line[:1:-1]
    for limit in (0, -1):
        with pytest.raises(errors.InvalidArgument, match="limit"):
            await ids(thread, limit=limit)


class Plan(BaseModel):
    topic: str
    steps: list[str]


@dataclasses.dataclass
class Counted:
    n: int
    plan: Plan


async def test_objects_and_other_serializers(state: State) -> None:
    plan = Plan(topic="owls", steps=["a", "b"])
    thread = state.thread("t/1")
    await thread.save(Counted(1, plan))
    await thread.save(plan)
    points = [point async for point in thread.history()]
    assert [point.channels for point in points] == [["topic", "steps"], ["n", "plan"]]
    first = await thread.get(points[1].id)
    assert first is not None and first.state == {"n": 1, "plan": {"topic": "owls", "steps": ["a", "b"]}}
    for wrong in ([1], 1, Counted, {1: 2}, {"a": object()}):
        with pytest.raises(errors.InvalidValue):
            await thread.save(wrong)
    with pytest.raises(errors.InvalidValue) as caught:
        await thread.save({"n": 1, "plan": [object(), 2]})
    assert caught.value.__notes__ == ["channel plan"]
    pickled = state.thread("t/2", serializer=Pickled())
    await pickled.save({"set": {1, 2}, "many": [{n} for n in range(300)]})
    found = await pickled.latest()
    assert found is not None and found.state == {"set": {1, 2}, "many": [{n} for n in range(300)]}
    channels = await state.thread("t/2").channels()
    assert [(channel.name, channel.type, channel.value) for channel in channels] == [
        ("set", "pickle", None),
        ("many", "pickle", None),
    ]
    with pytest.raises(errors.InvalidValue):
        await state.thread("t/2").latest()
    assert [channel.value for channel in await thread.channels(points[0].id)] == ["owls", ["a", "b"]]
    assert await thread.channels("none") == []


class Pickled:
    def dumps_typed(self, obj: Any, /) -> tuple[str, bytes]:
        return "pickle", pickle.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes], /) -> Any:
        return pickle.loads(data[1])


async def test_grants_guard_them(state: State, connect: Connect, make_agent: MakeLogin) -> None:
    login = await make_agent("alice", "read ro/**", "read rw/**", "write rw/**", login=True)
    id = await state.thread("ro/t").save({"n": 1})
    alice = await connect(login)
    reader = alice.namespace("ro").thread("t")
    found = await reader.latest()
    assert found is not None and found.key == "t" == reader.key
    fork = await alice.thread("ro/t").fork(id, "rw/t")
    await fork.save({"n": 2})
    assert [row.key for row in await alice.namespace("rw").threads()] == ["t"]
    hidden = alice.thread("hidden/t")
    calls = [
        lambda: hidden.latest(), lambda: hidden.save({}), lambda: hidden.delete(), lambda: hidden.prune(), lambda: hidden.channels(),
        lambda: hidden.rollback(id), lambda: hidden.fork(id, "rw/x"), lambda: reader.save({}), lambda: reader.delete(),
        lambda: reader.put_writes(id, "task", [("a", 1)]), lambda: alice.thread("ro/t").fork(id, "ro/x"), lambda: alice.threads("hidden/*"),
        lambda: ids(hidden),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(errors.AccessDenied, match="agent alice may not"):
            await call()
    # the installer acts for her
    with pytest.raises(errors.AccessDenied):
        await state.as_agent("alice").thread("ro/t").save({})
    await state.as_agent("alice").thread("rw/t").save({"n": 3})
    (info,) = await state.threads("rw/*")
    assert info.writer == "alice"
    await state.put("rw/value", 1)
    with pytest.raises(errors.WrongKind):
        await alice.thread("rw/value").save({})


async def test_claims_hold_a_thread(state: State) -> None:
    thread = state.thread("t/1")
    await thread.save({"n": 1})
    claim = await state.claim("t/1", lease=60)
    with pytest.raises(errors.ClaimHeld):
        await thread.save({"n": 2})
    with pytest.raises(errors.ClaimHeld):
        await thread.delete()
    with pytest.raises(errors.StaleToken):
        await thread.save({"n": 2}, token=claim.token + 1)
    await thread.save({"n": 2}, token=claim.token)
    assert await thread.prune(token=claim.token) == 1
    assert await thread.delete(token=claim.token)


async def test_a_save_wakes_watchers(state: State) -> None:
    async with state.watch("t/*") as changes:
        for n in range(3):
            id = await state.thread("t/1").save({"n": n})
            change = await anext(changes)
            assert (change.key, change.op, change.value["checkpoint"]) == ("t/1", "put", id)
        await state.thread("t/1").delete()
        assert (await anext(changes)).op == "delete"


async def test_a_lost_reply_does_not_save_twice(connect: Connect, proxy: Proxy) -> None:
    state = await connect(dsn=proxy.dsn)
    thread = state.thread("t/1")
    await thread.save({"n": 1})
    lost = proxy.lose_reply(b"marker-of-it")
    await thread.save({"n": "marker-of-it"})
    assert lost.is_set()
    assert len(await ids(thread)) == 2


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_in_a_transaction_of_the_callers(state: State, dsn: str, driver: str) -> None:
    text, items = "x" * 500, [f"{n} " * 200 for n in range(100)]
    await state.thread("t/1").save({"text": text, "items": items[:99]})
    (before,) = await state.threads()
    connection: Any
    if driver == "asyncpg":
        connection = await asyncpg.connect(dsn)
    else:
        connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    try:
        for commits in (False, True):
            await connection.execute("begin")
            thread = state.bind(connection).thread("t/1")
            id = await thread.save({"text": text, "items": items})
            await thread.put_writes(id, "task", [("a", b"\x00".decode())])
            found = await thread.latest()
            assert found is not None and found.state == {"text": text, "items": items}
            assert [write.value for write in found.writes] == ["\0"]
            await thread.fork(id, "t/2")
            assert await state.threads("t/2") == []
            await connection.execute("commit" if commits else "rollback")
        found = await state.thread("t/2").latest()
        assert found is not None and (found.id, found.state["items"]) == (id, items)
        # what the client knew to be there was not sent again, but for the page that went with the rollback
        assert (await state.threads("t/1"))[0].bytes < before.bytes * 1.5
    finally:
        await connection.close()


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The keys of every statement that saves."""
    seen: list[list[str]] = []
    one, many = calls.save_checkpoint, calls.save_checkpoints

    async def spy_on_one(connection: Any, key: str, *args: Any, **named: Any) -> Any:
        seen.append([key])
        return await one(connection, key, *args, **named)

    async def spy_on_many(connection: Any, saves: Any, *args: Any, **named: Any) -> Any:
        seen.append([key for key, _ in saves])
        return await many(connection, saves, *args, **named)

    monkeypatch.setattr(calls, "save_checkpoint", spy_on_one)
    monkeypatch.setattr(calls, "save_checkpoints", spy_on_many)
    return seen


async def test_saves_that_come_together_go_together(state: State, saves: list[list[str]]) -> None:
    threads = [state.thread(f"t/{n}") for n in range(20)]
    long = [{"id": str(n), "text": f"{n} " + "word " * 150} for n in range(60)]
    for messages in (long[:50], long):
        saves.clear()
        told = await asyncio.gather(
            *(t.save({"n": n, "messages": messages}, metadata={"n": n}) for n, t in enumerate(threads))
        )
        assert len(saves) <= 3 and sorted(key for keys in saves for key in keys) == sorted(t.key for t in threads)
        for n, (thread, id_) in enumerate(zip(threads, told, strict=True)):
            found = await thread.latest()
            assert found is not None and (found.id, found.metadata) == (id_, {"n": n})
            assert found.state == {"n": n, "messages": messages}
    assert {info.checkpoints for info in await state.threads("t/*")} == {2}


async def test_a_save_that_is_refused_harms_no_neighbour(agent: Connect, state: State, saves: list[list[str]]) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    held, head = state.thread("a/held"), await state.thread("a/8").save({"n": 1})
    await held.save({"n": 1})
    gone = alice.thread("a/gone")
    await gone.save({"text": "x" * 500})
    await state.thread("a/gone").delete()
    await state.put("a/value", 1)
    assert await state.claim("a/held")
    bad: list[tuple[type[Exception], Awaitable[Any]]] = [
        (errors.AccessDenied, alice.thread("b/1").save({"n": 1})),
        (errors.WrongKind, alice.thread("a/value").save({"n": 1})),
        (errors.CheckpointConflict, alice.thread("a/8").save({"n": 2}, expect_head=None)),
        (errors.ClaimHeld, alice.thread("a/held").save({"n": 2})),
        (errors.StaleToken, alice.thread("a/9").save({"n": 2}, token=7)),
        (errors.CheckpointMissing, gone.save({"text": "x" * 500})),
        (errors.InvalidArgument, alice.thread("a/9").save({"n": 1}, ttl=1e12)),
        # what PostgreSQL refuses with the whole statement
        (errors.InvalidValue, alice.thread("a/9").save({"n": 1}, metadata={"zero": "\0"})),
        (errors.InvalidArgument, alice.thread("a/9").save({"n": 1}, token=1 << 70)),
    ]
    good = [alice.thread(f"a/good-{n}").save({"n": n}) for n in range(len(bad))]
    both = [call for pair in zip(good, (call for _, call in bad), strict=True) for call in pair]
    saves.clear()
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[1::2]] == [kind for kind, _ in bad]
    assert all(isinstance(id_, str) for id_ in outcomes[::2])
    conflict = outcomes[5]
    assert isinstance(conflict, errors.CheckpointConflict) and conflict.head == head
    assert max(map(len, saves)) > len(bad)
    assert len(await state.threads("a/good-*")) == len(bad)


async def test_a_save_that_is_cancelled(state: State, locks: Locks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gather, "LOCK_TIMEOUT", None)
    threads = [state.thread(f"t/{n}") for n in range(5)]
    await asyncio.gather(*(thread.save({"n": 0}) for thread in threads))
    # all of them, since the first may go by itself and the others beside it
    async with locks.on(*(f"t/{n}" for n in range(5))):
        flying = [asyncio.create_task(thread.save({"n": 1})) for thread in threads]
        await locks.waited_for(1)
        flying[3].cancel()
        with pytest.raises(asyncio.CancelledError):
            await flying[3]
        assert not any(task.done() for number, task in enumerate(flying) if number != 3)
    await asyncio.gather(*(task for number, task in enumerate(flying) if number != 3))
    assert [info.checkpoints for info in await state.threads("t/*")] in ([2, 2, 2, 1, 2], [2, 2, 2, 2, 2])


async def test_a_locked_thread_holds_up_its_own_saves_alone(state: State, locks: Locks) -> None:
    threads = [state.thread(f"t/{n}") for n in range(5)]
    await asyncio.gather(*(thread.save({"n": 0}) for thread in threads))
    async with locks.on("t/0"):
        waiting, *others = [asyncio.create_task(thread.save({"n": 1})) for thread in threads]
        await asyncio.gather(*others)
        assert not waiting.done()
    await waiting
    assert {info.checkpoints for info in await state.threads("t/*")} == {2}


async def test_a_checkpoint_that_is_too_large(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "_MOST_BYTES", 1 << 20)
    thread = state.thread("t/1")
    await thread.save({"parts": ["x" * 100_000] * 9})
    for large in ({"text": "x" * (1 << 20)}, {"parts": [f"{n} " * 40_000 for n in range(16)]}):
        with pytest.raises(errors.ValueTooLarge, match="t/1 is larger than 1 MB"):
            await thread.save(large)
    assert len(await ids(thread)) == 1
