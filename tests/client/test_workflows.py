"""@pgstate.workflow and @pgstate.step."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta

import pytest
from pydantic import BaseModel, ConfigDict

import pgstate
from pgstate import State, errors

made: list[str] = []


@pgstate.step
async def plan(topic: str) -> list[str]:
    made.append("plan")
    return [f"{topic}-{number}" for number in range(2)]


@pgstate.step(name="write-it", retry=pgstate.Retry(attempts=2, backoff=0))
def write(parts: list[str], style: str) -> str:
    made.append("write")
    if made.count("write") == 1:
        raise ValueError("not yet")
    return style.join(parts)


@pgstate.workflow(name="report", version="1")
async def report(topic: str, style: str = "+") -> str:
    parts = await plan(topic)
    assert pgstate.current_run().name == "report"
    return await write(parts, style)


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    made.clear()


async def test_a_call_is_a_run(state: State) -> None:
    assert await report(state, "r/1", "owls") == "owls-0+owls-1"
    assert await report(state, "r/1", "bats") == "owls-0+owls-1"
    assert made == ["plan", "write", "write"]
    assert [step.step for step in await state.runs.steps("r/1")] == ["plan", "write-it"]
    found = await state.runs.get("r/1")
    assert found is not None and (found.name, found.code) == ("report", "1")
    assert found.input == {"topic": "owls", "style": "+"}


async def test_a_worker_takes_it(state: State) -> None:
    assert await report.start(state, "r/2", "owls", style="-")
    assert not await report.start(state, "r/2", "bats")
    stop = asyncio.Event()
    working = asyncio.create_task(state.runs.worker([report], stop=stop, signals=()))
    assert await state.runs.result("r/2", wait=30) == "owls-0-owls-1"
    stop.set()
    assert await working == 1


async def test_a_workflow_may_have_no_options(state: State) -> None:
    @pgstate.workflow
    async def brief(topic: str) -> str:
        return (await plan(topic))[0]

    assert brief.name == "brief"
    assert await brief(state, "r/5", "owls") == "owls-0"


async def test_outside_of_a_run_steps_are_calls() -> None:
    assert await plan("x") == ["x-0", "x-1"]
    with pytest.raises(LookupError):
        pgstate.current_run()


def test_without_a_loop(dsn: str) -> None:
    assert report.run_sync(dsn, "r/3", "owls") == "owls-0+owls-1"
    assert report.run_sync(dsn, "r/3", "owls") == "owls-0+owls-1"
    assert made == ["plan", "write", "write"]


async def test_arguments_are_bound_at_once(state: State) -> None:
    with pytest.raises(TypeError):
        await report.start(state, "r/4")  # type: ignore[call-arg]
    with pytest.raises(errors.RunMissing):
        await state.runs.result("r/4")


async def test_every_kind_of_argument_comes_as_it_was_given(state: State) -> None:
    @pgstate.workflow
    async def gather(first: int, /, *rest: int, last: int = 9, **others: int) -> list[object]:
        return [first, list(rest), last, others]

    assert await gather(state, "r/1", 1, 2, 3, last=4, z=5) == [1, [2, 3], 4, {"z": 5}]
    assert await gather(state, "r/2", 1) == [1, [], 9, {}]
    # those of a run that was started by its name
    assert await gather.handle(None, {"first": 1, "z": 5}) == [1, [], 9, {"z": 5}]  # type: ignore[arg-type]


async def test_a_run_that_was_started_without_input_has_no_arguments(state: State) -> None:
    @pgstate.workflow
    async def brief() -> str:
        return "done"

    @pgstate.workflow
    async def long(topic: str) -> str:
        raise AssertionError

    for key, workflow, given in (("r/1", "brief", None), ("r/2", "brief", {"topic": 1}), ("r/3", "long", ["owls"])):
        await state.runs.start(key, workflow, given)
    stop = asyncio.Event()
    working = asyncio.create_task(state.runs.worker([brief, long], stop=stop, signals=()))
    assert await state.runs.result("r/1", wait=30) == "done"
    with pytest.raises(errors.StepFailed, match="workflow brief has no argument 'topic'"):
        await state.runs.result("r/2", wait=30)
    with pytest.raises(errors.StepFailed, match=r"its arguments by name, not \['owls'\]"):
        await state.runs.result("r/3", wait=30)
    stop.set()
    await working


async def test_a_step_may_have_arguments_of_any_name(state: State) -> None:
    @pgstate.step(timeout=30)
    async def fetch(name: str, *, timeout: int, undo: bool = False, retry: int = 0, function: str = "") -> list[object]:
        return [name, timeout, undo, retry, function]

    @pgstate.workflow
    async def twice() -> list[object]:
        return [await fetch(name="a", timeout=1, function="f"), await fetch("b", timeout=2, undo=True, retry=3)]

    assert await twice(state, "r/1") == [["a", 1, False, 0, "f"], ["b", 2, True, 3, ""]]
    assert [step.step for step in await state.runs.steps("r/1")] == ["fetch", "fetch#2"]


async def test_a_worker_takes_workflows_by_other_names_and_no_plain_functions_without(state: State) -> None:
    @pgstate.workflow(version="2")
    async def brief(topic: str) -> str:
        return topic

    await state.runs.start("r/1", "other name", {"topic": "owls"})
    stop = asyncio.Event()
    working = asyncio.create_task(state.runs.worker({"other name": brief}, stop=stop, signals=()))
    assert await state.runs.result("r/1", wait=30) == "owls"
    stop.set()
    await working
    found = await state.runs.get("r/1")
    assert found is not None and found.code == "2"
    with pytest.raises(errors.InvalidArgument, match="give {name: function}"):
        await state.runs.worker([brief.handle])


async def test_in_a_loop_it_is_awaited(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(RuntimeError, match="await report"):
        report.run_sync(None, "r/1", "owls")
    assert not recwarn.list


class Plan(BaseModel):
    model_config = ConfigDict(strict=True)
    topic: str
    due: date


async def test_arguments_and_results_are_of_the_types_that_annotations_name(state: State) -> None:
    came: list[object] = []

    @pgstate.workflow
    async def put_off(plan: Plan, *others: Plan, by: timedelta | None = None, **named: Plan) -> Plan:
        came.extend([plan, *others, by, named])
        return plan.model_copy(update={"due": plan.due + (by or timedelta(0))})

    owls, bats = Plan(topic="owls", due=date(2026, 1, 1)), Plan(topic="bats", due=date(2026, 1, 2))
    later = Plan(topic="owls", due=date(2026, 1, 3))
    for _ in range(2):
        assert await put_off(state, "r/1", owls, bats, by=timedelta(days=2), last=bats) == later
    assert came == [owls, bats, timedelta(days=2), {"last": bats}]
    # a run that was started by its name, by a worker
    await state.runs.start("r/2", "put_off", {"plan": {"topic": "owls", "due": "2026-01-03"}})
    await state.runs.start("r/3", "put_off", {"plan": {"topic": "owls"}})
    stop = asyncio.Event()
    working = asyncio.create_task(state.runs.worker([put_off], stop=stop, signals=()))
    assert await state.runs.result("r/2", wait=30) == {"topic": "owls", "due": "2026-01-03"}
    assert came[4:] == [later, None, {}]
    with pytest.raises(errors.StepFailed, match="the argument plan of workflow put_off does not fit .*Plan"):
        await state.runs.result("r/3", wait=30)
    stop.set()
    await working


async def test_a_result_that_does_not_fit_its_annotation_is_kept(state: State) -> None:
    @pgstate.workflow
    async def wrong() -> Plan:
        return {"topic": "owls"}  # type: ignore[return-value]

    for _ in range(2):
        with pytest.raises(errors.InvalidValue, match="the result of run r/1 does not fit .*Plan"):
            await wrong(state, "r/1")
    assert await state.runs.result("r/1") == {"topic": "owls"}
