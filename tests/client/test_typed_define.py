"""What `define()` makes of a type: policies that hold for everybody who writes its fields."""

from __future__ import annotations

import dataclasses
import operator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import asyncpg
import pytest
from pydantic import BaseModel, Field, PlainSerializer, field_serializer

from client._typed import Research
from client.conftest import Connect
from pgstate import State, errors, ops

PATH = "research/task-7"


class Step(BaseModel):
    took: timedelta

    @field_serializer("took")
    def _seconds(self, took: timedelta) -> float:
        return took.total_seconds()


class Timed(BaseModel):
    at: Annotated[datetime, PlainSerializer(datetime.timestamp, return_type=float)]
    steps: Annotated[list[Step], operator.add] = Field(default_factory=list)


async def test_other_clients_are_held_to_the_type(state: State, admin: asyncpg.Connection) -> None:
    view = state.typed(Research, PATH)
    await view.update(topic="owls", findings=["hunt"], steps=1)
    await view.define()
    assert {policy.subtree: policy.reducer for policy in await state.policies()} == {
        f"{PATH}/{name}": reducer for name, reducer in view.reducers.items()
    }
    # SQL that names no reducer merges as the type says
    await admin.execute(f"select pgstate.merge('{PATH}/findings', '\"fly\"'), pgstate.merge('{PATH}/steps', '2')")
    loaded = await view.load()
    assert loaded is not None and (loaded.findings, loaded.steps) == (["hunt", "fly"], 3)
    assert await state.merge(f"{PATH}/steps", 4) == 3
    assert [row.status for row in await state.merge_many([(f"{PATH}/steps", 1), ops.merge(f"{PATH}/findings", "x")])] == [
        "ok", "ok",
    ]  # fmt: skip
    # and what would not load is not written
    for key, value in (("topic", 1), ("findings", "not a list"), ("findings", [1]), ("steps", "three")):
        with pytest.raises(errors.SchemaViolation):
            await state.put(f"{PATH}/{key}", value)
    with pytest.raises(errors.SchemaViolation):
        await state.merge(f"{PATH}/findings", 7)
    with pytest.raises(asyncpg.PostgresError) as caught:
        await admin.execute(f"select pgstate.put('{PATH}/steps', '[]')")
    assert caught.value.sqlstate == "PS008"
    # its own updates go on, defaults and all, and it can be defined again
    await view.define()
    assert await view.update(best=2.5, tags={"a"}, steps=1)
    assert (await view.load()) == Research("owls", ["hunt", "fly", "x"], 9, 2.5, {"a"})


async def test_what_serializers_make_fits_too(state: State) -> None:
    view = state.typed(Timed, "t")
    await view.define()
    made = Timed(at=datetime(2026, 1, 2, tzinfo=UTC), steps=[Step(took=timedelta(seconds=3))])
    await view.set(made)
    await view.update(steps=Step(took=timedelta(seconds=4)))
    loaded = await view.load()
    assert loaded is not None
    assert (loaded.at, [step.took.total_seconds() for step in loaded.steps]) == (made.at, [3.0, 4.0])
    assert [entry.value for entry in await state.list("t/*")] == [1767312000.0, [{"took": 3.0}, {"took": 4.0}]]
    for key, value in (("at", []), ("steps", [{"took": []}])):
        with pytest.raises(errors.SchemaViolation):
            await state.put(f"t/{key}", value)


async def test_a_schema_that_the_database_cannot_check(state: State) -> None:
    @dataclasses.dataclass
    class Coded:
        count: Annotated[int, operator.add] = 0
        code: Annotated[str, Field(pattern="^[A-Z]+$")] = "A"

    Coded.__annotations__ = {"count": Annotated[int, operator.add], "code": Annotated[str, Field(pattern="^[A-Z]+$")]}
    with pytest.raises(errors.InvalidArgument, match="pattern"):
        await state.typed(Coded, "c").define()


async def test_who_may_define(state: State, agent: Connect) -> None:
    alice = await agent("alice", "read research/**", "write research/**")
    with pytest.raises(errors.AccessDenied, match="define research/task-7"):
        await alice.typed(Research, PATH).define()
    assert await state.policies() == []
