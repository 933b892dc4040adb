"""An application's code as its type checker sees it: checked with ours, never run."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any, assert_type

import pgstate
import pgstate.sync
from pgstate import ops
from pgstate.integrations.langgraph import PgStateStore, StoredItem, StoredSearchItem


@dataclass
class Research:
    topic: str
    steps: Annotated[int, operator.add] = 0


async def fetch(url: str) -> list[str]:
    return [url]


async def find(url: str) -> int | None:
    return len(url)


async def tell() -> None: ...


async def note(url: str, ctx: pgstate.Context) -> int:
    return assert_type(await ctx.state.put("notes/1", url), int)


def count(url: str) -> int:
    return len(url)


@pgstate.step
async def bare(n: int) -> str:
    return str(n)


@pgstate.step
def bare_plain(n: int) -> str:
    return str(n)


@pgstate.step(name="other")
async def named(n: int) -> str:
    return str(n)


@pgstate.step(retry=pgstate.Retry(3))
def named_plain(n: int) -> str:
    return str(n)


@pgstate.workflow
async def flow(n: int, *, loud: bool = False) -> str:
    assert_type(await bare(n), str)
    assert_type(await bare_plain(n), str)
    assert_type(await named(n), str)
    return await named_plain(n)


@pgstate.workflow(name="plain", lease=60)
def plain_flow(n: int) -> str:
    return str(n)


async def vault(name: str, purpose: str) -> str | None:
    return None


async def application() -> None:
    async with pgstate.connect(credentials=vault) as state:
        assert_type(await state.put("a", 1), int)
        assert_type(await state.get("a"), pgstate.Entry[Any] | None)
        assert_type(await state.get("a", as_=Research), pgstate.Entry[Research] | None)
        assert_type(await state.get("a", as_=int | None), pgstate.Entry[Any] | None)
        assert_type(await state.get("a", as_=Annotated[int, "of many"]), pgstate.Entry[Any] | None)

        claim = await state.claim_next("tasks/*", wait=60)
        if claim is not None:
            await state.apply(
                guards=[ops.token(claim.key, claim.token)], operations=[ops.complete(claim.key, claim.token)]
            )

        async with state.run("jobs/1") as run:
            assert_type(await run.step("fetch", fetch, "u"), list[str])
            assert_type(await run.step("find", find, "u", timeout=1), int | None)
            assert_type(await run.step("tell", tell), None)
            assert_type(await run.step("count", count, "u"), int)
            assert_type(await run.step("later", lambda: fetch("u")), list[str])
            assert_type(await run.step("note", note, "u"), int)
            assert_type(await run.wait_signal("go"), Any)
            assert_type(await run.wait_signal("go", timeout=1, as_=Research), Research)
            assert_type(await run.child("plain", name="c", as_=list[int]), list[int])
            assert_type(await run.map("fetches", fetch, ["u"]), list[list[str]])
            assert_type(await run.map("counts", count, ["u"], concurrency=2), list[int])
        assert_type(await flow(state, "jobs/2", 1, loud=True), str)
        assert_type(await plain_flow(state, "jobs/3", 1), str)
        assert_type(await flow.start(state, "jobs/4", 1), bool)
        assert_type(await state.runs.result("jobs/4", wait=9), Any)
        assert_type(await state.runs.result("jobs/4", as_=Research), Research)
        assert_type(await state.runs.result("jobs/4", as_=Research | None), Any)
        await state.runs.worker([flow, plain_flow])

        view = state.typed(Research, "research/1")
        assert_type(await view.load(), Research | None)
        assert_type(await view.modify(lambda old: old or Research("owls")), Research)
        async with view.watch() as states:
            async for found in states:
                assert_type(found, Research | None)

        store = PgStateStore(state)
        assert_type(await store.aget(("docs",), "a"), StoredItem | None)
        assert_type(await store.asearch(("docs",), query="owls"), list[StoredSearchItem])


def script() -> None:
    with pgstate.sync.connect() as state:
        assert_type(state.put("a", 1), int)
        assert_type(state.get("a", as_=Research), pgstate.Entry[Research] | None)
        with state.run("jobs/1") as run:
            assert_type(run.step("count", count, "u"), int)
            assert_type(run.map("counts", count, ["u"]), list[int])
            assert_type(run.wait_signal("go", as_=Research), Research)
        assert_type(state.runs.result("jobs/1", as_=Research), Research)
        assert_type(state.typed(Research, "research/1").load(), Research | None)
        with state.watch("a/**") as changes:
            for change in changes:
                assert_type(change.key, str)
