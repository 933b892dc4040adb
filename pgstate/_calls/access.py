"""Who may do what."""

from __future__ import annotations

from collections.abc import Sequence

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate.types import Info, Row


async def info(connection: Connection, agent: str | None, *, timeout: float) -> Info:
    # all columns: an older schema has fewer, a newer one may have more, and both have to be told apart
    row = await fetch_row(connection, "select * from pgstate.info($1)", agent, timeout=timeout)
    return Info(**{name: value for name, value in row.items() if name in Info.__dataclass_fields__})


async def agents(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = "select name, login, gateways, root, created_at from pgstate.agents($1)"
    return await fetch(connection, sql, agent, timeout=timeout)


async def grants(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = 'select agent, subtree, "right", granted_by, granted_at from pgstate.grants($1)'
    return await fetch(connection, sql, agent, timeout=timeout)


async def create_agent(connection: Connection, name: str, login: str | None, reuse: bool, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.create_agent($1, $2, $3)", name, login, reuse, timeout=timeout)


async def create_gateway(connection: Connection, login: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.create_gateway($1)", login, timeout=timeout)


async def create_reader(connection: Connection, login: str, pattern: str, reuse: bool, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.create_reader($1, $2, $3)", login, pattern, reuse, timeout=timeout)


async def drop_agent(connection: Connection, name: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.drop_agent($1)", name, timeout=timeout)


async def drop_gateway(connection: Connection, login: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.drop_gateway($1)", login, timeout=timeout)


async def set_login(connection: Connection, agent: str, login: str | None, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.set_login($1, $2)", agent, login, timeout=timeout)


async def delegate(connection: Connection, login: str, agent: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.delegate($1, $2)", login, agent, timeout=timeout)


async def undelegate(connection: Connection, login: str, agent: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.undelegate($1, $2)", login, agent, timeout=timeout)


async def grant_access(connection: Connection, agent: str, subtree: str, right: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.grant_access($1, $2, $3)", agent, subtree, right, timeout=timeout)


async def revoke_access(connection: Connection, agent: str, subtree: str, right: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.revoke_access($1, $2, $3)", agent, subtree, right, timeout=timeout)
