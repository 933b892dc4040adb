"""Who may do what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate.types import Info, Row


async def info(connection: Connection, agent: str | None, *, timeout: float) -> Info:
    # all columns: an older schema has fewer, a newer one may have more, and both have to be told apart
    row = await fetch_row(connection, "select * from pgstate.info($1)", agent, timeout=timeout)
    return Info(**{name: value for name, value in row.items() if name in Info.__dataclass_fields__})


async def agents(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = "select name, login, gateways, root, created_at, trust, suspended_at from pgstate.agents($1)"
    return await fetch(connection, sql, agent, timeout=timeout)


async def grants(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = 'select agent, subtree, "right", granted_by, granted_at, deny, until from pgstate.grants($1)'
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


async def grant_access(
    connection: Connection,
    agent: str,
    subtree: str,
    right: str,
    ttl: timedelta | None,
    until: datetime | None,
    *,
    timeout: float,
) -> None:
    sql = "select pgstate.grant_access($1, $2, $3, $4, $5)"
    await fetch(connection, sql, agent, subtree, right, ttl, until, timeout=timeout)


async def deny_access(
    connection: Connection,
    agent: str,
    subtree: str,
    right: str,
    ttl: timedelta | None,
    until: datetime | None,
    *,
    timeout: float,
) -> None:
    sql = "select pgstate.deny_access($1, $2, $3, $4, $5)"
    await fetch(connection, sql, agent, subtree, right, ttl, until, timeout=timeout)


async def revoke_access(
    connection: Connection, agent: str, subtree: str, right: str, deny: bool, *, timeout: float
) -> None:
    await fetch(
        connection, "select pgstate.revoke_access($1, $2, $3, $4)", agent, subtree, right, deny, timeout=timeout
    )


async def create_group(connection: Connection, name: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.create_group($1)", name, timeout=timeout)


async def drop_group(connection: Connection, name: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.drop_group($1)", name, timeout=timeout)


async def add_to_group(connection: Connection, name: str, agent: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.add_to_group($1, $2)", name, agent, timeout=timeout)


async def remove_from_group(connection: Connection, name: str, agent: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.remove_from_group($1, $2)", name, agent, timeout=timeout)


async def groups(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    return await fetch(connection, "select name, members, created_at from pgstate.groups($1)", agent, timeout=timeout)


async def effective(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = 'select "right", subtree, deny, state, through, until, granted_by, granted_at from pgstate.effective($1)'
    return await fetch(connection, sql, agent, timeout=timeout)


async def explain_access(connection: Connection, agent: str, key: str, right: str, *, timeout: float) -> Sequence[Row]:
    sql = (
        "select allowed, decides, subtree, deny, through, until, granted_by, granted_at "
        "from pgstate.explain_access($1, $2, $3)"
    )
    return await fetch(connection, sql, agent, key, right, timeout=timeout)


async def set_quota(
    connection: Connection,
    agent: str,
    entries: int | None,
    bytes: int | None,
    writes_per_minute: int | None,
    *,
    timeout: float,
) -> None:
    sql = "select pgstate.set_quota($1, $2, $3, $4)"
    await fetch(connection, sql, agent, entries, bytes, writes_per_minute, timeout=timeout)


async def set_trust(connection: Connection, agent: str, trust: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.set_trust($1, $2)", agent, trust, timeout=timeout)


async def endorse(
    connection: Connection, key: str, version: int, trust: str, agent: str | None, *, timeout: float
) -> Row:
    sql = "select status, version from pgstate.endorse($1, $2, $3, $4)"
    return await fetch_row(connection, sql, key, version, trust, agent, timeout=timeout)


async def allow_credential(connection: Connection, agent: str, name: str, purpose: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.allow_credential($1, $2, $3)", agent, name, purpose, timeout=timeout)


async def disallow_credential(connection: Connection, agent: str, name: str, purpose: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.disallow_credential($1, $2, $3)", agent, name, purpose, timeout=timeout)


async def credentials(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = "select agent, name, purpose, granted_by, granted_at from pgstate.credentials($1)"
    return await fetch(connection, sql, agent, timeout=timeout)


async def use_credential(connection: Connection, name: str, purpose: str, agent: str | None, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.use_credential($1, $2, $3)", name, purpose, agent, timeout=timeout)


async def quotas(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = (
        "select agent, entries, bytes, writes_per_minute, used_entries, used_bytes, used_writes, set_by, set_at "
        "from pgstate.quotas($1)"
    )
    return await fetch(connection, sql, agent, timeout=timeout)


async def issue_ticket(connection: Connection, login: str, agent: str, ttl: timedelta, *, timeout: float) -> str:
    sql = "select pgstate.issue_ticket($1, $2, $3) as ticket"
    return str((await fetch_row(connection, sql, login, agent, ttl, timeout=timeout))["ticket"])


async def require_tickets(connection: Connection, login: str, required: bool, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.require_tickets($1, $2)", login, required, timeout=timeout)


async def rotate_ticket_keys(connection: Connection, grace: timedelta, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.rotate_ticket_keys($1)", grace, timeout=timeout)


async def harden(
    connection: Connection,
    gateway: str | None,
    agents: list[str] | None,
    logins: bool,
    prefix: str,
    tickets: bool,
    dry_run: bool,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = "select action, agent, login, state, note from pgstate.harden($1, $2, $3, $4, $5, $6)"
    return await fetch(connection, sql, gateway, agents, logins, prefix, tickets, dry_run, timeout=timeout)
