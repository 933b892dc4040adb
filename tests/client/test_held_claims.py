"""Claims that renew themselves: work, locks, semaphores, leadership. Whatever ends the block ends the claim as it should."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

import pgstate
from client._locks import Locks
from client._proxy import Proxy
from client.conftest import Connect
from conftest import Clock
from pgstate import LeaseLost, State, errors, ops
from pgstate._areas import _held

_GUARD = 20
# longer than any stall of a busy machine
LEASE = 60.0


@pytest.fixture
def renews_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease of LEASE is renewed ten times a second."""
    monkeypatch.setattr(_held, "_RENEWALS", 10 * LEASE)


async def task_state(state: State, key: str) -> Any:
    found = await state.tasks(key)
    return found[0] if found else None


async def until(check: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(_GUARD):
        while not (found := await check()):
            await asyncio.sleep(0.005)
        return found


async def cancelled(forever: asyncio.Event | None = None) -> None:
    """A body that ends only when it is cancelled."""
    async with asyncio.timeout(_GUARD):
        await (forever or asyncio.Event()).wait()


async def test_work_is_completed_when_the_block_ends(state: State) -> None:
    await state.put_many({"tasks/1": {"n": 1}, "tasks/2": {"n": 2}, "tasks/3": {"n": 3}})
    async with state.claim_next("tasks/*") as task:
        assert task is not None
        assert (task.key, task.value, task.version, task.attempts) == ("tasks/1", {"n": 1}, 1, 1)
        await state.put("tasks/1", {"n": 1, "half": True}, token=task.token)
        with pytest.raises(errors.ClaimHeld):
            await state.put("tasks/1", 0)
    assert (await task_state(state, "tasks/1")).state == "finished"
    async with state.claim_next("tasks/*") as task:
        assert task is not None
        await task.complete({"sum": 3}, move_to="done/*")
    assert (await state.get("done/2")).value == {"sum": 3}  # type: ignore[union-attr]
    async with state.namespace("tasks").claim_next("*") as task:
        assert task is not None and task.key == "3"
        assert await task.release()
    assert (await task_state(state, "tasks/3")).state == "waiting"
    async with state.claim_next("tasks/*") as task:
        assert task is not None
        failed = await task.fail("not now", retry_in=60)
        assert failed.retry_in is not None and failed.retry_in.total_seconds() == 60
    async with state.claim_next("tasks/*") as task:
        assert task is None
    claiming = state.claim_next("tasks/*", wait=0.01)
    assert await claiming is None


async def test_work_fails_with_what_the_block_raised(state: State) -> None:
    await state.put("tasks/1", 1)
    with pytest.raises(ZeroDivisionError):
        async with state.claim_next("tasks/*") as task:
            assert task is not None
            raise ZeroDivisionError("no")
    found = await task_state(state, "tasks/1")
    assert (found.state, found.attempts, found.error) == ("waiting", 1, "ZeroDivisionError: no")
    assert found.next_try is not None


async def test_a_cancelled_block_releases(state: State) -> None:
    await state.put("tasks/1", 1)
    inside = asyncio.Event()

    async def body() -> None:
        async with state.claim_next("tasks/*"):
            inside.set()
            await cancelled()

    running = asyncio.create_task(body())
    await inside.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    found = await task_state(state, "tasks/1")
    assert (found.state, found.next_try, found.error) == ("waiting", None, None)


async def test_a_block_cancelled_as_it_ends_says_what_became_of_its_claim(
    state: State, locks: Locks, caplog: pytest.LogCaptureFixture
) -> None:
    await state.put("tasks/1", 1)
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))

    async def body() -> None:
        async with state.claim_next("tasks/*"):
            await locked

    async with locks.holder.transaction():
        locked = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(body())
        await until(lambda: state.claims("tasks/1"))
        await locks.lock("tasks/1")
        locked.set_result(None)
        await locks.waited_for(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await locks.holder.execute("delete from pgstate.claim")
    await state.close()
    gc.collect()
    assert "the claim of tasks/1 is left to its end" in caplog.text
    assert unseen == []


async def test_it_is_renewed_as_long_as_the_block_lasts(
    renews_often: None, state: State, connect: Connect, clock: Clock
) -> None:
    await state.put_many({"tasks/1": 1, "tasks/2": 2})
    other = await connect()
    async with state.claim_next("tasks/*", LEASE) as one, state.claim_next("tasks/*", LEASE) as two:
        assert one is not None and two is not None
        for _ in range(3):
            await clock.advance(LEASE / 2)
            now = await clock.now()

            async def renewed(now: Any = now) -> bool:
                assert await other.claim_next("tasks/*") is None
                return all((task.lease_until - now).total_seconds() >= LEASE for task in (one, two))

            await until(renewed)
    assert {found.state for found in await state.tasks("tasks/*")} == {"finished"}


async def test_a_renewal_that_fails_may_be_tried_again_before_the_lease_ends(state: State) -> None:
    await state.put("tasks/1", 1)
    async with state.claim_next("tasks/*", LEASE) as task:
        assert task is not None
        assert task._ends - task._timer.when() > LEASE / 2


@pytest.mark.parametrize("how", ["forced", "deleted", "revoked"])
async def test_a_lost_lease_cancels_the_block(renews_often: None, state: State, agent: Connect, how: str) -> None:
    worker = await agent("worker", "read tasks/**", "write tasks/**")
    await state.put("tasks/1", 1)
    with pytest.raises(LeaseLost) as caught:
        async with worker.claim_next("tasks/*", LEASE) as task:
            assert task is not None
            if how == "forced":
                assert await state.release("tasks/1", force=True)
                (kept,) = await state.claim_log("tasks/*")
                assert (kept.key, kept.holder, kept.token, kept.released_by) == (
                    "tasks/1",
                    "worker",
                    task.token,
                    "admin",
                )
            elif how == "deleted":
                await worker.delete("tasks/1", token=task.token)
            else:
                await state.revoke_access("worker", "tasks/**", "write")
            try:
                await cancelled()
            finally:
                assert task.lost
    assert caught.value.key == "tasks/1"
    me = asyncio.current_task()
    assert me is not None and me.cancelling() == 0
    if how == "forced":
        assert (await task_state(state, "tasks/1")).state == "waiting"


async def test_without_the_server_it_is_lost_by_our_own_clock(state: State, connect: Connect, proxy: Proxy) -> None:
    worker = await connect(dsn=proxy.dsn)
    await state.put("tasks/1", 1)
    with pytest.raises(LeaseLost):
        async with worker.claim_next("tasks/*", lease=0.4) as task:
            assert task is not None
            await proxy.stop()
            await cancelled()
    taken = await state.claim_next("tasks/*", wait=_GUARD)
    assert taken is not None and taken.token > task.token
    await proxy.start()


async def test_a_body_that_swallows_the_loss_still_hears_of_it(renews_often: None, state: State) -> None:
    await state.put("tasks/1", 1)
    with pytest.raises(LeaseLost):
        async with state.claim_next("tasks/*", LEASE) as task:
            assert task is not None
            with contextlib.suppress(asyncio.CancelledError):
                # which a renewal may find out before this is told
                await state.release("tasks/1", force=True)
                await cancelled()
    # an error of its own goes first
    await state.put("tasks/2", 1)
    with pytest.raises(ZeroDivisionError):
        async with state.claim_next("tasks/2", LEASE) as task:
            try:
                await state.release("tasks/2", force=True)
                await cancelled()
            finally:
                raise ZeroDivisionError
    await asyncio.sleep(0)


async def test_a_finished_block_whose_claim_was_lost_says_so(state: State) -> None:
    await state.put("tasks/1", 1)
    with pytest.raises(LeaseLost):
        async with state.claim_next("tasks/*", lease=30) as task:
            assert task is not None
            await state.release("tasks/1", force=True)
    assert (await task_state(state, "tasks/1")).state == "waiting"


async def test_a_renewal_behind_the_completion_has_lost_nothing(
    renews_often: None, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers both at once: which answer is read first says nothing."""
    await state.put("tasks/1", 1)
    write = state._write
    async with state.claim_next("tasks/*", LEASE) as task:
        assert task is not None

        async def read_late(*args: Any, **options: Any) -> Any:
            row = await write(*args, **options)
            async with asyncio.timeout(_GUARD):
                while not (task._renewing is not None and task._renewing.done() and task._doubted):
                    await asyncio.sleep(0.005)
            return row

        monkeypatch.setattr(state, "_write", read_late)
        assert await task.complete() == 2
        assert not task.lost
        await asyncio.sleep(0)
    assert (await task_state(state, "tasks/1")).state == "finished"


async def test_a_completion_that_is_refused_after_all_was_lost(
    renews_often: None, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await state.put("tasks/1", 1)
    with pytest.raises(errors.StaleToken):
        async with state.claim_next("tasks/*", LEASE) as task:
            assert task is not None

            async def late(*args: Any, **options: Any) -> int:
                await state.release("tasks/1", force=True)
                async with asyncio.timeout(_GUARD):
                    while not task._doubted:
                        await asyncio.sleep(0.005)
                raise errors.StaleToken("too late", "tasks/1")

            monkeypatch.setattr(state, "complete", late)
            await task.complete()
    assert task is not None and task.lost
    me = asyncio.current_task()
    assert me is not None and me.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_renewal_that_breaks_down_is_a_loss(
    renews_often: None, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await state.put("tasks/1", 1)

    async def broken(*args: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(state, "_renew_together", broken)
    with pytest.raises(LeaseLost):
        async with state.claim_next("tasks/*", LEASE):
            await cancelled()


async def test_one_renewal_may_fail(renews_often: None, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    await state.put("tasks/1", 1)
    renew = state._renew_together
    failures: list[BaseException] = [errors.DatabaseError("canceling statement", "57014"), errors.Timeout("late")]

    async def flaky(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return await renew(*args)

    monkeypatch.setattr(state, "_renew_together", flaky)
    async with state.claim_next("tasks/*", LEASE) as task:
        assert task is not None
        first = task.lease_until

        async def renewed() -> bool:
            return task.lease_until > first

        await until(renewed)
    assert not task.lost and not failures


async def test_who_cancels_a_block_that_was_lost_is_not_kept_waiting(state: State) -> None:
    """Both reach the block when it has ended already."""
    await state.put("tasks/1", 1)

    async def body() -> None:
        async with state.claim_next("tasks/*", lease=30) as task:
            assert task is not None
            await task._lose()
            me = asyncio.current_task()
            assert me is not None
            me.cancel()

    running = asyncio.create_task(body())
    await asyncio.wait([running])
    assert running.cancelled()


async def test_on_loss_that_raises_is_heard_of(
    renews_often: None, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    def on_loss(error: LeaseLost) -> None:
        raise ZeroDivisionError

    async with state.leader("boss", LEASE, on_loss=on_loss) as lock:
        await state.release("boss", force=True)
        async with asyncio.timeout(_GUARD):
            while not lock.lost:
                await asyncio.sleep(0.005)
    assert "on_loss of boss" in caplog.text


async def test_a_lock_is_held_by_one(state: State, connect: Connect, agent: Connect) -> None:
    other = await connect()
    async with state.lock("deploy", lease=10, wait=5) as lock:
        with pytest.raises(errors.ClaimHeld):
            async with other.lock("deploy"):
                raise AssertionError
        with pytest.raises(errors.ClaimHeld):
            async with other.lock("deploy", wait=0.05):
                raise AssertionError
        await state.put("deploy", {"by": "me"}, token=lock.token)
        with pytest.raises(errors.ClaimHeld):
            await other.put("deploy", 1)
        first = lock.token
    order: list[str] = []
    async with state.lock("deploy"):

        async def next_one() -> int:
            async with other.lock("deploy", wait=_GUARD) as later:
                order.append("second")
                return later.token

        waiting = asyncio.create_task(next_one())
        async with asyncio.timeout(_GUARD):
            while not other._core.hub._taps:
                await asyncio.sleep(0.005)
        order.append("first")
    assert await waiting > first
    assert order == ["first", "second"]
    assert (await state.get("deploy")).value == {"by": "me"}  # type: ignore[union-attr]
    # guarded by the grants of the key
    nobody = await agent("nobody", "read deploy")
    with pytest.raises(errors.AccessDenied):
        async with nobody.lock("deploy"):
            raise AssertionError
    for bad in ("a//b", "a*"):
        with pytest.raises(errors.InvalidKey):
            async with state.lock(bad):
                raise AssertionError


async def test_a_lock_of_a_dead_holder_is_taken_over(state: State, connect: Connect) -> None:
    dead = await connect()
    await dead.put("deploy", None)
    held = await dead.claim("deploy", 0.3)
    assert held is not None
    async with state.lock("deploy", wait=_GUARD) as lock:
        assert lock.token > held.token
        with pytest.raises(errors.StaleToken):
            await dead.put("deploy", 1, token=held.token)


async def test_a_semaphore_has_n_places(state: State, connect: Connect) -> None:
    other = await connect()
    async with state.semaphore("slots", 2) as one, other.semaphore("slots", 2) as two:
        assert {one.key, two.key} == {"slots/1", "slots/2"}
        with pytest.raises(errors.ClaimHeld):
            async with other.semaphore("slots", 2):
                raise AssertionError
    async with other.semaphore("slots", 2, wait=1):
        pass
    with pytest.raises(errors.InvalidArgument):
        state.semaphore("slots", 0)


async def test_a_leader_hears_of_its_loss(renews_often: None, state: State, connect: Connect) -> None:
    other = await connect()
    lost: list[LeaseLost] = []
    heard = asyncio.Event()

    async def on_loss(error: LeaseLost) -> None:
        lost.append(error)
        heard.set()

    async with other.leader("boss", LEASE, on_loss=on_loss) as first:

        async def follow() -> int:
            async with state.leader("boss") as second:
                return second.token

        following = asyncio.create_task(follow())
        await state.release("boss", force=True)
        # the block goes on
        async with asyncio.timeout(_GUARD):
            await heard.wait()
            assert await following > first.token
    assert [error.key for error in lost] == ["boss"]
    assert first.lost
    with pytest.raises(LeaseLost):
        async with other.leader("boss", LEASE):
            await state.release("boss", force=True)
            await cancelled()


@pytest.mark.parametrize("how", ["work", "lock", "claim"])
async def test_cancelled_at_every_point(
    state: State, connect_as: Callable[..., Awaitable[asyncpg.Connection]], how: str
) -> None:
    """A task is cancelled after each number of steps that the loop takes with it, from the first to the last: nothing stays
    claimed, and nothing is done twice."""
    await state.put("tasks/1", 1)
    looker = await connect_as()
    finished = False
    steps = 0
    while not finished:
        steps += 1

        async def body() -> None:
            if how == "lock":
                async with state.lock("deploy", wait=5):
                    await asyncio.sleep(0)
            elif how == "work":
                async with state.claim_next("tasks/*", wait=5) as task:
                    assert task is not None
                    await state.put("tasks/1", 2, token=task.token)
                    await task.release()
            else:
                claim = await state.claim_next("tasks/*", wait=5)
                assert claim is not None
                await asyncio.shield(state.release(claim.key, claim.token))

        running = asyncio.create_task(body())
        for _ in range(steps):
            await asyncio.sleep(0)
            if running.done():
                break
        finished = running.done()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

        async def free() -> bool:
            held = await looker.fetchval("select count(*) from pgstate.list_claims()")
            return held == 0

        await until(free)
        # steps that wait for the server are many and alike
        steps += steps // 8
    found = await state.tasks("tasks/*")
    assert [one.state for one in found] == ["waiting"]


async def _complete(state: State, task: pgstate.Task) -> None:
    await state.complete(task.key, task.token)


async def _apply(state: State, task: pgstate.Task) -> None:
    await state.apply(operations=[ops.complete(task.key, task.token), ops.put("sum", 3)])


async def _move(state: State, task: pgstate.Task) -> None:
    await state.complete(task.key, task.token, {"sum": 3}, move_to="done/1")


async def _fail(state: State, task: pgstate.Task) -> None:
    await state.fail(task.key, task.token, "not now", retry_in=60)


async def _release(state: State, task: pgstate.Task) -> None:
    assert await state.release(task.key, task.token)


ENDINGS = {_complete: "finished", _apply: "finished", _move: "finished", _fail: "waiting", _release: "waiting"}


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("bound", [False, True])
async def test_work_that_is_ended_in_another_way_is_not_lost(
    state: State, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, end: Any, bound: bool
) -> None:
    await state.put("tasks/1", 1)
    if bound:
        monkeypatch.setattr(_held, "_RENEWALS", 10 * LEASE)
    async with state.claim_next("tasks/*", LEASE) as task:
        assert task is not None
        if bound:
            async with admin.transaction():
                await end(state.bind(admin), task)
            # a renewal that comes behind it has lost nothing
            await until(lambda: _doubted(task))
        else:
            await end(state, task)
        assert not task.lost
        await asyncio.sleep(0)
    found = await task_state(state, "tasks/1")
    assert (found.state, found.holder, found.error) == (ENDINGS[end], None, "not now" if end is _fail else None)
    assert await state.claims() == []


async def _doubted(task: pgstate.Task) -> bool:
    return task._doubted


async def test_work_that_was_not_ended_after_all_is_given_back_by_its_lease(state: State, admin: asyncpg.Connection, clock: Clock) -> None:  # fmt: skip
    await state.put("tasks/1", 1)
    async with state.claim_next("tasks/*", lease=30) as task:
        assert task is not None
        transaction = admin.transaction()
        await transaction.start()
        await state.bind(admin).complete(task.key, task.token)
        await transaction.rollback()
    # nobody told the block
    assert (await task_state(state, "tasks/1")).state == "claimed"
    await clock.advance(31)
    assert await state.claim_next("tasks/*") is not None


async def test_a_refused_ending_ends_nothing(renews_often: None, state: State) -> None:
    await state.put_many({"tasks/1": 1, "other": 1})
    claim = await state.claim("other")
    assert claim is not None
    async with state.claim_next("tasks/*", LEASE) as task:
        assert task is not None
        with pytest.raises(errors.ClaimHeld):
            await state.complete(task.key, task.token, 1, move_to="other")
        with pytest.raises(errors.Conflict):
            await state.apply(operations=[ops.complete(task.key, task.token), ops.put("other", 3, expect=7)])
        with pytest.raises(errors.StaleToken):
            await state.complete(task.key, task.token + 1000)
        until_now = task.lease_until
        await until(lambda: _later(task, until_now))
    assert (await task_state(state, "tasks/1")).state == "finished"
    # one that is lost is told, whatever was tried
    await state.put("tasks/2", 1)
    with pytest.raises(LeaseLost):
        async with state.claim_next("tasks/*", LEASE) as task:
            assert task is not None
            assert await state.release(task.key, force=True)
            await cancelled()


async def _later(task: pgstate.Task, than: Any) -> bool:
    return bool(task.lease_until > than)
