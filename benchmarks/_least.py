"""The least that keeps what pgstate promises, by hand: the functions of least.sql, without a client."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

_FUNCTIONS = Path(__file__).with_name("least.sql")


class Least:
    """A connection whose statements may be sent again, as those of a client."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._lane = uuid4()
        self._turns = itertools.count(1)

    async def run(self, sql: str, *arguments: Any) -> Any:
        """The value of a statement whose last two parameters are lane and turn."""
        return await self._connection.fetchval(sql, *arguments, self._lane, next(self._turns))


@asynccontextmanager
async def least(administrator: str, agent: str, key: str) -> AsyncIterator[Least]:
    """Makes the functions, as a superuser, and connects as an agent with a login of its own, which may write `key`."""
    connection = await asyncpg.connect(administrator)
    try:
        await connection.execute(_FUNCTIONS.read_text())
    finally:
        await connection.close()
    connection = await asyncpg.connect(agent)
    try:
        known = Least(connection)
        await known.run("select status from pgstate.write_one('put', $1, '1', lane => $2, turn => $3)", key)
        yield known
    finally:
        await connection.close()
