"""The saver beside LangGraph's own for PostgreSQL, on the same server: whatever is saved, copied, pruned and deleted in
whatever order, both tell the same of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import WRITES_IDX_MAP, BaseCheckpointSaver, Checkpoint, CheckpointTuple
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, SCHEDULED, _DeltaSnapshot

from integrations._checkpoints import at
from pgstate.integrations.langgraph import PgStateSaver

T = TypeVar("T")
Place = tuple[str, str]  # a thread and a namespace
Made = tuple[Checkpoint, str | None, Any]

# where "delta" is, a channel is read along with its ancestors, and LangGraph's saver does not prune
THREADS = ["one", "two/../three", "vier\n 5%", "delta"]
NAMESPACES = ["", "sub:1f0|inner:2", "sub"]
RUNS = ["run-a", "run-b"]
# and their paths, which sort as texts, before the names
TASKS = {"t1": "~9", "t2": "~10", "t3": "", "t0": "~10"}

values = st.one_of(
    st.integers(-5, 5),
    st.text("ab é😀", max_size=3),
    st.lists(st.sampled_from(["x", "y", "x" * 300, 1, None]), max_size=5),
    st.dictionaries(st.sampled_from(["k", "l"]), st.lists(st.integers(0, 3), max_size=2), max_size=2),
)
# nested too, with numbers that are equal and of two types
facts = st.fixed_dictionaries(
    {"step": st.integers(-1, 2), "source": st.sampled_from(["loop", "input"])},
    optional={
        "run_id": st.sampled_from(RUNS),
        "tags": st.lists(st.sampled_from(["p", "q", 1]), max_size=2),
        "user": st.fixed_dictionaries(
            {"name": st.sampled_from(["ana", "bo"])}, optional={"age": st.sampled_from([1, True, None])}
        ),
    },
)
filters = st.one_of(
    st.none(),
    st.just({}),
    facts.map(lambda found: {"step": found["step"]}),
    facts.map(lambda found: {name: found[name] for name in found if name not in ("step", "source")}),
    st.sampled_from(
        [{"user": {"age": None}}, {"user": {"age": 1}}, {"tags": []}, {"user": {}}, {"step": "1"}, {"run_id": "run"}]
    ),
)
# of two of one special channel in one call it is not said which counts
writes = st.lists(
    st.tuples(st.sampled_from(["a", "b", "log", ERROR, INTERRUPT, RESUME, SCHEDULED]), values),
    min_size=1,
    max_size=4,
    unique_by=lambda write: write[0] if write[0] in WRITES_IDX_MAP else object(),
)


class Beside(RuleBasedStateMachine):
    mine: PgStateSaver
    theirs: AsyncPostgresSaver
    loop: asyncio.AbstractEventLoop

    @initialize()
    def begin(self) -> None:
        # what is there, by place: each with its parent and its run
        self.made: dict[Place, dict[str, Made]] = {}
        # threads that were begun and not deleted, whatever is left of them
        self.begun: set[str] = set()
        self.number = 0
        for thread in THREADS:
            self.both("adelete_thread", thread)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def both(self, method: str, *args: Any, **options: Any) -> Any:
        """What both return, which is the same."""
        mine = self.run(getattr(self.mine, method)(*args, **options))
        assert mine == self.run(getattr(self.theirs, method)(*args, **options))
        return mine

    def _id(self, place: Place, data: st.DataObject) -> str | None:
        """One of those that there are."""
        there = sorted(self.made.get(place, {}))
        return data.draw(st.sampled_from(there)) if there else None

    places = st.tuples(st.sampled_from(THREADS), st.sampled_from(NAMESPACES))

    @rule(
        place=places,
        latest=st.booleans(),
        changes=st.dictionaries(st.sampled_from("abc"), values),
        found=facts,
        data=st.data(),
    )
    def put(
        self, place: Place, latest: bool, changes: dict[str, Any], found: dict[str, Any], data: st.DataObject
    ) -> None:
        there = self.made.setdefault(place, {})
        parent = max(there, default=None) if latest else self._id(place, data)
        before = there[parent][0] if parent else None
        self.number += 1
        version = f"{self.number:032}.0.5"
        new = dict.fromkeys(changes, version)
        held = {**(before["channel_values"] if before else {}), **changes}
        if place[0] == "delta":
            # of most checkpoints it is no part
            new["log"] = version
            held.pop("log", None)
            found = {**found, "counters_since_delta_snapshot": {"log": (1, 1)}}
            found.pop("run_id", None)  # what it is made of is kept, whatever run made it
            if self.number % 3 == 0:
                held["log"] = _DeltaSnapshot([f"snapshot {self.number}"])
        checkpoint = Checkpoint(
            v=4,
            id=str(uuid6(clock_seq=-2)),
            ts="2026-11-25T00:00:00+00:00",
            channel_values=held,
            channel_versions={**(before["channel_versions"] if before else {}), **new},
            versions_seen={"node": new},
            updated_channels=sorted(new),
        )
        self.both("aput", at(place[0], parent, place[1]), checkpoint, found, new)
        there[checkpoint["id"]] = checkpoint, parent, found.get("run_id")
        self.begun.add(place[0])

    @precondition(lambda self: any(self.made.values()))
    @rule(place=places, found=facts, data=st.data())
    def put_again(self, place: Place, found: dict[str, Any], data: st.DataObject) -> None:
        """A checkpoint once more, with other metadata."""
        if (id_ := self._id(place, data)) is not None and place[0] != "delta":
            checkpoint, parent, _ = self.made[place][id_]
            if parent in self.made[place]:
                self.both("aput", at(place[0], parent, place[1]), checkpoint, found, {})
                self.made[place][id_] = checkpoint, parent, found.get("run_id")

    @rule(place=places, task=st.sampled_from(list(TASKS)), wrote=writes, data=st.data())
    def put_writes(self, place: Place, task: str, wrote: list[tuple[str, Any]], data: st.DataObject) -> None:
        if (id_ := self._id(place, data)) is not None:
            self.both("aput_writes", at(place[0], id_, place[1]), wrote, task, TASKS[task])

    @rule(place=places, named=st.booleans(), data=st.data())
    def get(self, place: Place, named: bool, data: st.DataObject) -> None:
        id_ = self._id(place, data) if named else None
        self.both("aget_tuple", at(place[0], id_, place[1]))

    @rule(place=places)
    def get_unknown(self, place: Place) -> None:
        assert self.both("aget_tuple", at(place[0], str(uuid6(clock_seq=-2)), place[1])) is None

    @rule(
        place=places, scope=st.sampled_from(["all", "thread", "namespace", "one"]), filter=filters,
        limit=st.sampled_from([None, None, 0, 1, 3]), bounded=st.booleans(), data=st.data(),
    )  # fmt: skip
    def listed(
        self, place: Place, scope: str, filter: Any, limit: int | None, bounded: bool, data: st.DataObject
    ) -> None:
        config: RunnableConfig | None = {"configurable": {"thread_id": place[0]}}
        if scope == "namespace":
            config = at(place[0], None, place[1])
        elif scope == "one":
            config = at(place[0], self._id(place, data), place[1])
        elif scope == "all":
            # of copies, which have the same ids, either may be the first
            config, limit = None, None
        before = at(place[0], self._id(place, data)) if bounded and self.made.get(place) else None
        found = [
            self.run(_listed(saver, config, filter=filter, before=before, limit=limit))
            for saver in (self.mine, self.theirs)
        ]
        assert found[0] == found[1]

    @rule(place=places, channels=st.lists(st.sampled_from(["a", "b", "log", "none"]), unique=True), data=st.data())
    def delta_history(self, place: Place, channels: list[str], data: st.DataObject) -> None:
        self.both("aget_delta_channel_history", config=at(place[0], self._id(place, data), place[1]), channels=channels)

    @rule(thread=st.sampled_from(THREADS))
    def delete(self, thread: str) -> None:
        self.both("adelete_thread", thread)
        self._forget(thread)

    @rule(threads=st.lists(st.sampled_from(THREADS), max_size=2), strategy=st.sampled_from(["keep_latest", "delete"]))
    def prune(self, threads: list[str], strategy: str) -> None:
        if strategy == "keep_latest":
            threads = [thread for thread in threads if thread != "delta"]
        self.both("aprune", threads, strategy=strategy)
        for thread in threads:
            if strategy == "delete":
                self._forget(thread)
            for place, there in self.made.items():
                if place[0] == thread:
                    self.made[place] = {id_: one for id_, one in there.items() if id_ == max(there)}

    # LangGraph's saver has no copies, and no end of runs: in its tables they are what follows

    @rule(source=st.sampled_from(THREADS[:-1]), to=st.sampled_from(THREADS[:-1]))
    def copy(self, source: str, to: str) -> None:
        if to not in self.begun:
            self.run(self.mine.acopy_thread(source, to))
            for table, columns in TABLES.items():
                self.run(
                    self._sql(f"insert into {table} select %s, {columns} from {table} where thread_id = %s", to, source)
                )
            for place, there in [*self.made.items()]:
                if place[0] == source:
                    self.made[to, place[1]] = dict(there)
            if source in self.begun:
                self.begun.add(to)

    @rule(runs=st.lists(st.sampled_from([*RUNS, "run"]), max_size=2))
    def delete_runs(self, runs: list[str]) -> None:
        self.run(self.mine.adelete_for_runs(runs))
        self.run(self._sql(f"delete from checkpoint_writes w using checkpoints c where {SAME} and {OF_RUNS}", runs))
        self.run(self._sql(f"delete from checkpoints c where {OF_RUNS}", runs))
        for place, there in self.made.items():
            self.made[place] = {id_: one for id_, one in there.items() if one[2] is None or one[2] not in runs}

    async def _sql(self, text: str, *args: Any) -> None:
        async with self.theirs._cursor() as cursor:
            await cursor.execute(text, args)

    def _forget(self, thread: str) -> None:
        self.made = {place: there for place, there in self.made.items() if place[0] != thread}
        self.begun.discard(thread)


SAME = "(w.thread_id, w.checkpoint_ns, w.checkpoint_id) = (c.thread_id, c.checkpoint_ns, c.checkpoint_id)"
OF_RUNS = "c.metadata ->> 'run_id' = any (%s)"
TABLES = {
    "checkpoints": "checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata",
    "checkpoint_blobs": "checkpoint_ns, channel, version, type, blob",
    "checkpoint_writes": "checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path",
}


async def _listed(
    saver: BaseCheckpointSaver[Any], config: RunnableConfig | None, **options: Any
) -> list[CheckpointTuple]:
    found = [one async for one in saver.alist(config, **options)]
    assert [one.config["configurable"]["checkpoint_id"] for one in found] == sorted(
        (one.config["configurable"]["checkpoint_id"] for one in found), reverse=True
    )
    return sorted(
        found, key=lambda one: [*map(one.config["configurable"].get, ("checkpoint_id", "thread_id", "checkpoint_ns"))]
    )


@pytest.mark.parametrize(
    ("examples", "steps"), [(20, 30), pytest.param(250, 60, marks=pytest.mark.thorough)], ids=["few", "many"]
)
async def test_both_tell_the_same(
    saver: PgStateSaver, reference: AsyncPostgresSaver, examples: int, steps: int
) -> None:
    loop = asyncio.get_running_loop()

    class Here(Beside):
        def __init__(self) -> None:
            super().__init__()
            self.mine, self.theirs, self.loop = saver, reference, loop

    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    chosen = settings(stateful_step_count=steps, max_examples=examples, suppress_health_check=checks, deadline=None)
    await asyncio.to_thread(run_state_machine_as_test, Here, settings=chosen)
