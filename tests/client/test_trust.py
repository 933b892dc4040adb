"""Trust in Python and in the shell: declared with writes, told by reads, and what is below is left out."""

from __future__ import annotations

import asyncio
import json

import pytest

from client._cli import invoke
from client.conftest import Connect
from pgstate import State, Task, errors, ops


async def test_writes_declare_it_and_reads_tell(state: State, agent: Connect) -> None:
    alice = await agent("alice", "write a/**", "read a/**")
    await state.put("a/page", 1, trust="external")
    # gathered with others that declare nothing
    await asyncio.gather(
        alice.put("a/1", 1),
        alice.put("a/2", 1, trust="external"),
        alice.put("a/3", 1, sources=["a/page"]),
        alice.merge("a/4", 1, "add", sources=[{"key": "a/page", "version": 1}]),
        alice.put("a/5", 1, trust="operator"),
    )
    space = alice.namespace("a")
    assert await space.merge("6", 5, "add", return_value=True, sources=["page"]) == 5
    done = await space.put_many([("7", 1), ops.put("8", 1, sources=["page"]), ops.put("9", 1, sources=["none"])])
    assert [result.status for result in done[:2]] == ["ok", "ok"] and done[2].code == "PS007"
    await space.apply(operations=[ops.put("10", 1, trust="external"), ops.merge("11", 1, "add", sources=["page"])])
    listed = {entry.key: entry.trust for entry in await alice.list("a/*")}
    low = {"a/page", "a/2", "a/3", "a/4", "a/6", "a/8", "a/10", "a/11"}
    assert listed == {key: "external" if key in low else "agent" for key in listed} and len(listed) == 11
    entry = await alice.get("a/3")
    assert entry is not None and entry.trust == "external"
    (version,) = await alice.history("a/3")
    past = await alice.get("a/3", as_of=1)
    assert version.trust == "external" and past is not None and past.trust == "external"
    assert await alice.get("a/3", min_trust="agent") is None and await alice.get("a/1", min_trust="agent") is not None
    page = await alice.list("a/*", limit=2, min_trust="agent")
    assert [entry.key for entry in page] == ["a/1", "a/5"] and page.after == "a/5"
    await state.put("b/hidden", 1)
    with pytest.raises(errors.AccessDenied, match="read on its sources"):
        await alice.put("a/new", 1, sources=["b/hidden"])
    for wrong in (7, {"version": 1}):
        with pytest.raises(errors.InvalidArgument, match="a source is a key"):
            await alice.put("a/new", 1, sources=[wrong])  # type: ignore[list-item]
    with pytest.raises(errors.InvalidArgument):
        await alice.put("a/new", 1, trust="high")
    with pytest.raises(errors.InvalidArgument):
        await alice.get("a/1", as_of=1, min_trust="agent")
    with pytest.raises(errors.InvalidArgument):
        await alice.list("a/*", as_of=page.cursor, min_trust="agent")


async def test_a_watch_leaves_out_what_is_trusted_less(state: State) -> None:
    await state.put("a/low", 1, trust="external")
    await state.put("a/high", 1)
    cursor = await state.cursor()
    async with (
        state.watch("a/*", initial=True, min_trust="verified") as watch,
        state.watch("a/*", since=cursor, min_trust="verified") as later,
        state.watch("a/*", since=cursor) as every,
    ):
        assert [(change.key, change.trust) for change in [await anext(watch)]] == [("a/high", "operator")]
        for number in range(3):
            await state.put("a/low", number, trust="external")
            await state.put("a/high", number, trust="verified")
        for stream in (watch, later):
            found = [await asyncio.wait_for(anext(stream), 10) for _ in range(3)]
            assert [(change.key, change.value, change.trust) for change in found] == [
                ("a/high", number, "verified") for number in range(3)
            ]
        assert {(await asyncio.wait_for(anext(every), 10)).key for _ in range(6)} == {"a/low", "a/high"}
    page = await state.changes(cursor, "a/*", limit=2, min_trust="verified")
    assert [change.key for change in page.changes] == ["a/high", "a/high"] and page.more
    with pytest.raises(errors.InvalidArgument):
        async with state.watch("a/*", min_trust="high"):
            pass


async def test_claims_and_many_reads_leave_out_what_is_trusted_less(state: State) -> None:
    for number in range(3):
        await state.put(f"a/low{number}", number, trust="external", priority=9)
        await state.put(f"a/high{number}", number, trust="verified")
    asked = ["a/low0", "a/high0", "a/none", "a/high0"]
    found = await state.get_many(asked, min_trust="verified")
    assert [None if entry is None else (entry.key, entry.trust) for entry in found] == [
        None, ("a/high0", "verified"), None, ("a/high0", "verified"),
    ]  # fmt: skip
    assert [entry is None for entry in await state.get_many(asked)] == [False, False, True, False]
    with pytest.raises(errors.InvalidArgument):
        await state.get_many(asked, min_trust="high")
    (key, bad) = await state.get_many(["a/high0", "a//b"], min_trust="verified", return_errors=True)
    assert isinstance(bad, errors.InvalidKey) and not isinstance(key, errors.PgStateError | None)
    with pytest.raises(errors.InvalidArgument):
        await state.claim_next("a/*", min_trust="high")
    # asked together, each with its own: they share no statement
    high, low = await asyncio.gather(state.claim_next("a/*", min_trust="verified"), state.claim_next("a/*"))
    assert high is not None and low is not None and (high.key, low.key) == ("a/high0", "a/low0")
    async with state.claim_next("a/*", min_trust="verified") as task:
        assert task is not None and task.key == "a/high1"
    stop, done = asyncio.Event(), []

    async def handler(task: Task) -> None:
        done.append(task.key)
        stop.set()

    assert await state.work("a/*", handler, concurrency=1, min_trust="verified", stop=stop, signals=()) == 1
    assert done == ["a/high2"]
    assert await state.claim_next("a/*", min_trust="verified") is None
    assert await state.claim_next("a/*", min_trust="agent", wait=0.01) is None
    waiting = asyncio.ensure_future(state.claim_next("a/*", min_trust="verified", wait=30).__aenter__())
    await state.put("a/late", 1, trust="verified")
    task = await waiting
    assert task is not None and task.key == "a/late"
    await task.release()
    assert {claim.key for claim in await state.claim_many("a/*", 9)} == {"a/low1", "a/low2", "a/late"}


async def test_setting_and_endorsing(state: State, agent: Connect) -> None:
    alice = await agent("alice", "write a/**", "read a/**")
    await state.set_trust("alice", "verified")
    assert {row.name: row.trust for row in await state.agents()}["alice"] == "verified"
    await alice.put("a/x", 1, trust="external")
    with pytest.raises(errors.AccessDenied):
        await alice.endorse("a/x", 1, "verified")
    assert await state.endorse("a/x", 1, "verified") == 2
    with pytest.raises(errors.VersionConflict):
        await state.endorse("a/x", 1, "operator")
    with pytest.raises(errors.VersionConflict):
        await state.endorse("a/none", 1, "operator")
    with pytest.raises(errors.InvalidArgument, match="already"):
        await state.endorse("a/x", 2, "agent")
    await alice.claim("a/x")
    with pytest.raises(errors.ClaimHeld):
        await state.endorse("a/x", 2, "operator")


def test_trust_in_the_shell(dsn: str) -> None:
    invoke("agents", "create", "alice", dsn=dsn)
    assert invoke("agents", "set-trust", "alice", "external", dsn=dsn).code == 0
    assert invoke("put", "memory/alice/1", "1", "--agent", "alice", dsn=dsn).code == 0
    assert json.loads(invoke("get", "memory/alice/1", "--json", dsn=dsn).out)["trust"] == "external"
    assert invoke("policy", "set", "web/**", "--trust", "external", dsn=dsn).code == 0
    assert json.loads(invoke("policy", "--json", dsn=dsn).out)["trust"] == "external"
    assert invoke("endorse", "memory/alice/1", "1", "verified", "--agent", "alice", dsn=dsn).code == 5
    assert invoke("endorse", "memory/alice/1", "1", "verified", dsn=dsn).code == 0
    assert invoke("endorse", "memory/alice/1", "1", "operator", dsn=dsn).code == 4
    rows = [json.loads(line) for line in invoke("history", "memory/alice/1", "--json", dsn=dsn).out.splitlines()]
    assert [row["trust"] for row in rows] == ["verified", "external"]
