"""The past in Python and in the shell: as_of, rollback, history --diff, and who records what a time means."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from client._cli import Result, invoke, lines, on_terminal
from client._proxy import Proxy
from client.conftest import Connect
from conftest import Clock, Database
from pgstate import Entry, RolledBack, State, errors
from pgstate.cli import _input


class Topic(BaseModel):
    title: str


async def now(state: State, clock: Clock) -> datetime:
    """A time that stands for what is there, as after a pulse."""
    await clock.advance(1)
    await state.close()
    return await clock.now()  # type: ignore[no-any-return]


async def test_get_as_of(connect: Connect, clock: Clock) -> None:
    state = await connect()
    first = await state.put("k", {"title": "owls"}, ttl=3600)
    cursor = await state.cursor()
    # what it wrote is recorded when it closes
    at = await now(state, clock)
    state = await connect()
    await state.put("k", {"title": "bats"})
    for as_of in (first, cursor, at):
        entry = await state.get("k", as_of=as_of, as_=Topic)
        assert entry is not None
        assert (entry.key, entry.value, entry.version, entry.writer, entry.via) == (
            "k",
            Topic(title="owls"),
            1,
            "admin",
            "installer",
        )
        assert entry.expires_at is not None
        assert abs(entry.expires_at - entry.updated_at - timedelta(hours=1)) < timedelta(seconds=1)
        # history does not keep them
        for column in ("kind", "created_at", "priority", "not_before"):
            with pytest.raises(AttributeError, match=f"of a past entry {column} is not known"):
                getattr(entry, column)
    assert await state.get("k", as_of=7) is None
    assert await state.get("none", as_of=cursor) is None
    within = state.namespace("a")
    await within.put("b", 1)
    entry = await within.get("b", as_of=1)
    assert (entry and entry.key) == "b"


async def test_list_as_of(connect: Connect, clock: Clock) -> None:
    state = await connect()
    await state.put_many({"a/1": 1, "a/2": 2, "b/1": 3})
    cursor = await state.cursor()
    at = await now(state, clock)
    state = await connect()
    await state.delete("a/1")
    await state.put("a/3", 4)

    def told(entries: Any) -> list[tuple[str, Any]]:
        assert all(isinstance(entry, Entry) for entry in entries)
        return [(entry.key, entry.value) for entry in entries]

    for as_of in (cursor, at):
        page = await state.list("a/**", as_of=as_of)
        assert told(page) == [("a/1", 1), ("a/2", 2)]
        assert page.after is None
        # the feed goes on from there
        assert [change.key for change in await state.changes(page.cursor)] == ["a/1", "a/3"]
        page = await state.list("", as_of=as_of, limit=2)
        assert (told(page), page.after) == ([("a/1", 1), ("a/2", 2)], "a/2")
        assert told(await state.list("", as_of=as_of, limit=2, after=page.after)) == [("b/1", 3)]
        assert told(await state.namespace("a").list(as_of=as_of)) == [("1", 1), ("2", 2)]
    page = await state.list("none/*", as_of=cursor)
    assert (told(page), page.cursor) == ([], cursor)


async def test_what_is_no_past(state: State) -> None:
    await state.put("k", 1)
    for as_of, error in (
        (datetime.now(UTC) + timedelta(hours=1), errors.InvalidArgument),
        (datetime(2001, 1, 1, tzinfo=UTC), errors.NotRecorded),
        ("tomorrow", errors.CursorInvalid),
        (True, errors.InvalidArgument),
        (1.5, errors.InvalidArgument),
        (2**70, errors.InvalidArgument),
    ):
        with pytest.raises(error):
            await state.get("k", as_of=as_of)
        with pytest.raises(error):
            await state.rollback("k", as_of)
        with pytest.raises(errors.InvalidArgument if isinstance(as_of, int) else error):
            await state.list("k", as_of=as_of)
    with pytest.raises(errors.CursorExpired):
        await state.get("k", as_of=(await state.cursor()).replace("1.", "1.7", 1))


async def test_rollback(state: State, agent: Connect) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await state.put_many({"a/1": 1, "a/2": 2})
    cursor = await state.cursor()
    await alice.put("a/1", 10)
    await alice.delete("a/2")
    await alice.put("a/3", 30)
    await state.put("a/1", 11)
    writes = state.stats.writes
    plan = await state.rollback("a/**", cursor, writer="alice", dry_run=True)
    assert plan == [
        RolledBack("a/1", "conflict", "put", None, 3, 1, 11, 1, None),
        RolledBack("a/2", "ok", "put", None, 0, 1, None, 2, None),
        RolledBack("a/3", "ok", "delete", None, 1, 0, 30, None, None),
    ]
    assert (await state.get("a/3")) is not None
    assert state.stats.writes == writes
    done = await state.rollback("a/**", cursor, writer="alice", op_id="x")
    assert [(row.key, row.status, row.version) for row in done] == [
        ("a/1", "conflict", None),
        ("a/2", "ok", 3),
        ("a/3", "ok", 2),
    ]
    assert state.stats.writes == writes + 2
    assert await state.rollback("a/**", cursor, writer="alice", op_id="x") == done
    forced = await state.namespace("a").rollback("", cursor, force=True)
    assert [(row.key, row.version) for row in forced] == [("1", 4)]
    (back,) = await state.rollback("a/1", 2)
    assert (back.old, back.new, (await state.history("a/1"))[0].value) == (1, 10, 10)
    claim = await state.claim("a/1")
    assert claim is not None
    with pytest.raises(errors.ClaimHeld) as caught:
        await state.rollback("a/**", cursor)
    assert caught.value.key == "a/1"
    assert (await state.rollback("a/**", cursor, dry_run=True))[0].status == "held"
    await state.release("a/1", claim.token)
    await state.revoke_access("alice", "a/**", "write")
    await state.grant_access("alice", "a/3", "write")
    with pytest.raises(errors.AccessDenied, match="a/1"):
        await alice.rollback("a/**", cursor)
    assert (await alice.rollback("a/**", cursor, dry_run=True))[0].status == "denied"
    with pytest.raises(errors.AccessDenied):
        await alice.rollback("a/1", cursor)
    with pytest.raises(errors.InvalidArgument):
        await state.rollback("a/**", 1)
    with pytest.raises(errors.OpIdReused):
        await state.rollback("a/**", cursor, op_id="x")


async def test_a_rollback_wakes_those_who_watch(state: State, connect: Connect) -> None:
    await state.put("a/1", 1)
    await state.put("a/1", 2)
    watcher = await connect()
    async with watcher.watch("a/*", initial=True) as changes:
        assert (await anext(changes)).value == 2
        await state.rollback("a/1", 1)
        change = await anext(changes)
        assert (change.op, change.value, change.previous) == ("put", 1, 2)


@pytest.mark.parametrize("loss", ["lose_request", "lose_reply"])
async def test_a_rollback_happens_once(state: State, connect: Connect, proxy: Proxy, loss: str) -> None:
    far = await connect(dsn=proxy.dsn, connections=1)
    await far.put("k", 1)
    await far.put("k", 2)
    await far.rollback("none", await far.cursor())
    lost = getattr(proxy, loss)(b"sent-twice")
    (back,) = await far.rollback("k", 1, writer="admin", op_id="sent-twice")
    assert lost.is_set()
    assert (back.version, back.old, back.new) == (3, 2, 1)
    assert [version.value for version in await state.history("k")] == [1, 2, 1]
    assert far.stats.retries >= 1


async def test_a_pulse_records_what_a_time_means(
    connect: Connect, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without a watch, whose reader takes the pulse over."""
    points = "select count(*) from pgstate.feed_point"
    for watching in (False, True):
        database.sql("delete from pgstate.feed_point")
        state = await connect()
        await state.put("k", watching)
        async with asyncio.timeout(30):
            async with state.watch("k", initial=True) as changes:
                if watching:
                    await anext(changes)
                while database.sql(points) == [(0,)]:
                    await asyncio.sleep(0.05)
        # nothing written since: closing records nothing more
        await state.close()
    assert database.sql(points) == [(1,)]


async def test_closing_survives_a_server_that_is_gone(connect: Connect, proxy: Proxy) -> None:
    state = await connect(dsn=proxy.dsn)
    await state.put("k", 1)
    await proxy.stop()
    await state.close()


# -- the shell


@pytest.fixture
def pg(dsn: str) -> Callable[..., Result]:
    def run(*args: str) -> Result:
        return invoke(*args, dsn=dsn)

    return run


def test_get_and_ls_as_of(pg: Callable[..., Result], clock: Clock, database: Database) -> None:
    cursor = pg("--json", "put", "a/1", "1").out and database.sql("select pgstate.cursor()", "installer")[0][0]
    pg("put", "a/1", "2")
    pg("put", "a/2", "3")
    assert pg("get", "a/1", "--as-of", "1").out == "1\n"
    assert pg("get", "a/1", "--as-of", cursor).out == "1\n"
    (shown,) = lines(pg("--json", "get", "a/1", "--as-of", "1").out)
    assert (shown["version"], shown["value"], set(shown)) == (
        1,
        1,
        {"key", "version", "value", "writer", "via", "updated_at", "expires_at", "trust"},
    )
    missing = pg("get", "a/2", "--as-of", cursor)
    assert (missing.code, missing.err) == (3, "error: a/2 did not exist then\n")
    assert [line.split("\t")[:3] for line in pg("ls", "a/*", "--as-of", cursor).out.splitlines()] == [["a/1", "1", "1"]]
    assert [row["key"] for row in lines(pg("--json", "ls", "--as-of", cursor, "--all", "--limit", "1").out)] == ["a/1"]
    assert "a/1" in on_terminal("ls", "--as-of", cursor, dsn=database.dsn())
    assert "by admin" in on_terminal("get", "a/1", "--as-of", "1", dsn=database.dsn())
    now = datetime.now(UTC).isoformat()
    assert pg("get", "a/1", "--as-of", now).out == "2\n"
    for wrong, code in (("soon", 2), ("2001-01-01", 2), ("2999-01-01", 2), ("99d", 2), ("1.5:6.", 2)):
        result = pg("ls", "--as-of", wrong)
        assert (result.code, result.out) == (code, ""), result
    assert pg("ls", "--as-of", "3").code == 2


def test_how_a_past_is_written() -> None:
    assert _input.past("12") == 12
    assert _input.past("1.77:5.1.00000001.3:3:") == "1.77:5.1.00000001.3:3:"
    assert _input.past("2026-01-31T18:00+00:00") == datetime(2026, 1, 31, 18, tzinfo=UTC)
    ago = _input.past("10m")
    assert isinstance(ago, datetime)
    assert timedelta(minutes=9) < datetime.now(UTC) - ago < timedelta(minutes=11)


def test_rollback_in_the_shell(pg: Callable[..., Result], database: Database) -> None:
    for key, value in (("a/1", '{"n": 1}'), ("a/2", "2")):
        pg("put", key, value)
    cursor = database.sql("select pgstate.cursor()", "installer")[0][0]
    pg("put", "a/1", '{"n": 10}')
    pg("rm", "a/2")
    pg("put", "a/3", "3")
    plan = pg("rollback", "a/**", "--to", cursor, "--dry-run")
    assert (plan.code, plan.err) == (0, "")
    assert plan.out.splitlines() == [
        'a/1\tok\tput\t2\t1\t\t{"n":10}\t{"n":1}',
        "a/2\tok\tput\t0\t1\t\t\t2",
        "a/3\tok\tdelete\t1\t0\t\t3\t",
    ]
    assert "delete" in on_terminal("rollback", "a/**", "--to", cursor, "--dry-run", dsn=database.dsn())
    token = lines(pg("--json", "claim", "a/1").out)[0]["token"]
    held = pg("rollback", "a/**", "--to", cursor, "--dry-run")
    assert (held.code, held.err) == (4, "error: nothing would be done: a/1 is claimed\n")
    assert pg("rollback", "a/**", "--to", cursor).code == 4
    database.sql(f"select pgstate.release('a/1', {token})", "installer")
    conflict = pg("rollback", "a/**", "--to", cursor, "--writer", "nobody")
    assert (conflict.code, conflict.out) == (0, "")
    done = lines(pg("--json", "rollback", "a/**", "--to", cursor, "--op-id", "x").out)
    assert [(row["key"], row["version"], row["new"]) for row in done] == [
        ("a/1", 3, {"n": 1}),
        ("a/2", 3, 2),
        ("a/3", 2, None),
    ]
    assert lines(pg("--json", "rollback", "a/**", "--to", cursor, "--op-id", "x").out) == done
    assert on_terminal("rollback", "a/**", "--to", cursor, dsn=database.dsn()) == ""
    assert pg("rollback", "a/1", "--to", "2").out == 'a/1\tok\tput\t3\t2\t4\t{"n":1}\t{"n":10}\n'
    assert pg("rollback", "a/**", "--to", "2").code == 2
    assert pg("rollback", "a/1", "--to", "99").code == 2
    # others wrote it too
    database.sql(
        "select pgstate.create_agent('bob'); select pgstate.grant_access('bob', 'a/**', r) from unnest(array['read', 'write']) r",
        "installer",
    )
    pg("put", "a/1", "5")
    pg("put", "a/1", "6", "--agent", "bob")
    assert pg("rollback", "a/1", "--to", "5", "--writer", "bob").code == 0
    left = pg("rollback", "a/1", "--to", "3", "--writer", "bob")
    assert (left.code, "others wrote them too: a/1" in left.err) == (4, True)
    assert pg("rollback", "a/1", "--to", "3", "--writer", "bob", "--force").code == 0
    denied = pg("rollback", "b/1", "--to", "1", "--agent", "bob")
    assert denied.code == 5
    pg("policy", "set", "a/1", "--schema", '{"type": "integer"}')
    for dry_run, told in (
        ((), "a/1: the value does not fit"),
        (("--dry-run",), "a rule of today refuses what a/1 was"),
    ):
        refused = pg("rollback", "a/1", "--to", "2", *dry_run)
        assert (refused.code, told in refused.err) == (2, True)


def test_history_shows_what_changed(pg: Callable[..., Result], database: Database) -> None:
    pg("put", "k", '{"title": "owls", "n": 1}')
    pg("put", "k", '{"title": "bats", "n": 1}')
    pg("rm", "k")
    pg("put", "k", '"new"')
    out = pg("history", "k", "--diff").out
    third = out[out.index("version 2") :]
    assert '-  "title": "owls"\n+  "title": "bats"\n' in third
    assert "--- version 1\n+++ version 2\n" in third
    assert (
        out.index("version 4  put by admin")
        < out.index("version 3  delete by admin")
        < out.index("version 1  put by admin")
    )
    rows = {row["version"]: row["diff"] for row in lines(pg("--json", "history", "k", "--diff").out)}
    assert rows[4] == '--- version 3\n+++ version 4\n@@ -0,0 +1 @@\n+"new"\n'
    assert '-  "title": "bats"\n' in rows[3]
    assert "+{\n" in rows[1]
    # the last one of a page is compared with the one before it
    (row,) = lines(pg("--json", "history", "k", "--diff", "--limit", "1", "--before", "3").out)
    assert (row["version"], '-  "title": "owls"' in row["diff"]) == (2, True)
    assert "diff" in pg("--csv", "history", "k", "--diff").out.splitlines()[0]
    assert "+++ version 2" in on_terminal("history", "k", "--diff", dsn=database.dsn())
    assert json.loads(json.dumps(rows[2])) == rows[2]


def test_a_past_that_is_no_longer_kept(pg: Callable[..., Result], database: Database) -> None:
    for number in range(3):
        pg("put", "k", str(number))
    pg("policy", "set", "k", "--keep", "2 versions")
    pg("maintain")
    database.sql("update pgstate.mark set at = at - interval '2 h'")
    pg("put", "beat", "1")
    assert pg("maintain").out == "ok\t1\n"
    # what came before is unknown, and not nothing
    assert pg("history", "k", "--diff").out.endswith("\n(version 1 is no longer kept)\n\n")
    rows = {row["version"]: row["diff"] for row in lines(pg("--json", "history", "k", "--diff").out)}
    assert rows == {3: "--- version 2\n+++ version 3\n@@ -1 +1 @@\n-1\n+2\n", 2: None}
    gone = pg("get", "k", "--as-of", "1")
    told = "error: k has no value at version 1; pgstate history shows the versions that are kept\n"
    assert (gone.code, gone.err) == (3, told)
