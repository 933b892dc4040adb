"""tasks, complete, fail, release, and policies about claims, in the shell."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from client._cli import Result, invoke, on_terminal
from pgstate import State


@pytest.fixture
def pg(dsn: str) -> Callable[..., Result]:
    return lambda *args, **more: invoke(*args, dsn=dsn, **more)


@pytest.fixture
def ok(pg: Callable[..., Result]) -> Callable[..., str]:
    def run(*args: str, **more: Any) -> str:
        result = pg(*args, **more)
        assert result.code == 0, result
        return result.out

    return run


def _claim(ok: Callable[..., str], key: str) -> str:
    return str(json.loads(ok("claim", key, "--json"))["token"])


def test_work_from_beginning_to_end(ok: Callable[..., str], pg: Callable[..., Result], dsn: str) -> None:
    ok(
        "policy",
        "set",
        "tasks/**",
        "--max-attempts",
        "2",
        "--backoff",
        "10m",
        "--backoff-limit",
        "1h",
        "--dead-letter",
        "dead",
    )
    listed = json.loads(ok("policy", "--json"))
    assert (listed["max_attempts"], listed["backoff"], listed["backoff_limit"], listed["dead_letter"]) == (
        2,
        600,
        3600,
        "dead",
    )
    for number in range(4):
        ok("put", f"tasks/{number}", str(number))
    assert ok("tasks", "none/*") == ""
    token = _claim(ok, "tasks/0")
    assert ok("complete", "tasks/0", token, '{"pages": 3}', "--move-to", "done/0").strip() == "2"
    assert json.loads(ok("get", "done/0")) == {"pages": 3}
    assert pg("complete", "tasks/0", token, "--move-to", "done/0").code == 4
    token = _claim(ok, "tasks/1")
    assert pg("complete", "tasks/1", token, "1").code == 2
    assert ok("fail", "tasks/1", token, "it broke").split("\t")[0].strip() == "600.0"
    assert pg("fail", "tasks/1", token).code == 4
    ok("release", "tasks/1", "--force")
    for last in (False, True):
        token = _claim(ok, "tasks/1")
        failed = json.loads(ok("fail", "tasks/1", token, "broke", "--retry-in", "0", "--json"))
        assert (failed["attempts"], failed["moved_to"]) == ((2, "dead/1") if last else (1, None))
    token = _claim(ok, "tasks/2")
    rows = [line.split("\t") for line in ok("tasks").splitlines()]
    assert [row[:3] for row in rows] == [
        ["dead/1", "failed", ""], ["done/0", "waiting", ""], ["tasks/0", "finished", ""],
        ["tasks/2", "claimed", "admin"], ["tasks/3", "waiting", ""],
    ]  # fmt: skip
    assert 0 < float(rows[3][3]) <= 30 and rows[0][4:] == ["2", "", "broke"]
    assert [json.loads(line)["key"] for line in ok("tasks", "--json", "--state", "failed", "--state", "claimed").splitlines()] == [
        "dead/1", "tasks/2",
    ]  # fmt: skip
    assert pg("tasks", "--state", "done").code == 2
    assert "claimed" in on_terminal("tasks", "tasks/*", dsn=dsn)
    assert pg("release", "tasks/2").code == 2
    assert pg("release", "tasks/2", token, "--force").code == 2
    ok("release", "tasks/2", token)
    assert pg("release", "tasks/3", "7").code == 4
    assert pg("release", "tasks/3", "--force").code == 3
    _claim(ok, "tasks/2")
    ok("release", "tasks/2", "--force")
    log = [json.loads(line) for line in ok("claims", "tasks/*", "--log", "--json").splitlines()]
    assert [(one["key"], one["holder"], one["released_by"]) for one in log] == [
        ("tasks/2", "admin", "admin"), ("tasks/1", None, "admin"),
    ]  # fmt: skip
    assert ok("claims", "--log").splitlines()[0].split("\t")[:3] == ["tasks/2", "admin", "admin"]


def test_what_others_wrote_makes_no_rows(ok: Callable[..., str], dsn: str) -> None:
    ok("put", "tasks/1", "1")
    error = 'Traceback:\n  "a" \\ b\ntasks/2\tclaimed'
    ok("fail", "tasks/1", _claim(ok, "tasks/1"), error, "--retry-in", "0")
    shown = r'Traceback:\n  "a" \ b\ntasks/2\tclaimed'
    assert [line.split("\t")[-1] for line in ok("tasks").splitlines()] == [shown]
    assert len(on_terminal("tasks", dsn=dsn).splitlines()) == 3
    assert json.loads(ok("tasks", "--json"))["error"] == error
    (row,) = csv.DictReader(io.StringIO(ok("tasks", "--csv"), newline=""))
    assert row["error"] == error


async def test_force_needs_admin(state: State, pg: Callable[..., Result]) -> None:
    await state.create_agent("worker")
    for right in ("read", "write"):
        await state.grant_access("worker", "tasks/**", right)
    await state.put("tasks/1", 1)
    await state.claim("tasks/1")
    import asyncio

    for command in (["release", "tasks/1", "--force"], ["claims", "tasks/*", "--log"]):
        result = await asyncio.to_thread(pg, *command, "--agent", "worker")
        assert result.code == 5 and "worker" in result.err, result
