"""What looking for secrets costs in texts that are made for it to take long: `python -m benchmarks.secrets`."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import Awaitable, Callable, Iterator

import asyncpg

from benchmarks._run import run
from benchmarks._server import Server
from benchmarks._table import Line, Report
from pgstate import _secrets

# four times the text, with room for noise; what is quadratic takes sixteen times as long
_AT_MOST = 8
_ROUNDS = 5
# as it is without needles
_EVERY_RULE = """
select count(*) from unnest((select pgstate._secret_patterns())) with ordinality p (pattern, place)
 where place % 3 = 2 and $1 ~ pattern
"""


def _texts(size: int) -> Iterator[tuple[str, str]]:
    """Each is said to have nothing: what begins as a secret does, over and over, and never ends as one."""
    # the same again and again, so that by chance there is not more in the longer one
    some = random.Random(1).randbytes(6000)
    for name, head, again, tail in (
        ("base64", "", base64.b64encode(some).decode(), ""),
        ("base64 for URLs", "", base64.urlsafe_b64encode(some).decode(), ""),
        ("sk- everywhere", "", " sk-", ""),
        ("sk-ant- everywhere", "", " sk-ant-", ""),
        ("github tokens cut short", "", " ghp_", ""),
        ("slack tokens cut short", "", " xoxb-", ""),
        ("JWTs cut short", "", " eyJaaaaaaaaa.eyJaaaaaaaa.", ""),
        ("one long JWT", " eyJ", "a", ".eyJ"),
        ("private keys begun", "", "-----BEGIN PRIVATE KEY", ""),
        ("private keys with long names", "-----BEGIN ", "A ", "PRIVATE KEY"),
        ("headers of a private key", "-----BEGIN PRIVATE KEY-----\n", "A-a: b\n", ""),
        ("line breaks in a private key", "-----BEGIN PRIVATE KEY-----", "\\n  ", ""),
        ("backslashes in a private key", "-----BEGIN PRIVATE KEY-----", "\\", ""),
        ("addresses without a password", "", "://a:", ""),
        ("one long address", "://", "a:", ""),
    ):
        yield name, head + again * ((size - len(head) - len(tail)) // len(again)) + tail


async def measure(server: Server, quick: bool) -> Report:
    """Four times the text beside the text, in turns, in SQL and in Python."""
    size = 50_000 if quick else 200_000
    report = Report("secrets: four times the text", "the text")
    single, more = dict(_texts(size)), dict(_texts(4 * size))
    async with server.database() as database:
        connection = await asyncpg.connect(database.dsn)
        try:
            await connection.execute("set role pgstate_owner")

            async def in_sql(text: str) -> None:
                await connection.execute("select length(pgstate._redact($1))", text)

            async def in_python(text: str) -> None:
                _secrets.redact(text)

            async def every_rule(text: str) -> None:
                await connection.execute(_EVERY_RULE, text)

            for name in single:
                for where, look in (("SQL", in_sql), ("Python", in_python)):
                    report.lines.append(await _growth(f"{name}, in {where}", look, single[name], more[name]))
            with_needles, without = await _times((in_sql, single["base64"]), (every_rule, single["base64"]))
        finally:
            await connection.close()
    report.lines.append(
        Line(
            "base64, in SQL, beside all rules without needles",
            f"{with_needles * 1e3:.1f} ms",
            f"{without * 1e3:.1f} ms",
            f"{with_needles / without:.2f}",
            "at most 0.2",
            with_needles <= 0.2 * without,
        )
    )
    report.notes.append(f"Texts of {size:,} characters, redacted; the best of {_ROUNDS} rounds, in turns.")
    return report


_Look = Callable[[str], Awaitable[None]]


async def _growth(name: str, look: _Look, single: str, more: str) -> Line:
    longer, once = await _times((look, more), (look, single))
    # below a millisecond it is the call that is measured
    ratio = longer / max(once, 1e-3)
    return Line(
        name, f"{longer * 1e3:.1f} ms", f"{once * 1e3:.1f} ms", f"{ratio:.2f}", f"at most {_AT_MOST}", ratio <= _AT_MOST
    )


async def _times(*sides: tuple[_Look, str]) -> list[float]:
    times: list[list[float]] = [[] for _ in sides]
    for number in range(-1, _ROUNDS):
        for (look, text), took in zip(sides, times, strict=True):
            began = time.perf_counter()
            await look(text)
            if number >= 0:
                took.append(time.perf_counter() - began)
            await asyncio.sleep(0)
    # others on the machine make it slower, and nothing makes it faster
    return [min(took) for took in times]


if __name__ == "__main__":
    run([measure], __doc__)
