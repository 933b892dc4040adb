"""What commands read: values, durations and times."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, NoReturn, TypeAlias

import typer

from pgstate.errors import InvalidValue

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# what no time looks like
_CURSOR = re.compile(r"1\.[0-9]+:[0-9]+\.")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|[smhd]?)")


def duration(text: str | float) -> float:
    """Seconds: 30, 1.5, 90s, 5m, 2h or 7d. Takes a number too, because some versions of Typer hand over the default."""
    found = _DURATION.fullmatch(str(text))
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a duration: give seconds, or 90s, 5m, 2h, 7d")
    return float(found[1]) * _UNITS[found[2]]


def moment(text: str) -> datetime:
    """A time in ISO 8601; local time if it names no zone."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is not a time: give one like 2026-01-31T18:00+01:00") from None


def past(text: str) -> int | str | datetime:
    """A past state: the number of a version, a cursor, a time in ISO 8601, or 90s, 5m, 2h, 7d for so long ago."""
    if text.isascii() and text.isdigit():
        return int(text)
    if _CURSOR.match(text):
        return text
    if text[-1:] in ("s", "m", "h", "d") and _DURATION.fullmatch(text):
        try:
            return datetime.now(UTC) - timedelta(seconds=duration(text))
        except OverflowError:
            raise typer.BadParameter(f"{text} ago is before the year 1") from None
    try:
        return moment(text)
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{text!r} is no past state: give a version, a cursor, a time like 2026-01-31T18:00+01:00, or 10m for ten "
            "minutes ago"
        ) from None


def json_value(text: str, *, literally: bool | None = None, what: str = "VALUE") -> Any:
    """The value that an argument stands for: JSON, or with `literally` the text itself; '-' reads it from stdin.

    `literally` is None in a command without --text.
    Raises InvalidValue for what is no JSON.
    """
    if text == "-":
        if sys.stdin is None:
            raise InvalidValue(f"{what} is to come from stdin, which is closed")
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidValue(f"what came on stdin is not UTF-8 text: {error}") from None
    if literally:
        return text
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_float)
    except ValueError as error:
        shown = text if len(text) <= 40 else text[:39] + "…"
        advice = "" if literally is None else "; to write it as a string, add --text"
        raise InvalidValue(f"{what} is not JSON: {shown!r} ({error}){advice}") from None
    except RecursionError:
        raise InvalidValue(f"{what} is nested too deeply for JSON") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} has no JSON form")


def _float(text: str) -> float:
    """Python's floats have 15 to 17 digits, the database all that there are: what would not come there as it was typed
    is refused."""
    number = float(text)
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise ValueError("its exponent is out of range") from None
    if Decimal(repr(number)) != exact:
        raise InvalidValue(f"{text} would become {number!r}: write it by SQL (pgstate.put()), or as a string")
    return number


def words(seconds: float) -> str:
    """Seconds as people write them: '90 s', '365 d'."""
    if seconds >= 86400 and seconds % 86400 == 0:
        return f"{seconds / 86400:.0f} d"
    return f"{round(seconds, 6):.15g} s"


TextOption: TypeAlias = Annotated[bool, typer.Option("--text", help="Take the value literally, as a string.")]
TtlOption: TypeAlias = Annotated[
    float | None,
    typer.Option(parser=duration, metavar="DURATION", help="Expire after this: seconds, or 90s, 5m, 2h, 7d."),
]
TokenOption: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", help="Fencing token of your claim of the key.")
]
OpIdOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Idempotency key: with the same ID it is done once, however often asked."),
]
TrustOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TRUST", help="Trusted so far at most: external, agent, verified or operator.")
]
SourceOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--source", metavar="KEY", help="What it derives from: it is trusted no more than that. May be repeated."
    ),
]
MinTrustOption: TypeAlias = Annotated[str | None, typer.Option(metavar="TRUST", help="Leave out what is trusted less.")]
AsOfOption: TypeAlias = Annotated[
    Any,
    typer.Option(
        parser=past,
        metavar="STATE",
        help="As it was then: a version, a cursor, a time in ISO 8601, or 10m for ten minutes ago.",
    ),
]
NameArgument: TypeAlias = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
KeyArgument: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", help="A key, such as research/agent-1/findings.")]
