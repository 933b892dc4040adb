"""Tickets: a gateway that has them acts for nobody else, whatever SQL is injected into it."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from _server import SUPERUSER
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds

_SETTINGS = ("agent", "call_agent", "call_agents")


@pytest.fixture
async def server(root: Caller, agent: MakeAgent, gateway: MakeAgent) -> Caller:
    for name in ("alice", "bob"):
        await agent(name, f"read {name}/**", f"write {name}/**")
        await root("put", f"{name}/1", name)
    made = await gateway("alice", "bob")
    await root("require_tickets", await made.fetchval("select session_user::text"))
    return made


async def _ticket(root: Caller, server: Caller, name: str, **named: object) -> str:
    return str(await root("issue_ticket", await server.fetchval("select session_user::text"), name, **named))


@pytest.mark.core
async def test_a_ticket_stands_for_its_agent_alone(root: Caller, server: Caller) -> None:
    ticket = await _ticket(root, server, "alice")
    assert await server("me", ticket) == "alice"
    assert (await server("get", "alice/1", agent=ticket))["value"] == "alice"
    assert (await server("put", "alice/2", 1, agent=ticket))["status"] == "ok"
    assert (await server.rows("write_many", ["put"], ["alice/3"], [1], agent=ticket))[0]["status"] == "ok"
    assert [row["key"] for row in await server.rows("list", agent=ticket)] == ["alice/1", "alice/2", "alice/3"]
    for call in ("get('bob/1'", "put('bob/1', '1'", "list('bob/*'"):
        await server.refuses("PS010", f"{call}, agent => '{ticket}')")
    async with server.transaction():
        await server.execute("select set_config('pgstate.agent', $1, true)", ticket)
        assert await server("me") == "alice"
    (version,) = await root.rows("history", "alice/2")
    assert version["writer"] == "alice"


@pytest.mark.core
async def test_mere_names_are_refused_wherever_they_stand(root: Caller, server: Caller) -> None:
    ticket = await _ticket(root, server, "alice")
    cursor = await server("cursor", agent=ticket)
    bob = "agent => 'bob'"
    calls = (f"me({bob})", f"get('bob/1', {bob})", f"put('bob/1', '1', {bob})", f"list({bob})", f"changes('{cursor}', {bob})",
             f"changes_for('{cursor}', array['bob'], array[''])", f"changes_for('{cursor}', array['alice', 'bob'], array['', ''])",
             f"changes_for('{cursor}', array['{ticket}', 'bob'], array['', ''])", "subscribe(array['bob'], array[''])")  # fmt: skip
    await server.refuses("PS010", *calls)
    for setting in _SETTINGS:
        for forged in ("bob", f"{ticket} bob"):
            await server.execute("select set_config($1, $2, false)", f"pgstate.{setting}", forged)
            await server.refuses("PS010", *calls, "me()", "get('bob/1')", "put('bob/1', '1')", "list()")
            assert await server("me", ticket) == "alice"
            await server.refuses("PS010", f"get('bob/1', agent => '{ticket}')")
        await server.execute("select set_config($1, '', false)", f"pgstate.{setting}")
    assert [row["version"] for row in await root.rows("history", "bob/1")] == [1]
    # views too, where somebody let a gateway have them
    await root.execute(f'grant pgstate_reader to "{await server.fetchval("select session_user")}"')
    for setting in _SETTINGS:
        async with server.transaction():
            await server.execute("select set_config($1, 'bob', true)", f"pgstate.{setting}")
            assert await server.fetch("select key from pgstate.entries") == []
    async with server.transaction():
        await server.execute("select set_config('pgstate.agent', $1, true)", ticket)
        assert [row[0] for row in await server.fetch("select key from pgstate.entries")] == ["alice/1"]


@pytest.mark.core
async def test_watches_of_several_agents(root: Caller, server: Caller) -> None:
    tickets = [await _ticket(root, server, name) for name in ("alice", "bob")]
    start = await server("cursor", agent=tickets[0])
    await root.rows("put_many", ["alice/1", "bob/1"], [2, 2])
    rows = await server.rows("changes_for", start, tickets, ["", "bob/*"])
    assert [(row["agent"], row["key"]) for row in rows] == [("alice", "alice/1"), ("bob", "bob/1"), (None, None)]
    rows = await server.rows("changes", start, agent=tickets[0])
    assert [row["key"] for row in rows] == ["alice/1", None]
    async with server.transaction():
        await server.execute("select set_config('pgstate.agent', $1, true)", tickets[1])
        assert [row["key"] for row in await server.rows("changes", start)] == ["bob/1", None]
    rows = await server.rows("changes_for", start, tickets[:1], [""])
    assert [(row["agent"], row["key"]) for row in rows] == [("alice", "alice/1"), (None, None)]
    channel = await server("subscribe", tickets, ["", "bob/*"])
    assert await server("subscribe", tickets, ["", "bob/*"], channel) == channel


@pytest.mark.core
async def test_forged_and_foreign_tickets(
    root: Caller, server: Caller, gateway: MakeAgent, session: MakeAgent, clock: Clock
) -> None:
    ticket = await _ticket(root, server, "alice")
    name, kind, key, until, signature = ticket.split("/")
    other = "0" if signature[0] != "0" else "1"
    for forged in (
        f"bob/{kind}/{key}/{until}/{signature}", f"alice/{kind}/{key}/{int(until) + 1}/{signature}", f"{name}/{kind}/{key}/{until}/{other}{signature[1:]}",
        f"alice/{kind}/99/{until}/{signature}", f"alice/t2/{key}/{until}/{signature}", f"{ticket}/", f"{ticket} ", "alice/", "/", "alice/t1///",
        f"alice/{kind}/{key}/{until}/", f"alice/{kind}/x/{until}/{signature}", f"alice/{kind}/{key}/9999999999999999/{signature}",
        f"alice/{kind}/{key}/{until}/{signature.upper()}",
    ):  # fmt: skip
        with refused("PS010"):
            await server("me", forged)
    # for the login that it was made for
    elsewhere = await gateway("alice")
    with refused("PS010"):
        await elsewhere("me", ticket)
    # as the RFC has it
    inside = await session(SUPERUSER)
    secret = bytes(byte ^ 0x36 for byte in await inside.fetchval("select inner_pad from pgstate.ticket_key"))
    number = await inside.fetchval("select id from pgstate.agent where name = 'alice'")
    signed = json.dumps(["t1", int(key), await server.fetchval("select session_user"), "alice", number, int(until)])
    assert signature == hmac.new(secret[:32], signed.encode(), hashlib.sha256).hexdigest()
    await clock.advance(301)
    with refused("PS010"):
        await server("me", ticket)
    # a delegation that was taken away is gone, ticket or not
    ticket = await _ticket(root, server, "bob")
    await root("undelegate", await server.fetchval("select session_user::text"), "bob")
    with refused("PS010"):
        await server("me", ticket)


async def test_a_ticket_is_not_for_the_next_of_that_name(root: Caller, server: Caller) -> None:
    ticket = await _ticket(root, server, "alice")
    await root("drop_agent", "alice")
    await root("create_agent", "alice", reuse=True)
    await root("delegate", await server.fetchval("select session_user::text"), "alice")
    with refused("PS010"):
        await server("me", ticket)
    assert await server("me", await _ticket(root, server, "alice")) == "alice"


@pytest.mark.core
async def test_keys_change(root: Caller, server: Caller, clock: Clock) -> None:
    old = await _ticket(root, server, "alice", ttl=seconds(7200))
    assert await root("rotate_ticket_keys") == 2
    new = await _ticket(root, server, "alice", ttl=seconds(7200))
    assert [await server("me", ticket) for ticket in (old, new)] == ["alice", "alice"]
    await clock.advance(3601)
    with refused("PS010"):
        await server("me", old)
    assert await server("me", new) == "alice"
    await root("rotate_ticket_keys", seconds(0))
    with refused("PS010"):
        await server("me", new)
    assert await server("me", await _ticket(root, server, "alice")) == "alice"


@pytest.mark.core
async def test_who_makes_tickets(root: Caller, server: Caller, agent: MakeAgent, session: MakeAgent) -> None:
    login = await server.fetchval("select session_user::text")
    alice = await session((await root.rows("agents"))[1]["login"])
    assert await alice("me") == "alice"
    assert await server("me", await alice("issue_ticket", login, "alice")) == "alice"
    await alice.refuses(
        "PS010", f"issue_ticket('{login}', 'bob')", f"require_tickets('{login}', false)", "rotate_ticket_keys()"
    )
    await server.refuses(
        "PS010", f"issue_ticket('{login}', 'alice')", f"require_tickets('{login}', false)", "rotate_ticket_keys()"
    )
    carol = await agent("carol")
    await root.refuses(
        "PS007", f"issue_ticket('{login}', 'carol')", f"issue_ticket('{login}', 'nobody')", "issue_ticket('nobody', 'alice')",
        f"issue_ticket('{login}', 'alice', '0')", f"issue_ticket('{login}', 'alice', '2 days')", "require_tickets('nobody')",
        f"require_tickets('{await carol.fetchval('select session_user')}')", f"require_tickets('{login}', null)", "rotate_ticket_keys('2 days')",
    )  # fmt: skip
    await root("require_tickets", login, False)
    assert await server("me", "alice") == "alice"
    # an agent's own login is who it is, ticket or not
    ticket = await root("issue_ticket", login, "alice")
    assert (await alice("me"), await server("me", ticket)) == ("alice", "alice")


async def test_spans_are_no_longer_by_their_fields(root: Caller, gateway: MakeAgent, agent: MakeAgent) -> None:
    """Comparing takes a month for 30 days, adding does not: this is a day, and 526 days from now."""
    await agent("alice")
    login = await (await gateway("alice")).fetchval("select session_user::text")
    long = "'1200 mon -35999 days'"
    await root.refuses("PS007", f"issue_ticket('{login}', 'alice', ttl => {long})", f"rotate_ticket_keys({long})")
    # nothing, and 525 days
    await root.refuses("PS007", "rotate_ticket_keys('1200 mon -36000 days')", "rotate_ticket_keys('-1 us')")
