"""Claims: who is next, leases on the movable clock, fencing tokens."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Clock
from sql._caller import Caller, MakeAgent, seconds


async def _next(caller: Caller, pattern: str = "t/*", lease: float = 60) -> Any:
    return await caller("claim_next", pattern, seconds(lease))


async def _worker(agent: MakeAgent, name: str) -> Caller:
    return await agent(name, "read t/**", "write t/**")


@pytest.mark.core("every case")
@pytest.mark.parametrize("pattern", ["t/*", "t/**", "t/?", "**/?"])
async def test_the_highest_priority_then_the_oldest_comes_first(root: Caller, pattern: str) -> None:
    for key, priority in (("t/c", None), ("t/a", None), ("t/b", 5), ("t/d", -1), ("t/e", 5)):
        await root("put", key, key, priority=priority)
    await root("put", "t/a", "again")  # still as old as it was
    taken = [await _next(root, pattern) for _ in range(6)]
    assert [c["key"] for c in taken] == ["t/b", "t/e", "t/c", "t/a", "t/d", None]
    assert [c["status"] for c in taken] == ["ok"] * 5 + ["missing"]
    assert taken[3]["value"] == "again" and taken[3]["version"] == 2
    tokens = [c["token"] for c in taken[:5]]
    assert tokens == sorted(set(tokens))
    assert all(c["attempts"] == 1 for c in taken[:5])


@pytest.mark.core
async def test_a_claim_makes_no_version_and_breaks_no_expect(root: Caller, agent: MakeAgent) -> None:
    worker = await _worker(agent, "worker")
    await root("put", "t/a", 1)
    cursor = await root("cursor")
    claim = await _next(worker)
    assert (await worker("renew", "t/a", claim["token"], seconds(60)))["status"] == "ok"
    assert (await root("get", "t/a"))["version"] == 1
    assert [c["op"] for c in await root.rows("changes", cursor)] == ["bookmark"]
    assert await worker("put", "t/a", 2, expect=1, token=claim["token"]) == ("ok", 2, None)
    assert (await worker("release", "t/a", claim["token"]))["status"] == "ok"
    assert [v["op"] for v in await root.rows("history", "t/a")] == ["put", "put"]


@pytest.mark.core
@pytest.mark.parametrize("pattern", ["t/*", "t/**"])
async def test_not_before_is_waited_for(root: Caller, clock: Clock, pattern: str) -> None:
    await root("put", "t/later", 1, not_before=await clock.now() + seconds(100), priority=9)
    await root("put", "t/now", 1)
    assert (await _next(root, pattern, lease=1000))["key"] == "t/now"
    missing = await _next(root, pattern)
    assert missing["status"] == "missing"
    assert seconds(0) < missing["retry_in"] <= seconds(100)
    await clock.advance(101)
    assert (await _next(root, pattern))["key"] == "t/later"


@pytest.mark.core
async def test_an_ended_lease_is_taken_over_and_the_old_token_never_writes(
    root: Caller, agent: MakeAgent, clock: Clock
) -> None:
    first, second = await _worker(agent, "first"), await _worker(agent, "second")
    await root("put", "t/a", 1)
    old = await _next(first, lease=30)
    held = await second("claim", "t/a", seconds(30))
    assert (held["status"], held["version"], held["token"], held["value"]) == ("held", 1, None, None)
    assert seconds(0) < held["retry_in"] <= seconds(30)
    waiting = await _next(second)
    assert waiting["status"] == "missing" and seconds(0) < waiting["retry_in"] <= seconds(30)
    await clock.advance(31)
    # nobody took it over yet, and still the token is worth nothing
    assert (await first("renew", "t/a", old["token"], seconds(30)))["status"] == "stale"
    assert (await first("put", "t/a", 2, token=old["token"]))["status"] == "stale"
    new = await _next(second)
    assert (new["key"], new["attempts"]) == ("t/a", 2)
    assert new["token"] > old["token"]
    for stale in (
        await first("put", "t/a", 2, token=old["token"]),
        await first("merge", "t/a", 1, "add", token=old["token"]),
        await first("delete", "t/a", token=old["token"]),
        await first("complete", "t/a", old["token"]),
        (await first.rows("put_many", ["t/a"], [2], tokens=[old["token"]]))[0][1:4],
        (await first.rows("delete_many", ["t/a"], tokens=[old["token"]]))[0][1:4],
    ):
        assert stale == ("stale", 1, 1)
    for function, *more in (("renew", seconds(5)), ("release",)):
        assert (await first(function, "t/a", old["token"], *more))["status"] == "stale"
    assert (await root("get", "t/a"))["version"] == 1
    assert await second("complete", "t/a", new["token"]) == ("ok", 2, None)


@pytest.mark.core
async def test_what_is_held_is_written_with_the_token_only(root: Caller, agent: MakeAgent) -> None:
    worker, other = await _worker(agent, "worker"), await _worker(agent, "other")
    await root("put", "t/a", 1)
    token = (await _next(worker))["token"]
    # the holder without the token, another agent, another agent with the holder's token
    for caller in (worker, other, root):
        assert await caller("put", "t/a", 2) == ("held", 1, 1)
        assert await caller("merge", "t/a", 2, "add") == ("held", 1, 1)
        assert await caller("delete", "t/a") == ("held", 1, 1)
    for caller in (other, root):
        assert await caller("put", "t/a", 2, token=token) == ("stale", 1, 1)
        assert await caller("complete", "t/a", token) == ("stale", 1, 1)
        assert (await caller("renew", "t/a", token, seconds(9)))["status"] == "stale"
        assert (await caller("release", "t/a", token))["status"] == "stale"
        assert (await caller.rows("apply", [{"key": "t/a", "token": token}], []))[0]["status"] == "stale"
    assert await worker("put", "t/a", 2, token=token) == ("ok", 2, None)
    assert await worker("merge", "t/a", 2, "add", token=token) == ("ok", 3, None)
    # a token is good for its own key
    await root("put", "t/b", 1)
    assert (await worker("put", "t/b", 2, token=token))["status"] == "stale"
    assert await worker("delete", "t/a", token=token) == ("ok", 4, None)
    assert await worker("put", "t/a", 2, token=token) == ("stale", 0, None)
    assert await other("put", "t/a", 2) == ("ok", 5, None)


@pytest.mark.core
async def test_release_gives_back_and_complete_removes(root: Caller, agent: MakeAgent) -> None:
    worker = await _worker(agent, "worker")
    await root("put", "t/a", 1)
    first = await _next(worker)
    assert (await worker("release", "t/a", first["token"]))["status"] == "ok"
    # asked again, as after a lost reply
    assert (await worker("release", "t/a", first["token"]))["status"] == "ok"
    assert await root("put", "t/a", 2) == ("ok", 2, None)
    second = await _next(root)
    assert (second["attempts"], second["value"]) == (2, 2)
    assert second["token"] > first["token"]
    assert await root("complete", "t/a", second["token"]) == ("ok", 3, None)
    (version, *_) = await root.rows("history", "t/a")
    assert (version["op"], version["value"]) == ("complete", None)
    assert (await root("complete", "t/a", second["token"]))["status"] in ("stale", "missing")
    # attempts count since the entry was created
    await root("put", "t/a", 1)
    assert (await _next(root))["attempts"] == 1
    # once more with an op_id, as a worker does whose reply was lost
    await root("put", "t/b", 1)
    token = (await _next(root))["token"]
    for _ in range(2):
        assert await root("complete", "t/b", token, op_id="done") == ("ok", 2, None)


async def test_renew_counts_from_now(root: Caller, clock: Clock) -> None:
    await root("put", "t/a", 1)
    token = (await _next(root, lease=30))["token"]
    for _ in range(3):
        await clock.advance(20)
        renewed = await root("renew", "t/a", token, seconds(30))
        assert (renewed["status"], renewed["token"], renewed["attempts"]) == ("ok", token, 1)
        assert seconds(20) < renewed["lease_until"] - await clock.now() <= seconds(30)
    # shorter is allowed
    await root("renew", "t/a", token, seconds(1))
    await clock.advance(2)
    assert (await root("renew", "t/a", token, seconds(30)))["status"] == "stale"
    await root.refuses("PS007", "renew('t/a', 1, '0')", "renew('t/a', 1, '367 days')", "renew('t/a', 1, null)")


async def test_a_claim_of_what_is_not_there(root: Caller, clock: Clock) -> None:
    assert (await root("claim", "t/a", seconds(9)))["status"] == "missing"
    assert await _next(root) == ("missing", None, None, None, None, None, None, None)
    await root("put", "t/a", 1, ttl=seconds(10))
    token = (await _next(root, lease=100))["token"]
    await clock.advance(11)
    # the entry expired under its claim
    assert (await root("claim", "t/a", seconds(9)))["status"] == "missing"
    assert (await root("renew", "t/a", token, seconds(9)))["status"] == "stale"
    assert await root("put", "t/a", 1, token=token) == ("stale", 0, None)
    assert (await _next(root))["status"] == "missing"
    assert await root("put", "t/a", 1) == ("ok", 3, None)
    assert (await _next(root))["attempts"] == 1


async def test_retry_in_is_the_next_moment_that_matters(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    worker = await agent("worker", "read t/**", "write t/**", "read t2/**")
    await root("put", "t2/a", 1)
    await root("put", "t/a", 1)
    await root("put", "t/x/deep", 1)
    await root("claim", "t2/a", seconds(1))
    await root("claim", "t/x/deep", seconds(9))
    await root("claim", "t/a", seconds(50))
    assert seconds(40) < (await _next(worker))["retry_in"] <= seconds(50)
    await root("put", "t/b", 1, not_before=await clock.now() + seconds(20))
    assert seconds(10) < (await _next(worker))["retry_in"] <= seconds(20)
    assert (await _next(worker, "t/**"))["retry_in"] <= seconds(9)


async def test_claims_need_read_and_write(root: Caller, agent: MakeAgent) -> None:
    half = await agent("half", "read r/**", "write w/**", "read t/a/**", "write t/a/**")
    await root.rows("put_many", ["r/x", "w/x", "t/a/x", "t/b/x"], [1] * 4)
    said = await half.refuses(
        "PS010",
        *(f"claim('{key}', '1 s')" for key in ("r/x", "w/x", "t/b/x", "none/x")),
        *(f"claim_next('{pattern}', '1 s')" for pattern in ("r/*", "w/*", "t/b/**", "none/*")),
        "renew('r/x', 1, '1 s')",
        "release('w/x', 1)",
        "complete('w/x', 1)",
        "complete('t/b/x', 1)",
    )
    assert len(said) == 1
    assert (await _next(half, "**"))["key"] == "t/a/x"
    assert (await _next(half, "**"))["retry_in"] is not None
    await root("claim", "t/b/x", seconds(1))
    assert (await _next(half, "t/**"))["retry_in"] > seconds(30)


@pytest.mark.core
async def test_who_holds_what_is_listed_as_far_as_one_may_read(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    worker = await agent("worker", "read t/**", "write t/**", "write blind/**")
    for key in ("t/a", "t/b", "t/c", "t/deep/d", "t/gone", "t/short", "hid/x", "blind/x"):
        await root("put", key, 1)
    await root("put", "t/short", 1, ttl=seconds(200))
    assert await worker.rows("list_claims") == []
    ours = await worker("claim", "t/a", seconds(60))
    for key in ("t/deep/d", "t/short", "hid/x", "blind/x"):
        await root("claim", key, seconds(600))
    gone = await root("claim", "t/gone", seconds(600))
    await root("delete", "t/gone", token=gone["token"])
    given_back = await worker("claim", "t/b", seconds(60))
    await worker("release", "t/b", given_back["token"])
    listed = await worker.rows("list_claims")
    assert [(c["key"], c["holder"], c["attempts"]) for c in listed] == [
        ("t/a", "worker", 1), ("t/deep/d", "admin", 1), ("t/short", "admin", 1),
    ]  # fmt: skip
    assert listed[0]["lease_until"] == ours["lease_until"]
    assert seconds(0) < listed[0]["lease_left"] <= seconds(60)
    assert "token" not in listed[0]
    everything = [c["key"] for c in await root.rows("list_claims")]
    assert everything == ["blind/x", "hid/x", "t/a", "t/deep/d", "t/short"]
    assert [c["key"] for c in await worker.rows("list_claims", "t/*")] == ["t/a", "t/short"]
    assert [c["key"] for c in await worker.rows("list_claims", "t/deep/**")] == ["t/deep/d"]
    assert await worker.rows("list_claims", "t/none") == []
    assert [c["key"] for c in await root.rows("list_claims", "", "worker")] == [c["key"] for c in listed]
    await clock.advance(100)
    assert [c["key"] for c in await worker.rows("list_claims")] == ["t/deep/d", "t/short"]
    await clock.advance(101)
    # invisible at once, though nobody has written its expiry yet
    assert [c["key"] for c in await worker.rows("list_claims")] == ["t/deep/d"]
    await worker.refuses("PS002", "list_claims('t/***')")
    denied = await worker.refuses(
        "PS010", "list_claims('hid/x')", "list_claims('hid/**')", "list_claims('none/*')", "list_claims('blind/*')",
        "list_claims('', 'admin')",
    )  # fmt: skip
    assert len(denied) == 1
