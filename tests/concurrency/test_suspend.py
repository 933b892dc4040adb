"""An agent is suspended while others change its grants, and while it writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from _server import Cluster
from concurrency._open import BOTH, Begin, Start
from conftest import INSTALLER, clone, prepare
from sql._caller import Caller, MakeAgent, refused, seconds, speak_json


@pytest.mark.core
@BOTH
@pytest.mark.parametrize("turn", [0, 1], ids=["suspended first", "grant first"])
async def test_a_grant_at_the_same_time_gives_nothing_and_is_kept(
    root: Caller, agent: MakeAgent, session: MakeAgent, begin: Begin, blocked: Start, commits: bool, turn: int
) -> None:
    alice = await agent("alice", "write a/**")
    calls = [("suspend_agent", "alice"), ("grant_access", "alice", "b/**", "write")]
    first, second = await begin(), await session()
    await first.caller.rows(*calls[turn])
    waiting = await blocked(second, second.rows(*calls[1 - turn]))
    await first.end(commits)
    await waiting
    if commits or turn == 1:
        for key in ("a/x", "b/x"):
            with refused("PS010"):
                await alice("put", key, 1)
    await root("resume_agent", "alice")
    assert (await alice("put", "a/x", 1))["status"] == "ok"
    if commits or turn == 0:
        assert (await alice("put", "b/x", 1))["status"] == "ok"


@pytest.mark.core
@BOTH
async def test_what_it_has_under_way_is_told_and_undone_when_it_is_over(
    root: Caller, agent: MakeAgent, begin: Begin, commits: bool
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await alice("put", "a/known", "good")
    start = await root("cursor")
    await alice("put", "a/known", "bad")
    writing = await begin(alice)
    await alice("put", "a/open", "bad")
    await alice("put", "a/known", "worse")

    rows = {
        (row["action"], row["key"]): row for row in await root.rows("quarantine", "alice", cursor=start, rollback=True)
    }
    assert rows["open", None]["detail"] == {
        "pid": alice.pid,
        "login": await alice.fetchval("select session_user::text"),
        "xact": await alice.fetchval("select virtualtransaction from pg_locks where pid = pg_backend_pid() limit 1"),
    }
    # it keeps it locked, which must not hold up the rest
    assert rows["put", "a/known"]["status"] == "locked"
    assert rows["distrust", "a/known"]["status"] == "locked"
    with refused("PS010"):
        async with alice.transaction():
            await alice("put", "a/more", 1)
    await writing.end(commits)
    assert await root.rows("suspend_agent", "alice") == []

    done = await root.rows("quarantine", "alice", cursor=start, rollback=True)
    expected = [
        ("suspend", None, "there"),
        ("put", "a/known", "ok"),
        *([("delete", "a/open", "ok")] if commits else []),
    ]
    assert [(row["action"], row["key"], row["status"]) for row in done] == expected
    assert (await root("get", "a/known"))["value"] == "good"
    assert (await root("get", "a/open"))["status"] == "missing"


@pytest.mark.core
@pytest.mark.thorough
async def test_who_keeps_it_from_being_suspended_is_named(root: Caller, agent: MakeAgent, begin: Begin) -> None:
    alice = await agent("alice", "admin a/**")
    holding = await begin(alice)
    await alice("grant_access", "alice", "a/b/**", "read")
    for call in ("suspend_agent('alice')", "quarantine('alice', now())", "drop_agent('alice')"):
        with refused("55P03") as caught:
            await root.fetch(f"select * from pgstate.{call}")
        assert f"pid {alice.pid}" in str(getattr(caught.value, "hint", ""))
    await holding.end()
    assert await root.rows("suspend_agent", "alice") == []
    with refused("PS010"):
        await alice("grant_access", "alice", "a/c/**", "read")


@pytest.mark.core
async def test_who_keeps_another_from_being_suspended_is_named(root: Caller, agent: MakeAgent, begin: Begin) -> None:
    await agent("alice", "read a/**")
    bob = await agent("bob", "admin b/**")
    holding = await begin(bob)
    await bob("grant_access", "alice", "b/x", "read")
    with refused("55P03") as caught:
        await root.rows("suspend_agent", "alice")
    assert f"pid {bob.pid} ({await bob.fetchval('select session_user::text')})" in str(
        getattr(caught.value, "hint", "")
    )
    await holding.end()
    assert await root.rows("suspend_agent", "alice") == []


@pytest.mark.core("every case")
@pytest.mark.parametrize("what", ["touch", "use_credential", "issue_ticket", "put", "put_writes", "claim"])
async def test_a_snapshot_from_before_lets_it_do_nothing(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, what: str
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    login = await (await gateway("alice")).fetchval("select session_user::text")
    await root("require_tickets", login)
    await root("allow_credential", "alice", "db", "report")
    await alice("put", "a/x", 1, ttl=seconds(60))
    calls: dict[str, tuple[Any, ...]] = {
        "touch": (["a/x"],), "use_credential": ("db", "report"), "issue_ticket": (login, "alice"), "put": ("a/x", 2),
        "put_writes": ("a/talk", "1", "task", [0], ["n"], ["json"], [b"1"]), "claim": ("a/x", seconds(60)),
    }  # fmt: skip
    async with alice.transaction(isolation="repeatable_read"):
        await alice(what, *calls[what])
    with refused("40001"):
        async with alice.transaction(isolation="repeatable_read"):
            await alice("get", "a/x")
            await root.rows("suspend_agent", "alice")
            await alice(what, *calls[what])


@pytest.mark.core
async def test_a_snapshot_from_before_shows_no_credential_and_no_ticket_that_was_taken_back(
    root: Caller, agent: MakeAgent, gateway: MakeAgent
) -> None:
    alice = await agent("alice", "write a/**")
    await root("allow_credential", "alice", "db", "report")
    await root("allow_credential", "alice", "mail", "report")
    with refused("40001"):
        async with alice.transaction(isolation="repeatable_read"):
            await alice("use_credential", "db", "report")
            await root("disallow_credential", "alice", "db", "report")
            await alice("use_credential", "db", "report")
    caller = await gateway("alice")
    login = await caller.fetchval("select session_user::text")
    await root("require_tickets", login)
    ticket = await root("issue_ticket", login, "alice")
    with refused("40001"):
        async with caller.transaction(isolation="repeatable_read"):
            await caller("put", "a/x", 1, agent=ticket)
            await root("rotate_ticket_keys", seconds(0))
            await caller("put", "a/x", 2, agent=ticket)


@pytest.mark.core
async def test_a_snapshot_from_before_issues_no_ticket_in_a_transaction_that_cannot_ask(
    root: Caller, agent: MakeAgent, session: MakeAgent, gateway: MakeAgent, login_name: Callable[[str], str]
) -> None:
    alice = await agent("alice", "write a/**")
    login = await (await gateway("alice")).fetchval("select session_user::text")
    await root("require_tickets", login)
    for isolation in ("repeatable_read", "serializable"):
        with refused("25006"):
            async with alice.transaction(isolation=isolation, readonly=True):
                assert await alice("me") == "alice"
                # the login is nobody's from then on
                await root("set_login", "alice", login_name(isolation))
                await alice("issue_ticket", login, "alice")
        await root("set_login", "alice", await alice.fetchval("select session_user::text"))
    async with alice.transaction(readonly=True):
        assert (await alice("issue_ticket", login, "alice")).startswith("alice/t1/")


@pytest.mark.core
async def test_a_claim_that_it_keeps_locked_is_told(root: Caller, agent: MakeAgent, begin: Begin) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    for key in ("a/x", "a/y"):
        await root("put", key, 1)
        claim = await alice("claim", key, seconds(60))
    start = await root("cursor")
    holding = await begin(alice)
    await alice("renew", "a/y", claim["token"], seconds(60))
    rows = [(row["action"], row["key"], row["status"]) for row in await root.rows("quarantine", "alice", cursor=start)]
    assert rows[1:3] == [("release", "a/x", "ok"), ("release", "a/y", "locked")]
    await holding.end()
    rows = [(row["action"], row["key"], row["status"]) for row in await root.rows("quarantine", "alice", cursor=start)]
    assert rows == [("suspend", None, "there"), ("release", "a/y", "ok")]


@pytest.mark.core
async def test_who_waits_for_a_lock_is_told(root: Caller, agent: MakeAgent, begin: Begin, blocked: Start) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    bob = await agent("bob", "read a/**", "write a/**")
    await bob("put", "a/x", 1)
    holding = await begin(bob)
    await bob("put", "a/x", 2)
    waiting = await blocked(alice, alice("put", "a/x", 3))
    assert [row["pid"] for row in await root.rows("suspend_agent", "alice")] == [alice.pid]
    await holding.end()
    with refused("PS010"):
        await waiting


async def test_what_it_prepared_is_told_whatever_role_it_had_set(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(settings={"max_prepared_transactions": "4"})
    await asyncio.to_thread(prepare, cluster)
    database = clone(cluster)
    root = await speak_json(await asyncpg.connect(database.dsn()))
    try:
        login = f"{database.name}_alice"
        await root("create_agent", "alice", login)
        await root("grant_access", "alice", "a/**", "write")
        other = f"{database.name}_bob"
        await root("create_agent", "bob", other)
        start = await root("cursor")
        for name, session, role, agent in (
            ("own", login, login, None),
            ("hidden", login, "pgstate_agent", None),
            ("installed", INSTALLER, INSTALLER, "alice"),
            ("bob", other, other, None),
        ):
            caller = await speak_json(await asyncpg.connect(database.dsn(session)))
            try:
                await caller.execute(f'set role "{role}"')
                await caller.execute("begin")
                await caller("put", "memory/bob/x" if session == other else f"a/{name}", "bad", agent=agent)
                await caller.execute(f"prepare transaction '{name}'")
            finally:
                await caller.connection.close()
        told = {row["prepared"] for row in await root.rows("suspend_agent", "alice")}
        assert told == {"own", "hidden", "installed"}
        cluster.sql("commit prepared 'own'", database.name)
        for name in ("hidden", "installed", "bob"):
            cluster.sql(f"rollback prepared '{name}'", database.name)
        rows = await root.rows("quarantine", "alice", cursor=start, rollback=True)
        assert [(row["action"], row["key"], row["status"]) for row in rows] == [
            ("suspend", None, "there"), ("delete", "a/own", "ok"),
        ]  # fmt: skip
    finally:
        await root.connection.close()


@pytest.mark.core
async def test_what_was_under_way_and_ends_meanwhile_is_told(
    root: Caller, agent: MakeAgent, session: MakeAgent, begin: Begin, blocked: Start
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    bob = await agent("bob", "read a/**", "write a/**")
    await bob("put", "a/known", "good")
    start = await root("cursor")
    await alice("put", "a/known", "bad")
    other = await session(await alice.fetchval("select session_user::text"))
    writing, locking = await begin(other), await begin(bob)
    await other("put", "a/meanwhile", "bad")
    await bob("merge", "a/known", "good", "replace")
    await root.rows("suspend_agent", "alice")
    asker = await session()
    asking = await blocked(asker, asker.rows("quarantine", "alice", cursor=start, rollback=True))
    # after what alice wrote was looked for
    await writing.end(True)
    await locking.end(False)
    rows = [(row["action"], row["key"], row["status"]) for row in await asking]
    assert rows == [("suspend", None, "there"), ("put", "a/known", "ok"), ("open", None, "left")]
    rows = [
        (row["action"], row["key"], row["status"])
        for row in await root.rows("quarantine", "alice", cursor=start, rollback=True)
    ]
    assert rows == [("suspend", None, "there"), ("delete", "a/meanwhile", "ok")]


@pytest.mark.core
async def test_a_statement_that_was_let_in_and_has_written_nothing_yet_is_told(
    root: Caller, agent: MakeAgent, begin: Begin
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    # as a call that takes long before it comes to write: it has looked who acts
    holding = await begin(alice)
    await alice("me")
    assert await alice.fetchval("select pg_current_xact_id_if_assigned()") is None
    assert [row["pid"] for row in await root.rows("suspend_agent", "alice")] == [alice.pid]
    await holding.end()
    assert await root.rows("suspend_agent", "alice") == []
    for refusal in ("PS010", "25P02"):
        if refusal == "PS010":
            holding = await begin(alice)
        with refused(refusal):
            await alice("put", "a/x", 1)
        assert await root.rows("suspend_agent", "alice") == [], "who was refused does nothing"
    await holding.end(False)
    async with alice.transaction():
        await alice.fetchval("select count(*) from pg_class")
        assert await root.rows("suspend_agent", "alice") == [], "nor who does other things"


@pytest.mark.core
async def test_what_who_installed_does_as_it_is_told(root: Caller, session: MakeAgent, begin: Begin) -> None:
    await root("create_agent", "alice")
    start = await root("cursor")
    writing = await begin()
    await writing.caller("put", "memory/alice/x", "bad", agent="alice")
    pid = writing.caller.pid
    assert [row["pid"] for row in await root.rows("suspend_agent", "alice")] == [pid]
    rows = await root.rows("quarantine", "alice", cursor=start, rollback=True)
    assert [(row["action"], row["detail"] and row["detail"]["pid"]) for row in rows] == [
        ("suspend", None),
        ("open", pid),
    ]
    await writing.end()
    assert await root.rows("suspend_agent", "alice") == []
    rows = await root.rows("quarantine", "alice", cursor=start, rollback=True)
    assert [(row["action"], row["key"], row["status"]) for row in rows] == [
        ("suspend", None, "there"), ("delete", "memory/alice/x", "ok"),
    ]  # fmt: skip


@BOTH
async def test_a_merge_that_waited_meanwhile_is_refused(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, begin: Begin, blocked: Start, commits: bool
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    through = await gateway("alice")
    login = await through.fetchval("select session_user::text")
    for caller, lose, restore in [
        (alice, ("suspend_agent", "alice"), ("resume_agent", "alice")),
        (through, ("undelegate", login, "alice"), ("delegate", login, "alice")),
    ]:
        for keys in (["a/1"], ["a/1", "a/2"]):
            await root.rows("put_many", ["a/1", "a/2"], [1, 1])
            holder = await begin()
            await holder.caller("put", "a/1", 5)
            count = len(keys)
            call = caller.rows(
                "write_many", ["merge"] * count, keys, [2] * count, reducers=["add"] * count, agent="alice"
            )
            waiting = await blocked(caller, call)
            await root.rows(*lose)
            await holder.end(commits)
            with pytest.raises(asyncpg.PostgresError) as caught:
                await waiting
            assert caught.value.sqlstate in ("PS010", "42501")
            assert [(await root("get", key))["value"] for key in ("a/1", "a/2")] == [5 if commits else 1, 1]
            await root.rows(*restore)
