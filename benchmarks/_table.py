"""What a benchmark prints: what was measured, beside what, and whether it is as wanted."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import asyncpg
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks._measure import Comparison, median

_WIDTH = 132


@dataclass(frozen=True)
class Line:
    """One row of a table, ready to print; `met` is None where nothing is wanted."""

    name: str
    measured: str
    peer: str = ""
    ratio: str = ""
    wanted: str = ""
    met: bool | None = None


@dataclass
class Report:
    """A table. `notes` say what was run and on what."""

    title: str
    peer: str
    measured: str = "pgstate"
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, comparison: Comparison) -> None:
        """A row for rates beside a peer's: the median of the rounds' ratios decides."""
        ratios, wanted = comparison.ratios, comparison.at_least
        self.lines.append(
            Line(
                comparison.name,
                f"{median(comparison.ours_rates):,.0f}/s",
                f"{median(comparison.peer_rates):,.0f}/s",
                f"{median(ratios):.2f}  ({min(ratios):.2f} to {max(ratios):.2f})",
                "" if wanted is None else f"at least {wanted:g}",
                None if wanted is None else median(ratios) >= wanted,
            )
        )

    def print(self) -> None:
        """Prints it."""
        # without markup: notes say `pip install -e '.[benchmarks]'`
        console = Console(markup=False)
        if not console.is_terminal or console.width < _WIDTH:
            console = Console(markup=False, width=_WIDTH)
        table = Table(title=self.title, caption="\n".join(self.notes), caption_justify="left", title_justify="left")
        table.add_column("")
        for heading in (self.measured, self.peer, "ratio, median (min to max)", "wanted"):
            table.add_column(heading, justify="right")
        table.add_column("met")
        for line in self.lines:
            met = Text() if line.met is None else Text("yes", "green") if line.met else Text("no", "bold red")
            table.add_row(line.name, line.measured, line.peer, line.ratio, line.wanted, met)
        console.print()
        console.print(table)


def load() -> str:
    """The load average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


async def machine(dsn: str) -> str:
    """Versions, CPUs, and the settings that decide what a commit costs."""
    connection = await asyncpg.connect(dsn)
    try:
        settings = [await connection.fetchval(f"show {name}") for name in ("server_version", *_SETTINGS)]
    finally:
        await connection.close()
    durability = ", ".join(f"{name} {value}" for name, value in zip(_SETTINGS, settings[1:], strict=True))
    try:
        ours = version("pgstate")
    except PackageNotFoundError:
        ours = "from source"
    return (
        f"{os.cpu_count()} CPUs; PostgreSQL {settings[0].split()[0]} ({durability}); Python "
        f"{platform.python_version()}, asyncpg {version('asyncpg')}, pgstate {ours}"
    )


_SETTINGS = ("fsync", "synchronous_commit", "shared_buffers")
