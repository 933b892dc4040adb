"""The audit trail: what is in it, who sees it, that nobody changes it, and that a change by the owner shows."""

from __future__ import annotations

from typing import Any

import pytest

from _server import SUPERUSER
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds

DAY = 86400


async def _trail(caller: Caller, *args: Any, **named: Any) -> list[tuple[Any, ...]]:
    rows = await caller.rows("audit", *args, **named)
    return [(row["event"], row["agent"], row["key"], row["detail"]) for row in reversed(rows)]


@pytest.mark.core
async def test_administration_is_recorded_in_its_own_transaction(root: Caller, agent: MakeAgent) -> None:
    await agent("alice", "read a/**")
    async with root.transaction():
        await root("revoke_access", "alice", "a/**", "read")
    transaction = root.transaction()
    await transaction.start()
    await root("grant_access", "alice", "b/**", "read")
    await transaction.rollback()
    await root("set_policy", "a/**", ttl=seconds(60), schema={"type": "string"})
    await root("drop_policy", "a/**")
    await root("create_gateway", await root.fetchval("select session_user || '_gateway'"))
    found = await _trail(root)
    assert [(event, who, key) for event, who, key, _ in found] == [
        ("create_agent", "admin", None), ("grant", "admin", "a/**"), ("revoke", "admin", "a/**"),
        ("set_policy", "admin", "a/**"), ("drop_policy", "admin", "a/**"), ("create_gateway", "admin", None),
    ]  # fmt: skip
    assert found[1][3] == {"agent": "alice", "right": "read"}
    assert found[3][3]["ttl"] == "00:01:00" and "type" not in str(found[3][3]["schema"])
    await root.execute('drop role "' + found[5][3]["login"] + '"')


@pytest.mark.core
async def test_each_administrator_sees_its_own_subtree(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "admin a/**", "read **")
    bob = await agent("bob", "read a/**")
    await root("grant_access", "bob", "b/**", "read")
    assert {key for _, _, key, _ in await _trail(alice)} == {"a/**"}
    assert [key for _, _, key, _ in await _trail(alice, "**", ["grant"], 1)] == ["a/**"]
    assert await _trail(alice, "a/*", ["revoke"]) == []
    assert await _trail(bob) == []
    await bob.refuses("PS010", "audit('a/**')", "audit('b/**')", "set_audit('1 year')", "verify_audit('a/**')")
    await alice.refuses("PS010", "audit('b/**')", "set_audit('1 year')", "set_audit_chain('**')", "verify_audit('**')")
    await root.refuses("PS007", "audit(\"limit\" => 0)", "set_audit('1 hour')", "set_audit('-12 mon 361 days')", "verify_audit('a/**')", "set_audit_chain('a/**', false)", "set_audit_chain('a/**', null)")  # fmt: skip
    await root.refuses("PS002", "audit('a//b')", "set_audit_chain('a/*')", "set_audit_chain('{agent}/**')")
    (newest,) = await root.rows("audit", limit=1)
    (before,) = await root.rows("audit", limit=1, before=newest["id"])
    assert before["id"] < newest["id"]
    own = await alice.rows("audit")
    assert len(own) > 1 and await alice.rows("audit", before=own[0]["id"]) == own[1:]


@pytest.mark.core
async def test_denied_rows_of_a_write_are_recorded_once_a_call(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    alice = await agent("alice", "write a/**")
    # denials are counted by minutes of the clock
    await clock.advance(60 - (await clock.now()).second)
    long = "b/" + "x" * 300
    rows = await alice.rows("put_many", ["a/1", long, "c/2"], [1, 2, 3])
    assert [row["status"] for row in rows] == ["ok", "denied", "denied"]
    (denied,) = await root.rows("audit", events=["denied"])
    assert (denied["agent"], denied["key"]) == ("alice", long[:128] + "...")
    assert denied["detail"] == {"asked": "write", "keys": 2}
    # who is denied fills no disk: 60 a minute
    for _ in range(70):
        await alice.rows("put_many", ["b/1"], [1])
    assert len(await root.rows("audit", events=["denied"])) == 60
    await clock.advance(61)
    await root("maintain")
    assert (await root.rows("audit", events=["denied"]))[0]["detail"]["more"] == 11
    await alice.rows("put_many", ["b/1"], [1])
    assert len(await root.rows("audit", events=["denied"])) == 62
    # a single call raises, and takes its entry back
    await alice.refuses("PS010", "put('b/1', '1')")
    assert len(await root.rows("audit", events=["denied"])) == 62


@pytest.mark.core
async def test_denials_that_were_left_out_are_counted(
    root: Caller, agent: MakeAgent, session: MakeAgent, clock: Clock
) -> None:
    alice, bob = await agent("alice"), await agent("bob")
    other = await session(await alice.fetchval("select session_user::text"))
    await root("set_audit_chain", "**")
    now = await clock.now()
    await clock.advance(60 - now.second)

    async def denied(caller: Caller, times: int) -> None:
        for _ in range(times):
            await caller("report_denial", "get", "b/noise")

    await denied(alice, 60)
    await denied(bob, 3)
    # each of two at once has its own part, and waits for nobody; what is rolled back was nothing
    open_ = [caller.transaction() for caller in (alice, other)]
    for caller, transaction in zip((alice, other), open_, strict=True):
        await transaction.start()
        await caller.execute("set local lock_timeout = '5 s'")
        await denied(caller, 4)
    await open_[0].rollback()
    await denied(alice, 1)

    async def told() -> list[tuple[Any, ...]]:
        await root("maintain")
        rows = await root.rows("audit", events=["denied"], limit=None)
        return [(row["agent"], row["key"], row["detail"]["more"]) for row in rows if "more" in row["detail"]]

    # the minute is not over, and what is under way is not there yet
    assert await told() == []
    await clock.advance(60)
    assert await told() == [("alice", None, 1)]
    await open_[1].commit()
    assert await told() == [("alice", None, 4), ("alice", None, 1)]
    assert await told() == [("alice", None, 4), ("alice", None, 1)]
    (newest, *_) = await root.rows("audit", events=["denied"])
    assert newest["via"] == await alice.fetchval("select session_user::text")
    assert newest["detail"]["minute"] is not None
    # the chain has them
    (checked,) = await root.rows("verify_audit", "**")
    assert checked["sound"] is True and checked["waiting"] == 0


@pytest.mark.core
async def test_clients_tell_of_denials_about_themselves(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent
) -> None:
    alice = await agent("alice")
    server = await gateway("alice")
    await alice("report_denial", "get\n\u202eb/1 " + "y" * 300, "b/\t1")
    await server("report_denial", "get", "b/2", "alice")
    await server("report_denial", "get", "b/3", "bob")
    await server("report_denial", "list")
    told = [
        (who, key, detail["asked"][:8], detail.get("named"))
        for _, who, key, detail in await _trail(root, events=["denied"])
    ]
    assert told == [
        ("alice", "b/?1", "get?b/1 ", None), ("alice", "b/2", "get", None), (None, "b/3", "get", "bob"), (None, None, "list", None),
    ]  # fmt: skip
    asked = (await root.rows("audit", events=["denied"]))[-1]["detail"]["asked"]
    assert asked.endswith("yyy...") and len(asked) == 203
    # a secret that was put into a key by mistake is not kept
    await alice("report_denial", "get ghp_" + "a1B2" * 9, "b/ghp_" + "a1B2" * 9)
    (leaked, *_) = await root.rows("audit", events=["denied"])
    assert "a1B2" not in f"{leaked}" and "redacted" in leaked["key"]
    with refused("PS010"):
        await (await session(SUPERUSER))("report_denial", "x")


@pytest.mark.core
async def test_nobody_changes_the_audit_trail(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read **", "write **", "admin **")
    await root("set_audit_chain", "**")
    assert (await root("verify_audit", "**"))["links"] == 1
    # before 16 who installed inherits the owner's rights
    inherits = await root.fetchval("select pg_has_role(session_user, 'pgstate_owner', 'usage')")
    for caller, code in ((alice, "42501"), (root, "PS010" if inherits else "42501")):
        for statement in ("delete from pgstate.audit", "update pgstate.audit set via = 'x'", "truncate pgstate.audit"):
            with refused(code):
                await caller.execute(statement)
    # those who own the tables would have to remove the triggers first
    for statement in (
        "delete from pgstate.audit", "update pgstate.audit set via = 'x'", "truncate pgstate.audit",
        "delete from pgstate.audit_link", "update pgstate.audit_link set hash = ''", "truncate pgstate.audit_link",
    ):  # fmt: skip
        with refused("PS010"):
            await root.execute(f"set local role pgstate_owner; {statement}")


@pytest.mark.core
async def test_a_chain_shows_what_was_changed(root: Caller, agent: MakeAgent, session: MakeAgent) -> None:
    inside = await session(SUPERUSER)
    await agent("alice", "read a/0")
    await root("set_audit_chain", "a/**")
    for number in range(1, 6):
        await root("grant_access", "alice", f"a/{number}", "read")
        await root("grant_access", "alice", f"b/{number}", "read")
    assert (await root("maintain"))["status"] == "ok"
    noted = (await root("verify_audit", "a/**"))["head"]
    await root("grant_access", "alice", "a/6", "read")
    whole = await root("verify_audit", "a/**", noted)
    assert (whole["sound"], whole["links"], whole["waiting"], whole["fault"]) == (True, 7, 0, None)
    await root.refuses("PS007", "verify_audit('a/**', 'x')", "verify_audit('b/**')")

    async def fault(*statements: str, noted: str | None = None) -> str:
        transaction = inside.transaction()
        await transaction.start()
        await inside.execute("set local session_replication_role = replica")
        for statement in statements:
            await inside.execute(statement)
        await inside.execute("set session authorization installer")
        found = await inside("verify_audit", "a/**", noted)
        await transaction.rollback()
        assert found["sound"] is False
        return str(found["fault"])

    third = "(select audit_id from pgstate.audit_link where subtree = 'a/**' and no = 3)"
    assert "of link 3" in await fault(f"update pgstate.audit set agent = 'bob' where id = {third}")
    assert "of link 3 is not there" in await fault(f"delete from pgstate.audit where id = {third}")
    assert "link 3 is not there" in await fault("delete from pgstate.audit_link where no = 3")
    assert "ends at link 6" in await fault("delete from pgstate.audit_link where no = 7")
    assert "of link 1" in await fault("update pgstate.audit_link set hash = '' where no = 1")
    # a chain that was computed anew, all of it, is found by a head that was noted
    anew = (
        f"update pgstate.audit set agent = 'bob' where id = {third}",
        "insert into pgstate.audit_pending select subtree, audit_id from pgstate.audit_link",
        "delete from pgstate.audit_link",
        "update pgstate.audit_chain set head_no = 0, head_hash = ''",
    )
    assert "link 6 is not the one that was noted" in await fault(*anew, noted=noted)
    # the end is linked, nothing after it is
    await root("set_audit_chain", "a/**", False)
    await root("grant_access", "alice", "a/7", "read")
    ended = await root("verify_audit", "a/**", noted)
    assert (ended["sound"], ended["links"], ended["active"]) == (True, 8, False)


async def test_a_chain_is_checked_where_nothing_can_be_written(root: Caller, agent: MakeAgent) -> None:
    await root("set_audit_chain", "**")
    await agent("alice")
    await root.execute("set default_transaction_read_only = on")
    read = await root("verify_audit", "**")
    assert (read["sound"], read["links"], read["waiting"]) == (True, 0, 2)
    await root.refuses("PS007", "verify_audit('b/**')")
    await root.execute("set default_transaction_read_only = off")
    written = await root("verify_audit", "**")
    assert (written["sound"], written["links"], written["waiting"]) == (True, 2, 0)


@pytest.mark.core
async def test_an_open_transaction_holds_up_no_chain(root: Caller, agent: MakeAgent, session: MakeAgent) -> None:
    """What commits late is linked late."""
    alice = await agent("alice", "write a/**")
    other = await session(await alice.fetchval("select session_user::text"))
    await root("set_audit_chain", "**")
    async with alice.transaction():
        await alice.rows("put_many", ["b/1"], [1])
        await root.execute("set lock_timeout = '5 s'")
        await other.rows("put_many", ["b/2"], [1])
        await root("grant_access", "alice", "c/**", "read")
        assert (await root("verify_audit", "**"))["links"] == 3
    late = await root("verify_audit", "**")
    assert (late["sound"], late["links"]) == (True, 4)


@pytest.mark.core
async def test_retention_takes_the_oldest_and_the_chain_goes_on(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    await agent("alice")
    await root("set_audit_chain", "**")
    await root("grant_access", "alice", "a/1", "read")
    await root("maintain")
    noted = (await root("verify_audit", "**"))["head"]
    await clock.advance(2 * DAY)
    await root("grant_access", "alice", "a/2", "read")
    await root("maintain")
    assert len(await root.rows("audit")) == 4
    await root("set_audit", seconds(DAY))
    await root("maintain")
    assert [row["event"] for row in await root.rows("audit")] == ["set_audit", "grant"]
    left = await root("verify_audit", "**")
    assert (left["sound"], left["links"]) == (True, 2)
    assert (await root("verify_audit", "**", noted))["sound"] is True
    await clock.advance(2 * DAY)
    await root("maintain")
    gone = await root("verify_audit", "**", noted)
    assert gone["fault"] == "link 2 was removed by retention: nothing can be said about it"
    assert (await root("verify_audit", "**"))["links"] == 0


async def test_retention_cuts_each_chain_where_all_before_goes(
    root: Caller, agent: MakeAgent, session: MakeAgent, clock: Clock
) -> None:
    """An entry that stays for one chain stays in the others too, and so does what comes after it there."""
    await agent("alice")
    for subtree in ("**", "a/**", "b/**"):
        await root("set_audit_chain", subtree)
    other = await session()
    held = other.transaction()
    await held.start()
    # keeps that chain from being linked
    await other("set_audit_chain", "b/**")
    await root("maintain")
    await root("grant_access", "alice", "a/1", "read")
    await root("maintain")
    await root("set_audit_chain", "**", False)
    await root("grant_access", "alice", "a/2", "read")
    await root("maintain")
    await root("set_audit", seconds(DAY))
    await clock.advance(2 * DAY)
    await root("maintain")
    await held.rollback()
    assert [(await root("verify_audit", subtree))["fault"] for subtree in ("**", "a/**", "b/**")] == [None] * 3
    # what waited for its link was not removed without one
    assert (await root("verify_audit", "b/**"))["head"].startswith("1:")
    await root("maintain")
    assert [(await root("verify_audit", subtree))["fault"] for subtree in ("**", "a/**", "b/**")] == [None] * 3
    assert await root.rows("audit") == []


async def test_retention_goes_on_behind_a_long_transaction(
    root: Caller, agent: MakeAgent, session: MakeAgent, clock: Clock
) -> None:
    """What was linked before its many entries has a higher number than those that a step looks at."""
    await agent("alice")
    await root("set_audit", seconds(DAY))
    for subtree in ("a/**", "**"):
        await root("set_audit_chain", subtree)
    other = await session()
    async with other.transaction():
        for number in range(12):
            await other("grant_access", "alice", f"a/{number}", "read")
        await root("set_policy", "a/**", ttl=seconds(60))
        await root("maintain")
    await root("maintain")
    await clock.advance(2 * DAY)
    for _ in range(6):
        await root("maintain", 5)
        assert [(await root("verify_audit", subtree))["fault"] for subtree in ("a/**", "**")] == [None] * 2
    assert await root.rows("audit") == []
