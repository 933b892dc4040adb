"""The connection breaks between a commit and its reply, or before the request arrives: whatever was asked has happened once,
and its caller hears what it would have heard. Judged by a twin of each call, which nothing disturbs."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from _cases import first_of
from client._proxy import Proxy
from client._typed import Research
from client.conftest import Connect
from pgstate import Claim, State, ops

Call = Callable[[State, str, Claim], Awaitable[Any]]
GUARD = 20

# (client, key, a claim of `<key>/claimed`); the last request of each holds the key and the word NOW
CALLS: dict[str, Call] = {
    "put": lambda s, k, _: s.put(k, "NOW"),
    "put, expecting": lambda s, k, _: s.put(k, "NOW", expect=1),
    "put, refused": lambda s, k, _: _told(s.put(k, "NOW", expect=7)),
    "put, op_id": lambda s, k, _: s.put(k, "NOW", op_id=k),
    "put, token": lambda s, k, c: s.put(c.key, "NOW", token=c.token),
    "put, ttl": lambda s, k, _: s.put(k, "NOW", ttl=1000),
    "merge": lambda s, k, _: s.merge(f"{k}/sum-NOW", 5, "add", return_value=True),
    "merge, append": lambda s, k, _: s.merge(f"{k}/list", ["NOW"], "append"),
    "delete": lambda s, k, _: s.delete(f"{k}/NOW"),
    "delete, nothing there": lambda s, k, _: s.delete(f"{k}/none-NOW"),
    "put_many": lambda s, k, _: s.put_many([ops.put(k, "NOW", expect=1), ops.put(k, 3, expect=1), (f"{k}/new", 1)]),
    "merge_many": lambda s, k, _: s.merge_many([(f"{k}/sum-NOW", 1, "add"), (f"{k}/sum-NOW", 1, "add"), (k, 1, "add")]),
    "delete_many": lambda s, k, _: s.delete_many([f"{k}/NOW", f"{k}/NOW", k]),
    "apply": lambda s, k, c: s.apply(
        guards=[ops.version(k, 1), ops.token(c.key, c.token)],
        operations=[ops.put(k, "NOW"), ops.merge(f"{k}/sum", 1, "add"), ops.complete(c.key, c.token)],
    ),
    "apply, refused": lambda s, k, _: _told(s.apply(guards=[ops.version(k, 7)], operations=[ops.put(k, "NOW")])),
    "apply, op_id": lambda s, k, _: s.apply(operations=[ops.merge(f"{k}/sum", 1, "add"), ops.put(k, "NOW")], op_id=k),
    "update": lambda s, k, _: s.update(k, lambda value: f"{value} NOW"),
    "rollback": lambda s, k, _: s.rollback(f"{k}/NOW", 1),
    "claim": lambda s, k, _: s.claim(f"{k}/NOW"),
    "claim_next": lambda s, k, _: s.claim_next(f"{k}/NOW*"),
    "claim_next, waiting": lambda s, k, _: s.claim_next(f"{k}/NOW*", wait=5),
    "claim_many": lambda s, k, _: s.claim_many(f"{k}/NOW/**", 10),
    "renew": lambda s, k, c: s.renew(c.key, c.token, 500),
    "complete": lambda s, k, c: s.complete(c.key, c.token),
    "complete, elsewhere": lambda s, k, c: s.complete(c.key, c.token, "NOW", move_to=f"{k}/done"),
    "complete, stale": lambda s, k, c: _told(s.complete(c.key, c.token + 1000, "NOW", move_to=f"{k}/done")),
    "fail": lambda s, k, c: s.fail(c.key, c.token, "NOW", retry_in=500),
    "release": lambda s, k, c: s.release(c.key, c.token),
    "release, by force": lambda s, k, c: s.release(c.key, force=True),
    "thread.save": lambda s, k, _: _saved(s, k),
    "thread.save, several": lambda s, k, _: _saved_together(s, k),
    "typed.set": lambda s, k, _: s.typed(Research, f"{k}/typed").set(Research("NOW", ["a"])),
    "typed.update": lambda s, k, _: s.typed(Research, f"{k}/typed").update(topic="NOW", findings=["b"], steps=1),
    "typed.modify": lambda s, k, _: s.typed(Research, f"{k}/typed").modify(lambda _: Research("NOW")),
    "typed.delete": lambda s, k, _: s.typed(Research, f"{k}/typed").delete(),
}  # fmt: skip


async def _saved(state: State, key: str) -> Any:
    """Ids differ between twins: how many checkpoints there are, and whether the last is the one that was saved."""
    thread = state.thread(f"{key}/thread")
    saved = [await thread.save({"text": "NOW", "list": [1]}), await thread.save({"text": "then", "list": [1, 2]})]
    return saved == [one.id async for one in thread.history()][::-1]


async def _saved_together(state: State, key: str) -> Any:
    """The first is under way while the others come together."""
    threads = [state.thread(f"{key}/thread-NOW-{n}") for n in range(4)]
    saved = await asyncio.gather(*(thread.save({"n": n}, parent=None) for n, thread in enumerate(threads)))
    return [[one.id async for one in thread.history()] for thread in threads] == [[id_] for id_ in saved]


async def _told(call: Awaitable[Any]) -> Any:
    """A refusal as an outcome."""
    (outcome,) = await asyncio.gather(call, return_exceptions=True)
    assert isinstance(outcome, Exception)
    return type(outcome).__name__, vars(outcome)


async def _prepare(state: State, key: str) -> Claim:
    await state.put_many({key: 1, f"{key}/NOW": 1, f"{key}/claimed": 1})
    await state.put(f"{key}/NOW", 2)
    await state.typed(Research, f"{key}/typed").set(Research("before"))
    claim = await state.claim(f"{key}/claimed", 100)
    assert claim is not None
    return claim


def _marker(name: str, key: str) -> bytes:
    # where there is a read before, what only the write has
    return b"NOW" if name.startswith(("update", "typed.m", "typed.u", "typed.s")) else key.encode()


@pytest.mark.parametrize("loss", first_of(["lose_reply", "lose_request"]))
@pytest.mark.parametrize("neighbours", first_of([5, 0]))
async def test_it_happens_once(state: State, connect: Connect, proxy: Proxy, loss: str, neighbours: int) -> None:
    far = await connect(dsn=proxy.dsn, connections=3)
    added = 0
    for number, (name, call) in enumerate(CALLS.items()):
        key, twin = f"{number}/lost", f"{number}/twin"
        claim, other = await _prepare(state, key), await _prepare(state, twin)
        lost = getattr(proxy, loss)(_marker(name, key))
        async with asyncio.timeout(GUARD):
            outcome, *sums = await asyncio.gather(
                call(far, key, claim), *(far.merge("sum", 1, "add") for _ in range(neighbours))
            )
        assert lost.is_set(), name
        added += neighbours
        assert sorted(sums) == list(range(added - neighbours + 1, added + 1)), name
        expected = await call(state, twin, other)
        assert _shown(outcome, key) == _shown(expected, twin), name
        assert await _past(state, key) == await _past(state, twin), name
    assert far.stats.retries >= len(CALLS)


async def _past(state: State, key: str) -> Any:
    """All that happened below a key, and who holds what."""
    keys = sorted(
        {*(one.key for one in await state.tasks(f"{key}/**")), f"{key}/none-NOW", f"{key}/done", f"{key}/NOW"}
    )
    versions = [
        (one.removeprefix(key), [(v.version, v.op, v.value, v.expires_at is None) for v in await state.history(one)])
        for one in keys
    ]
    tasks = [(t.key.removeprefix(key), t.state, t.attempts) for t in await state.tasks(f"{key}/**")]
    return versions, tasks, [c.key.removeprefix(key) for c in await state.claims(f"{key}/**")]


def _shown(outcome: Any, key: str) -> Any:
    """An outcome without what differs between twins: times, tokens and the key."""
    if isinstance(outcome, list | tuple):
        return [_shown(one, key) for one in outcome]
    if isinstance(outcome, Claim):
        return outcome.key.removeprefix(key), outcome.value, outcome.version, outcome.attempts
    if dataclasses.is_dataclass(outcome):
        return _shown([getattr(outcome, field.name) for field in dataclasses.fields(outcome)], key)
    if isinstance(outcome, dict):
        return _shown(sorted(outcome.items(), key=lambda item: item[0]), key)
    if isinstance(outcome, datetime):
        return "some time"
    if hasattr(outcome, "version"):
        return outcome.key.removeprefix(key), outcome.version, outcome.value
    return str(outcome).replace(key, "")
