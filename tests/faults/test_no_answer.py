"""A server that does not answer any more, and nobody is told: every call ends within its timeout, with an error that says so,
and the client is sound when the server is back."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

import pgstate
from _cases import first_of
from client._bound import KINDS, address, opened
from client._proxy import Proxy
from client._typed import Research
from client._watching import attached
from client.conftest import Connect
from pgstate import Embedding, State, errors, ops
from pgstate.encryption import Keys
from pgstate.types import Unembedded

# A call waits this long; the client's own patience, which must not be used in its place, is longer than the test's.
PATIENCE = 0.1
CLIENTS = 60.0
GUARD = 10.0
Call = Callable[[State, str], Awaitable[Any]]


def _typed(state: State) -> Any:
    return state.typed(Research, "research")


async def _entered(held: Any) -> None:
    async with held:
        raise AssertionError("it was held")


_TEXT = Unembedded("k", 1, "0" * 32, "v", "model", 3, ["text"])
CALLS: dict[str, Call] = {
    "add_to_group": lambda s, _: s.add_to_group("crew", "alice"),
    "create_group": lambda s, _: s.create_group("crew"),
    "deny_access": lambda s, _: s.deny_access("alice", "k/**", "read"),
    "drop_group": lambda s, _: s.drop_group("crew"),
    "effective": lambda s, _: s.effective(),
    "explain_access": lambda s, _: s.explain_access("alice", "k", "read"),
    "groups": lambda s, _: s.groups(),
    "remove_from_group": lambda s, _: s.remove_from_group("crew", "alice"),
    "agents": lambda s, _: s.agents(),
    "apply": lambda s, _: s.apply(operations=[ops.put("k", 1)]),
    "audit": lambda s, _: s.audit(),
    "changes": lambda s, cursor: s.changes(cursor),
    "claim": lambda s, _: s.claim("k"),
    "claim_log": lambda s, _: s.claim_log(),
    "claim_many": lambda s, _: s.claim_many("k/*", 3),
    "claims": lambda s, _: s.claims(),
    "complete": lambda s, _: s.complete("k", 1),
    "create_agent": lambda s, _: s.create_agent("alice"),
    "create_gateway": lambda s, _: s.create_gateway("gateway"),
    "create_reader": lambda s, _: s.create_reader("reader", "k/**"),
    "create_vectors": lambda s, _: s.create_vectors("v", 3),
    "cursor": lambda s, _: s.cursor(),
    "delegate": lambda s, _: s.delegate("gateway", "alice"),
    "delete": lambda s, _: s.delete("k"),
    "delete_runs": lambda s, _: s.delete_runs(["run"]),
    "delete_many": lambda s, _: s.delete_many(["k"]),
    "drop_agent": lambda s, _: s.drop_agent("alice"),
    "drop_gateway": lambda s, _: s.drop_gateway("gateway"),
    "drop_policy": lambda s, _: s.drop_policy("k/**"),
    "drop_reducer": lambda s, _: s.drop_reducer("r"),
    "drop_search": lambda s, _: s.drop_search("k/**"),
    "drop_vectors": lambda s, _: s.drop_vectors("v"),
    "embed": lambda s, _: s.embed(),
    "explain_policy": lambda s, _: s.explain_policy("k"),
    "fail": lambda s, _: s.fail("k", 1, "why"),
    "get": lambda s, _: s.get("k"),
    "get_many": lambda s, _: s.get_many(["k", "l"]),
    "grant_access": lambda s, _: s.grant_access("alice", "k/**", "read"),
    "grants": lambda s, _: s.grants(),
    "history": lambda s, _: s.history("k"),
    "info": lambda s, _: s.info(),
    "allow_credential": lambda s, _: s.allow_credential("alice", "db", "report"),
    "disallow_credential": lambda s, _: s.disallow_credential("alice", "db", "report"),
    "credentials": lambda s, _: s.credentials(),
    "resolve": lambda s, _: s.resolve("$CRED{db}", purpose="report"),
    "list": lambda s, _: s.list("k/*"),
    "maintain": lambda s, _: s.maintain(),
    "me": lambda s, _: s.me(),
    "merge": lambda s, _: s.merge("k", 1, "add"),
    "merge_many": lambda s, _: s.merge_many([("k", 1, "add")]),
    "namespaces": lambda s, _: s.namespaces(),
    "policies": lambda s, _: s.policies(),
    "put": lambda s, _: s.put("k", 1),
    "put_many": lambda s, _: s.put_many({"k": 1, "l": 2}),
    "put_embedded": lambda s, _: s.put_embedded("k", 1, [[1.0, 2.0, 3.0]]),
    "harden": lambda s, _: s.harden("gateway"),
    "issue_ticket": lambda s, _: s.issue_ticket("gateway", "alice"),
    "require_tickets": lambda s, _: s.require_tickets("gateway"),
    "rotate_ticket_keys": lambda s, _: s.rotate_ticket_keys(),
    "quotas": lambda s, _: s.quotas(),
    "register_reducer": lambda s, _: s.register_reducer("r", "public.r"),
    "rekey": lambda s, _: s.rekey(),
    "export_changes": lambda s, _: s.export_changes(object()),
    "release": lambda s, _: s.release("k", 1),
    "renew": lambda s, _: s.renew("k", 1),
    "revoke_access": lambda s, _: s.revoke_access("alice", "k/**", "read"),
    "rollback": lambda s, cursor: s.rollback("k/**", cursor),
    "search": lambda s, _: s.search("k/**", "words"),
    "searches": lambda s, _: s.searches(),
    "set_audit": lambda s, _: s.set_audit(keep=None),
    "set_audit_chain": lambda s, _: s.set_audit_chain("k/**"),
    "set_login": lambda s, _: s.set_login("alice", None),
    "set_policy": lambda s, _: s.set_policy("k/**", ttl=3),
    "set_trust": lambda s, _: s.set_trust("alice", "verified"),
    "endorse": lambda s, _: s.endorse("k", 1, "verified"),
    "suspend_agent": lambda s, _: s.suspend_agent("alice"),
    "resume_agent": lambda s, _: s.resume_agent("alice"),
    "quarantine": lambda s, cursor: s.quarantine("alice", cursor, wait=0),
    "set_quota": lambda s, _: s.set_quota("alice", entries=3),
    "set_search": lambda s, _: s.set_search("k/**"),
    "set_vectors": lambda s, _: s.set_vectors(_TEXT, [[1.0, 2.0, 3.0]]),
    "tasks": lambda s, _: s.tasks(),
    "threads": lambda s, _: s.threads(),
    "touch": lambda s, _: s.touch("k"),
    "undelegate": lambda s, _: s.undelegate("gateway", "alice"),
    "unembedded": lambda s, _: s.unembedded(),
    "update": lambda s, _: s.update("k", lambda value: value),
    "vectors": lambda s, _: s.vectors(),
    "verify_audit": lambda s, _: s.verify_audit("k/**"),
    # forms of these, and what other objects do
    "get of then": lambda s, _: s.get("k", as_of=datetime(2026, 1, 1, tzinfo=UTC)),
    "list of then": lambda s, cursor: s.list("k/*", as_of=cursor),
    "complete elsewhere": lambda s, _: s.complete("k", 1, 2, move_to="l"),
    "release by force": lambda s, _: s.release("k", force=True),
    "claim_next": lambda s, _: s.claim_next("k/*"),
    "claim_next, waiting": lambda s, _: s.claim_next("k/*", wait=CLIENTS),
    "claim_next, entered": lambda s, _: _entered(s.claim_next("k/*")),
    "lock": lambda s, _: _entered(s.lock("k", wait=CLIENTS)),
    "semaphore": lambda s, _: _entered(s.semaphore("k", 3)),
    "leader": lambda s, _: _entered(s.leader("k")),
    "watch": lambda s, _: anext(s.watch("k")),
    "watch, entered": lambda s, _: _entered(s.watch("k")),
    "watch, initial": lambda s, _: anext(s.watch("k", initial=True)),
    "thread.channels": lambda s, _: s.thread("k").channels(),
    "thread.delete": lambda s, _: s.thread("k").delete(),
    "thread.fork": lambda s, _: s.thread("k").fork(None, "l"),
    "thread.get": lambda s, _: s.thread("k").get("1"),
    "thread.history": lambda s, _: anext(s.thread("k").history()),
    "thread.latest": lambda s, _: s.thread("k").latest(),
    "thread.prune": lambda s, _: s.thread("k").prune(),
    "thread.put_writes": lambda s, _: s.thread("k").put_writes("1", "task", [("a", 1)]),
    "thread.rollback": lambda s, _: s.thread("k").rollback("1"),
    "thread.save": lambda s, _: s.thread("k").save({"a": 1}),
    "typed.define": lambda s, _: _typed(s).define(),
    "typed.load": lambda s, _: _typed(s).load(),
    "typed.set": lambda s, _: _typed(s).set(Research("a")),
    "typed.update": lambda s, _: _typed(s).update(topic="b"),
    "typed.modify": lambda s, _: _typed(s).modify(lambda one: one),
    "typed.delete": lambda s, _: _typed(s).delete(),
    "typed.diff": lambda s, cursor: _typed(s).diff(cursor, cursor),
    "typed.watch": lambda s, _: anext(_typed(s).watch()),
}  # fmt: skip
# They end when they are told to; see below.
TOLD = {"close", "work"}


def _coroutines(kind: type) -> set[str]:
    return {name for name in dir(kind) if name[0] != "_" and inspect.iscoroutinefunction(getattr(kind, name))}


def test_every_call_is_tried() -> None:
    typed = {f"typed.{name}" for name in _coroutines(pgstate.TypedState)}
    thread = {f"thread.{name}" for name in _coroutines(pgstate.Thread)}
    assert _coroutines(State) - TOLD | typed | thread <= CALLS.keys()


# of each way to run statements
SOME = [
    "put",
    "get",
    "list",
    "apply",
    "complete elsewhere",
    "claim_next",
    "lock",
    "embed",
    "watch, initial",
    "typed.load",
]


@pytest.mark.parametrize(
    ("form", "names"), first_of([("dsn", SOME), ("dsn", list(CALLS)), ("pool", SOME), ("engine", SOME)])
)
async def test_every_call_ends(connect: Connect, proxy: Proxy, form: str, names: list[str]) -> None:
    pool = engine = None
    options: dict[str, Any] = {"dsn": proxy.dsn}
    if form == "pool":
        pool = await asyncpg.create_pool(proxy.dsn, min_size=0, max_size=10)
        options = {"pool": pool}
    elif form == "engine":
        engine = create_async_engine(address(proxy.dsn.partition("?")[0], "asyncpg"), connect_args={"ssl": False})
        options = {"engine": engine}
    embedding = Embedding(lambda texts: [[1.0, 2.0, 3.0] for _ in texts], "model")
    keys = Keys({"k": bytes(32)})
    far = await connect(
        **options, timeout=CLIENTS, embed=embedding, credentials=lambda name, purpose: "x", encryption=keys
    )
    cursor = await far.cursor()
    for name in names:
        proxy.fall_silent()
        try:
            async with asyncio.timeout(GUARD):
                await CALLS[name](far.with_timeout(PATIENCE), cursor)
        except (errors.Timeout, errors.Unreachable):
            pass
        except BaseException as error:
            raise AssertionError(f"{name}: {error!r}") from error
        else:
            raise AssertionError(f"{name} was answered")
        proxy.speak()
        async with asyncio.timeout(GUARD):
            assert await far.get("nothing") is None, name
    await far.close()
    if pool is not None:
        async with asyncio.timeout(GUARD):
            await pool.close()
    if engine is not None:
        await engine.dispose()


@pytest.mark.parametrize("kind", first_of(KINDS))
async def test_calls_inside_a_transaction_end(state: State, proxy: Proxy, kind: str) -> None:
    patient = state.with_timeout(PATIENCE)
    told: list[BaseException] = []
    for name, begun in itertools.product(("put", "list"), (False, True)):
        async with opened(kind, proxy.dsn.partition("?")[0]) as app:
            # what the application's own connection does at the end of its block is not ours
            with contextlib.suppress(Exception):
                async with app.transaction():
                    bound = patient.bind(app.raw)
                    if begun:
                        await state.bind(app.raw).put("k", 1)
                    proxy.fall_silent()
                    try:
                        async with asyncio.timeout(GUARD):
                            await CALLS[name](bound, "")
                    except BaseException as error:
                        told.append(error)
                        raise
                    finally:
                        proxy.speak()
    assert len(told) == 4
    assert all(isinstance(error, errors.Timeout | errors.Unreachable) for error in told), told
    assert await state.get("k") is None


async def test_connecting_ends(proxy: Proxy) -> None:
    for listen in (None, proxy.dsn):
        proxy.fall_silent()
        with pytest.raises(errors.Unreachable):
            async with asyncio.timeout(GUARD):
                await pgstate.connect(proxy.dsn, listen_dsn=listen, timeout=PATIENCE)
        proxy.speak()


@pytest.mark.thorough
async def test_what_waits_goes_on_by_another_connection(state: State, connect: Connect, proxy: Proxy) -> None:
    """A network that dropped everything: the old connections stay silent, new ones work."""
    far = await connect(dsn=proxy.dsn, timeout=1.0)
    worked: asyncio.Queue[str] = asyncio.Queue()
    claimed: set[str] = set()
    stop = asyncio.Event()

    async def handle(task: pgstate.Task) -> None:
        await worked.put(task.key)

    async with far.watch("w/*") as watch:
        (change,) = await attached(far, watch)
        claiming = asyncio.ensure_future(_take(far, claimed))
        # a claim that was made while nobody heard of it comes back with its lease
        working = asyncio.create_task(far.work("work/*", handle, concurrency=2, lease=5.0, stop=stop))
        await until_waiting(far, 2)
        for number in range(2):
            proxy.fall_silent()
            proxy.let_in()
            await state.put_many({f"w/{number}": 1, f"work/{number}": 1, f"claims/{number}": 1})
            async with asyncio.timeout(3 * GUARD):
                assert (await change).key == f"w/{number}"
                # one whose lease ended before its completion arrived comes again
                while await worked.get() != f"work/{number}":
                    pass
                assert await claiming == f"claims/{number}"
                while await state.get(f"work/{number}") is not None:
                    await asyncio.sleep(0.005)
            change = asyncio.ensure_future(anext(watch))
            claiming = asyncio.ensure_future(_take(far, claimed))
        for task in (change, claiming):
            task.cancel()
        stop.set()
        await working
    for number in range(2):
        assert [version.op for version in await state.history(f"work/{number}")] == ["complete", "put"]


async def _take(state: State, claimed: set[str]) -> str:
    """The next one; whose lease has ended comes again."""
    while True:
        try:
            claim = await state.claim_next("claims/*", lease=5.0, wait=CLIENTS)
        except (errors.Timeout, errors.Unreachable):
            continue
        assert claim is not None
        if claim.key not in claimed:
            claimed.add(claim.key)
            return claim.key


async def until_waiting(state: State, count: int) -> None:
    """Returns when so many claimers of a client hang in its feed reader."""
    async with asyncio.timeout(GUARD):
        while sum(tap.woken is not None for tap in state._core.hub._taps) < count:  # type: ignore[union-attr]
            await asyncio.sleep(0.005)


@pytest.mark.thorough
async def test_work_and_close_end_when_they_are_told_to(connect: Connect, proxy: Proxy) -> None:
    far = await connect(dsn=proxy.dsn, timeout=0.5)
    stop = asyncio.Event()
    working = asyncio.create_task(far.work("tasks/*", lambda task: None, stop=stop))
    async with far.watch("k") as watch:
        (change,) = await attached(far, watch)
        await until_waiting(far, 1)
        proxy.fall_silent()
        writing = asyncio.create_task(far.put("k", 1))
        stop.set()
        async with asyncio.timeout(GUARD):
            assert await working == 0
            await far.close()
            with pytest.raises(errors.Closed):
                await change
            with pytest.raises((errors.Timeout, errors.Unreachable)):
                await writing
    proxy.speak()
