"""Claims: exclusive ownership of entries until a lease ends, with a fencing token; and what is built on them."""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from pgstate import errors
from pgstate._areas._base import Area, seconds
from pgstate._areas._claimer import Claimer, claimed_or_given_back, give_back
from pgstate._areas._endings import ending
from pgstate._areas._held import Claiming, Lock, Locking, Loss, Task
from pgstate._areas._work import Handler, Work
from pgstate._areas.values import Values
from pgstate._bound import BoundCore
from pgstate._calls import claims
from pgstate._calls._run import outcome_error
from pgstate._core import NoLane
from pgstate._gather import Lane, Operation
from pgstate._json import decode, encode
from pgstate.types import UNSET, Claim, Failed, ForcedRelease, HeldClaim, Row, Seconds, TaskState

_BOTH = "read and write"


class Claims(Values, Area):
    """claim_next, claim_many, claim, renew, release, complete, fail, claims, tasks, work, lock, semaphore, leader."""

    def claim_next(
        self, pattern: str, lease: Seconds = 30.0, *, wait: Seconds | None = None, min_trust: str | None = None
    ) -> Claiming:
        """Claims the entry that waits with the highest priority, then longest, among those that match.

        `async with state.claim_next("tasks/pending/*") as task:` gives a `Task`, which is renewed in the background,
        and completed when the block ends; or fails with what the block raised (to be tried again as its policy says),
        or is released when the block is cancelled. When the lease is lost nevertheless, the block is cancelled and
        LeaseLost raised. `await state.claim_next(...)` gives a `Claim` that is left to the caller: renew, complete or
        release it.

        None when nothing is claimable; with `wait`, only after that many seconds in which nothing became so. The wait
        polls nothing: a write, a release, or the end of another's lease or of a not_before ends it. Those who wait for
        the same in one client share its statements. `lease` is in seconds; `min_trust` passes over what is trusted
        less. Raises InvalidPattern, InvalidArgument, AccessDenied (needs read and write).
        """

        async def take() -> Claim | None:
            return self._claimed(await self._take(pattern, lease, wait, min_trust))

        async def hold() -> Task | None:
            core = self._core.following("async with claim_next(…)")
            row = await self._take(pattern, lease, wait, min_trust)
            claim = self._claimed(row)
            return None if claim is None else Task(self, core, claim, seconds(lease), row["sent"], None)

        return Claiming(take, hold)

    async def _take(self, pattern: str, lease: Seconds, wait: Seconds | None, min_trust: str | None = None) -> Row:
        full, span = self._pattern(pattern), seconds(lease)
        patience = None if wait is None else math.inf if wait == math.inf else seconds(wait).total_seconds()
        with self._to(f"claim any of {full or 'everything'}", _BOTH, full):
            if isinstance(self._core, BoundCore):
                if wait is not None:
                    self._core.following("claim_next(wait=…)")
                return (await self._ask(full, 1, span, min_trust))[0]
            kept = self._core.kept
            # by the kind of name too: one with a ticket is not the bare one
            which = (Claimer, self._agent, type(self._agent), full, span, min_trust, self._timeout)
            claimer = kept.get(which)
            if claimer is None:
                claimer = Claimer(
                    self._core,
                    self._agent,
                    self._name,
                    full,
                    span,
                    min_trust,
                    self._timeout,
                    lambda: kept.pop(which, None),
                )
                kept[which] = claimer
            return await claimer.take(patience)

    async def claim_many(
        self, pattern: str, limit: int, lease: Seconds = 30.0, *, min_trust: str | None = None
    ) -> list[Claim]:
        """`claim_next` for up to `limit` entries (1 to 1000) in one statement, best first; as many as there are.
        `min_trust` passes over what is trusted less."""
        full, span = self._pattern(pattern), seconds(lease)
        with self._to(f"claim any of {full or 'everything'}", _BOTH, full):
            rows = await self._or_back(self._ask(full, limit, span, min_trust))
        return [claim for row in rows if (claim := self._claimed(row)) is not None]

    async def _ask(self, full: str, limit: int, span: timedelta, min_trust: str | None = None) -> Sequence[Row]:
        return await self._core.call_once(
            lambda c, lane, left: claims.claim_many(
                c, full, limit, span, lane.id, lane.turn, self._agent, min_trust, timeout=left
            ),
            self._agent,
            self._timeout,
        )

    async def claim(self, key: str, lease: Seconds = 30.0) -> Claim | None:
        """Claims one entry; None if it does not exist. `lease` is in seconds.

        Raises ClaimHeld if it is claimed already, by this agent too, or failed and is not to be tried yet; InvalidKey,
        InvalidArgument, AccessDenied.
        """
        full, span = self._key(key), seconds(lease)
        with self._to(f"claim {full}", _BOTH, full):
            (row,) = await self._or_back(self._ask_for(full, span))
        if row["status"] == "held":
            raise errors.ClaimHeld(f"{key} is claimed already: tasks() tells by whom and until when", key)
        return self._claimed(row)

    async def _ask_for(self, full: str, span: timedelta) -> Sequence[Row]:
        row = await self._core.call_once(
            lambda c, lane, left: claims.claim(c, full, span, lane.id, lane.turn, self._agent, timeout=left),
            self._agent,
            self._timeout,
        )
        return [row]

    async def _or_back(self, asking: Coroutine[Any, Any, Sequence[Row]]) -> Sequence[Row]:
        """What is claimed; where the caller is cancelled it is given back, since nobody knows of it."""
        core = self._core
        if isinstance(core, BoundCore):
            # a claim is the transaction's, and goes with it
            return await asking
        return await claimed_or_given_back(core, asking, lambda rows: give_back(core, self._agent, rows, self._timeout))

    async def renew(self, key: str, token: int, lease: Seconds = 30.0) -> Claim:
        """Lets the lease end `lease` seconds from now. The entry is not read: in the Claim that it returns `value` is
        None and `version` 0. Raises StaleToken once it has ended or somebody else has it."""
        full, span = self._key(key), seconds(lease)
        with self._to(f"renew a claim of {full}", _BOTH, full):
            row = await self._core.call(
                lambda c, left: claims.renew(c, full, token, span, self._agent, timeout=left), self._timeout
            )
        if row["status"] != "ok":
            raise self._conflict({"status": "stale"}, full)
        return Claim(key, None, 0, token, row["lease_until"], row["attempts"])

    async def release(self, key: str, token: int | None = None, *, force: bool = False) -> bool:
        """Gives a claim back: others may claim the entry at once. False if the claim was lost already.

        With `force`, which takes no token and needs admin on the key, anybody's claim is ended, and what failed may be
        tried again from the beginning; `claim_log` keeps who did it. False if there was neither. Raises AccessDenied.
        """
        full = self._key(key)
        if force is (token is not None):
            raise errors.InvalidArgument("release with the claim's token, or by force without one")
        if token is None:
            with self._to(f"release {full} by force", "admin", full):
                row = await self._core.call_once(
                    lambda c, lane, left: claims.release_by_force(
                        c, full, lane.id, lane.turn, self._agent, timeout=left
                    ),
                    self._agent,
                    self._timeout,
                )
        else:
            with self._to(f"release {full}", _BOTH, full), self._ending(full, token) as ended:
                row = await self._core.call(
                    lambda c, left: claims.release(c, full, token, self._agent, timeout=left), self._timeout
                )
                if row["status"] == "ok":
                    ended()
        return bool(row["status"] == "ok")

    async def complete(
        self, key: str, token: int, result: Any = None, *, move_to: str | None = None, op_id: str | None = None
    ) -> int:
        """Finishes claimed work: removes the entry, and returns the version of that.

        With `move_to` the result (or, when it is None, the entry's value) is put there in the same transaction. Raises
        StaleToken, ClaimHeld when somebody has claimed `move_to`, InvalidArgument for a result without `move_to`, and
        for that key what `put` raises.
        """
        if move_to is None:
            if result is not None:
                raise errors.InvalidArgument("a result needs a place: give move_to, the key that it is put under")
            full = self._prefix + key
            with self._ending(full, token, completing=True) as ended:
                row = await self._write("complete", key, None, None, UNSET, None, token, None, None, None, None, op_id)
                if row["status"] == "ok":
                    ended()
        else:
            full, to = self._key(key), self._key(move_to)
            text = None if result is None else encode(result)
            core = self._core
            if text is not None and (detection := core.guard.detection) is not None:
                await detection.written(to, decode(text))
            core.stats.writes += 2
            queue = core.queue("finish", self._agent, self._finish_together)
            with self._ending(full, token, completing=True) as ended:
                row = await queue.submit(full, (token, text, to, op_id), len(text or "") + len(to), self._timeout)
                if row["code"] is None and row["status"] == "ok":
                    ended()
            if row["code"] is not None:
                error = outcome_error(row["code"], row["message"])
                if isinstance(error, errors.AccessDenied):
                    raise self._denied(error, f"complete {full} to {to}", "read and write, and write there", full)
                raise error
            if row["status"] == "held":
                raise self._conflict(row, to)
        if row["status"] != "ok":
            self._core.stats.conflicts += 1
            raise self._conflict({"status": "stale"}, full)
        return int(row["version"])

    async def fail(
        self,
        key: str,
        token: int,
        error: str | None = None,
        retry_in: Seconds | None = None,
        *,
        op_id: str | None = None,
    ) -> Failed:
        """Gives claimed work back as failed. It may be claimed again after `retry_in` seconds, or after the backoff of
        its policy (1 s and doubled each time, up to 5 minutes, without one); when its `max_attempts` are used up it
        goes to the `dead_letter` of its policy, or stays and is not claimed again. `error` is kept, its first 2000
        characters. Raises StaleToken, AccessDenied."""
        full = self._key(key)
        span = None if retry_in is None else seconds(retry_in)
        queue = self._core.queue("fail", self._agent, self._fail_together)
        with self._to(f"fail {full}", _BOTH, full), self._ending(full, token) as ended:
            row = await queue.submit(full, (token, error, span, op_id), len(error or ""), self._timeout)
            if row["code"] is not None:
                raise outcome_error(row["code"], row["message"])
            if row["status"] == "ok":
                ended()
        if row["status"] != "ok":
            raise self._conflict({"status": "stale"}, full)
        moved = row["moved_to"]
        return Failed(row["attempts"], row["retry_in"], None if moved is None else self._shown(moved))

    def _ending(self, full: str, token: int, *, completing: bool = False) -> AbstractContextManager[Callable[[], None]]:
        return ending([(full, token)], bound=isinstance(self._core, BoundCore), completing=completing)

    async def claims(self, pattern: str = "") -> list[HeldClaim]:
        """Who holds what now, in key order, of the entries that match and that the agent may read; an empty pattern
        means everything. Raises InvalidPattern, AccessDenied when the pattern reaches nothing that it may read."""
        full = self._pattern(pattern)
        with self._to(f"list claims of {full or 'everything'}", "read", full):
            rows = await self._core.call(
                lambda c, left: claims.list_claims(c, full, self._agent, timeout=left), self._timeout
            )
        return [HeldClaim(**{**row, "key": row["key"][self._skip :]}) for row in rows]

    async def tasks(
        self,
        pattern: str = "",
        *,
        states: Sequence[str] | None = None,
        limit: int | None = 1000,
        after: str | None = None,
    ) -> list[TaskState]:
        """Entries as pieces of work, in key order: waiting, claimed, failed or finished. `states` names those wanted;
        `limit` and `after` as in `list`. Raises InvalidPattern, InvalidArgument, AccessDenied when the pattern reaches
        nothing that the agent may read."""
        full = self._pattern(pattern)
        start = None if after is None else self._key(after)
        wanted = None if states is None else list(states)
        with self._to(f"list tasks of {full or 'everything'}", "read", full):
            rows = await self._core.call(
                lambda c, left: claims.tasks(c, full, limit, start, wanted, self._agent, timeout=left), self._timeout
            )
        return [TaskState(**{**row, "key": row["key"][self._skip :]}) for row in rows]

    async def claim_log(self, pattern: str = "", *, limit: int | None = 100) -> list[ForcedRelease]:
        """Claims that were ended by force, newest first, of the keys that match and that the agent administers. Raises
        InvalidPattern, AccessDenied."""
        full = self._pattern(pattern)
        with self._to(f"see the claims of {full or 'everything'} that were ended by force", "admin", full):
            rows = await self._core.call(
                lambda c, left: claims.claim_log(c, full, limit, self._agent, timeout=left), self._timeout
            )
        return [ForcedRelease(**{**row, "key": self._shown(row["key"])}) for row in rows]

    async def work(
        self,
        pattern: str,
        handler: Handler,
        *,
        concurrency: int = 8,
        lease: Seconds = 30.0,
        move_to: str | None = None,
        stop: asyncio.Event | None = None,
        signals: Sequence[int] = (signal.SIGTERM,),
        min_trust: str | None = None,
    ) -> int:
        """Works on what matches, `concurrency` at once, until it is told to stop: by a signal, or by `stop`. Then it
        claims nothing more, lets the handlers under way end, and returns how many tasks were completed.

        `handler(task)` may be a coroutine function; each task is claimed, renewed and ended as in `claim_next`. What it
        returns is stored under `move_to` ("tasks/done/*", where `*` stands for the last segment of the task's key), or
        ignored. A handler that raises fails its task, which is logged; a server that is down is waited for. `signals`
        do this in place of what they did, meanwhile; those that the application told its loop to handle are left to it.
        `min_trust` leaves what is trusted less to others. Raises InvalidPattern, InvalidArgument, AccessDenied.
        """
        if concurrency < 1:
            raise errors.InvalidArgument("concurrency is at least 1")
        self._core.following("work")
        return await Work(self, pattern, handler, lease, move_to, stop, min_trust).run(concurrency, signals)

    def lock(self, key: str, lease: Seconds = 10.0, *, wait: Seconds | None = None) -> Locking:
        """`async with state.lock("deploy", lease=10, wait=5) as lock:` holds the claim of the key itself, which is made
        (with the value null) if there is none; the grants of the key say who may. It is renewed until the block ends,
        and writes to the key take `lock.token`. Waits `wait` seconds for it. Raises ClaimHeld when somebody else holds
        it, LeaseLost in the block when it was lost, InvalidKey, InvalidArgument, AccessDenied."""
        return self._locking([key], key, lease, wait, None)

    def semaphore(self, name: str, n: int, lease: Seconds = 10.0, *, wait: Seconds | None = None) -> Locking:
        """As `lock`, for `n` holders at once: the keys `name/1` to `name/n`. All who use it must agree on `n`."""
        if n < 1:
            raise errors.InvalidArgument("a semaphore has at least one place")
        return self._locking([f"{name}/{number}" for number in range(1, n + 1)], f"{name}/*", lease, wait, None)

    def leader(
        self, name: str, lease: Seconds = 10.0, *, wait: Seconds | None = math.inf, on_loss: Loss | None = None
    ) -> Locking:
        """As `lock`, and waits as long as another leads. When leadership is lost, `on_loss` is called with the
        LeaseLost (it may be a coroutine function) and the block goes on; without one the block is cancelled."""
        return self._locking([name], name, lease, wait, on_loss)

    def _locking(
        self, keys: list[str], pattern: str, lease: Seconds, wait: Seconds | None, on_loss: Loss | None
    ) -> Locking:
        async def hold() -> Lock | None:
            core = self._core.following("a lock")
            # a lock's name is a key, and no pattern
            for key in keys:
                self._key(key)
            row = await self._take(pattern, lease, None)
            if row["status"] != "ok":
                await self._make(keys)
                row = await self._take(pattern, lease, wait)
            claim = self._claimed(row)
            if claim is None:
                raise errors.ClaimHeld(f"{pattern} is held by somebody: claims() tells by whom and until when", pattern)
            return Lock(self, core, claim, seconds(lease), row["sent"], on_loss)

        return Locking(hold)

    async def _make(self, keys: list[str]) -> None:
        made = await self.put_many([{"op": "put", "key": key, "value": None, "expect": 0} for key in keys])
        for result in made:
            if result.code is not None:
                raise outcome_error(result.code, result.message)

    async def _renew_together(self, claim: Claim, lease: timedelta, timeout: float) -> Claim:
        """`renew` by a statement that all renewals of the moment share."""
        queue = self._core.queue("renew", self._agent, self._renew_all)
        full = self._key(claim.key)
        row = await queue.submit(full, (claim.token, lease), len(full), timeout)
        if row["code"] is not None:
            raise outcome_error(row["code"], row["message"])
        if row["status"] != "ok":
            raise self._conflict({"status": "stale"}, full)
        return Claim(claim.key, claim._value, claim.version, claim.token, row["lease_until"], row["attempts"])

    async def _renew_all(
        self, batch: Sequence[Operation], lane: Lane | NoLane, lock_timeout: str | None, left: float
    ) -> Sequence[Row]:
        keys, tokens = [o.key for o in batch], [o.args[0] for o in batch]
        leases = [o.args[1] for o in batch]
        return await self._core.once(
            lambda c: claims.renew_many(c, keys, tokens, leases, lock_timeout, self._agent, timeout=left), left
        )

    async def _finish_together(
        self, batch: Sequence[Operation], lane: Lane | NoLane, lock_timeout: str | None, left: float
    ) -> Sequence[Row]:
        columns = _columns(batch)
        rows = await self._core.once(
            lambda c: claims.complete_many(c, columns, lane.id, lane.turn, lock_timeout, self._agent, timeout=left),
            left,
        )
        if rows[0]["watched"]:
            done = [o for o, row in zip(batch, rows, strict=True) if row["status"] == "ok"]
            self._core.wake([key for o in done for key in (o.key, o.args[2])], self._agent)
        return rows

    async def _fail_together(
        self, batch: Sequence[Operation], lane: Lane | NoLane, lock_timeout: str | None, left: float
    ) -> Sequence[Row]:
        columns = _columns(batch)
        return await self._core.once(
            lambda c: claims.fail_many(c, columns, lane.id, lane.turn, lock_timeout, self._agent, timeout=left), left
        )

    def _shown(self, full: str) -> str:
        """A key as this view names it; one outside its namespace in full."""
        return full[self._skip :] if full.startswith(self._prefix) else full

    def _claimed(self, row: Row) -> Claim | None:
        if row["status"] != "ok":
            return None
        key: str = row["key"]
        text = row["value"]
        try:
            value = None if text is None else decode(text)
        except errors.InvalidValue as error:
            # who claims several must not lose the others, nor this one's token
            value = error
        return Claim(key[self._skip :], value, row["version"], row["token"], row["lease_until"], row["attempts"])


def _columns(batch: Sequence[Operation]) -> list[Sequence[Any] | None]:
    """Keys, and the operations' arguments by column, None for an optional one that nobody gave."""
    columns = [[o.key for o in batch], *(list(column) for column in zip(*(o.args for o in batch), strict=True))]
    return [column if index < 2 or column.count(None) < len(column) else None for index, column in enumerate(columns)]
