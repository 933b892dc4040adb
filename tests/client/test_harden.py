"""From one login for everything to isolation."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from client._cli import invoke
from client.conftest import Connect
from conftest import Database
from pgstate import HardenStep, State, errors


def _done(steps: list[HardenStep]) -> list[tuple[str, str | None, str | None]]:
    return [(step.action, step.agent, step.state) for step in steps if step.action != "note"]


@pytest.mark.every_version
async def test_to_a_gateway(state: State, connect: Connect, login_name: Callable[[str], str]) -> None:
    """By an administrator with CREATEROLE and without superuser, which the installer of these tests is."""
    login, reader = login_name("server"), login_name("ana")
    await state.create_agent("alice")
    await state.create_reader(reader, "a/**")
    await state.create_group("crew")
    plan = await state.harden(login, dry_run=True)
    steps = [("create_role", None), ("create_gateway", None), ("create_agent", "alice"), ("delegate", "alice")]
    states = ["to do", "to do", "there", "to do"]
    assert _done(plan) == [(action, agent, state) for (action, agent), state in zip(steps, states, strict=True)]
    with pytest.raises(errors.PgStateError):
        await connect(login)
    done = await state.harden(login)
    assert [step[2] for step in _done(done)] == ["done", "done", "there", "done"]
    assert "no password" in str(done[0].note)
    assert any("all rights" in str(step.note) for step in done if step.action == "note")
    assert [step[2] for step in _done(await state.harden(login))] == ["there"] * 4
    server = await connect(login)
    assert await server.as_agent("alice").put("memory/alice/1", 1) == 1
    with pytest.raises(errors.AccessDenied):
        await server.as_agent("admin").get("memory/alice/1")

    more = await state.harden(login, agents=["alice", "bob"], tickets=True)
    assert _done(more)[2:] == [
        ("create_agent", "alice", "there"), ("delegate", "alice", "there"), ("create_agent", "bob", "done"),
        ("delegate", "bob", "done"), ("require_tickets", None, "done"),
    ]  # fmt: skip
    with pytest.raises(errors.AccessDenied):
        await server.as_agent("alice").get("memory/alice/1")
    ticket = await state.issue_ticket(login, "bob")
    assert await server.as_agent("bob", ticket=ticket).put("memory/bob/1", 1) == 1


@pytest.mark.every_version
async def test_to_a_login_for_each(state: State, connect: Connect, login_name: Callable[[str], str]) -> None:
    prefix, own = login_name("crew"), login_name("own")
    for name in ("_alice", "_bob"):
        # dropped after the test with the others
        login_name.__self__.logins.append(prefix + name)  # type: ignore[attr-defined]
    await state.create_agent("_alice")
    await state.create_agent("carol", own)
    steps = await state.harden(agents=["_alice", "_bob", "carol"], logins=True, prefix=prefix)
    assert [(step.action, step.login, step.state) for step in steps if step.action in ("create_role", "set_login")] == [
        ("create_role", prefix + "_alice", "done"), ("set_login", prefix + "_alice", "done"),
        ("create_role", prefix + "_bob", "done"), ("set_login", prefix + "_bob", "done"),
        ("create_role", own, "there"), ("set_login", own, "there"),
    ]  # fmt: skip
    again = await state.harden(agents=["_alice", "_bob", "carol"], logins=True, prefix=prefix)
    assert {step[2] for step in _done(again)} == {"there"}
    alice = await connect(prefix + "_alice")
    assert await alice.me() == "_alice"
    with pytest.raises(errors.AccessDenied):
        await alice.harden(logins=True)
    for wrong in ({}, {"gateway": own}, {"logins": True, "tickets": True}, {"gateway": "x", "logins": True}):
        with pytest.raises(errors.InvalidArgument):
            await state.harden(**wrong)
    # all or nothing
    with pytest.raises(errors.InvalidArgument):
        await state.harden(prefix + "_server", agents=["dave", "no/name"])
    assert "dave" not in [agent.name for agent in await state.agents()]


async def test_what_is_said_of_a_role_that_was_there(
    state: State, database: Database, login_name: Callable[[str], str]
) -> None:
    login, group = login_name("server"), login_name("group")
    database.sql(
        f"create role {login} login; create role {group}; revoke connect on database {database.name} from public"
    )
    for dry_run in (True, False):
        first, *_ = await state.harden(login, dry_run=dry_run)
        assert "It was there" in str(first.note) and "no password" not in str(first.note)
        assert "GRANT CONNECT" in str(first.note)
    first, *_ = await state.harden(login)
    assert (first.state, first.note) == ("there", "It may not connect: GRANT CONNECT ON DATABASE.")
    for said in ("It was there", "It may not log in: ALTER ROLE ... LOGIN."):
        first, *_ = await state.harden(group)
        assert said in str(first.note) and "It may not log in" in str(first.note)
    database.sql(f"grant connect on database {database.name} to {login}")
    first, *_ = await state.harden(login)
    assert first.note is None


def test_in_the_shell(dsn: str, database: Database, login_name: Callable[[str], str]) -> None:
    login = login_name("server")
    assert invoke("harden", dsn=dsn).code == 2
    plan = invoke("harden", "--gateway", login, "--member", "alice", "--dry-run", "--json", dsn=dsn)
    assert {json.loads(line)["state"] for line in plan.out.splitlines()} == {"to do", None}
    assert invoke("harden", "--gateway", login, "--member", "alice", dsn=dsn).code == 0
    assert invoke("put", "memory/alice/1", "1", "--agent", "alice", dsn=database.dsn(login)).code == 0
