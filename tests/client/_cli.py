"""Running the command line: in this process, as a process of its own, and on a terminal."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import typer.testing

from pgstate.cli import app

# Making the command takes longer than running most of them.
typer.testing._get_command = functools.cache(typer.testing._get_command)
ROOT = Path(__file__).resolve().parents[2]
_TERMINAL = {"TERM": "xterm", "COLUMNS": "100"}
PROGRAM = (sys.executable, "-m", "pgstate.cli")


class Result:
    """What a command printed and ended with."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


def invoke(*args: str, dsn: str | None = None, stdin: str | bytes = "") -> Result:
    done = typer.testing.CliRunner(env={"PGSTATE_DSN": dsn}).invoke(app, list(args), input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Result(done.exit_code, done.stdout, done.stderr)


def start(
    *args: str, dsn: str, stdout: Any = subprocess.PIPE, encoding: str = "utf-8", redirected: str = ""
) -> subprocess.Popen[str]:
    """A command as a process. `redirected`: streams as a shell has them, such as `>&-`."""
    environment = {**os.environ, "PGSTATE_DSN": dsn, "PYTHONPATH": str(ROOT), **_TERMINAL}
    command = ["sh", "-c", f'exec "$@" {redirected}', "sh", *PROGRAM, *args]
    return subprocess.Popen(
        command, stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, encoding=encoding, env=environment
    )


def on_terminal(*args: str, dsn: str, apart: bool = False) -> str:
    """What a command prints on a pseudo-terminal of 100 columns, without the colours; set `apart`, as a process of its
    own, whose start takes longer than most commands."""
    ours, theirs = pty.openpty()
    said = b""

    def read() -> None:
        nonlocal said
        # the end of a terminal is an error to whoever reads it on Linux, and an empty read elsewhere
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 65536):
                said += piece

    reading = threading.Thread(target=read)
    reading.start()
    if apart:
        process = start(*args, dsn=dsn, stdout=theirs)
        os.close(theirs)
        _, err = process.communicate()
        code = process.returncode
    else:
        code, err = _here(*args, dsn=dsn, terminal=theirs)
    reading.join()
    os.close(ours)
    assert code == 0, err
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).replace("\r\n", "\n")


def _here(*args: str, dsn: str, terminal: int) -> tuple[int, str]:
    """Runs a command with a terminal for its stdout, which is closed then; its exit code and stderr."""
    err = io.StringIO()
    with (
        mock.patch.dict(os.environ, {"PGSTATE_DSN": dsn, **_TERMINAL}),
        open(terminal, "w", encoding="utf-8") as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        typer.testing._get_command(app).main(list(args), prog_name="pgstate")
    return ended.value.code, err.getvalue()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
