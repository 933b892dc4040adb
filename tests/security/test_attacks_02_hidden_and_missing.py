"""Attacks 2, 3 and 26: hidden and missing, told apart by any function that an agent may execute.

The functions are those of the catalogue, the key is put into each of their arguments that names one, with each optional
argument besides, as an agent with a login of its own and through a gateway.
"""

from __future__ import annotations

import pytest

from conftest import Clock
from security._calls import Function, cost, functions_for_agents, outcome
from sql._caller import Caller, MakeAgent, refused, seconds

# What is there and hidden, or may only be written. No grant lies between it and what is not there.
THERE = ("value", "claim", "thred", "a-run", "exprd", "gone_")
TOKEN = 5
# They answer alike for what the caller may not reach, and deny nothing.
QUIET = {
    ("cancelled_runs", "keys"), ("changes_for", "patterns"), ("list", "after"), ("list_as_of", "after"),
    ("namespaces", "matching"), ("report_denial", "key"), ("runs", "after"), ("search", "after"), ("subscribe", "patterns"), ("tasks", "after"), ("threads", "after"),
    ("checkpoints", "after_key"), ("touch", "keys"), ("unembedded", "after"), ("wake", "keys"),
}  # fmt: skip


@pytest.fixture
async def victim(root: Caller, clock: Clock) -> Caller:
    for area in ("hid", "wo"):
        await root.rows("put_many", [f"{area}/{name}" for name in ("value", "claim", "gone_")], ["s3cr3t"] * 3)
        await root("claim", f"{area}/claim", seconds(600))
        await root(
            "save_checkpoint",
            f"{area}/thred",
            ["a"],
            ["json"],
            [b'"s3cr3t"'],
            id="c1",
            run_id="r1",
            metadata={"run_id": "r1"},
        )
        await root("start_run", f"{area}/a-run", seconds(600), "flow")
        await root("put", f"{area}/exprd", "s3cr3t", ttl=seconds(1))
        await root("delete", f"{area}/gone_")
    await clock.advance(5)
    return root


@pytest.fixture
async def mallory(victim: Caller, attacker: MakeAgent) -> Caller:
    caller = await attacker("mallory", "read rw/**", "write rw/**", "read ro/**", "write wo/**")
    await victim("put", "rw/mine", 1)
    # the token that the calls give: so that what comes after it is asked for too
    assert (await caller("claim", "rw/mine", seconds(6000)))["token"] == TOKEN
    return caller


def _denies(said: str) -> bool:
    return said.startswith("PS010") or "'denied'" in said or "'PS010'" in said


def _statement(function: Function, call: str) -> str:
    return f"call {call}" if function.procedure else f"select * from {call}"


@pytest.mark.every_version
async def test_02_hidden_and_missing_give_the_same_answer(mallory: Caller) -> None:
    await _answer_alike(mallory)


async def test_02_what_is_denied_within_a_grant_is_hidden_alike(victim: Caller, attacker: MakeAgent) -> None:
    caller = await attacker("mallory", "read **", "write **")
    for subtree in ("hid/**", "hie/**"):
        for right in ("read", "write"):
            await victim("deny_access", "mallory", subtree, right)
    await victim("put", "rw/mine", 1)
    assert (await caller("claim", "rw/mine", seconds(6000)))["token"] == TOKEN
    await _answer_alike(caller)


async def _answer_alike(mallory: Caller) -> None:
    seen, told = set(), []
    for function in await functions_for_agents(mallory):
        for argument, besides, call in function.calls():
            statement = _statement(function, call)
            missing = await outcome(mallory, statement.format("hie/value"), "hie/value")
            if besides == "" and ((function.name, argument) in QUIET) == _denies(missing):
                told.append((call, missing))
            for name in THERE[:: 1 if besides == "" else 3]:
                hidden = await outcome(mallory, statement.format(f"hid/{name}"), f"hid/{name}")
                if hidden != missing:
                    told.append((call, name, hidden, missing))
            seen.add((function.name, argument, besides))
    assert not told, "\n".join(map(str, told))
    assert len(seen) > 300 and {(name, argument) for name, argument, _ in seen} >= QUIET


async def test_03_explain_analyze_shows_the_same_of_hidden_and_missing(mallory: Caller) -> None:
    told = []
    for function in await functions_for_agents(mallory):
        for _, besides, call in function.calls():
            if besides or function.procedure:
                continue
            for name in THERE:
                # the server tidies a page now and then: a difference is there every time
                for _ in range(3):
                    missing = await cost(mallory, call.format("hie/value"))
                    if (hidden := await cost(mallory, call.format(f"hid/{name}"))) == missing:
                        break
                else:
                    told.append((call, name, hidden, missing))
    assert not told, "\n".join(map(str, told))


async def test_26_a_write_only_grant_does_not_tell_what_is_there(mallory: Caller) -> None:
    """What is refused for want of the right to read is refused alike; and a lone write gives no version."""
    refusals, told = set(), []
    for function in await functions_for_agents(mallory):
        for argument, besides, call in function.calls():
            statement = _statement(function, call)
            missing = await outcome(mallory, statement.format("wo/fresh"), "wo/fresh")
            if _denies(missing):
                refusals.add((function.name, argument, besides))
                for name in THERE[:: 1 if besides == "" else 3]:
                    there = await outcome(mallory, statement.format(f"wo/{name}"), f"wo/{name}")
                    if there != missing:
                        told.append((call, name, there, missing))
    assert not told, "\n".join(map(str, told))
    for needs_read in (("put", "key", "expect"), ("put", "key", "expect_value"), ("get", "key", ""), ("claim", "key", ""),
                       ("write_many", "keys", "expects"), ("history", "key", ""), ("run_steps", "key", ""), ("get_checkpoint", "key", "")):  # fmt: skip
        assert needs_read in refusals
    for expect in (0, 1, 2):
        with refused("PS010"):
            await mallory("put", "wo/value", 1, expect=expect)
    assert dict(await mallory("put", "wo/value", 1)) == dict(await mallory("put", "wo/fresh", 1))
