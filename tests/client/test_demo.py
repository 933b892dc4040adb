"""The demo, on a test's database: what it prints, and what the database's history says about it."""

from __future__ import annotations

import ast
import asyncio
import io
import os
import re
import signal
import sys
import textwrap
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

import pgstate
from _server import wait_gone
from client._locks import Locks
from conftest import Database
from pgstate.demo import _modules, _pipeline, _run

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "pgstate.cli", "demo")
KILLED = re.compile(r"SIGKILL +(\S+) \(pid (\d+)\) had computed (\d+) merges for (tasks/\S+) and committed none")


def environment(dsn: str) -> Mapping[str, str]:
    return {**os.environ, "PGSTATE_DSN": dsn, "PYTHONPATH": str(ROOT)}


async def start(dsn: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*COMMAND, stdout=pipe, stderr=pipe, env=environment(dsn))


def workers_of(namespace: str) -> list[psutil.Process]:
    """Worker processes that are still there."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if namespace in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def check_run(said: str, database: Database) -> str:
    """Compares one run's output with the database; returns the run's namespace."""
    namespace = re.search(r"^run (demo/\w+):", said, re.MULTILINE)
    assert namespace is not None, said
    run = namespace[1]
    assert len(re.findall(r"^ok ", said, re.MULTILINE)) == 4, said
    pipeline = re.findall(r"SIGKILL  a pipeline of 20 steps by (\S+) \(pid \d+\), in step 14", said)
    assert pipeline == ["demo-worker-1"]
    steps = f"select state, count(*), count(distinct token) from pgstate.steps where key = '{run}/pipeline' group by 1"
    assert database.sql(steps) == [("done", 20, 2)]
    assert "FAILED" not in said
    (victim, _, merges, task) = KILLED.findall(said)[0]
    assert len(KILLED.findall(said)) == 1

    history = database.sql(f"select key, op, writer from pgstate.versions where key ^@ '{run}/tasks/' order by seq")
    posted = [key for key, op, _ in history if op == "put"]
    completed = {key: writer for key, op, writer in history if op == "complete"}
    assert len(posted) == len(set(posted)) == _modules.COUNT
    assert len(history) == 2 * _modules.COUNT
    assert completed.keys() == set(posted)
    assert completed[f"{run}/{task}"] != victim
    assert set(completed.values()) <= {f"demo-worker-{number}" for number in range(1, _run.WORKERS + 1)}

    found = {name: _modules.analyse(name, path) for name, path in _modules.choose().items()}
    assert int(merges) == len(_modules.merges(found[task.removeprefix("tasks/")]))
    ((lines,),) = database.sql(f"select value::int from pgstate.entries where key = '{run}/totals/lines'")
    assert lines == sum(one.lines for one in found.values())
    stats = database.sql(f"select key, (value->>'writes')::int from pgstate.entries where key ^@ '{run}/stats/'")
    assert len(stats) == _run.WORKERS - 1
    assert f"{run}/stats/{victim}" not in dict(stats)
    assert workers_of(run) == []
    return run


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo in this process has two workers and six modules."""
    chosen = dict(list(_modules.choose().items())[::4])
    monkeypatch.setattr(_run, "choose", lambda: chosen)
    monkeypatch.setattr(_modules, "choose", lambda: chosen)
    monkeypatch.setattr(_modules, "COUNT", len(chosen))
    monkeypatch.setattr(_run, "WORKERS", 2)
    parsing = threading.Lock()

    def analyse(module: str, path: Path) -> _modules.Found:
        # In Python 3.11 two threads that make syntax trees fail now and then: they count together how deep they are.
        with parsing:
            return _modules.analyse(module, path)

    monkeypatch.setattr(_run, "analyse", analyse)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


async def test_a_run_finishes_every_task_once_though_a_worker_is_killed(database: Database, dsn: str) -> None:
    database.sql("select pgstate.put('mine/a', '1')", "installer")
    database.sql(
        "select pgstate.create_agent('demo-worker-1'); select pgstate.drop_agent('demo-worker-1')", "installer"
    )
    process = await start(dsn)
    said, error = await process.communicate()
    assert (process.returncode, error) == (0, b""), said
    check_run(said.decode(), database)
    # agents stay registered, their rights on the run's keys do not; nothing of others was touched
    assert database.sql("select count(*) from pgstate.access_grant where subtree ^@ 'demo/'") == [(0,)]
    outside = "select key, version from pgstate.entries where not key ^@ 'demo/'"
    assert database.sql(outside) == [("mine/a", 1)]


@pytest.mark.thorough
@pytest.mark.usefixtures("small")
async def test_runs_beside_each_other(database: Database, dsn: str) -> None:
    said = [io.StringIO(), io.StringIO()]
    async with pgstate.connect(dsn) as one, pgstate.connect(dsn) as other:
        runs = [
            _run.run(state, dsn, Console(file=file, width=200)) for state, file in zip((one, other), said, strict=True)
        ]
        assert await asyncio.gather(*runs) == [True, True], [file.getvalue() for file in said]
    assert len({check_run(file.getvalue(), database) for file in said}) == 2
    assert database.sql("select count(*) from pgstate.access_grant where subtree ^@ 'demo/'") == [(0,)]


@pytest.mark.thorough
@pytest.mark.usefixtures("small")
async def test_a_wrong_total_fails_loudly(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = _modules.expected

    def wrong(found: Any) -> dict[str, Any]:
        counted = right(found)
        return counted | {"totals/lines": counted["totals/lines"] + 1}

    monkeypatch.setattr(_run, "expected", wrong)
    said = io.StringIO()
    async with pgstate.connect(dsn) as state:
        assert await _run.run(state, dsn, Console(file=said, width=200)) is False
    assert "FAILED all " in said.getvalue()
    assert "totals/lines: merged " in said.getvalue()


@pytest.fixture
async def held_up(locks: Locks) -> Locks:
    """A demo gets no further than where its pipeline begins."""
    await locks.holder.execute("begin; lock table pgstate.run in share mode")
    return locks


@pytest.mark.thorough
@pytest.mark.usefixtures("held_up")
async def test_ctrl_c_ends_the_workers_too(dsn: str) -> None:
    process = await start(dsn)
    assert process.stdout is not None and process.stderr is not None
    run = re.match(rb"run (demo/\w+):", await process.stdout.readline())
    assert run is not None
    while KILLED.search((await process.stdout.readline()).decode()) is None:
        assert not process.stdout.at_eof()
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (130, b"")
    assert workers_of(run[1].decode()) == []


@pytest.mark.thorough
async def test_workers_end_when_the_orchestrator_is_killed(dsn: str, held_up: Locks) -> None:
    process = await start(dsn)
    assert process.stdout is not None
    await held_up.waited_for(table="pgstate.run")
    workers = psutil.Process(process.pid).children()
    assert workers
    process.kill()
    await held_up.holder.execute("rollback")
    await asyncio.to_thread(wait_gone, workers)
    await process.communicate()


async def test_a_login_that_administers_nothing_is_denied(database: Database, dsn: str, login_name: Any) -> None:
    login = login_name("worker")
    database.sql(f"select pgstate.create_agent('plain', '{login}')", "installer")
    process = await start(database.dsn(login))
    _, said = await process.communicate()
    assert process.returncode == 5, said
    assert re.fullmatch(rb"error: .+\n", said)


def test_modules_are_chosen_alike_and_have_source() -> None:
    chosen = _modules.choose()
    assert chosen == _modules.choose()
    assert len(chosen) == _modules.COUNT
    assert list(chosen) == sorted(chosen)
    assert all(name in sys.stdlib_module_names and ast.parse(path.read_bytes()) for name, path in chosen.items())


def test_what_is_found_in_a_module(tmp_path: Path) -> None:
    source = tmp_path / "m.py"
    source.write_text(
        textwrap.dedent(
            """\
            import os.path, sys
            from collections.abc import Iterator
            from . import sibling
            class A:
                def method(self):
                    import json
            async def f(): ...
            def _private(): ...
            """
        )
    )
    found = _modules.analyse("m", source)
    assert (found.lines, found.functions, found.classes) == (8, 3, 1)
    assert found.names == {"A", "f"}
    assert found.imports == {"os", "sys", "collections", "json"}
    other = _modules.Found("n", 2, 1, 0, frozenset({"f", "g"}), frozenset({"os"}))
    wanted = _modules.expected([found, other])
    assert (wanted["totals/lines"], wanted["totals/longest"], wanted["totals/shortest"]) == (10, 8, 2)
    assert wanted["names"] == ["A", "f", "g"]
    assert (wanted["imports/os"], wanted["imports/json"]) == (2, 1)


def test_what_the_pipeline_may_not_have_done(tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    right = [f"{n} 7" for n in range(1, 15)] + [f"{n} 8" for n in range(14, 21)]
    for lines, faults in ((right, 1), (["1 7", *right], 2), (right[:-1], 2)):
        effects.write_text("\n".join(lines) + "\n")
        # nothing is recorded, which is a fault too
        assert len(_pipeline.faults(effects, (7, 8), [], 210)) == faults
    assert len(_pipeline.faults(effects, (7, 8), [], 209)) == 3
