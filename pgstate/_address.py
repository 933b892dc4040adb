"""Addresses of servers."""

from __future__ import annotations

from pgstate import errors


def driver_address(dsn: str) -> str:
    """An address as asyncpg takes it: SQLAlchemy's postgresql+asyncpg:// is accepted too. Raises InvalidArgument."""
    scheme, separator, rest = dsn.partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+asyncpg"):
        raise errors.InvalidArgument(
            f"not an address of a PostgreSQL: {scheme}://…; use postgresql:// or postgresql+asyncpg://"
        )
    return f"postgresql://{rest}"
