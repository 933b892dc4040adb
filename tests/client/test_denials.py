"""What a denial says: who was denied what, which the caller knows, and never what is there."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from client.conftest import Connect, MakeLogin
from conftest import Database
from pgstate import State, errors, ops

# by what they ask: the words for it, the rights that it takes, and the call
CALLS: list[tuple[str, str, Callable[[State, str], Awaitable[Any]]]] = [
    ("get {key}", "read", lambda state, key: state.get(key)),
    ("get {key}", "read", lambda state, key: state.get_many(["mine/x", key])),
    ("list {key}", "read", lambda state, key: state.list(key)),
    ("see the history of {key}", "read", lambda state, key: state.history(key)),
    ("see changes of {key}", "read", lambda state, key: _changes(state, key)),
    ("watch {key}", "read", lambda state, key: anext(state.watch(key))),
    ("watch {key}", "read", lambda state, key: anext(state.watch(key, initial=True))),
    ("watch {key}", "read", lambda state, key: state.watch(key).__aenter__()),
    ("list claims of {key}", "read", lambda state, key: state.claims(key)),
    ("put {key}", "write", lambda state, key: state.put(key, 1)),
    ("put {key}", "read and write", lambda state, key: state.put(key, 1, expect=0)),
    ("put {key}", "read and write", lambda state, key: state.put(key, 1, expect_value=None)),
    ("put {key}", "read and write", lambda state, key: state.put(key, 1, token=1)),
    ("merge {key}", "write", lambda state, key: state.merge(key, 1, "add")),
    ("merge {key}", "read and write", lambda state, key: state.merge(key, 1, "add", return_value=True)),
    ("delete {key}", "write", lambda state, key: state.delete(key)),
    ("complete {key}", "read and write", lambda state, key: state.complete(key, 1)),
    ("get {key}", "read", lambda state, key: state.update(key, lambda value: value)),
    ("claim {key}", "read and write", lambda state, key: state.claim(key)),
    ("claim any of {key}", "read and write", lambda state, key: state.claim_next(key)),
    ("claim any of {key}", "read and write", lambda state, key: state.claim_next(key, wait=1)),
    ("renew a claim of {key}", "read and write", lambda state, key: state.renew(key, 1)),
    ("release {key}", "read and write", lambda state, key: state.release(key, 1)),
    (
        "apply that to mine/x, {key}",
        "write, and read for what it compares",
        lambda state, key: state.apply(guards=[ops.absent("mine/x")], operations=[ops.put(key, 1)]),
    ),
    ("roll back {key}", "read and write", lambda state, key: state.rollback(key, 1)),
    ("roll back {key}", "read and write", lambda state, key: state.rollback(key, 1, dry_run=True)),
    ("see the policies for {key}", "read or write", lambda state, key: state.explain_policy(key)),
    ("set the policy on {key}", "admin", lambda state, key: state.set_policy(key, ttl=1)),
    ("drop the policy on {key}", "admin", lambda state, key: state.drop_policy(key)),
    ("load {key}/a", "read", lambda state, key: state.typed(Counted, key).load()),
    ("watch {key}/a", "read", lambda state, key: anext(state.typed(Counted, key).watch())),
    ("watch {key}/a", "read", lambda state, key: state.typed(Counted, key).watch().__aenter__()),
    ("see changes of {key}/a", "read", lambda state, key: _differences(state, key)),
    ("run {key}/a", "read and write", lambda state, key: state.runs.start(f"{key}/a", "w")),
    ("merge {key}/a", "write", lambda state, key: state.typed(Counted, key).update(a=1)),
    ("put {key}/a", "write", lambda state, key: state.typed(Counted, key).set({"a": 1})),
]


async def _differences(state: State, key: str) -> Any:
    cursor = await state.cursor()
    return await state.typed(Counted, key).diff(cursor, cursor)


class Counted(TypedDict):
    a: Annotated[int, operator.add]


async def _changes(state: State, key: str) -> Any:
    return await state.changes(await state.cursor(), key)


async def denial(call: Awaitable[Any]) -> str:
    with pytest.raises(errors.AccessDenied) as caught:
        await call
    assert caught.value.__cause__ is not caught.value
    return str(caught.value)


async def test_it_names_the_agent_and_what_it_asked(agent: Connect, state: State) -> None:
    alice = await agent("alice", "read mine/**", "write mine/**")
    await state.put_many({"hidden/there": 1, "hidden/held": 1})
    await state.claim("hidden/held")
    for what, needs, call in CALLS:
        said = {key: await denial(call(alice, key)) for key in ("hidden/there", "hidden/held", "hidden/none")}
        for key, text in said.items():
            assert f"agent alice may not {what.format(key=key)}, which takes {needs}:" in text
            assert "login" not in text
        # what is there makes no difference
        assert len({text.replace(key, "") for key, text in said.items()}) == 1


async def test_keys_are_named_in_full(agent: Connect) -> None:
    alice = await agent("alice")
    home = alice.namespace("hidden")
    assert "may not get hidden/x," in await denial(home.get("x"))
    assert "may not list hidden/*/**," in await denial(home.list())
    many = [f"{n}" for n in range(7)]
    assert "hidden/0, hidden/1, hidden/2, hidden/3, hidden/4 and 2 more," in await denial(anext(home.watch(many)))
    (result,) = await home.put_many({"x": 1})
    assert result.status == "denied" and "alice may not put hidden/x" in (result.message or "")


async def test_a_gateway_learns_whom_it_named(gateway: Connect, make_agent: MakeLogin, state: State) -> None:
    for name in ("alice", "bob"):
        await make_agent(name, "read shared/**")
    shared = await gateway("alice")
    login = (await shared.info()).login
    said = await denial(shared.as_agent("alice").get("hidden/x"))
    assert said.startswith("access denied: agent alice may not get hidden/x, which takes read:")
    # whether there is such an agent is not told
    texts = {
        name: [
            await denial(call)
            for call in (view.get("shared/x"), view.me(), view.cursor(), view.agents(), view.grants())
        ]
        for name, view in ((name, shared.as_agent(name)) for name in ("bob", "nobody"))
    }
    assert texts["nobody"] == [text.replace("bob", "nobody") for text in texts["bob"]]
    for text in texts["bob"]:
        assert f"login {login} may not act for bob, or not without a ticket, or there is no such agent" in text
    assert "as_agent" in await denial(shared.get("shared/x"))


async def test_connecting_says_what_is_missing(
    connect: Connect, make_agent: MakeLogin, database: Database, login_name: Callable[[str], str]
) -> None:
    own = await make_agent("alice", login=True)
    assert own is not None
    for name in ("admin", "nobody"):
        said = await denial(connect(own, agent=name))
        assert (
            said
            == f"access denied: this login may not act for agent {name}, or not without a ticket, or there is no such agent"
        )
    member, stranger = login_name("member"), login_name("stranger")
    database.sql(f'create role "{member}" login in role pgstate_agent; create role "{stranger}" login')
    for login in (member, stranger):
        assert "login is not registered with pgstate" in await denial(connect(login))


async def test_where_policies_may_not_be_applied_says_so(connect: Connect, database: Database) -> None:
    database.sql(f'alter database "{database.name}" set row_security = off')
    said = await denial((await connect()).get("k"))
    assert "row_security is off for this login or database" in said and "not registered" not in said


async def test_a_login_that_was_dropped_meanwhile(agent: Connect, state: State) -> None:
    alice = await agent("alice")
    login = (await alice.info()).login
    await state.drop_agent("alice")
    assert (
        await denial(alice.me()) == f"access denied: agent alice may not act: login {login} is not registered any more"
    )
    assert "agent alice may not get memory/alice/x" in await denial(alice.get("memory/alice/x"))


async def test_administration_names_the_login_and_where_it_needs_admin(
    agent: Connect, state: State, login_name: Callable[[str], str]
) -> None:
    alice = await agent("alice", "admin team/**")
    login = (await alice.info()).login
    assert await denial(alice.create_agent("bob")) == (
        f"access denied: login {login} may not create_agent('bob', None, False), which takes admin on everything"
    )
    for call in (alice.grant_access, alice.revoke_access):
        assert "which takes admin on other/**" in await denial(call("alice", "other/**", "read"))
    assert "drop_agent('admin'), which takes admin on everything" in await denial(alice.drop_agent("admin"))
    await state.grant_access("alice", "**", "admin")
    said = await denial(alice.create_agent("bob", login_name("bob")))
    assert f"login {login} may not create_agent('bob'" in said and "CREATEROLE" in said
    assert "not registered" not in said
