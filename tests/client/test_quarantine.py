"""Quarantine from Python and in the shell."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

import pgstate
from _sync import wait_until_true
from client._cli import invoke
from conftest import Database
from pgstate import errors
from pgstate._areas import quarantine
from pgstate._calls import quarantine as calls
from pgstate.cli._exit import sentence


async def _under_attack(state: pgstate.State, database: Database) -> tuple[pgstate.State, str]:
    """mallory's own connection, and where the feed was before it wrote."""
    await state.create_agent("mallory", f"{database.name}_mallory")
    database.logins.append(f"{database.name}_mallory")
    await state.grant_access("mallory", "a/**", "read")
    await state.grant_access("mallory", "a/**", "write")
    await state.put("a/known", "good")
    return pgstate.connect(database.dsn(f"{database.name}_mallory")), await state.cursor()


async def test_what_it_has_under_way_is_waited_for_and_undone(state: pgstate.State, database: Database) -> None:
    connecting, start = await _under_attack(state, database)
    async with connecting as mallory:
        await mallory.put("a/known", "bad")
        connection = await asyncpg.connect(database.dsn(f"{database.name}_mallory"))
        looking = await asyncpg.connect(database.dsn())
        try:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("select pgstate.put('a/more', '1')")
            calling = asyncio.create_task(state.quarantine("mallory", start, rollback=True, wait=60))
            suspended = "select suspended_at is not null from pgstate.agents where name = 'mallory'"
            await wait_until_true(looking, suspended)
            await transaction.commit()
            rows = await calling
        finally:
            await connection.close()
            await looking.close()
        assert [(row.action, row.key, row.status) for row in rows] == [
            ("suspend", None, "ok"),
            ("put", "a/known", "ok"),
            ("delete", "a/more", "ok"),
        ]
        assert (rows[1].old, rows[1].new, rows[1].to_version) == ("bad", "good", 1)
        with pytest.raises(pgstate.AccessDenied):
            await mallory.put("a/known", "again")
        assert [agent.suspended_at is not None for agent in await state.agents() if agent.name == "mallory"] == [True]
        await state.resume_agent("mallory")
        await mallory.put("a/known", "fine")


async def test_what_it_leaves_open_is_told(state: pgstate.State, database: Database) -> None:
    _, start = await _under_attack(state, database)
    login = f"{database.name}_mallory"
    connection = await asyncpg.connect(database.dsn(login))
    try:
        async with connection.transaction():
            await connection.execute("select pgstate.put('a/more', '1')")
            rows = await state.quarantine("mallory", start, wait=0)
            xact = await connection.fetchval(
                "select virtualtransaction from pg_locks where pid = pg_backend_pid() limit 1"
            )
            assert [(row.action, row.detail) for row in rows] == [
                ("suspend", None),
                ("open", {"pid": connection.get_server_pid(), "login": login, "xact": xact}),
            ]
            assert await state.suspend_agent("mallory") == [
                pgstate.OpenTransaction(connection.get_server_pid(), login, None, xact)
            ]
    finally:
        await connection.close()


async def test_a_watch_of_it_gets_nothing_more(state: pgstate.State, database: Database) -> None:
    connecting, _ = await _under_attack(state, database)
    async with connecting as mallory, mallory.watch("a/**", initial=True) as changes:
        assert (await anext(changes)).key == "a/known"
        await state.suspend_agent("mallory")
        await state.put("a/known", "for others")
        with pytest.raises(pgstate.AccessDenied):
            await anext(changes)


async def test_bad_calls(state: pgstate.State, database: Database) -> None:
    await state.create_agent("mallory")
    for agent, since in (("mallory", 3), ("nobody", await state.cursor()), ("admin", await state.cursor())):
        with pytest.raises(errors.InvalidArgument):
            await state.quarantine(agent, since)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument):
        await state.quarantine("mallory", await state.cursor(), force=True)
    with pytest.raises(errors.InvalidArgument):
        await state.quarantine("mallory", await state.cursor(), wait=-1)
    with pytest.raises(errors.CursorInvalid):
        await state.quarantine("mallory", "no cursor")
    assert [agent.suspended_at for agent in await state.agents() if agent.name == "mallory"] == [None]


async def test_a_time_before_anything_was_recorded_says_what_to_do(state: pgstate.State) -> None:
    await state.create_agent("mallory")
    with pytest.raises(errors.NotRecorded, match=r"mallory acts on: suspend it now \(suspend_agent\)"):
        await state.quarantine("mallory", datetime(2000, 1, 1, tzinfo=UTC))
    assert {agent.name: agent.suspended_at for agent in await state.agents()}["mallory"] is None


async def test_claims_that_it_held_are_told(state: pgstate.State, database: Database) -> None:
    connecting, start = await _under_attack(state, database)
    async with connecting as mallory:
        await mallory.claim("a/known", lease=60)
    for how, status in ({"dry_run": True}, "to do"), ({}, "ok"):
        rows = await state.quarantine("mallory", start, **how)  # type: ignore[arg-type]
        assert [(row.action, row.key, row.status) for row in rows] == [
            ("suspend", None, status),
            ("release", "a/known", status),
        ]


@pytest.mark.thorough
async def test_a_claim_that_it_keeps_locked_is_told(state: pgstate.State, database: Database) -> None:
    connecting, start = await _under_attack(state, database)
    async with connecting as mallory:
        claim = await mallory.claim("a/known", lease=60)
        assert claim is not None
    connection = await asyncpg.connect(database.dsn(f"{database.name}_mallory"))
    try:
        async with connection.transaction():
            await connection.execute("select pgstate.renew('a/known', $1, '60 s')", claim.token)
            rows = await state.quarantine("mallory", start, wait=0)
    finally:
        await connection.close()
    assert [(row.action, row.key, row.status) for row in rows] == [
        ("suspend", None, "ok"),
        ("release", "a/known", "locked"),
        ("open", None, "left"),
    ]


async def test_in_a_transaction_of_the_callers_it_is_done_with_it_or_not(
    state: pgstate.State, database: Database
) -> None:
    connecting, start = await _under_attack(state, database)
    async with connecting as mallory:
        await mallory.put("a/known", "bad")
    connection = await asyncpg.connect(database.dsn())
    try:
        for keeps in (False, True):
            transaction = connection.transaction()
            await transaction.start()
            rows = await state.bind(connection).quarantine("mallory", start, rollback=True)
            assert [(row.action, row.status) for row in rows] == [("suspend", "ok"), ("put", "ok"), ("again", "left")]
            await (transaction.commit() if keeps else transaction.rollback())
            assert (await state.get("a/known")).value == ("good" if keeps else "bad")
    finally:
        await connection.close()


async def test_the_shell_shows_then_does_it(state: pgstate.State, database: Database) -> None:
    connecting, start = await _under_attack(state, database)
    async with connecting as mallory:
        await mallory.put("a/known", "bad")
        await mallory.put("a/shared", [1])
        await state.merge("a/shared", 2, "append")

    async def run(*args: str) -> tuple[int, list[dict[str, object]]]:
        done = await asyncio.to_thread(invoke, *args, "--json", dsn=database.dsn())
        return done.code, [json.loads(line) for line in done.out.splitlines()]

    told = ("quarantine", "mallory", "--since", start, "--rollback")
    code, rows = await run(*told, "--dry-run")
    assert code == 4 and [(row["action"], row["status"]) for row in rows] == [
        ("suspend", "to do"), ("put", "to do"), ("delete", "conflict"), ("distrust", "to do"),
    ]  # fmt: skip
    assert (await state.get("a/known")).value == "bad"
    code, rows = await run(*told, "--force")
    assert code == 0 and [(row["action"], row["status"]) for row in rows] == [
        ("suspend", "ok"), ("put", "ok"), ("delete", "ok"),
    ]  # fmt: skip
    assert (await state.get("a/known")).value == "good"
    code, rows = await run("agents")
    assert [row["suspended_at"] is not None for row in rows if row["agent"] == "mallory"] == [True]
    assert (await run("agents", "resume", "mallory"))[0] == 0
    assert (await run("agents", "suspend", "mallory"))[0] == 0
    assert (await run("agents", "suspend", "admin"))[0] == 2


async def test_much_is_done_in_parts(state: pgstate.State, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "_PART", 2)
    connecting, start = await _under_attack(state, database)
    async with connecting as mallory:
        for n in range(5):
            await mallory.put(f"a/{n}", "bad")
    await state.put("b/derived", 1, sources=["a/0"])
    for how, status in ({"dry_run": True}, "to do"), ({}, "ok"):
        rows = await state.quarantine("mallory", start, rollback=True, **how)  # type: ignore[arg-type]
        assert [(row.action, row.key, row.status) for row in rows] == [
            ("suspend", None, status),
            *(("delete", f"a/{n}", status) for n in range(5)),
            ("derived", "b/derived", "left"),
        ]


async def test_a_part_that_fails_tells_what_was_done(
    state: pgstate.State, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "_PART", 2)
    connecting, start = await _under_attack(state, database)
    async with connecting as mallory:
        for n in range(5):
            await mallory.put(f"a/{n}", "bad")
    asked = calls.quarantine

    async def fails(*arguments: Any, **named: Any) -> Any:
        if arguments[7] is not None:
            raise errors.Timeout("no answer within 10 s")
        return await asked(*arguments, **named)

    monkeypatch.setattr(calls, "quarantine", fails)
    with pytest.raises(errors.Timeout) as caught:
        await state.quarantine("mallory", start, rollback=True)
    note = "mallory is suspended, and what it wrote is seen to up to a/1: call again, which does the rest."
    assert caught.value.__notes__ == [note]
    assert sentence(caught.value) == f"no answer within 10 s {note}"
    monkeypatch.setattr(calls, "quarantine", asked)
    rows = await state.quarantine("mallory", start, rollback=True)
    assert [(row.action, row.key) for row in rows] == [("suspend", None), *(("delete", f"a/{n}") for n in (2, 3, 4))]


async def test_what_a_gateway_does_for_others_meanwhile_is_not_waited_for(
    state: pgstate.State, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    looked = asyncio.Event()
    suspend = calls.suspend_agent

    async def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal looks
        rows = await suspend(*arguments, **named)
        looks += 1
        if looks == 2:
            looked.set()
        return rows

    monkeypatch.setattr(calls, "suspend_agent", counted)
    _, start = await _under_attack(state, database)
    gateway = f"{database.name}_gateway"
    database.logins.append(gateway)
    await state.create_gateway(gateway)
    await state.create_agent("other")
    await state.grant_access("other", "a/**", "write")
    for agent in ("mallory", "other"):
        await state.delegate(gateway, agent)
    first, second = [await asyncpg.connect(database.dsn(gateway)) for _ in range(2)]
    try:
        before = first.transaction()
        await before.start()
        await first.execute("select pgstate.put('a/other', '1', agent => 'other')")
        calling = asyncio.create_task(state.quarantine("mallory", start, wait=60))
        # it is suspended, and what was under way by then has been seen
        await looked.wait()
        async with second.transaction():
            await second.execute("select pgstate.put('a/more', '1', agent => 'other')")
            await before.commit()
            # and the session that it waited for goes on at once
            async with first.transaction():
                await first.execute("select pgstate.put('a/other', '2', agent => 'other')")
                rows = await calling
        assert [row.action for row in rows] == ["suspend"]
    finally:
        for connection in (first, second):
            await connection.close()


@pytest.mark.thorough
async def test_more_than_a_hundred_thousand_keys(state: pgstate.State, database: Database) -> None:
    _, start = await _under_attack(state, database)
    for first in range(0, 100_500, 10_050):
        keys = f"array(select 'a/' || n from generate_series({first}, {first + 10_049}) n)"
        values = "array_fill('\"bad\"'::jsonb, array[10050])"
        database.sql(f"select status from pgstate.put_many({keys}, {values})", f"{database.name}_mallory")
    rows = await state.quarantine("mallory", start, rollback=True)
    assert [row.status for row in rows] == ["ok"] * 100_501
    assert [entry.key for entry in await state.list("a/**")] == ["a/known"]
