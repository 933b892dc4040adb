"""What commands print: tables on a terminal, tab-separated lines into a pipe, JSON lines or CSV when asked for.

Results go to stdout, everything else to stderr. Into a pipe nothing is shortened or coloured, times are ISO 8601 in UTC
and values are JSON on one line, so that what reads it need not know how wide somebody's window is.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from pgstate.cli._exit import INTERRUPTED
from pgstate.types import Unreadable, told

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Json:
    """A cell that holds a JSON value, as opposed to a text."""

    value: Any

    @classmethod
    def of(cls, row: Any, name: str = "value") -> Json:
        """A value of an entry, version or change; one that Python cannot read is shown as it is stored."""
        return cls(told(row, name))


Row: TypeAlias = Mapping[str, Any]
_STYLES = {
    "key": "bold cyan",
    "channel": "bold cyan",
    "id": "bold cyan",
    "version": "yellow",
    "op": "magenta",
    "token": "bold yellow",
    "agent": "bold",
}
_RIGHT = ("version", "attempts", "token", "priority", "checkpoints", "bytes", "size")
# Longer values cost more to lay out than anybody reads on one line.
_LONGEST = 2000
_LEAST_VALUE = 20
_LONG = ("value", "error", "detail", "old", "new", "metadata")
# to be read and copied whole
_WHOLE = ("key", "subtree", "rules", "head")
_PIPE_WIDTH = 120
_GAP = 3  # between two columns of a table


class Output:
    """Prints in one of four forms."""

    def __init__(self, *, as_json: bool = False, as_csv: bool = False) -> None:
        self.as_json = as_json
        self.as_csv = as_csv
        self.on_interrupt = INTERRUPTED
        self._csv_header = False

    @property
    def on_terminal(self) -> bool:
        """For people: stdout is a terminal and no format was asked for."""
        return not self.as_json and not self.as_csv and sys.stdout.isatty()

    @property
    def for_programs(self) -> bool:
        """JSON or CSV was asked for."""
        return self.as_json or self.as_csv

    def console(self) -> Console:
        """Rich's console on stdout."""
        from rich.console import Console

        # into a pipe a width of its own: that of a terminal is not known there
        return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)

    def table(self, rows: Iterable[Row], shown: Sequence[str], *, empty: str = "") -> None:
        """Rows that have the same columns. A terminal and a pipe get those in `shown`, JSON and CSV all of them."""
        if not self.on_terminal:
            for row in rows:
                self.line(row, shown, flush=False)
            return
        self._draw(list(rows), shown, empty)

    def _draw(self, rows: Sequence[Row], shown: Sequence[str], empty: str) -> None:
        if not rows:
            if empty:
                self.note(empty)
            return
        from rich import box
        from rich.cells import cell_len
        from rich.table import Table
        from rich.text import Text

        console = self.console()
        heads = {name: name.removesuffix("_at").replace("_", " ") for name in shown}
        texts = {name: [_shown(row[name]) for row in rows] for name in shown}
        widths = {name: max(cell_len(text) for text in [heads[name], *texts[name]]) for name in shown}
        if _excess(widths, console.width) > 0:
            # what says nothing leaves its room to the others
            widths = {name: width for name, width in widths.items() if any(texts[name])} or widths
        _fit(widths, console.width)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
        for name in widths:
            table.add_column(
                heads[name],
                justify="right" if name in _RIGHT else "left",
                style=_STYLES.get(name, ""),
                overflow="fold" if name in _WHOLE else "ellipsis",
                no_wrap=name not in _WHOLE,
                width=widths[name],
            )
        for index in range(len(rows)):
            table.add_row(*(Text(texts[name][index]) for name in widths))
        console.print(table)

    def line(self, row: Row, shown: Sequence[str], *, flush: bool = True) -> None:
        """One row by itself, as it comes."""
        if self.as_json:
            fields = (f"{_json(name)}: {_json(_plain_json(value))}" for name, value in row.items())
            print(f"{{{', '.join(fields)}}}", flush=flush)
        elif self.as_csv:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            if not self._csv_header:
                writer.writerow(row)
                self._csv_header = True
            writer.writerow([_plain(value) for value in row.values()])
            if flush:
                sys.stdout.flush()
        elif sys.stdout.isatty():
            from rich.text import Text

            cells = [Text(_shown(row[name]), style=_STYLES.get(name, "")) for name in shown]
            self.console().print(Text("  ").join(cells), no_wrap=True, overflow="ellipsis")
        else:
            print("\t".join(_one_line(_plain(row[name])) for name in shown), flush=flush)

    def outcome(self, row: Row, shown: Sequence[str], said: str) -> None:
        """The outcome of one action: a sentence on a terminal, else a row."""
        if self.on_terminal:
            print(visible(said))
        else:
            self.line(row, shown)

    def say(self, text: str) -> None:
        """A sentence on stdout."""
        print(visible(text))

    def note(self, text: str) -> None:
        """A remark that belongs to no result."""
        print(visible(text), file=sys.stderr)

    def error(self, text: str) -> None:
        """What went wrong, in one sentence."""
        # not by Rich: it would break the line at the width of a terminal that may not be there
        label = "\x1b[1;31merror:\x1b[0m" if sys.stderr.isatty() else "error:"
        print(label, visible(text), file=sys.stderr)


def ready() -> None:
    """Makes the streams of this process fit for what may be printed. What an encoding does not have is written as JSON
    writes it, so that values stay JSON; a stream that was closed before the start takes what it is given."""
    codecs.register_error("pgstate", _escaped)
    if not os.environ.get("COLUMNS", "1").strip("0"):
        # said by programs that do not know it: Rich would print nothing at all, the help neither
        del os.environ["COLUMNS"]
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="pgstate")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def compact(value: Any) -> str:
    """JSON on one line."""
    return value if isinstance(value, Unreadable) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def indented(value: Any) -> str:
    """JSON on as many lines as it takes."""
    return value if isinstance(value, Unreadable) else json.dumps(value, ensure_ascii=False, indent=2)


def visible(text: str) -> str:
    """Text with what could steer a terminal, or hide what is written there, escaped: others wrote the values."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" or unicodedata.category(c) not in _HIDDEN else _escape(c) for c in text)


_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _escape(character: str) -> str:
    point = ord(character)
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def ago(at: datetime, now: datetime | None = None) -> str:
    """A time as people say it: '5 s ago', 'in 2 h', and a date when it is long ago."""
    distance = ((now or datetime.now(UTC)) - at).total_seconds()
    size = round(abs(distance))
    if size < 1:
        return "now"
    if size >= 7 * 86400:
        return at.astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{span(size)} ago" if distance > 0 else f"in {span(size)}"


def span(seconds: float) -> str:
    """A length of time as people say it: '5 s', '2 h'."""
    size = round(seconds)
    unit, length = next(((u, n) for u, n in (("d", 86400), ("h", 3600), ("min", 60)) if size >= n), ("s", 1))
    return f"{size // length} {unit}"


def _json(value: Any) -> str:
    return value if isinstance(value, Unreadable) else _strict(value)


def _strict(value: Any, separators: tuple[str, str] | None = None) -> str:
    """JSON that programs read. A checkpoint may hold what has no form there: NaN is null, as JavaScript writes it, and
    a lone surrogate the character that stands for what is none."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=separators, allow_nan=False)
    except ValueError:
        plain = json.loads(json.dumps(value), parse_constant=lambda _: None)
        text = json.dumps(plain, ensure_ascii=False, separators=separators)
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


_SURROGATE = re.compile("[\ud800-\udfff]")


def _plain_json(value: Any) -> Any:
    if isinstance(value, Json):
        return value.value
    return _iso(value) if isinstance(value, datetime) else value


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Json):
        return value.value if isinstance(value.value, Unreadable) else _strict(value.value, (",", ":"))
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)


def _one_line(text: str) -> str:
    """A cell keeps to its column and line: others wrote the text, and could make it look like rows of their own."""
    return text.translate(_BREAKS)


_BREAKS = {point: json.dumps(chr(point))[1:-1] for point in range(32)}


def cells(row: Row) -> str:
    """What a row has, in one cell: 'keep 100 versions, ttl 60'."""
    return ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in row.items() if value is not None)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return ago(value)
    if isinstance(value, bool):
        return "yes" if value else ""
    text = _one_line(compact(value.value) if isinstance(value, Json) else _plain(value))
    return visible(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def _excess(widths: dict[str, int], room: int) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1) - room


def _fit(widths: dict[str, int], room: int) -> None:
    """Narrows columns until all have room: what is long first, then the widest; a key not below a quarter."""
    for _ in range(_excess(widths, room)):
        name = max(widths, key=lambda name: _may_lose(name, widths[name], room))
        widths[name] = max(widths[name] - 1, 1)


def _may_lose(name: str, width: int, room: int) -> tuple[bool, int]:
    if name in ("key", "subtree") and width <= room // 4:
        return False, 0
    return name in _LONG and width > _LEAST_VALUE, width
