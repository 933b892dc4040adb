"""Claims of one client share statements; a key that somebody keeps locked is nobody else's trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from client.test_held_claims import LEASE, renews_often, until
from pgstate import Claim, State, Task

__all__ = ["renews_often"]

_GUARD = 20


async def test_a_locked_key_lets_the_other_claims_be_renewed(
    renews_often: None, state: State, connect_as: Callable[..., Awaitable[asyncpg.Connection]]
) -> None:
    await state.put_many({"tasks/1": 1, "tasks/2": 2})
    outside = await connect_as()
    # it was waited for with the patience of the longest lease, by all
    async with state.claim_next("tasks/1", 3 * LEASE) as slow, state.claim_next("tasks/2", LEASE) as quick:
        assert isinstance(slow, Task) and isinstance(quick, Task)
        async with outside.transaction():
            await state.bind(outside).put("tasks/1", 2, token=slow.token)
            until_then = quick.lease_until

            async def renewed() -> bool:
                return (quick.lease_until - until_then).total_seconds() > 0.7

            await until(renewed)
        assert not slow.lost and not quick.lost


async def test_a_locked_key_lets_the_other_work_end(
    state: State, connect_as: Callable[..., Awaitable[asyncpg.Connection]]
) -> None:
    await state.put_many({f"tasks/{n}": n for n in range(6)})
    claims = await state.claim_many("tasks/*", 6)
    outside = await connect_as()

    async def end(claim: Claim) -> str:
        if claim.value % 2:
            await state.complete(claim.key, claim.token, move_to=claim.key.replace("tasks", "done"))
        else:
            await state.fail(claim.key, claim.token)
        return claim.key

    async with asyncio.timeout(_GUARD), outside.transaction():
        await state.bind(outside).put("done/1", "mine")
        await state.bind(outside).put("tasks/0", 0, token=claims[0].token)
        ends = [asyncio.create_task(end(claim)) for claim in claims]
        done, _ = await asyncio.wait(ends[2:])
        assert not ends[0].done() and not ends[1].done()
    assert sorted(task.result() for task in done) == [claim.key for claim in claims[2:]]
    assert await asyncio.gather(*ends[:2]) == ["tasks/0", "tasks/1"]
