"""An agent that has been taken over is made nobody, and what it wrote is undone or not trusted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from conftest import Database
from sql._caller import Caller, MakeAgent, refused, seconds
from sql._threads import save


async def _all(root: Caller, agent: str, **how: Any) -> list[tuple[Any, ...]]:
    """What was done and found, but for the word that the suspension is not committed yet."""
    rows = await root.rows("quarantine", agent, **how)
    return [(row["action"], row["key"], row["status"]) for row in rows if row["action"] != "again"]


@pytest.mark.core
@pytest.mark.parametrize("named", [False, True], ids=["login", "gateway"])
async def test_nobody_acts_as_a_suspended_agent_whatever_it_is_granted(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, named: bool
) -> None:
    alice = await agent("alice", "read a/**", "write a/**", "admin a/**")
    caller, who = (await gateway("alice"), {"agent": "alice"}) if named else (alice, {})
    await caller("put", "a/x", 1, **who)
    assert await root.rows("suspend_agent", "alice") == []
    await root("grant_access", "alice", "b/**", "write")
    await root("create_group", "crew")
    await root("grant_access", "crew", "c/**", "read")
    await root("add_to_group", "crew", "alice")
    await root("allow_credential", "alice", "db", "report")
    for function, *arguments in (
        ("put", "a/x", 2), ("put", "b/x", 2), ("get", "a/x"), ("get", "c/x"), ("list", "a/**"), ("cursor",), ("me",), ("agents",),
        ("use_credential", "db", "report"), ("claim_next", "a/*", seconds(5)),
    ):  # fmt: skip
        with refused("PS010"):
            await caller.rows(function, *arguments, **who)
    await root("resume_agent", "alice")
    for key in ("a/x", "b/x"):
        assert (await caller("put", key, 3, **who))["status"] == "ok"
    assert (await caller("get", "c/x", **who))["status"] == "missing"
    events = await root.fetch("select event from pgstate.audit_log where event in ('suspend', 'resume') order by id")
    assert [one["event"] for one in events] == ["suspend", "resume"]


@pytest.mark.core
async def test_a_ticket_of_a_suspended_agent_is_none(root: Caller, agent: MakeAgent, gateway: MakeAgent) -> None:
    await agent("alice", "write a/**")
    caller = await gateway("alice")
    login = await caller.fetchval("select session_user::text")
    await root("require_tickets", login)
    ticket = await root("issue_ticket", login, "alice")
    assert (await caller("put", "a/x", 1, agent=ticket))["status"] == "ok"
    await root.rows("suspend_agent", "alice")
    with refused("PS010"):
        await caller("put", "a/x", 2, agent=ticket)


@pytest.mark.core
async def test_its_watches_end_and_its_claims_and_no_others_are_given_back(
    root: Caller, agent: MakeAgent, database: Database
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    bob = await agent("bob", "read a/**", "write a/**")
    for key in ("a/x", "a/y"):
        await root("put", key, 1)
    await alice("claim", "a/x", seconds(60))
    await bob("claim", "a/y", seconds(60))
    await alice("subscribe", ["alice"], ["a/**"])
    await root.rows("suspend_agent", "alice")
    held = await root.fetch("select key from pgstate.claims where lease_until > now()")
    assert [one["key"] for one in held] == ["a/y"]
    assert database.sql("select count(*) from pgstate.watcher") == [(0,)]
    assert (await bob("claim", "a/x", seconds(60)))["status"] == "ok"


@pytest.mark.core
async def test_who_may_suspend_whom(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "admin a/**")
    await agent("bob")
    boss = await agent("boss", "admin **")
    await root("create_group", "crew")
    for caller, code, name in (
        (alice, "PS010", "bob"), (root, "PS007", "admin"), (boss, "PS007", "admin"), (boss, "PS007", "boss"),
        (root, "PS007", "crew"), (root, "PS007", "nobody"),
    ):  # fmt: skip
        for function in ("suspend_agent", "quarantine"):
            with refused(code):
                await caller.rows(
                    function, name, **({"since": await _long_ago(root)} if function == "quarantine" else {})
                )
    with refused("PS010"):
        await alice("resume_agent", "bob")
    await boss.rows("suspend_agent", "bob")
    assert [row["suspended_at"] is not None for row in await root.rows("agents") if row["name"] == "bob"] == [True]


async def _long_ago(root: Caller) -> Any:
    return await root.fetchval("select now() - interval '1 s'")


@pytest.mark.core
async def test_what_it_wrote_since_is_shown_then_not_trusted(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "write a/**", "read a/**")
    bob = await agent("bob", "write a/**", "read a/**")
    await alice("put", "a/before", 1)
    start = await root("cursor")
    await alice("put", "a/own", 1)
    await alice("put", "a/merged", 1)
    await bob("merge", "a/merged", 2, "add")
    await alice("put", "a/replaced", 1)
    await bob("put", "a/replaced", 2)
    await alice("put", "a/gone", 1)
    await alice("delete", "a/gone")
    await bob("put", "a/derived", 1, sources=["a/own"])
    await bob("put", "a/again", 1, sources=[{"key": "a/derived", "version": 1}])
    await bob("put", "a/other", 1, sources=["a/before"])
    await alice("merge", "a/grown", "x" * 3000, "append")
    await save(alice, "a/talk", {"n": 1})
    newest = await root.fetchval("select max(seq) from pgstate.version")

    expected = [
        ("suspend", None, "to do"),
        ("distrust", "a/grown", "to do"), ("distrust", "a/merged", "to do"), ("distrust", "a/own", "to do"),
        ("derived", "a/again", "left"), ("derived", "a/derived", "left"), ("thread", "a/talk", "left"),
    ]  # fmt: skip
    assert await _all(root, "alice", cursor=start, dry_run=True) == expected
    assert await root.fetchval("select max(seq) from pgstate.version") == newest
    assert (await alice("get", "a/own"))["status"] == "ok", "nothing was done"

    done = [(action, key, "ok" if status == "to do" else status) for action, key, status in expected]
    assert await _all(root, "alice", cursor=start) == done
    for key, trust in (
        ("own", "external"),
        ("merged", "external"),
        ("grown", "external"),
        ("replaced", "agent"),
        ("before", "agent"),
    ):
        assert (await root("get", f"a/{key}"))["trust"] == trust
    assert (await root("get", "a/merged"))["value"] == 3
    assert (await root("get", "a/grown"))["value"] == ["x" * 3000]
    meta = await root.fetchval("select meta from pgstate.version where key = 'a/own' order by version desc limit 1")
    assert meta == {"quarantined": 1, "quarantined_by": "admin", "writer": "alice", "from": "agent"}
    # and again without effect
    again = await _all(root, "alice", cursor=start)
    assert again == [("suspend", None, "there"), *done[4:]]


@pytest.mark.core
async def test_what_it_wrote_since_is_rolled_back(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "write a/**", "read a/**")
    bob = await agent("bob", "write a/**", "read a/**")
    await bob("put", "a/changed", "good")
    await bob("put", "a/deleted", "good")
    start = await root("cursor")
    await alice("put", "a/changed", "bad")
    await alice("delete", "a/deleted")
    await alice("put", "a/new", "bad")
    await alice("put", "a/shared", [1])
    await bob("merge", "a/shared", 2, "append")

    def expected(status: str) -> list[tuple[Any, ...]]:
        return [
            ("suspend", None, status), ("put", "a/changed", status), ("put", "a/deleted", status), ("delete", "a/new", status),
            ("delete", "a/shared", "conflict"), ("distrust", "a/shared", status),
        ]  # fmt: skip

    assert await _all(root, "alice", cursor=start, rollback=True, dry_run=True) == expected("to do")
    assert (await root("get", "a/changed"))["value"] == "bad"
    assert await _all(root, "alice", cursor=start, rollback=True) == expected("ok")
    assert [(await root("get", f"a/{key}"))["value"] for key in ("changed", "deleted", "new", "shared")] == [
        "good",
        "good",
        None,
        [1, 2],
    ]
    assert (await root("get", "a/shared"))["trust"] == "external"
    await _all(root, "alice", cursor=start, rollback=True, force=True)
    assert (await root("get", "a/shared"))["status"] == "missing"


@pytest.mark.core
async def test_what_others_hold_stays_and_is_told(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "write a/**", "read a/**")
    bob = await agent("bob", "write a/**", "read a/**")
    start = await root("cursor")
    await alice("put", "a/x", 1)
    await alice("put", "a/y", 1)
    claim = await bob("claim", "a/x", seconds(60))
    rows = await _all(root, "alice", cursor=start, rollback=True)
    assert rows == [
        ("suspend", None, "ok"), ("delete", "a/x", "held"), ("delete", "a/y", "skipped"),
        ("distrust", "a/x", "held"), ("distrust", "a/y", "ok"),
    ]  # fmt: skip
    await bob("release", "a/x", claim["token"])
    assert await _all(root, "alice", cursor=start, rollback=True) == [
        ("suspend", None, "there"), ("delete", "a/x", "ok"), ("delete", "a/y", "ok"),
    ]  # fmt: skip


@pytest.mark.core
async def test_bad_questions(root: Caller, agent: MakeAgent) -> None:
    await agent("alice")
    cursor = await root("cursor")
    for how in (
        {}, {"since": await _long_ago(root), "cursor": cursor}, {"cursor": cursor, "force": True},
        {"cursor": cursor, "rollback": None}, {"cursor": cursor, "dry_run": None}, {"cursor": cursor, "limit": None}, {"cursor": cursor, "limit": 100_001}, {"since": await root.fetchval("select now() + interval '1 day'")},
    ):  # fmt: skip
        with refused("PS007"):
            await root.rows("quarantine", "alice", **how)
    assert await root.fetchval("select suspended_at from pgstate.agents where name = 'alice'") is None


@pytest.mark.core
async def test_reasons_name_the_suspension(root: Caller, agent: MakeAgent) -> None:
    await agent("alice", "read a/**")
    await root.rows("suspend_agent", "alice")
    states = {row["state"] for row in await root.rows("effective", "alice")}
    assert states == {"suspended"}
    first, second = await root.rows("explain_access", "alice", "a/x", "read")
    assert (first["allowed"], first["decides"], first["subtree"], first["deny"], first["granted_by"]) == (
        False,
        True,
        "**",
        True,
        "admin",
    )
    assert (second["allowed"], second["decides"], second["subtree"]) == (False, False, "a/**")


@pytest.mark.core
async def test_maintenance_and_new_logins_leave_it_suspended(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await root("grant_access", "alice", "b/**", "write", ttl=timedelta(seconds=60))
    await root.rows("suspend_agent", "alice")
    await root("maintain", limit=1000)
    login = await alice.fetchval("select session_user::text")
    await root("set_login", "alice", login)
    for key in ("a/x", "b/x"):
        with refused("PS010"):
            await alice("put", key, 1)


@pytest.mark.core
async def test_it_is_not_lost_by_what_others_do_with_it(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "write a/**", "read a/**")
    bob = await agent("bob", "write **", "read **")
    start = await root("cursor")
    await alice("put", "a/sum", 1)
    await bob("merge", "a/sum", 1, "add")
    await bob("put", "a/derived", 1, sources=["a/sum"])
    for name, options in (("plain", {}), ("once", {"op_id": "1"}), ("result", {"result": "own"})):
        await alice("put", f"a/{name}", "bad")
        claim = await bob("claim", f"a/{name}", seconds(60))
        await bob("complete", f"a/{name}", claim["token"], move_to=f"done/{name}", **options)
    # what bob made anew is his
    await alice("put", "a/gone", 1)
    await alice("delete", "a/gone")
    await bob("merge", "a/gone", 1, "add")
    assert await _all(root, "alice", cursor=start) == [
        ("suspend", None, "ok"), ("distrust", "a/sum", "ok"),
        ("derived", "a/derived", "left"), ("derived", "done/once", "left"), ("derived", "done/plain", "left"),
    ]  # fmt: skip


@pytest.mark.core
async def test_forks_of_what_it_saved_are_told(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "write a/**", "read a/**")
    bob = await agent("bob", "write **", "read **")
    await save(bob, "a/clean", {"n": 1})
    await save(alice, "a/talk", {"n": 1})
    await bob("fork_thread", "a/talk", "b/before")
    await root("put", "a/later", 1)
    start = await root("cursor")
    await save(alice, "a/talk", {"n": 2})
    await bob("fork_thread", "a/talk", "b/after")
    await bob("fork_thread", "b/after", "b/again")
    await bob("fork_thread", "a/clean", "b/clean")
    await alice("fork_thread", "a/talk", "a/own")
    await alice("delete_thread", "a/talk")
    assert await _all(root, "alice", cursor=start) == [
        ("suspend", None, "ok"), ("thread", "a/own", "left"), ("thread", "a/talk", "left"),
        ("thread", "b/after", "left"), ("thread", "b/again", "left"),
    ]  # fmt: skip


@pytest.mark.core
async def test_what_tasks_wrote_is_told_by_thread(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "write **", "read **")
    bob = await agent("bob", "write **", "read **")
    talk = (await save(bob, "a/talk", {"n": 1}))["id"]
    own = (await save(alice, "a/own", {"n": 1}))["id"]

    async def writes(caller: Caller, key: str, checkpoint: str, task: str, replace: bool = False) -> None:
        await caller(
            "put_writes", key, checkpoint, task, [0, 1], ["n", "m"], ["json", "json"], [b"1", b"2"], replace=replace
        )

    await writes(alice, "a/talk", talk, "before")
    await root("put", "a/later", 1)
    start = await root("cursor")
    await writes(bob, "a/talk", talk, "bobs")
    assert await _all(root, "alice", cursor=start, dry_run=True) == [("suspend", None, "to do")]
    await writes(alice, "a/talk", talk, "alices")
    await writes(alice, "a/not-begun", "later", "alices")
    await save(alice, "a/own", {"n": 2})
    await writes(alice, "a/own", own, "alices")
    # there before it: it stays bob's, unless it is replaced
    await writes(alice, "a/talk", talk, "bobs")
    await bob("fork_thread", "a/talk", "b/fork")
    for dry_run in (True, False):
        rows = await root.rows("quarantine", "alice", cursor=start, rollback=True, dry_run=dry_run)
        assert [
            (row["action"], row["key"], row["detail"]) for row in rows if row["status"] == "left" and row["key"]
        ] == [("thread", key, {"pending_writes": 2}) for key in ("a/not-begun", "a/own", "a/talk", "b/fork")]
    await root("resume_agent", "alice")
    await writes(alice, "a/talk", talk, "bobs", replace=True)
    rows = await root.rows("quarantine", "alice", cursor=start)
    assert {row["key"]: row["detail"] for row in rows}["a/talk"] == {"pending_writes": 4}


@pytest.mark.core
async def test_runs_in_which_it_did_anything_are_told(root: Caller, agent: MakeAgent) -> None:
    """Its steps, signals, results and cancellations are versions of the run."""
    alice = await agent("alice", "write **", "read **")
    bob = await agent("bob", "write **", "read **")
    for name in ("signalled", "stepped", "ended", "cancelled", "clean"):
        await bob("start_run", f"r/{name}")
    start = await root("cursor")
    await alice("start_run", "r/own", input_type="json", input=b"1")
    await alice("signal_run", "r/signalled", "go", "json", b"1")
    token = (await alice("start_run", "r/stepped", seconds(60)))["token"]
    await alice(
        "finish_steps",
        ["r/stepped"],
        [token],
        ["one"],
        ["one"],
        ["step"],
        [0],
        [True],
        ["done"],
        ["json"],
        [b"1"],
        [1],
        [0.1],
    )
    token = (await alice("start_run", "r/ended", seconds(60)))["token"]
    await alice("end_run", "r/ended", token, "done", "json", b"1")
    await alice("cancel_run", "r/cancelled")
    rows = await _all(root, "alice", cursor=start, rollback=True)
    assert [row for row in rows if row[0] == "run"] == [
        ("run", f"r/{name}", "left") for name in ("cancelled", "ended", "own", "signalled", "stepped")
    ]


@pytest.mark.core
@pytest.mark.parametrize("rollback", [True, False], ids=["rollback", "distrust"])
async def test_much_is_done_in_parts_and_it_is_stopped_with_the_first(
    root: Caller, agent: MakeAgent, rollback: bool
) -> None:
    alice = await agent("alice", "write **", "read **")
    bob = await agent("bob", "write **", "read **")
    start = await root("cursor")
    for key in ("a/1", "a/2", "a/3", "b/1", "b/2"):
        await alice("put", key, "bad")
    await bob("put", "c/derived", 1, sources=["a/1"])
    done = "delete" if rollback else "distrust"
    for dry_run, status in ((True, "to do"), (False, "ok")):
        how = {"cursor": start, "rollback": rollback, "limit": 2, "dry_run": dry_run}
        assert await _all(root, "alice", **how) == [
            ("suspend", None, status), (done, "a/1", status), (done, "a/2", status), ("more", "a/2", "left"),
        ]  # fmt: skip
        suspended = "select suspended_at is not null from pgstate.agents where name = 'alice'"
        assert await root.fetchval(suspended) is not dry_run
        begun = [("suspend", None, "to do")] if dry_run else []
        assert await _all(root, "alice", **how, after="a/2") == [
            *begun, (done, "a/3", status), (done, "b/1", status), ("more", "b/1", "left"),
        ]  # fmt: skip
        assert await _all(root, "alice", **how, after="b/1") == [
            *begun, (done, "b/2", status), ("derived", "c/derived", "left"),
        ]  # fmt: skip
    assert await _all(root, "alice", **how) == [
        ("suspend", None, "there"), ("more", "a/2", "left"),
    ]  # fmt: skip
    assert await _all(root, "alice", cursor=start, limit=0) == [("suspend", None, "there"), ("more", "", "left")]


async def test_large_values_come_in_smaller_parts(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "write a/**", "read a/**")
    start = await root("cursor")
    await alice.fetch(
        "select (pgstate.put('a/' || lpad(n::text, 3, '0'), to_jsonb(repeat('x', 1000000) || n))).status from generate_series(1, 70) n"
    )
    first = await _all(root, "alice", cursor=start, rollback=True)
    assert first[-1] == ("more", "a/067", "left") and len(first) == 69
    second = await _all(root, "alice", cursor=start, rollback=True, after="a/067")
    assert second == [("delete", f"a/0{n}", "ok") for n in (68, 69, 70)]


@pytest.mark.core
async def test_a_suspension_that_is_not_committed_says_to_ask_again(root: Caller, agent: MakeAgent) -> None:
    await agent("alice", "write a/**", "read a/**")
    start = await root("cursor")

    async def again() -> bool:
        rows = await root.rows("quarantine", "alice", cursor=start)
        return ("again", "left") in [(row["action"], row["status"]) for row in rows]

    assert [row["action"] for row in await root.rows("quarantine", "alice", cursor=start, dry_run=True)] == ["suspend"]
    async with root.transaction():
        await root.rows("suspend_agent", "alice")
        assert await again()
    assert not await again()
    async with root.transaction(isolation="repeatable_read"):
        await root.fetchval("select 1")
        assert await again(), "what is committed meanwhile is not seen"


@pytest.mark.core
async def test_what_is_not_allowed_by_now_is_told_and_stops_nothing(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "write a/**", "read a/**", "admin a/**")
    await root("put", "a/x", "good")
    start = await root("cursor")
    await alice("put", "a/x", 1)
    await alice("put", "a/y", 1)
    # by which it would keep what it did from being undone
    await alice("set_policy", "a/**", schema={"type": "number"})
    rows = await root.rows("quarantine", "alice", cursor=start, rollback=True)
    assert [(row["action"], row["key"], row["status"]) for row in rows][:5] == [
        ("suspend", None, "ok"), ("put", "a/x", "refused"), ("delete", "a/y", "refused"),
        ("distrust", "a/x", "ok"), ("distrust", "a/y", "ok"),
    ]  # fmt: skip
    assert "a/x" in rows[1]["detail"]["error"]
    await root("drop_policy", "a/**")
    assert await _all(root, "alice", cursor=start, rollback=True) == [
        ("suspend", None, "there"), ("put", "a/x", "ok"), ("delete", "a/y", "ok"),
    ]  # fmt: skip


@pytest.mark.core
async def test_what_the_caller_may_not_read_is_told(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "write **", "read **")
    boss = await agent("boss", "admin **", "read a/**", "write a/**")
    start = await boss("cursor")
    await alice("put", "a/x", 1)
    await alice("put", "b/x", 1)
    assert await _all(boss, "alice", cursor=start, rollback=True) == [
        ("suspend", None, "ok"), ("undo", "b/x", "denied"), ("delete", "a/x", "ok"), ("distrust", "b/x", "ok"),
    ]  # fmt: skip
