"""Base, types and columns that models share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import BigInteger, Boolean, Dialect, Integer, LargeBinary, MetaData, Sequence, Text, event, text
from sqlalchemy.dialects.postgresql import DOMAIN, ENUM, JSONB, TIMESTAMP
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import UserDefinedType

from pgstate.errors import InvalidArgument

SCHEMA = "pgstate"


class Xid8(UserDefinedType[int]):
    """A 64-bit transaction id, as int."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], int | None]:
        return lambda value: None if value is None else int(value)


class PgSnapshot(UserDefinedType[str]):
    """What was committed at some moment, in PostgreSQL's text form."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "pg_snapshot"


class KeyMultirange(UserDefinedType[Any]):
    """A set of ranges of keys, in the form that the driver gives multiranges."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return f"{SCHEMA}.keymultirange"


# Names compare byte by byte: in collation "C".
Name = Annotated[str, mapped_column(Text(collation="C"))]
Now = Annotated[datetime, mapped_column(server_default=text("pg_catalog.now()"))]
False_ = Annotated[bool, mapped_column(server_default=text("false"))]
Xid = Annotated[int, mapped_column(Xid8, server_default=text("pg_catalog.pg_current_xact_id()"))]
Reach = Annotated[Any, mapped_column(KeyMultirange, nullable=False, server_default=text("'{}'"))]
MaybeReach = Annotated[Any, mapped_column(KeyMultirange, nullable=True)]
_TRUST = ENUM("external", "agent", "verified", "operator", name="trust", schema=SCHEMA)
Trust = Annotated[str, mapped_column(_TRUST, server_default=text("'agent'"))]
MaybeTrust = Annotated[str | None, mapped_column(_TRUST)]
EntryKind = Annotated[
    str,
    mapped_column(
        DOMAIN(
            "entry_kind",
            Text,
            schema="pgstate",
            constraint_name="entry_kind_known",
            check="value in ('value', 'thread', 'run')",
        )
    ),
]
VersionOp = Annotated[
    str,
    mapped_column(
        DOMAIN(
            "version_op",
            Text,
            schema="pgstate",
            constraint_name="version_op_known",
            check="value in ('put', 'merge', 'delete', 'complete', 'expire')",
        )
    ),
]
BigInt = Annotated[int, mapped_column(BigInteger)]
Json = Annotated[Any, mapped_column(JSONB, nullable=True)]

metadata = MetaData(schema=SCHEMA)
agent_id_seq = Sequence("agent_id_seq", data_type=Integer, metadata=metadata)
audit_id_seq = Sequence("audit_id_seq", metadata=metadata)
search_rule_id_seq = Sequence("search_rule_id_seq", data_type=Integer, metadata=metadata)
vector_index_id_seq = Sequence("vector_index_id_seq", data_type=Integer, metadata=metadata)
thread_id_seq = Sequence("thread_id_seq", metadata=metadata)
denied_count_id_seq = Sequence("denied_count_id_seq", metadata=metadata)
usage_id_seq = Sequence("usage_id_seq", metadata=metadata)
ticket_key_id_seq = Sequence("ticket_key_id_seq", data_type=Integer, metadata=metadata)
run_id_seq = Sequence("run_id_seq", metadata=metadata)
signal_no_seq = Sequence("signal_no_seq", metadata=metadata)
claim_token_seq = Sequence("claim_token_seq", cache=1, metadata=metadata)
version_floor = Sequence("version_floor", cache=1, metadata=metadata)
version_seq = Sequence("version_seq", cache=1, metadata=metadata)


class Model(AsyncAttrs, DeclarativeBase):
    """Base of all models. `await entry.awaitable_attrs.versions` loads what was not loaded along, in async sessions."""

    metadata = metadata
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's own declaration of it)
        str: Text,
        int: Integer,
        bool: Boolean,
        bytes: LargeBinary,
        datetime: TIMESTAMP(timezone=True),
    }

    def __repr__(self) -> str:
        # what is loaded: an expired row of a closed session cannot be asked
        names = [column.key for column in self.__mapper__.primary_key]
        told = ", ".join(f"{name}={self.__dict__[name]!r}" for name in names if name in self.__dict__)
        return f"{type(self).__name__}({told})"


@event.listens_for(Model, "before_insert", propagate=True)
@event.listens_for(Model, "before_update", propagate=True)
@event.listens_for(Model, "before_delete", propagate=True)
def _refuse(mapper: object, connection: object, target: Model) -> None:
    """The database would let only the tables' owner do it, and then no version would tell."""
    raise InvalidArgument(f"{type(target).__name__} is for reading: write with pgstate.orm, in the same session")
