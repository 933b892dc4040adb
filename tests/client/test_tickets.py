"""Tickets in Python: one process, several agents, none of them more than its ticket says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from client._cli import invoke
from client._promises import ids
from client._watching import GUARD, take
from client.conftest import Connect, MakeLogin
from conftest import Clock, Database
from pgstate import State, _hub, errors


async def _of_tickets(state: State, gateway: Connect, make_agent: MakeLogin) -> tuple[State, str]:
    """A gateway that acts for alice, by tickets alone, and its login."""
    await make_agent("alice", "read alice/**", "write alice/**")
    server = await gateway("alice")
    login = (await server.info()).login
    await state.require_tickets(login)
    return server, login


async def test_views_with_tickets(
    state: State, gateway: Connect, make_agent: MakeLogin, clock: Clock, database: Database
) -> None:
    for name in ("alice", "bob"):
        await make_agent(name, f"read {name}/**", f"write {name}/**")
    server = await gateway("alice", "bob")
    login = (await server.info()).login
    await state.require_tickets(login)
    with pytest.raises(errors.AccessDenied):
        await server.as_agent("alice").put("alice/1", 1)

    alice = server.as_agent("alice", ticket=await state.issue_ticket(login, "alice"))
    bob = server.as_agent("bob", ticket=await state.issue_ticket(login, "bob"))
    # gathered, each under its own
    assert (
        await asyncio.gather(
            *(alice.put(f"alice/{n}", n) for n in range(4)), *(bob.put(f"bob/{n}", n) for n in range(4))
        )
        == [1] * 8
    )
    with pytest.raises(errors.AccessDenied, match="agent alice may not get bob/1") as caught:
        await alice.get("bob/1")
    assert "/t1/" not in str(caught.value)
    async with alice.watch("alice/*") as hers, bob.watch("bob/*") as his:
        await alice.put("alice/1", 2)
        await bob.put("bob/1", 2)
        assert (ids(await take(hers, 1)), ids(await take(his, 1))) == ([("alice/1", 2)], [("bob/1", 2)])
    assert await alice.complete("alice/2", (await alice.claim("alice/2", lease=30)).token) == 2

    # given as the name, as in SQL and in the shell, it is not shown either
    ticket = await state.issue_ticket(login, "alice")
    given = server.as_agent(ticket)
    with pytest.raises(errors.AccessDenied, match="agent alice may not get bob/1") as caught:
        await given.get("bob/1")
    assert "/t1/" not in str(caught.value)
    async with given.watch("alice/*") as hers:
        await alice.put("alice/3", 2)
        assert ids(await take(hers, 1)) == [("alice/3", 2)]
    done = await asyncio.to_thread(invoke, "--agent", ticket, "get", "bob/1", dsn=database.dsn(login))
    assert done.code == 5 and "agent alice may not get bob/1" in done.err and "/t1/" not in done.err
    done = await asyncio.to_thread(invoke, "--agent", f"{ticket}0", "get", "bob/1", dsn=database.dsn(login))
    assert done.code == 5 and "/t1/" not in done.err

    await clock.advance(301)
    with pytest.raises(errors.AccessDenied):
        await alice.put("alice/1", 3)
    # a newer one serves the views that are there
    server.as_agent("alice", ticket=await state.issue_ticket(login, "alice", ttl=60))
    assert await alice.put("alice/1", 3) == 3
    assert (await alice.me(), (await alice.get("alice/1")).writer) == ("alice", "alice")
    with pytest.raises(errors.AccessDenied):
        await bob.get("bob/1")
    await state.rotate_ticket_keys(0)
    with pytest.raises(errors.AccessDenied):
        await alice.get("alice/1")
    with pytest.raises(errors.InvalidArgument):
        await state.issue_ticket(login, "alice", ttl=0)


async def test_a_ticket_in_a_transaction_of_the_callers(
    state: State, gateway: Connect, make_agent: MakeLogin, connect_as: Connect
) -> None:
    server, login = await _of_tickets(state, gateway, make_agent)
    alice = server.as_agent("alice", ticket=await state.issue_ticket(login, "alice"))
    connection = await connect_as(login)
    async with connection.transaction():
        assert await alice.bind(connection).put("alice/1", 1) == 1
    assert (await alice.get("alice/1")).value == 1


async def test_who_has_no_ticket_takes_nothing_from_who_has_one(
    state: State, gateway: Connect, make_agent: MakeLogin
) -> None:
    server, login = await _of_tickets(state, gateway, make_agent)
    before = await state.cursor()
    bare, alice = server.as_agent("alice"), server.as_agent("alice", ticket=await state.issue_ticket(login, "alice"))
    async with alice.watch("alice/*") as watch:
        waiting = asyncio.ensure_future(alice.claim_next("alice/*", wait=GUARD)._take())
        with pytest.raises(errors.AccessDenied):
            await bare.claim_next("alice/*")
        following = asyncio.ensure_future(take(watch, 1))
        # beside one that begins, and beside one that is read for her already
        for _ in range(2):
            with pytest.raises(errors.AccessDenied):
                await anext(bare.watch("alice/*", since=before))
        await alice.put("alice/1", 1)
        claim = await waiting
        assert claim is not None and claim.key == "alice/1"
        assert ids(await following) == [("alice/1", 1)]


async def test_a_bare_name_that_is_denied_ends_no_watch_of_who_has_a_ticket(
    state: State, gateway: Connect, make_agent: MakeLogin, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, login = await _of_tickets(state, gateway, make_agent)
    before = await state.cursor()
    alice = server.as_agent("alice", ticket=await state.issue_ticket(login, "alice"))
    asking, goes_on, ask = asyncio.Event(), asyncio.Event(), _hub._ask

    async def held(*args: Any, **options: Any) -> None:
        asking.set()
        await goes_on.wait()
        await ask(*args, **options)

    monkeypatch.setattr(_hub, "_ask", held)
    denied = asyncio.ensure_future(anext(server.as_agent("alice").watch("alice/*", since=before)))
    # the feed reader looks who it is that may not
    await asking.wait()
    following = asyncio.ensure_future(anext(alice.watch("alice/*", since=before)))
    while len(server._core.hub._joining) < 2:
        await asyncio.sleep(0.005)
    goes_on.set()
    with pytest.raises(errors.AccessDenied):
        await denied
    await alice.put("alice/1", 1)
    assert (await following).key == "alice/1"


def test_tickets_in_the_shell(dsn: str, database: Database, login_name: Callable[[str], str]) -> None:
    login = login_name("gateway")
    for command in (
        ("agents", "create", "alice"), ("agents", "create-gateway", login), ("agents", "delegate", login, "alice"),
        ("ticket", "require", login), ("ticket", "rotate", "--grace", "0"),
    ):  # fmt: skip
        assert invoke(*command, dsn=dsn).code == 0, command
    ticket = invoke("ticket", "issue", login, "alice", "--ttl", "1m", dsn=dsn).out.strip()
    through = database.dsn(login)
    assert invoke("put", "memory/alice/1", "1", "--agent", ticket, dsn=through).code == 0
    assert invoke("put", "memory/alice/1", "1", "--agent", "alice", dsn=through).code == 5
    assert invoke("ticket", "require", login, "--off", dsn=dsn).code == 0
    assert invoke("get", "memory/alice/1", "--agent", "alice", dsn=through).code == 0
