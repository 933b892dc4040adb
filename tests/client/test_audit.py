"""The audit trail in Python and in the shell."""

from __future__ import annotations

import asyncio
import json

import pytest

from client._cli import invoke
from client.conftest import Connect
from pgstate import State, errors


async def _told(state: State, count: int) -> list[tuple[str | None, str | None, str]]:
    """What clients have told of denials, when they have: they do it in the background."""
    async with asyncio.timeout(30):
        while len(found := await state.audit(events=["denied"])) < count:
            await asyncio.sleep(0)
    return [(record.agent, record.key, record.detail["asked"]) for record in reversed(found)]


async def test_denials_that_were_raised_are_told_afterwards(state: State, agent: Connect, gateway: Connect) -> None:
    alice = await agent("alice", "write mine/**")
    for call in (alice.get("hid/1"), alice.list("hid/*"), alice.create_agent("eve"), alice.grant_access("alice", "hid/**", "read")):  # fmt: skip
        with pytest.raises(errors.AccessDenied):
            await call
    assert sorted(await _told(state, 4), key=str) == [
        ("alice", "hid/*", "list hid/*"), ("alice", "hid/**", "grant_access"), ("alice", "hid/1", "get hid/1"), ("alice", None, "create_agent"),
    ]  # fmt: skip
    server = (await gateway("alice")).as_agent("bob")
    with pytest.raises(errors.AccessDenied):
        await server.get("hid/2")
    record = (await _told(state, 5), (await state.audit(events=["denied"], limit=1))[0])[1]
    assert (record.agent, record.key, record.detail["named"]) == (None, "hid/2", "bob")


async def test_a_denied_write_is_recorded_once(state: State, agent: Connect) -> None:
    alice = await agent("alice", "write mine/**")
    with pytest.raises(errors.AccessDenied):
        await alice.put("hid/1", 1)
    # closing waits for what is told in the background
    await alice.close()
    assert await _told(state, 1) == [("alice", "hid/1", "write")]


async def test_a_flood_of_denials_is_told_in_part(state: State, agent: Connect) -> None:
    alice = await agent("alice")
    for _ in range(40):
        with pytest.raises(errors.AccessDenied):
            await alice.get("hid/1")
    await alice.close()
    assert 10 <= len(await _told(state, 10)) < 40


async def test_in_a_transaction_of_the_callers_nothing_is_told(
    state: State, agent: Connect, connect_as: Connect
) -> None:
    alice = await agent("alice")
    connection = await connect_as((await alice.info()).login)
    with pytest.raises(errors.AccessDenied):
        await alice.bind(connection).get("hid/1")
    await alice.close()
    assert await state.audit(events=["denied"]) == []


async def test_the_trail_is_verified(state: State) -> None:
    await state.create_agent("alice")
    await state.set_audit_chain("**")
    await state.grant_access("alice", "a/**", "read")
    check = await state.verify_audit("**")
    assert (check.sound, check.links, check.waiting, check.active) == (True, 2, 0, True)
    assert (await state.verify_audit("**", check.head)).sound
    await state.set_audit(keep=86400 * 365)
    (record,) = await state.namespace("a").audit()
    assert (record.event, record.key, record.detail) == ("grant", "a/**", {"agent": "alice", "right": "read"})
    with pytest.raises(errors.InvalidArgument):
        await state.verify_audit("b/**")


def test_the_trail_in_the_shell(dsn: str) -> None:
    invoke("agents", "create", "alice", dsn=dsn)
    assert invoke("audit", "chain", "**", dsn=dsn).code == 0
    invoke("grant", "alice", "a/**", "read", dsn=dsn)
    shown = [json.loads(line) for line in invoke("audit", "ls", "a/**", "--json", dsn=dsn).out.splitlines()]
    assert [(row["event"], row["key"], row["detail"]) for row in shown] == [
        ("grant", "a/**", {"agent": "alice", "right": "read"})
    ]
    assert "create_agent" in invoke("audit", dsn=dsn).out
    assert invoke("audit", "ls", "--event", "revoke", dsn=dsn).out == ""
    check = json.loads(invoke("audit", "verify", "**", "--json", dsn=dsn).out)
    assert check["sound"] is True
    bad = invoke("audit", "verify", "**", "--noted", f"1:{'0' * 64}", dsn=dsn)
    assert bad.code == 1 and "not the one that was noted" in bad.err
    assert invoke("audit", "keep", dsn=dsn).code == 2
    assert invoke("audit", "keep", "400d", dsn=dsn).code == 0
    assert invoke("audit", "keep", "--forever", dsn=dsn).code == 0
    assert invoke("audit", "chain", "**", "--off", dsn=dsn).code == 0
