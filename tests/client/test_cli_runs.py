"""runs in the shell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

import pgstate
from client._cli import Result, invoke, lines, on_terminal, start
from pgstate import State


@pytest.fixture
def pg(dsn: str) -> Callable[..., Result]:
    return lambda *args, **more: invoke(*args, dsn=dsn, **more)


async def _work(name: str) -> dict[str, str]:
    return {"did": name}


async def _fails() -> None:
    raise ValueError("no owls")


async def _do(state: State, key: str, *, fail: bool) -> None:
    try:
        async with state.run(key, name="report") as run:
            await run.step("plan", _work, "plan")
            await run.map("facts", _work, ["a", "b"])
            await run.sleep(0.001)
            if fail:
                await run.step("write", _fails)
    except pgstate.StepFailed:
        assert fail


async def _shell(pg: Callable[..., Result], *args: str) -> Result:
    return await asyncio.to_thread(pg, *args)


async def test_a_run_in_the_shell(state: State, pg: Callable[..., Result], dsn: str) -> None:
    assert (await _shell(pg, "runs", "ls")).out == ""
    await _do(state, "r/1", fail=True)
    (row,) = lines((await _shell(pg, "runs", "ls", "r/*", "--state", "failed", "--json")).out)
    assert (row["key"], row["run"], row["state"], row["steps"]) == ("r/1", "report", "failed", 5)
    assert "no owls" in row["error"]
    assert lines((await _shell(pg, "runs", "ls", "--state", "done", "--json")).out) == []
    assert [r["key"] for r in lines((await _shell(pg, "runs", "--json")).out)] == ["r/1"]

    steps = lines((await _shell(pg, "runs", "show", "r/1", "--json")).out)
    assert [(s["step"], s["state"], s["kind"]) for s in steps] == [
        ("plan", "done", "step"),
        ("facts[0]", "done", "map"),
        ("facts[1]", "done", "map"),
        ("sleep", "done", "sleep"),
        ("write", "failed", "step"),
    ]
    assert steps[0]["result"] == {"did": "plan"} and steps[-1]["error"] == "ValueError: no owls"
    shown = await asyncio.to_thread(on_terminal, "runs", "show", "r/1", dsn=dsn)
    assert "r/1: failed, 5 steps" in shown and "no owls" in shown and "+" in shown

    said = await _shell(pg, "runs", "tail", "r/1")
    assert said.code == 1 and [line.split("\t")[0] for line in said.out.splitlines()] == [s["step"] for s in steps]
    assert (await _shell(pg, "runs", "fork", "r/1", "r/2", "--from-step", "write")).code == 0
    assert (await _shell(pg, "runs", "fork", "r/1", "r/2")).code == 4
    assert (await _shell(pg, "runs", "fork", "r/1", "r/3", "--from-step", "none")).code == 3
    assert (await _shell(pg, "runs", "retry", "r/1")).out.strip() == "true"
    assert (await _shell(pg, "runs", "signal", "r/1", "approve", '{"by": "ana"}')).code == 0
    async with state.run("r/1") as run:
        await run.step("plan", _work, "plan")
        await run.map("facts", _work, ["a", "b"])
        await run.sleep(1)
        assert await run.wait_signal("approve") == {"by": "ana"}
    assert (await _shell(pg, "runs", "tail", "r/1")).code == 0
    assert (await _shell(pg, "runs", "signal", "r/1", "approve")).code == 4
    assert (await _shell(pg, "runs", "retry", "r/1")).code == 4
    assert (await _shell(pg, "runs", "cancel", "r/2", "--json")).out.strip() == '{"key": "r/2", "cancelled": false}'
    assert "--after r/1" in (await _shell(pg, "runs", "ls", "--limit", "1")).err
    assert (await _shell(pg, "runs", "rm", "r/2")).code == 0
    for command in (("show", "r/2"), ("tail", "r/2"), ("rm", "r/2"), ("cancel", "r/2"), ("signal", "r/2", "x")):
        assert (await _shell(pg, "runs", *command)).code == 3, command
    assert json.loads((await _shell(pg, "runs", "rm", "r/2", "--json")).out)["status"] == "missing"


async def test_tail_follows_until_the_end(state: State, dsn: str) -> None:
    await state.runs.start("r", "report")
    process = start("runs", "tail", "r", "--json", dsn=dsn)

    async def line() -> Any:
        assert process.stdout is not None
        return json.loads(await asyncio.to_thread(process.stdout.readline))

    async with state.run("r") as run:
        for name in ("a", "b"):
            await run.step(name, _work, name)
            assert (await line())["step"] == name
    assert await asyncio.to_thread(process.wait) == 0
    process.communicate()


async def test_what_a_run_waits_for_is_shown(state: State, pg: Callable[..., Result], dsn: str) -> None:
    async def wait(run: pgstate.Run, input: Any) -> None:
        await run.step("plan", _work, "plan", undo=_work)
        await run.wait_signal("approve", timeout=3600)

    await state.runs.start("research/a-long-key/with-many/segments", "w")
    stop = asyncio.Event()
    working = asyncio.create_task(state.runs.worker({"w": wait}, stop=stop, signals=()))
    async with state.watch("research/**", initial=True) as changes:
        async for change in changes:
            if change.value["status"] == "asleep":
                break
    stop.set()
    await working
    (key,) = [run.key for run in await state.runs.list()]
    shown = await asyncio.to_thread(on_terminal, "runs", "show", key, dsn=dsn)
    assert "waiting, 1 step, begun" in shown and "for approve, until " in shown and "told to end" not in shown
    assert (await _shell(pg, "runs", "cancel", key)).out.strip() == "false"
    assert "told to end" in await asyncio.to_thread(on_terminal, "runs", "show", key, dsn=dsn)
    # a key is not squeezed out by what else there is to say
    listed = await asyncio.to_thread(on_terminal, "runs", "ls", dsn=dsn)
    assert "research/a-long-key" in listed
