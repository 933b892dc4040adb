"""Policies, reducers and retention through the client and the shell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from pydantic import BaseModel

from client._cli import Result, invoke, lines
from client.conftest import Connect
from conftest import SUPERUSER, Clock, Database
from pgstate import Maintained, Policy, PolicySetting, State, _core, errors, ops
from pgstate.cli import _policies


class Finding(BaseModel):
    title: str
    pages: list[int] = []


class Scored(BaseModel):
    score: float = float("-inf")


async def test_a_schema_of_a_type_whose_default_is_no_json(state: State) -> None:
    await state.set_policy("a", schema=Scored)
    await state.put("a", {"score": 1.5})
    with pytest.raises(errors.SchemaViolation):
        await state.put("a", {"score": "high"})


async def test_policies_are_set_seen_explained_and_dropped(state: State, agent: Connect) -> None:
    await state.set_policy("a/**", reducer="append", ttl=60, keep=timedelta(days=2), value_limit=1000)
    await state.set_policy("a/b", schema=Finding, keep=3, ttl=timedelta(0), dead_letter="dead", claimed_writes=True)
    await state.set_policy("a/**", max_attempts=5, backoff=2)
    wide, near = await state.policies()
    assert isinstance(wide, Policy)
    assert (wide.subtree, wide.reducer, wide.ttl, wide.keep, wide.value_limit, wide.schema, wide.set_by) == (
        "a/**", "append", timedelta(seconds=60), "48:00:00", 1000, None, "admin",
    )  # fmt: skip
    assert (near.subtree, near.keep, near.schema) == ("a/b", "3 versions", Finding.model_json_schema())
    assert (wide.max_attempts, wide.backoff, wide.backoff_limit, wide.claimed_writes) == (
        5,
        timedelta(seconds=2),
        None,
        None,
    )
    assert (near.dead_letter, near.claimed_writes) == ("dead", True)
    assert await state.namespace("a").explain_policy("b") == [
        PolicySetting("reducer", "append", "a/**"), PolicySetting("ttl", "none", "a/b"), PolicySetting("keep", "3 versions", "a/b"),
        PolicySetting("value_limit", 1000, "a/**"), PolicySetting("schema", Finding.model_json_schema(), "a/b"),
        PolicySetting("max_attempts", 5, "a/**"), PolicySetting("backoff", "00:00:02", "a/**"), PolicySetting("backoff_limit", "00:05:00", None),
        PolicySetting("dead_letter", "dead", "a/b"), PolicySetting("claimed_writes", True, "a/b"), PolicySetting("guard", "refuse", None), PolicySetting("trust", None, None),
    ]  # fmt: skip
    await state.drop_policy("a/b", ["ttl"])
    assert (await state.explain_policy("a/b"))[1] == PolicySetting("ttl", "00:01:00", "a/**")
    await state.drop_policy("a/b")
    with pytest.raises(errors.InvalidArgument, match="no policy on a/b"):
        await state.drop_policy("a/b")
    assert (await state.explain_policy("a/b"))[4] == PolicySetting("schema", None, None)
    alice = await agent("alice", "admin a/b/**")
    await alice.set_policy("a/b/**", keep="everything")
    assert [policy.subtree for policy in await alice.policies()] == ["a/**", "a/b/**"]
    for call in (
        alice.set_policy("a/**", keep=1),
        alice.drop_policy("a/**"),
        alice.drop_policy("none"),
        alice.explain_policy("x"),
    ):
        with pytest.raises(errors.AccessDenied):
            await call


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({}, errors.InvalidArgument, "a policy sets something"),
        ({"keep": "some"}, errors.InvalidArgument, "invalid keep"),
        ({"keep": 0}, errors.InvalidArgument, "invalid keep"),
        ({"keep": timedelta(0)}, errors.InvalidArgument, "invalid keep"),
        ({"ttl": -1}, errors.InvalidArgument, "ttl is positive"),
        ({"reducer": "sum"}, errors.UnknownReducer, "unknown reducer 'sum'"),
        ({"value_limit": 1 << 40}, errors.InvalidArgument, "out of range"),
        ({"schema": {"pattern": "x"}}, errors.InvalidArgument, 'the keyword "pattern" is not supported'),
        ({"schema": timedelta(1)}, errors.InvalidArgument, "Pydantic has no JSON Schema"),
    ],
)
async def test_what_is_no_policy(state: State, settings: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        await state.set_policy("a", **settings)
    with pytest.raises(errors.InvalidPattern):
        await state.set_policy("a/*", keep=1)


async def test_reducers_are_registered_by_the_name_of_a_function(
    state: State, superuser_dsn: str, admin: asyncpg.Connection
) -> None:
    await admin.execute("create schema app; grant usage on schema app to pgstate_api")
    await admin.execute("create function app.last(a jsonb, b jsonb) returns jsonb language sql immutable as 'select b'")
    await state.register_reducer("last", "app.last")
    await state.register_reducer("last", "app.last(jsonb, jsonb)")
    await state.set_policy("a/**", reducer="last")
    with pytest.raises(errors.InvalidArgument, match="uses reducer last"):
        await state.drop_reducer("last")
    await state.drop_policy("a/**")
    await state.drop_reducer("last")
    for name in ("app.none", "none.last(jsonb, jsonb)", "app.last(text)"):
        with pytest.raises(errors.InvalidArgument, match="there is no such function"):
            await state.register_reducer("last", name)


async def test_maintaining_by_hand(state: State, clock: Clock) -> None:
    await state.set_policy("a/**", keep=1)
    for number in range(5):
        await state.put("a/x", number)
    assert await state.maintain() == Maintained("ok", 0, False)
    await clock.advance(7200)
    step = await state.maintain(1)
    assert (step.status, step.more) == ("ok", True)
    assert step.removed is not None and step.removed < 4
    with pytest.raises(errors.InvalidArgument):
        await state.maintain(0)


@pytest.mark.parametrize("watches", [False, True])
async def test_any_connected_client_maintains(
    connect: Connect, clock: Clock, monkeypatch: pytest.MonkeyPatch, watches: bool
) -> None:
    """One that watches as well; and while it is behind, it goes on with the next beat."""
    state = await connect()
    await state.set_policy("a/**", keep=1)
    for number in range(9):
        await state.put("a/x", number)
    assert (await state.maintain()).status == "ok"
    # not before: a mark that the client's own step makes among the writes would be the only one for this moment
    monkeypatch.setattr(_core, "_PULSE", 0.01)
    monkeypatch.setattr(_core, "STEP", 2)
    monkeypatch.setattr(state._core, "_step", 2)
    await clock.advance(7200)
    async with state.watch("b/**") as changes:
        if watches:
            reading = asyncio.ensure_future(anext(changes))
        async with asyncio.timeout(20):
            while len(await state.history("a/x")) > 1:
                await asyncio.sleep(0.005)
        if watches:
            await state.put("b/x", 1)
            assert (await reading).key == "b/x"


async def test_a_client_that_may_not_is_not_disturbed(
    connect: Connect, connect_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The pulse goes on after a failure, here for want of the function."""
    monkeypatch.setattr(_core, "_PULSE", 0.01)
    monkeypatch.setattr(_core, "_MAINTAIN", 1)
    await (await connect_as(SUPERUSER)).execute("alter function pgstate._maintain(int, int) rename to _gone")
    caplog.set_level("INFO", "pgstate")
    state = await connect()
    async with asyncio.timeout(20):
        while sum("no retention" in record.message for record in caplog.records) < 2:
            await asyncio.sleep(0.005)
    assert await state.put("k", 1) == 1


# -- the shell


@pytest.fixture
def ok(dsn: str) -> Callable[..., str]:
    def run(*args: str, stdin: str = "") -> str:
        result = invoke(*args, dsn=dsn, stdin=stdin)
        assert (result.code, result.err) == (0, ""), result
        return result.out

    return run


def test_policies_in_the_shell(ok: Callable[..., str], dsn: str) -> None:
    def fails(*args: str) -> Result:
        return invoke(*args, dsn=dsn)

    assert ok("policy") == ""
    assert ok("policy", "set", "a/**", "--keep", "100 versions", "--ttl", "90s", "--reducer", "add") == "a/**\n"
    ok("policy", "set", "a/b", "--schema", "-", "--value-limit", "500", "--guard", "redact", stdin='{"type": "number"}')
    assert (
        ok("policy", "ls")
        == ok("policy")
        == 'a/**\tadd\t90.0\t100 versions\t\t\t\t\t\t\na/b\t\t\t\t500\t{"type":"number"}\t\t\tredact\t\n'
    )
    (wide, near) = lines(ok("policy", "ls", "--json"))
    assert (wide["set_by"], wide["schema"], near["schema"]) == ("admin", None, {"type": "number"})
    assert ok("policy", "explain", "a/b").splitlines() == [
        'reducer\t"add"\ta/**', 'ttl\t"00:01:30"\ta/**', 'keep\t"100 versions"\ta/**', "value_limit\t500\ta/b",
        'schema\t{"type":"number"}\ta/b', "max_attempts\t\t", 'backoff\t"00:00:01"\t', 'backoff_limit\t"00:05:00"\t',
        "dead_letter\t\t", "claimed_writes\tfalse\t", 'guard\t"redact"\ta/b', "trust\t\t",
    ]  # fmt: skip
    ok("policy", "rm", "a/**", "ttl", "keep")
    assert lines(ok("policy", "explain", "a/b", "--json"))[1] == {"setting": "ttl", "value": None, "subtree": None}
    ok("policy", "rm", "a/**")
    bad = fails("policy", "set", "a/**", "--schema", '{"pattern": "x"}')
    assert (bad.code, bad.out) == (2, "")
    assert 'the keyword "pattern" is not supported' in bad.err
    for args in (["set", "a/**"], ["set", "a/*", "--keep", "1"], ["set", "a", "--schema", "{"], ["set", "a", "--keep", "x"],
                 ["set", "a", "--ttl", "soon"], ["rm", "a/**"], ["rm", "a/b", "colour"], ["explain", "a/**"]):  # fmt: skip
        assert fails("policy", *args).code == 2, args
    ok("agents", "create", "alice")
    for args in (["set", "a/**", "--keep", "1"], ["rm", "a/b"], ["rm", "none"], ["explain", "a/b"]):
        assert fails("policy", *args, "--agent", "alice").code == 5, args
    assert ok("policy", "--agent", "alice") == ""


async def test_maintain_in_the_shell(
    ok: Callable[..., str],
    state: State,
    clock: Clock,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_policies, "_PATIENCE", 0.0)
    await state.set_policy("a/**", keep=1)
    for number in range(5):
        await state.put("a/x", number)
    assert await asyncio.to_thread(ok, "maintain") == "ok\t0\n"
    await clock.advance(7200)
    assert json.loads(await asyncio.to_thread(ok, "maintain", "--json")) == {"status": "ok", "removed": 4}
    async with admin.transaction():
        await admin.execute("select pgstate.set_policy('b', keep => '1')")
        assert await asyncio.to_thread(ok, "maintain") == "busy\t\n"
    assert await asyncio.to_thread(ok, "maintain") == "ok\t0\n"


async def test_the_shell_goes_on_when_a_client_has_had_its_turn(
    database: Database, clock: Clock, connect_as: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # no client of this process is connected, which would have turns of its own
    other = await connect_as()
    await other.execute("select pgstate.set_policy('k', keep => '1 version')")
    for _ in range(3):
        await other.execute("select pgstate.put('k', '1')")
    await other.execute("select pgstate.maintain()")
    await clock.advance(7200)
    turn = other.transaction()
    await turn.start()
    await other.execute("select pgstate.maintain(1)")
    paused = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def pause(_: float) -> None:
        loop.call_soon_threadsafe(paused.set)

    monkeypatch.setattr(_policies, "asyncio", SimpleNamespace(sleep=pause))
    running = asyncio.create_task(asyncio.to_thread(invoke, "maintain", dsn=database.dsn()))
    await asyncio.wait([asyncio.create_task(paused.wait()), running], return_when=asyncio.FIRST_COMPLETED)
    await turn.rollback()
    assert (await running).out == "ok\t2\n"
    # who is at it for long is left to it
    monkeypatch.setattr(_policies, "_PATIENCE", 0.0)
    async with other.transaction():
        await other.execute("select pgstate.maintain(1)")
        assert (await asyncio.to_thread(invoke, "maintain", dsn=database.dsn())).out == "busy\t\n"


async def test_steps_that_take_longer_than_a_statement_may_become_smaller(
    state: State, database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """As where its login has a statement_timeout, or the disk is slow: of neither anything would go, each time."""
    await state.set_policy("k", keep=1)
    for _ in range(4):
        await state.put_many([ops.put("k", n) for n in range(100)])
    await state.maintain()
    await clock.advance(7200)
    database.sql(
        "create function slow() returns trigger language plpgsql as $$begin"
        "  if (select count(*) from gone) > 120 then raise 'too slow' using errcode = 'query_canceled'; end if; return null; end$$;"
        "create trigger slow after delete on pgstate.version referencing old table as gone for each statement execute function slow()"
    )
    caplog.set_level("INFO", "pgstate")
    for _ in range(3):
        assert await state._core._maintain()
    assert [record.getMessage() for record in caplog.records].count("no retention: too slow") == 2
    left = "select count(*) from pgstate.version where key = 'k'"
    assert database.sql(left) < [(400,)]
    assert (await asyncio.to_thread(invoke, "maintain", dsn=database.dsn())).code == 0
    assert database.sql(left) == [(1,)]
