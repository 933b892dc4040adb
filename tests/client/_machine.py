"""The machine that the rules of the state machine stand on: it makes calls and compares their answers with the model's."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Iterable
from datetime import timedelta
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from client._model import MISSING, RIGHTS, Key, Logged, Model, Op, Out, same
from client._world import LEAVES, World, numbers
from pgstate import UNSET, Change, errors

# the model's time, and how many restores there had been
Taken = tuple[float, int]


class Machine(RuleBasedStateMachine):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.model = Model()
        self.home = f"n{next(numbers)}"
        self.keys = [f"{directory}/{self.home}/{leaf}" for directory in "aswx" for leaf in LEAVES]
        self.old_tokens: list[int] = []
        self.requests: list[tuple[str, Op, str, int]] = []
        # when retention last removed anything, how many versions of a key it may have removed by now, and restores
        self.last_removal = float("-inf")
        self.may_go: dict[Key, int] = {}
        self.restores = 0
        ((self.model.floor,),) = world.inside(world.FLOOR)
        world.run(world.expire())
        start = world.run(world.views["admin"].cursor())
        # of each agent's consumer: what it was told, and cursors with how much had come by then, and when they were taken
        self.received: dict[str, list[tuple[Any, ...]]] = {agent: [] for agent in RIGHTS}
        self.cursors: dict[str, list[tuple[str, int, Taken]]] = {
            agent: [(start, 0, self._now_here())] for agent in RIGHTS
        }

    def _now_here(self) -> Taken:
        return self.model.now, self.restores

    def _log(self, key: Key) -> list[Logged]:
        return [row for row in self.model.log if row.key == key]

    def _check_refusal(self, refused: bool, taken: Taken, ref: Any = "") -> None:
        """A cursor is refused after a restore, and a past only if retention may have removed what came after it."""
        restored = taken[1] < self.restores and isinstance(ref, str)
        if restored or self.last_removal - taken[0] <= 3600:
            assert refused is restored

    def _key(self, directory: str, leaf: str) -> Key:
        return f"{directory}/{self.home}/{leaf}"

    def _token(self, which: str | None, key: Key) -> int | None:
        claim = self.model.claims.get(key)
        if which == "current":
            return claim.token if claim else None
        if which == "old":
            return self.old_tokens[-1] if self.old_tokens else 1
        return None if which is None else 10**12

    def _not_before(self, after: float | None) -> float | None:
        return None if after is None else self.model.now + after

    def _call(self, agent: str, op: Op, op_id: str | None = None) -> Awaitable[Any]:
        view = self.world.views[agent]
        ttl = None if op.ttl is None else timedelta(seconds=op.ttl)
        if op.op == "put":
            not_before = None
            if op.not_before is not None:
                not_before = self.began + timedelta(seconds=op.not_before)
            expected = UNSET if op.expect_value is MISSING else op.expect_value
            return view.put(
                op.key, op.value, expect=op.expect, expect_value=expected, ttl=ttl, token=op.token,
                priority=op.priority, not_before=not_before, op_id=op_id,
            )  # fmt: skip
        if op.op == "merge":
            if op.return_value:
                return view.merge(op.key, op.value, op.reducer, ttl=ttl, token=op.token, op_id=op_id, return_value=True)
            return view.merge(op.key, op.value, op.reducer, ttl=ttl, token=op.token, op_id=op_id)
        if op.op == "delete":
            return view.delete(op.key, expect=op.expect, token=op.token)
        assert op.op == "complete" and op.token is not None
        return view.complete(op.key, op.token)

    @property
    def began(self) -> Any:
        """The database's time when the model's was 0."""
        return self.world.run(self.world.clock.now()) - timedelta(seconds=self.model.now)

    def _compare(self, op: Op, got: Any, out: Out) -> None:
        if out.status == "ok":
            if op.op == "merge" and op.return_value:
                assert same(got, out.value)
            else:
                assert got == (out.version if out.version is not None or op.op == "delete" else 0)
        elif out.status == "missing":
            assert got is None
        elif out.status == "conflict":
            assert isinstance(got, errors.VersionConflict)
            assert (got.key, got.version) == (op.key, out.version)
            assert (MISSING if got.current is None else got.current.value) == out.value
        else:
            kinds = {
                "held": errors.ClaimHeld,
                "stale": errors.StaleToken,
                "PS010": errors.AccessDenied,
                "PS004": errors.ValueTooLarge,
                "PS005": errors.UnknownReducer,
                "PS006": errors.ReducerMismatch,
                "PS008": errors.SchemaViolation,
            }
            assert type(got) is kinds[out.status], got
            assert not isinstance(got, errors.Conflict) or got.key == op.key

    def _write(self, agent: str, *ops: Op) -> None:
        got = self.world.attempt(*(self._call(agent, op) for op in ops))
        for op, answer, out in zip(ops, got, self.model.write(agent, list(ops)), strict=True):
            self._compare(op, answer, out)

    def _patterns(self, agent: str) -> list[str]:
        return [f"{directory}/{self.home}/**" for directory in RIGHTS[agent]["read"]]

    def _drain(self, agent: str, cursor: str, limits: Iterable[int]) -> list[Change]:
        found: list[Change] = []
        for limit in itertools.cycle(limits):
            page = self.world.run(self.world.views[agent].changes(cursor, self._patterns(agent), limit=limit))
            if not page.changes and page.cursor == cursor:
                break
            found += page.changes
            cursor = page.cursor
        return found
