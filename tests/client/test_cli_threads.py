"""threads and thread, in the shell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

import pgstate
from client._cli import Result, invoke, on_terminal


@pytest.fixture
def pg(dsn: str) -> Callable[..., Result]:
    return lambda *args, **more: invoke(*args, dsn=dsn, **more)


@pytest.fixture
def line(dsn: str) -> list[str]:
    """The checkpoints of research/t-1, and one in a namespace of it."""

    async def fill() -> list[str]:
        async with pgstate.connect(dsn) as state:
            thread = state.thread("research/t-1")
            made = [await thread.save({"step": n, "text": "long " * 100}, metadata={"step": n}) for n in range(3)]
            await thread.namespace("sub").save({"nested": True})
            return made

    return asyncio.run(fill())


def rows(result: Result) -> list[Any]:
    assert result.code == 0, result
    return [json.loads(text) for text in result.out.splitlines()]


def test_looking(pg: Callable[..., Result], line: list[str], dsn: str) -> None:
    (listed,) = rows(pg("threads", "research/*", "--json"))
    assert (listed["key"], listed["checkpoints"], listed["writer"]) == ("research/t-1", 4, "admin")
    assert rows(pg("threads", "none/*", "--json")) == []
    assert "--after 'research/t-1'" in pg("threads", "--limit", "1").err
    assert pg("threads", "--after", "research/t-1").out == ""
    shown = rows(pg("thread", "show", "research/t-1", "--json"))
    assert {row["channel"]: row["value"] for row in shown} == {"step": 2, "text": "long " * 100}
    assert rows(pg("thread", "show", "research/t-1", line[0], "--json"))[0]["value"] == 0
    assert rows(pg("thread", "show", "research/t-1", "--ns", "sub", "--json"))[0]["value"] is True
    points = rows(pg("thread", "history", "research/t-1", "--json"))
    assert [point["id"] for point in points] == line[::-1]
    assert f"--before {line[2]}" in pg("thread", "history", "research/t-1", "--limit", "1").err
    assert [p["id"] for p in rows(pg("thread", "history", "research/t-1", "--where", '{"step": 1}', "--json"))] == [
        line[1]
    ]
    assert [p["id"] for p in rows(pg("thread", "history", "research/t-1", "--before", line[1], "--json"))] == [line[0]]
    assert line[2] in on_terminal("thread", "history", "research/t-1", dsn=dsn)
    assert "long long" in on_terminal("thread", "show", "research/t-1", dsn=dsn)
    assert "research/t-1" in on_terminal("threads", dsn=dsn)


def test_values_that_postgresql_does_not_read(pg: Callable[..., Result], dsn: str) -> None:
    """Python does: NaN is shown, null to programs, since JSON has none; the rest of the value is there."""
    many = [{"loss": float("nan"), "text": "long " * 50}] * 3

    async def fill() -> None:
        async with pgstate.connect(dsn) as state:
            thread = state.thread("t/1")
            await thread.save({"step": 1, "loss": {"last": float("inf"), "best": 1.5}, "many": many, "no": None})
            await thread.save({"odd": "a\ud800b\0"})

    asyncio.run(fill())
    first = rows(pg("thread", "history", "t/1", "--json"))[-1]["id"]
    shown = {row["channel"]: (row["type"], row["value"]) for row in rows(pg("thread", "show", "t/1", first, "--json"))}
    assert shown == {
        "step": ("json", 1),
        "loss": ("json", {"last": None, "best": 1.5}),
        "many": ("json", [{**one, "loss": None} for one in many]),
        "no": ("json", None),
    }
    assert 'loss\tjson\t{"last":null,"best":1.5}\n' in pg("thread", "show", "t/1", first).out
    assert r'"a\ud800b\u0000"' in on_terminal("thread", "show", "t/1", dsn=dsn)
    assert rows(pg("thread", "show", "t/1", "--json"))[0]["value"] == "a\ufffdb\0"
    assert '{"last":Infinity,"best":1.5}' in on_terminal("thread", "show", "t/1", first, dsn=dsn)


def test_changing(pg: Callable[..., Result], line: list[str]) -> None:
    assert pg("thread", "fork", "research/t-1", "research/t-2", line[0], "--ttl", "1h").out.strip() == "research/t-2"
    assert rows(pg("thread", "show", "research/t-2", "--json"))[0]["value"] == 0
    assert pg("thread", "fork", "research/t-1", "research/t-2").code == 4
    assert pg("thread", "fork", "research/t-1", "research/t-3", "none").code == 3
    made = pg("thread", "rollback", "research/t-1", line[0]).out.strip()
    assert rows(pg("thread", "history", "research/t-1", "--limit", "1", "--json"))[0]["id"] == made
    assert pg("thread", "rollback", "research/t-1", "none").code == 3
    assert pg("thread", "prune", "research/t-1", "--keep", "2").out.strip() == "2"
    assert pg("thread", "rm", "research/t-1").code == 0
    assert pg("thread", "rm", "research/t-1").code == 3
    assert pg("thread", "prune", "research/t-1").code == 3
    assert pg("thread", "show", "research/t-1").code == 3
    assert pg("rm", "research/t-2").code == 2


def test_wrong_use(pg: Callable[..., Result], line: list[str]) -> None:
    assert pg("thread", "history", "research/t-1", "--where", "[1]").code == 2
    assert pg("thread", "history", "research/t-1", "--where", "x").code == 2
    nothing = pg("thread", "history", "research/none")
    assert (nothing.code, nothing.err) == (3, "error: research/none has no checkpoints\n")
    assert pg("thread", "history", "research/t-1", "--where", '{"step": 99}').code == 0
    assert pg("thread", "prune", "research/t-1", "--keep", "0").code == 2
    assert "rollback" in pg("thread").out
