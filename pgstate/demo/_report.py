"""What the demo prints."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from pgstate import StepInfo, Version

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN_MODULES = 8
_SHOWN_IMPORTS = 10
_SHOWN_VERSIONS = 10


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold, and what speaks against it."""

    claim: str
    faults: list[str] = field(default_factory=list)


def opening(console: Console, namespace: str, tasks: int, agents: Sequence[str]) -> None:
    """What is about to happen."""
    console.print(Text.assemble("run ", (namespace, "bold cyan"), f": {tasks} modules of the standard library"))
    console.print(f"starting {len(agents)} worker processes, which wait on a watch: {', '.join(agents)}")


def pipeline_killed(console: Console, agent: str, pid: int, step: int, steps: int) -> None:
    """The process that did the pipeline is dead."""
    text = f"SIGKILL  a pipeline of {steps} steps by {agent} (pid {pid}), in step {step}"
    console.print(Text(text, style="bold red"))


def pipeline_done(console: Console, pid: int, steps: Sequence[StepInfo], first: int) -> None:
    """Another has gone on with it: when each step was done."""
    if not steps:
        return
    began = steps[0].started_at
    times = [f"{(step.finished_at - began).total_seconds():.2f}" for step in steps if step.finished_at is not None]
    console.print(f"pid {pid} went on with step {first}; seconds at which steps were recorded: {' '.join(times)}")


class Progress:
    """A line for each task when its end comes through the feed, and on a terminal a bar below them."""

    def __init__(self, console: Console, tasks: int, began: float) -> None:
        columns = (TextColumn("tasks"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Bar(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("tasks", total=tasks)
        self._console = console
        self._tasks = tasks
        self._done = 0
        self._began = began

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def completed(self, key: str, agent: str, after_kill: float | None) -> None:
        """A task was completed; `after_kill` says how many seconds after the death of the first who had it."""
        self._done += 1
        line = self._line(f"{self._done:2}/{self._tasks} {key.removeprefix('tasks/'):16} by {agent}")
        if after_kill is not None:
            line.append(f", {after_kill:.1f} s after the kill: the lease had ended", style="yellow")
        self._console.print(line)
        self._bar.update(self._task, completed=self._done)

    def killed(self, agent: str, pid: int, key: str, merges: int) -> None:
        """The victim is dead."""
        text = f"SIGKILL  {agent} (pid {pid}) had computed {merges} merges for {key} and committed none"
        self._console.print(self._line(text, style="bold red"))

    def _line(self, text: str, style: str = "") -> Text:
        return Text.assemble((f"{time.monotonic() - self._began:5.1f} s  ", "dim"), (text, style))


def results(console: Console, got: Mapping[str, Any]) -> None:
    """The merged keys."""
    console.print()
    table = _table("what the workers merged", "key", "value", "reducer")
    reducers = {"totals/longest": "max", "totals/shortest": "min"}
    for key in sorted(key for key in got if key.startswith("totals/")):
        table.add_row(Text(key, style="cyan"), f"{got[key]:,}", reducers.get(key, "add"))
    names = got.get("names", [])
    table.add_row(Text("names", style="cyan"), f"{len(names):,} public names", "union")
    modules = got.get("modules", {})
    table.add_row(Text("modules", style="cyan"), f"{len(modules)} summaries", "merge")
    imports = {key.removeprefix("imports/"): count for key, count in got.items() if key.startswith("imports/")}
    table.add_row(Text("imports/*", style="cyan"), f"{len(imports)} counters", "add")
    console.print(table)

    largest = sorted(modules.items(), key=lambda item: (-item[1]["lines"], item[0]))[:_SHOWN_MODULES]
    console.print()
    table = _table(f"modules: the {len(largest)} longest", "module", "lines", "functions", "classes")
    for module, found in largest:
        row = (f"{found[name]:,}" for name in ("lines", "functions", "classes"))
        table.add_row(module, *row)
    console.print(table)
    most = sorted(imports.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN_IMPORTS]
    console.print(Text("imported most: " + ", ".join(f"{name} {count}" for name, count in most)))


def history(console: Console, key: str, versions: Sequence[Version]) -> None:
    """The newest versions of one key, who wrote each, and the value it came to."""
    shown = versions[:_SHOWN_VERSIONS]
    console.print()
    table = _table(
        f"history of {key}: {len(shown)} of {len(versions)} versions", "version", "op", "value", "writer", "at"
    )
    for version in shown:
        at = version.at.astimezone().strftime("%H:%M:%S.%f")[:-3]
        table.add_row(str(version.version), version.op, f"{version.value:,}", version.writer, at)
    console.print(table)


def counts(console: Console, stats: Mapping[str, Mapping[str, int]], victim: str | None, changes: int) -> None:
    """How much each process wrote, how often it collided, and how often it woke and was woken."""
    columns = ("writes", "reads", "statements", "conflicts", "wakeups_sent", "wakeups_received")
    heads = ("writes", "reads", "statements", "conflicts", "notified", "was notified")
    console.print()
    table = _table("counts by process", "process", *heads)
    for name, row in stats.items():
        table.add_row(name, *(f"{row[column]:,}" for column in columns))
    table.add_section()
    table.add_row("all", *(f"{sum(row[column] for row in stats.values()):,}" for column in columns), style="bold")
    console.print(table)
    console.print(
        f"Conflicts are lost races for the key workers, tried again. {victim} was killed and told nobody its counts.\n"
        f"The orchestrator's watch saw {changes:,} changes."
    )


def verdict(console: Console, checks: Sequence[Check], namespace: str, seconds: float, *, embedded: bool) -> None:
    """The checks, one a line, what speaks against those that failed, and where to go on."""
    console.print()
    for check in checks:
        sign = Text("FAILED ", style="bold red") if check.faults else Text("ok ", style="bold green")
        console.print(sign + Text(check.claim))
        for fault in check.faults:
            console.print(Text(f"   {fault}", style="red"))
    command = "pgstate"
    if sys.argv[0].endswith("pgstate") and shutil.which("pgstate") != sys.argv[0]:
        # as it was called: from an environment that is not on the path
        command = sys.argv[0]
    console.print(f"done in {seconds:.1f} s; it is all still there:", highlight=False)
    console.print(f"   {command} ls '{namespace}/**'", highlight=False, soft_wrap=True)
    if embedded:
        console.print("the embedded server goes on running; to stop it:", highlight=False)
        console.print(f"   {command} down", highlight=False, soft_wrap=True)


def failure(console: Console, text: str) -> None:
    """Why the demo broke off."""
    console.print(Text.assemble(("FAILED ", "bold red"), text))


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    for index, column in enumerate(columns):
        numeric = index > 0 and column not in ("op", "writer", "reducer", "at")
        table.add_column(column, justify="right" if numeric else "left", header_style="dim", no_wrap=index == 0)
    return table
