"""The engine of runs against a plain Python model: whatever ends a worker and wherever, the next calls exactly the functions
whose steps are not recorded, and gets what the others returned."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import pgstate
from client.conftest import Connect
from pgstate import State, errors

T = TypeVar("T")
numbers = itertools.count()


@dataclass(frozen=True)
class Line:
    """One line of a program: a step, which may fail the first so many times, caught by the code or not; a map; a wait."""

    kind: str
    name: str
    fails: int = 0
    caught: bool = False
    size: int = 0


names = st.sampled_from(["a", "b", "c"])
lines = st.one_of(
    st.builds(Line, st.just("step"), names, st.sampled_from([0, 0, 0, 1, 2]), st.booleans()),
    st.builds(Line, st.just("map"), names, size=st.integers(0, 3)),
    st.builds(Line, st.just("signal"), st.sampled_from(["x", "y"])),
    st.builds(Line, st.just("now"), st.just("now")),
)


@dataclass
class Modelled:
    """What a run must be: what is recorded, by id, as (failed, value); signals that nobody has taken."""

    state: str = "open"
    records: dict[str, tuple[bool, Any]] = field(default_factory=dict)
    signals: dict[str, list[int]] = field(default_factory=dict)


class Died(Exception):
    pass


class Engine(RuleBasedStateMachine):
    state: State
    other: State
    loop: asyncio.AbstractEventLoop

    @initialize(program=st.lists(lines, min_size=1, max_size=7))
    def begin(self, program: list[Line]) -> None:
        self.program = program
        self.key = f"m/{next(numbers)}"
        self.runs: dict[str, Modelled] = {}
        # how often each failing line was tried: of all runs, since forks do them too
        self.tried: dict[int, int] = {}
        self.sent = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    @rule(upto=st.integers(0, 7), how=st.sampled_from(["end", "die", "cancel", "lose"]), fork=st.booleans())
    def enter(self, upto: int, how: str, fork: bool) -> None:
        key = f"{self.key}-fork" if fork and f"{self.key}-fork" in self.runs else self.key
        model = self.runs.setdefault(key, Modelled())
        upto = len(self.program) if how == "end" or model.state == "done" else min(upto, len(self.program))
        how = "end" if upto == len(self.program) and model.state == "done" else how
        if model.state == "cancelled":
            assert isinstance(self.run(self._enter(key, model, 0, "end")), errors.RunCancelled)
            return
        if model.state == "failed":
            self._forget_failures(model)
            model.state = "open"
        was_done = model.state == "done"
        ended = self.run(self._enter(key, model, upto, how))
        if was_done:
            assert ended is None
        elif isinstance(ended, errors.StepFailed | errors.SignalTimeout | Died):
            model.state = "failed"
        elif ended is None:
            assert how == "end"
            model.state = "done"
        else:
            assert type(ended) is {"cancel": asyncio.CancelledError, "lose": errors.LeaseLost}[how], ended

    def _forget_failures(self, model: Modelled) -> None:
        """A failed run does the steps again that it failed with: those of the last place."""
        last = next(reversed(model.records), None)
        if last is not None:
            place = last.partition("[")[0]
            for id in [id for id, (failed, _) in model.records.items() if failed and id.partition("[")[0] == place]:
                del model.records[id]

    async def _enter(self, key: str, model: Modelled, upto: int, how: str) -> BaseException | None:
        """Goes through the program; what ended it, None for its end."""
        reached = asyncio.Event()

        async def body() -> None:
            async with self.state.run(key) as run:
                await self._go(run, model, self.program[:upto])
                if run.finished or how == "end":
                    return
                if how == "die":
                    raise Died
                reached.set()
                if how == "lose":
                    await self.other.release(key, force=True)
                    # any step tells, and records nothing
                    await run.step("late", self._value, 0, {})
                await asyncio.Event().wait()

        task = asyncio.create_task(body())
        waiting = asyncio.create_task(reached.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if how == "cancel" and not task.done():
            task.cancel()
        waiting.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        return ended

    async def _value(self, index: int, called: dict[int, int]) -> int:
        called[index] = called.get(index, 0) + 1
        return index

    async def _go(self, run: pgstate.Run, model: Modelled, program: list[Line]) -> None:
        seen: dict[str, int] = {}
        for index, line in enumerate(program):
            seen[line.name] = seen.get(line.name, 0) + 1
            id = line.name if seen[line.name] == 1 else f"{line.name}#{seen[line.name]}"
            await getattr(self, f"_{line.kind}")(run, model, index, line, id)

    async def _step(self, run: pgstate.Run, model: Modelled, index: int, line: Line, id: str) -> None:
        called: dict[int, int] = {}

        async def work() -> int:
            self.tried[index] = self.tried.get(index, 0) + 1
            if self.tried[index] <= line.fails:
                called[index] = 1
                raise ValueError(index)
            return await self._value(index, called)

        known = model.records.get(id)
        failed = known[0] if known is not None else self.tried.get(index, 0) < line.fails
        try:
            assert await run.step(line.name, work) == index
            assert not failed
        except errors.StepFailed as error:
            assert failed and error.error == f"ValueError: {index}"
            if not line.caught:
                raise
        finally:
            assert called == ({} if known is not None else {index: 1})
            model.records.setdefault(id, (failed, index))

    async def _map(self, run: pgstate.Run, model: Modelled, index: int, line: Line, id: str) -> None:
        called: dict[int, int] = {}

        async def work(number: int) -> int:
            return await self._value(number, called)

        assert await run.map(line.name, work, range(line.size), concurrency=2) == [*range(line.size)]
        ids = {number: f"{id}[{number}]" for number in range(line.size)}
        assert called == {number: 1 for number, own in ids.items() if own not in model.records}
        for own in ids.values() if ids else [id]:
            model.records.setdefault(own, (False, None))

    async def _signal(self, run: pgstate.Run, model: Modelled, index: int, line: Line, id: str) -> None:
        known = model.records.get(id)
        waiting = model.signals.get(line.name, [])
        if known is None and waiting:
            known = model.records[id] = (False, waiting.pop(0))
        elif known is None:
            known = model.records[id] = (True, None)
        try:
            assert await run.wait_signal(line.name, timeout=0.001) == known[1]
            assert not known[0]
        except errors.SignalTimeout:
            assert known[0]
            raise

    async def _now(self, run: pgstate.Run, model: Modelled, index: int, line: Line, id: str) -> None:
        now = await run.now()
        assert model.records.setdefault(id, (False, now)) == (False, now)

    @rule(name=st.sampled_from(["x", "y"]))
    def signal(self, name: str) -> None:
        self.sent += 1
        model = self.runs.get(self.key)
        sending = self.other.runs.signal(self.key, name, self.sent)
        if model is None:
            with pytest.raises(errors.RunMissing):
                self.run(sending)
        elif model.state != "open":
            with pytest.raises(errors.RunEnded):
                self.run(sending)
        else:
            self.run(sending)
            model.signals.setdefault(name, []).append(self.sent)

    @precondition(lambda self: self.key in self.runs)
    @rule()
    def cancel(self) -> None:
        model = self.runs[self.key]
        if model.state == "open":
            assert self.run(self.other.runs.cancel(self.key))
            model.state = "cancelled"
        else:
            with pytest.raises(errors.RunEnded):
                self.run(self.other.runs.cancel(self.key))

    @precondition(lambda self: self.key in self.runs)
    @rule()
    def retry(self) -> None:
        model = self.runs[self.key]
        if model.state == "done":
            with pytest.raises(errors.RunEnded):
                self.run(self.state.runs.retry(self.key))
            return
        assert self.run(self.state.runs.retry(self.key)) is (model.state != "open")
        if model.state != "open":
            self._forget_failures(model)
            model.state = "open"

    @precondition(lambda self: self.key in self.runs)
    @rule()
    def fork(self) -> None:
        target = f"{self.key}-fork"
        if target in self.runs:
            assert self.run(self.state.runs.delete(target))
        self.run(self.state.runs.fork(self.key, target))
        self.runs[target] = Modelled("open", dict(self.runs[self.key].records))

    @precondition(lambda self: self.key in self.runs)
    @rule()
    def look(self) -> None:
        for key, model in self.runs.items():
            found, steps = self.run(self.state.runs.get(key)), self.run(self.state.runs.steps(key))
            assert found is not None
            assert found.state == ("waiting" if model.state == "open" else model.state)
            assert {step.step: step.state == "failed" for step in steps} == {
                id: failed for id, (failed, _) in model.records.items()
            }
            assert found.steps == len(model.records)


async def test_the_engine_against_a_model(state: State, connect: Connect) -> None:
    other, loop = await connect(), asyncio.get_running_loop()

    class Here(Engine):
        def __init__(self) -> None:
            super().__init__()
            self.state, self.other, self.loop = state, other, loop

    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    chosen = settings(stateful_step_count=12, max_examples=25, suppress_health_check=checks)
    await asyncio.to_thread(run_state_machine_as_test, Here, settings=chosen)
