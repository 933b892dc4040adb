"""A database with data of every kind, and what must hold of it wherever it was brought: for tests of restores and upgrades."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import operator
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import asyncpg
import pytest

import pgstate
from _server import SUPERUSER
from conftest import INSTALLER, Database
from pgstate import errors, migrate
from sql._caller import Caller, seconds, speak_json

LANE = "11111111-2222-4333-8444-555555555555"
# does not compress to less than 2 kB
BIG = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(60)]
MESSAGES = [{"id": n, "text": hashlib.sha256(str(n).encode()).hexdigest() * 10} for n in range(201)]
# what anybody can see, to be the same before and after
SEEN = (
    "select * from pgstate.entries order by key",
    "select * from pgstate.versions order by seq",
    "select key, token, holder, lease_until, attempts from pgstate.claims order by key",
    "select * from pgstate.agents() order by 1",
    "select * from pgstate.grants() order by 1, 2, 3",
    "select * from pgstate.policies() order by 1",
    "select * from pgstate.explain_policy('kept/x')",
    "select * from pgstate.history('a/grown', null)",
    "select * from pgstate.history('gone')",
    "select * from pgstate.threads order by key",
    "select * from pgstate.checkpoints order by key, ns, id",
    "select * from pgstate.checkpoint_state('line/t-1')",
)


@dataclasses.dataclass
class Research:
    topic: str
    findings: Annotated[list[str], operator.add] = dataclasses.field(default_factory=list)
    steps: Annotated[int, operator.add] = 0


@dataclasses.dataclass
class Estate:
    """What was noted while the database was filled."""

    logins: dict[str, str]
    token: int
    cursors: list[str]
    times: list[Any]
    past: list[Any]
    lost: Any
    seen: list[Any]
    answers: list[Any]
    last_seq: int
    next_token: int


@contextlib.asynccontextmanager
async def sessions(database: Database, *logins: str) -> AsyncIterator[list[Caller]]:
    """A session of each of these logins."""
    async with contextlib.AsyncExitStack() as stack:
        callers = []
        for login in logins:
            connection = await asyncpg.connect(database.dsn(login))
            stack.callback(connection.terminate)
            callers.append(await speak_json(connection))
        yield callers


async def look(caller: Caller) -> list[Any]:
    return [[tuple(row) for row in await caller.fetch(query)] for query in SEEN]


async def past(caller: Caller, at: Any) -> list[tuple[str, Any, int]]:
    return [(row["key"], row["value"], row["version"]) for row in await caller.rows("list_as_of", at=at)]


async def _point(root: Caller) -> Any:
    """Records a point of the feed, and returns a time that stands for it."""
    # that of the migration may be so young that another is not thought worth while
    await root("expire")
    return await root.fetchval("select clock_timestamp()")


async def _resent(root: Caller, turn: int) -> Any:
    """A write of a lane; the same turn again is the same write."""
    return tuple(await root("write_one", "put", "a/lane", turn, lane=LANE, turn=turn))[:3]


async def _retention(root: Caller, inside: Caller, cuts: int) -> None:
    """An hour passes for retention, and it removes so many versions."""
    await inside.execute("delete from pgstate.mark")
    await root("maintain")
    await inside.execute("update pgstate.mark set at = at - interval '2 h'")
    assert (await root("maintain"))["removed"] == cuts


async def fill(database: Database, login_name: Callable[[str], str]) -> Estate:
    async with sessions(database, INSTALLER, SUPERUSER) as (root, inside):
        return await _fill(database, login_name, root, inside)


async def _fill(database: Database, login_name: Callable[[str], str], root: Caller, inside: Caller) -> Estate:
    logins = {stem: login_name(stem) for stem in ("alice", "server", "ana")}
    await root("create_agent", "alice", logins["alice"])
    await root("grant_access", "alice", "a/**", "read")
    await root("grant_access", "alice", "a/**", "write")
    await root("create_agent", "bob")
    await root("grant_access", "bob", "b/{agent}/**", "write")
    await root("create_gateway", logins["server"])
    await root("delegate", logins["server"], "bob")
    await root("create_reader", logins["ana"], "a/**")
    await root.execute(
        "create function public.longest(jsonb, jsonb) returns jsonb language plpgsql immutable strict as"
        " $$ begin return case when length($2 #>> '{}') > length($1 #>> '{}') then $2 else $1 end; end $$;"
        "create function public.newest(jsonb, jsonb) returns jsonb immutable begin atomic select coalesce($2, $1); end"
    )
    for name in ("longest", "newest"):
        await root.execute(f"select pgstate.register_reducer('{name}', 'public.{name}(jsonb, jsonb)')")
        await root("set_policy", f"own/{name}", reducer=name)
    await root("set_policy", "kept/**", keep="2 versions", value_limit=4000, schema={"type": "integer"})
    await root("set_policy", "a/**", keep="everything", ttl=seconds(864000))

    cursors, times, states = [await root("cursor")], [], []
    for number in range(4):
        await root("put", "kept/x", number)
    lost = await _point(root)
    for number in range(4, 8):
        await root("put", "kept/x", number)
    await _retention(root, inside, 6)

    await root("put", "a/grown", BIG)
    await root("put", "gone", "soon")
    await root("put", "brief", 1, ttl=seconds(3600))
    for part in range(3):
        for number in range(10):
            await root("merge", "a/grown", part * 10 + number, "append")
        for word in ("aa", "b", "cccc"):
            await root("merge", "own/longest", word)
            await root("merge", "own/newest", word)
        if part == 1:
            await root("delete", "gone")
        await inside.execute("delete from pgstate.feed_point where at > $1", times[-1] if times else lost)
        times.append(await _point(root))
        states.append([(r["key"], r["value"], r["version"]) for r in await root.rows("list")])
        cursors.append(await root("cursor"))
    cursors.append((await root.rows("changes", cursors[1], [""], 3))[1]["cursor"])
    await root("put", "tasks/1", "work")
    await root("put", "tasks/2", "more")
    token = (await root("claim", "tasks/1", seconds(36000)))["token"]
    answers = [await _resent(root, 1), await _resent(root, 2), tuple(await root("put", "a/op", 1, op_id="once"))]
    async with pgstate.connect(database.dsn()) as state:
        view = state.typed(Research, "research/task-7")
        await view.define()
        await view.update(topic="owls", findings=["hunt at night"], steps=1)
        thread = state.thread("line/t-1")
        for number in (100, 200):
            id = await thread.save({"messages": MESSAGES[:number], "step": number}, metadata={"run_id": "r"})
        await thread.put_writes(id, "task", [("step", 201)])
        await thread.fork(id, "line/t-2")
    assert await inside.fetchval("select count(*) from pgstate.version where reducer is not null") == 30
    return Estate(
        logins, token, cursors, times, states, lost, await look(root), answers,
        await inside.fetchval("select max(seq) from pgstate.version"),
        await inside.fetchval("select last_value from pgstate.claim_token_seq"),
    )  # fmt: skip


async def goes_on(database: Database, estate: Estate, *, migrates: bool) -> None:
    """Everything is as it was, old cursors are refused, and work goes on; with `migrates` by `pgstate migrate` first."""
    async with sessions(database, INSTALLER, SUPERUSER) as (root, inside):
        await _begins(database, estate, root, inside, migrates)
        await _feed(database, estate, root)
        await _past(estate, root)
        await _claims_and_lanes(estate, root)
        await _policies(estate, root, inside)
    async with sessions(database, *(estate.logins[stem] for stem in ("alice", "server", "ana"))) as callers:
        await _access(*callers)
    async with pgstate.connect(database.dsn()) as state:
        view = state.typed(Research, "research/task-7")
        await view.update(findings=["fly without a sound"], steps=1)
        assert await view.load() == Research("owls", ["hunt at night", "fly without a sound"], 2)
        await _threads(state)


async def _threads(state: pgstate.State) -> None:
    thread = state.thread("line/t-1")
    found = await thread.latest()
    assert found is not None
    assert (found.state["messages"], [write.value for write in found.writes]) == (MESSAGES[:200], [201])
    size = (await state.threads("line/t-1"))[0].bytes
    await thread.save({"messages": MESSAGES[:201], "step": 201})
    assert (await state.threads("line/t-1"))[0].bytes < size + 4000
    await thread.delete()
    fork = await state.thread("line/t-2").latest()
    assert fork is not None and fork.state["messages"] == MESSAGES[:200]
    await state.thread("line/t-3").save({"new": True})


async def _begins(database: Database, estate: Estate, root: Caller, inside: Caller, migrates: bool) -> None:
    assert await look(root) == estate.seen
    assert (await root("get", "a/grown"))["value"] == [*BIG, *range(30)]

    # nothing was written yet: the feed does not begin, times of before are known
    for cursor in estate.cursors:
        await root.refuses(
            "PS022", "cursor()", "list()", f"changes('{cursor}')", f"get_as_of('a/grown', cursor => '{cursor}')"
        )
    points = "select count(*) from pgstate.feed_point"
    before = await inside.fetchval(points)
    await root("expire")
    assert await inside.fetchval(points) == before
    assert (await root("get_as_of", "gone", 1))["value"] == "soon"
    assert await past(root, estate.times[0]) == estate.past[0]
    epoch = (await root("info"))["epoch"]
    if migrates:
        assert await migrate.upgrade_async(database.dsn()) == []
    else:
        async with sessions(database, INSTALLER) as (other,):
            await other("put", "first", 1)
    assert (await root("info"))["epoch"] > epoch


async def _feed(database: Database, estate: Estate, root: Caller) -> None:
    # old cursors are refused by every reader of them, a new one tells all that is written from now on
    for cursor in estate.cursors:
        said = await root.refuses(
            "PS021", f"changes('{cursor}')", f"get_as_of('a/grown', cursor => '{cursor}')",
            f"list_as_of('', cursor => '{cursor}')", f"rollback('a/**', cursor => '{cursor}')",
        )  # fmt: skip
        assert {text.partition("\n")[0] for text in said} == {
            "the cursor belongs to another history of this database (restored, promoted or cloned since)"
        }
    new = (await root.rows("list"))[0]["cursor"]
    assert (await root("put", "gone", "again", expect=0))["version"] == 3
    assert (await root("merge", "a/grown", 30, "append"))["version"] == 32
    told = [(row["key"], row["version"], row["previous"]) for row in await root.rows("changes", new)]
    assert told == [("gone", 3, None), ("a/grown", 32, [*BIG, *range(30)]), (None, None, None)]
    assert await root.fetchval("select seq from pgstate.versions where key = 'gone' and version = 3") > estate.last_seq
    async with pgstate.connect(database.dsn()) as state:
        with pytest.raises(errors.CursorExpired):
            async with state.watch("**", since=estate.cursors[0]) as changes:
                await anext(aiter(changes))
        async with state.watch("gone", since=new) as changes:
            change = await anext(aiter(changes))
            assert (change.version, change.value) == (3, "again")


async def _past(estate: Estate, root: Caller) -> None:
    # by time as it was, by version, but not what retention had taken before
    for at, then in zip(estate.times, estate.past, strict=True):
        assert await past(root, at) == then
    await root.refuses("PS021", f"get_as_of('kept/x', at => '{estate.lost}')", f"list_as_of(at => '{estate.lost}')")
    second = await _point(root)
    assert (await root("get_as_of", "gone", at=second))["value"] == "again"
    done = await root.rows("rollback", "a/grown", at=estate.times[0])
    assert [(row["status"], row["from_version"], row["to_version"]) for row in done] == [("ok", 32, 11)]
    assert (await root("get", "a/grown"))["value"] == [*BIG, *range(10)]
    assert [row["status"] for row in await root.rows("rollback", "own/longest", 2)] == ["ok"]


async def _claims_and_lanes(estate: Estate, root: Caller) -> None:
    assert (await root("put", "tasks/1", 0))["status"] == "held"
    assert (await root("claim", "tasks/2", seconds(60)))["token"] > estate.next_token
    assert (await root("renew", "tasks/1", estate.token, seconds(60)))["status"] == "ok"
    assert (await root("complete", "tasks/1", estate.token))["status"] == "ok"
    await root.refuses("PS031", f"write_one('put', 'a/lane', '1', lane => '{LANE}', turn => 1)")
    assert [await _resent(root, 2), tuple(await root("put", "a/op", 1, op_id="once"))] == estate.answers[1:]
    assert len(await root.rows("history", "a/lane")) == 2
    assert await _resent(root, 3) == (1, "ok", 3)


async def _policies(estate: Estate, root: Caller, inside: Caller) -> None:
    assert tuple(await root("merge", "own/longest", "dddddd", return_value=True))[2] == "dddddd"
    assert tuple(await root("merge", "own/newest", "e", return_value=True))[2] == "e"
    await root.refuses("PS008", "put('kept/x', '\"text\"')")
    await root("put", "kept/x", 8)
    await _retention(root, inside, 1)
    assert [row["value"] for row in await root.rows("history", "kept/x")] == [8, 7]
    assert [row["key"] for row in await root.rows("changes", await root("cursor"))] == [None]
    # it has touched what was there before: a past that is older is no longer told
    await root.refuses("PS021", f"list_as_of(at => '{estate.lost}')")


async def _access(alice: Caller, server: Caller, ana: Caller) -> None:
    assert (await alice("put", "a/hers", 1))["status"] == "ok"
    await alice.refuses("PS010", "get('b/bob/x')", "put('b/bob/x', '1')")
    assert (await server("put", "b/bob/x", 1, agent="bob"))["status"] == "ok"
    await server.refuses("PS010", "get('a/hers', agent => 'alice')", "get('a/hers')")
    assert {row[0].split("/")[0] for row in await ana.fetch("select key from pgstate.entries")} == {"a"}
    for caller in (alice, server, ana):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await caller.fetch("select * from pgstate.install")
