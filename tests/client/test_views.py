"""Views of one client: relative keys, typed values, another patience; and what it counts."""

from __future__ import annotations

import asyncio
from typing import Annotated

import pytest
from pydantic import BaseModel

import pgstate
from client._locks import Locks
from client.conftest import Connect
from pgstate import State, errors, ops


async def test_a_namespace_is_a_view_with_short_keys(state: State) -> None:
    home = state.namespace("research/agent-1")
    assert await home.put("findings", 1) == 1
    assert await home.namespace("deep").put("er", 2) == 1
    assert sorted(entry.key for entry in await state.list()) == [
        "research/agent-1/deep/er",
        "research/agent-1/findings",
    ]
    assert [entry.key for entry in await home.list("*")] == ["findings"]
    assert (await home.get("findings")).key == "findings"  # type: ignore[union-attr]
    assert [version.key for version in await home.history("findings")] == ["findings"]
    page = await home.list("**", limit=1)
    assert page.after == "deep/er"
    assert [entry.key for entry in await home.list("**", after=page.after)] == ["findings"]
    with pytest.raises(errors.VersionConflict) as caught:
        await home.put("findings", 2, expect=0)
    assert caught.value.key == "findings" and caught.value.current is not None
    assert caught.value.current.key == "findings"
    claim = await home.claim_next("*")
    assert claim is not None and claim.key == "findings"
    (held,) = await home.claims()
    assert (held.key, held.holder, held.lease_until, held.attempts) == ("findings", "admin", claim.lease_until, 1)
    assert 0 < held.lease_left.total_seconds() <= 30
    assert await home.claims("deep/*") == []
    assert [held.key for held in await state.claims("research/**")] == ["research/agent-1/findings"]
    done = await home.apply(guards=[pgstate.ops.token("findings", claim.token)], operations=[pgstate.ops.put("x", 1)])
    assert [row.key for row in done] == ["findings", "x"]
    for bad in ("", "a//b", "*", "..", "a/"):
        with pytest.raises(errors.InvalidKey):
            state.namespace(bad)


async def test_a_namespace_does_not_hold_its_own_root(state: State) -> None:
    home = state.namespace("home")
    async with home.watch() as watch:
        await state.put_many({"home": "root", "home/a": 1})
        assert [entry.key for entry in await home.list()] == ["a"]
        for everything in ("**", "**/**", "*/**"):
            assert [entry.key for entry in await home.list(everything)] == ["a"]
        claims = [await home.claim_next("**"), await home.claim_next("**")]
        assert [claim and claim.key for claim in claims] == ["a", None]
        async with asyncio.timeout(20):
            assert (await anext(watch)).key == "a"


async def test_typed_values(state: State) -> None:
    from datetime import datetime

    import pydantic

    class Finding(pydantic.BaseModel):
        title: str
        at: datetime

    finding = Finding(title="x", at=datetime(2030, 1, 2, 3, 4, 5))
    await state.put("k", finding)
    entry = await state.get("k", as_=Finding)
    assert entry is not None and entry.value == finding
    assert (await state.get("k")).value == {"title": "x", "at": "2030-01-02T03:04:05"}  # type: ignore[union-attr]
    await state.put("k", 5)
    entry = await state.get("k", as_=Finding)
    with pytest.raises(errors.InvalidValue, match="Finding"):
        _ = entry and entry.value
    assert (await state.get("k", as_=float)).value == 5.0  # type: ignore[union-attr]


async def test_counts(state: State, connect: Connect) -> None:
    other = await connect()
    async with other.watch("k*") as watch:
        coming = asyncio.ensure_future(anext(watch))
        await state.put("k", 1)
        await state.get_many(["k", "none", "k"])
        for refused in (
            state.put("k", 2, expect=9),
            state.apply(guards=[ops.absent("k")], operations=[ops.put("x", 1)]),
        ):
            with pytest.raises(errors.VersionConflict):
                await refused
        async with asyncio.timeout(20):
            await coming
    mine, theirs = state.stats, other.stats
    assert (mine.writes, mine.reads, mine.conflicts, mine.retries) == (3, 3, 2, 0)
    assert mine.statements >= 4 and mine.largest_batch >= 1
    assert (theirs.writes, theirs.reads, theirs.changes) == (0, 0, 1)


async def test_patience_is_a_view_too(state: State, locks: Locks) -> None:
    from datetime import timedelta

    await state.put("k", 1)
    for patience in (0.05, timedelta(milliseconds=50)):
        async with locks.on("k"):
            with pytest.raises(errors.Timeout):
                await state.with_timeout(patience).as_agent("admin").put("k", 2)
    for bad in ("soon", None, float("nan")):
        with pytest.raises(errors.InvalidArgument):
            state.with_timeout(bad)  # type: ignore[arg-type]


class Owl(BaseModel):
    name: str


class Bat(BaseModel):
    name: str


async def test_a_type_may_be_a_union_in_any_order_and_have_any_metadata(state: State) -> None:
    await state.put("k", [{"name": "ana"}])
    # both fit: the first one is meant, and the types are equal
    for first, types in ((Owl, list[Owl | Bat]), (Bat, list[Bat | Owl])):
        assert (await state.get("k", as_=types)).value == [first(name="ana")]  # type: ignore[union-attr]
    noted = Annotated[list[Owl], {"unit": "owls"}]
    assert (await state.get("k", as_=noted)).value == [Owl(name="ana")]  # type: ignore[union-attr]
