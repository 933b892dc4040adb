"""Running the command line: in this process, as a process of its own, and on a terminal."""

from __future__ import annotations

import functools
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer.testing

from pgstate.cli import app

# Making the command takes longer than running most of them.
typer.testing._get_command = functools.cache(typer.testing._get_command)
ROOT = Path(__file__).resolve().parents[2]
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
    environment = {**os.environ, "PGSTATE_DSN": dsn, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}
    command = ["sh", "-c", f'exec "$@" {redirected}', "sh", *PROGRAM, *args]
    return subprocess.Popen(
        command, stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, encoding=encoding, env=environment
    )


def on_terminal(*args: str, dsn: str) -> str:
    """What a command prints on a pseudo-terminal of 100 columns, without the colours."""
    ours, theirs = pty.openpty()
    process = start(*args, dsn=dsn, stdout=theirs)
    os.close(theirs)
    said = b""
    # the end of a terminal is an error to whoever reads it on Linux, and an empty read elsewhere
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:
        pass
    os.close(ours)
    _, err = process.communicate()
    assert process.returncode == 0, err
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).replace("\r\n", "\n")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
