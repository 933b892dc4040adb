"""SQLAlchemy models of the schema, for reading: every table, and the views, which are what most queries want.

    session.scalars(select(models.Entry).where(models.Entry.key.startswith("research/")))

They are for SELECT. All writing goes through the functions of the API, which check access, number versions and wake
watchers; the database grants nobody else INSERT, UPDATE or DELETE. (Before PostgreSQL 16 the login that installed
inherits them from the owner and must take care itself: a flush would leave no version.) Nor do they create the schema,
which is up to migrations: their MetaData is their own, so that an application's `create_all` and autogenerate leave
pgstate alone.
A login made by `create_reader` may read the three views, and the tables under them, as far as its grants reach.

Classes named `…Row` are tables. `Entry`, `Version` and `Claim` are views: without tombstones, expired entries, and
ended claims.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, DOMAIN, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

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
claim_token_seq = Sequence("claim_token_seq", cache=1, metadata=metadata)
version_seq = Sequence("version_seq", cache=1, metadata=metadata)


class Model(DeclarativeBase):
    """Base of all models."""

    metadata = metadata
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's own declaration of it)
        str: Text,
        int: Integer,
        bool: Boolean,
        bytes: LargeBinary,
        datetime: TIMESTAMP(timezone=True),
    }


class Entry(Model):
    """View `entries`: what every key holds now."""

    __tablename__ = "entries"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    value: Mapped[Json]
    version: Mapped[BigInt]
    kind: Mapped[str]
    writer: Mapped[str]
    via: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    priority: Mapped[int]
    not_before: Mapped[datetime | None]


class Version(Model):
    """View `versions`: every version of every key. `seq` orders the feed and is no cursor."""

    __tablename__ = "versions"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    version: Mapped[BigInt] = mapped_column(primary_key=True)
    op: Mapped[str]
    value: Mapped[Json]
    writer: Mapped[str]
    via: Mapped[str]
    at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    created: Mapped[bool]
    seq: Mapped[BigInt]


class Claim(Model):
    """View `claims`: who holds what now, and until when."""

    __tablename__ = "claims"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    token: Mapped[BigInt]
    holder: Mapped[str | None]
    lease_until: Mapped[datetime]
    attempts: Mapped[int]
    claimed_at: Mapped[datetime]


class Task(Model):
    """View `tasks`: entries as pieces of work, waiting, claimed, failed or finished."""

    __tablename__ = "tasks"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    state: Mapped[str]
    priority: Mapped[int]
    holder: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    lease_left: Mapped[timedelta | None]
    attempts: Mapped[int]
    error: Mapped[str | None]
    next_try: Mapped[datetime | None]
    version: Mapped[BigInt]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class InstallRow(Model):
    """Table `install`: one row, the installation's identity and limits."""

    __tablename__ = "install"
    __table_args__ = (
        PrimaryKeyConstraint("singleton", name="install_pkey"),
        CheckConstraint("singleton", name="install_one_row"),
        CheckConstraint("value_limit between 1024 and 268435456", name="install_value_limit_range"),
        CheckConstraint(
            "cursor_window between interval '1 minute' and interval '3650 days'", name="install_cursor_window_range"
        ),
    )

    singleton: Mapped[bool] = mapped_column(server_default=text("true"))
    identity: Mapped[str]
    epoch: Mapped[int] = mapped_column(server_default=text("1"))
    value_limit: Mapped[int] = mapped_column(server_default=text("1048576"))
    installed_at: Mapped[Now]
    policies: Mapped[False_]
    cursor_window: Mapped[timedelta] = mapped_column(server_default=text("'1 hour'"))
    horizon: Mapped[int | None] = mapped_column(Xid8)


class AgentRow(Model):
    """Table `agent`: who acts."""

    __tablename__ = "agent"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="agent_pkey"),
        UniqueConstraint("name", name="agent_name_key"),
        CheckConstraint(
            "name ~ '^[A-Za-z0-9._~:@=+,%-]{1,128}$' and name not in ('.', '..', 'pgstate')", name="agent_name_form"
        ),
    )

    id: Mapped[int] = mapped_column(server_default=text("nextval('pgstate.agent_id_seq')"))
    name: Mapped[Name]
    root: Mapped[False_]
    created_at: Mapped[Now]


class FormerAgentRow(Model):
    """Table `former_agent`: names that dropped agents had."""

    __tablename__ = "former_agent"
    __table_args__ = (PrimaryKeyConstraint("name", name="former_agent_pkey"),)

    name: Mapped[Name]
    dropped_at: Mapped[Now]
    dropped_by: Mapped[str]


class LoginRow(Model):
    """Table `login`: the database logins that pgstate knows."""

    __tablename__ = "login"
    __table_args__ = (
        PrimaryKeyConstraint("login", name="login_pkey"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="login_agent_fkey", ondelete="cascade"),
        CheckConstraint("(agent_id is null) = gateway and not (root and gateway)", name="login_is_one_thing"),
    )

    login: Mapped[Name]
    agent_id: Mapped[int | None]
    gateway: Mapped[False_]
    root: Mapped[False_]
    created_at: Mapped[Now]
    agent_name: Mapped[Name | None]
    reads: Mapped[MaybeReach]
    writes: Mapped[MaybeReach]
    touches: Mapped[MaybeReach]


class DelegationRow(Model):
    """Table `delegation`: which agents a gateway may act for."""

    __tablename__ = "delegation"
    __table_args__ = (
        PrimaryKeyConstraint("login", "agent_id", name="delegation_pkey"),
        ForeignKeyConstraint(["login"], [LoginRow.login], name="delegation_login_fkey", ondelete="cascade"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="delegation_agent_fkey", ondelete="cascade"),
    )

    login: Mapped[Name]
    agent_id: Mapped[int]
    created_at: Mapped[Now]


class AccessGrantRow(Model):
    """Table `access_grant`: rights of agents on keys and subtrees."""

    __tablename__ = "access_grant"
    __table_args__ = (
        PrimaryKeyConstraint("agent_id", "subtree", "right", name="access_grant_pkey"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="access_grant_agent_fkey", ondelete="cascade"),
        CheckConstraint("\"right\" in ('read', 'write', 'admin')", name="access_grant_right_known"),
    )

    agent_id: Mapped[int]
    subtree: Mapped[Name]
    right: Mapped[str]
    granted_by: Mapped[str]
    granted_at: Mapped[Now]


class ReachRow(Model):
    """Table `reach`: the grants of each agent, folded into ranges of keys."""

    __tablename__ = "reach"
    __table_args__ = (
        PrimaryKeyConstraint("agent_id", name="reach_pkey"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="reach_agent_fkey", ondelete="cascade"),
    )

    agent_id: Mapped[int]
    reads: Mapped[Reach]
    writes: Mapped[Reach]
    admins: Mapped[Reach]
    touches: Mapped[Reach]


class EntryRow(Model):
    """Table `entry`: what every key holds, tombstones included. `Entry` leaves those and what has expired out."""

    __tablename__ = "entry"
    __table_args__ = (
        PrimaryKeyConstraint("key", name="entry_pkey"),
        CheckConstraint("live = (value is not null) and version >= 0", name="entry_live_has_value"),
        Index("entry_task_idx", "parent", text("priority desc"), "created_at", "key", postgresql_where=text("live")),
        Index("entry_not_before_idx", "parent", "not_before", postgresql_where=text("live and not_before is not null")),
        Index("entry_expires_idx", "expires_at", postgresql_where=text("live and expires_at is not null")),
        {"postgresql_with": {"fillfactor": 75}},
    )

    key: Mapped[Name]
    parent: Mapped[Name]
    kind: Mapped[EntryKind] = mapped_column(server_default=text("'value'"))
    version: Mapped[BigInt]
    live: Mapped[bool]
    value: Mapped[Json]
    writer: Mapped[str]
    via: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    not_before: Mapped[datetime | None]
    full_version: Mapped[int | None] = mapped_column(BigInteger)
    tail_count: Mapped[int | None]
    tail_bytes: Mapped[int | None]
    full_bytes: Mapped[int | None]
    full_type: Mapped[str | None]


class VersionRow(Model):
    """Table `version`: history and change feed. No constraint names its key, so that it can be partitioned by time."""

    __tablename__ = "version"
    __table_args__ = (
        Index("version_key_idx", "key", "version", unique=True),
        Index("version_feed_idx", "epoch", "xid", "seq"),
        Index("version_seq_idx", "seq"),
    )

    key: Mapped[Name]
    version: Mapped[BigInt]
    epoch: Mapped[int]
    xid: Mapped[Xid]
    seq: Mapped[BigInt] = mapped_column(server_default=text("nextval('pgstate.version_seq')"))
    op: Mapped[VersionOp]
    created: Mapped[False_]
    value: Mapped[Json]
    writer: Mapped[str]
    via: Mapped[str]
    at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    meta: Mapped[Json]
    reducer: Mapped[str | None]

    __mapper_args__ = {"primary_key": ["key", "version"]}  # noqa: RUF012 (SQLAlchemy's own declaration of it)


class ClaimRow(Model):
    """Table `claim`: every claim there was of a key that still exists. `Claim` has those that hold now."""

    __tablename__ = "claim"
    __table_args__ = (PrimaryKeyConstraint("key", name="claim_pkey"), {"postgresql_with": {"fillfactor": 50}})

    key: Mapped[Name]
    token: Mapped[BigInt]
    holder: Mapped[str | None]
    holder_id: Mapped[int | None]
    lease_until: Mapped[datetime]
    attempts: Mapped[int]
    claimed_at: Mapped[datetime]
    retry_at: Mapped[datetime | None]
    error: Mapped[str | None]
    released: Mapped[int] = mapped_column(server_default=text("0"))


class ClaimLogRow(Model):
    """Table `claim_log`: claims that were ended by force."""

    __tablename__ = "claim_log"
    __table_args__ = (PrimaryKeyConstraint("key", "at", name="claim_log_pkey"),)

    key: Mapped[Name]
    at: Mapped[datetime]
    token: Mapped[BigInt]
    holder: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int]
    released_by: Mapped[str]
    via: Mapped[str]


class LaneRow(Model):
    """Table `lane`: the last outcome of each lane of a client, for sending a statement again."""

    __tablename__ = "lane"
    __table_args__ = (PrimaryKeyConstraint("lane", name="lane_pkey"), {"postgresql_with": {"fillfactor": 25}})

    lane: Mapped[UUID]
    agent_id: Mapped[int]
    turn: Mapped[BigInt]
    outcome: Mapped[Json]
    at: Mapped[Now]
    channels: Mapped[list[str] | None] = mapped_column(ARRAY(Text))


class OpRow(Model):
    """Table `op`: outcomes by the callers' idempotency keys."""

    __tablename__ = "op"
    __table_args__ = (
        PrimaryKeyConstraint("agent_id", "op_id", name="op_pkey"),
        CheckConstraint("pg_catalog.octet_length(op_id) between 1 and 256", name="op_id_length"),
        Index("op_at_idx", "at"),
    )

    agent_id: Mapped[int]
    op_id: Mapped[Name]
    request_hash: Mapped[bytes]
    outcome: Mapped[Json]
    at: Mapped[Now]


class PolicyRow(Model):
    """Table `policy`: rules for keys and subtrees."""

    __tablename__ = "policy"
    __table_args__ = (
        PrimaryKeyConstraint("subtree", name="policy_pkey"),
        CheckConstraint(
            "num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts, "
            "backoff, backoff_limit, dead_letter, claimed_writes) > 0",
            name="policy_sets_something",
        ),
        CheckConstraint("num_nonnulls(keep_versions, keep_age, keep_everything) <= 1", name="policy_keeps_one_way"),
        CheckConstraint("keep_everything", name="policy_keep_everything_true"),
        CheckConstraint("keep_versions > 0", name="policy_keep_versions_positive"),
        CheckConstraint("value_limit > 0", name="policy_value_limit_positive"),
        CheckConstraint("max_attempts > 0", name="policy_max_attempts_positive"),
    )

    subtree: Mapped[Name]
    nearness: Mapped[int]
    reducer: Mapped[Name | None]
    ttl: Mapped[timedelta | None]
    keep_versions: Mapped[int | None]
    keep_age: Mapped[timedelta | None]
    keep_everything: Mapped[bool | None]
    value_limit: Mapped[int | None]
    schema: Mapped[Json]
    set_by: Mapped[str]
    set_at: Mapped[Now]
    max_attempts: Mapped[int | None]
    backoff: Mapped[timedelta | None]
    backoff_limit: Mapped[timedelta | None]
    dead_letter: Mapped[Name | None]
    claimed_writes: Mapped[bool | None]


class ReducerRow(Model):
    """Table `reducer`: functions of the application's that policies may name."""

    __tablename__ = "reducer"
    __table_args__ = (
        PrimaryKeyConstraint("name", name="reducer_pkey"),
        CheckConstraint("name ~ '^[a-z][a-z0-9_]{0,62}$'", name="reducer_name_form"),
    )

    name: Mapped[Name]
    function_schema: Mapped[Name]
    function_name: Mapped[Name]
    digest: Mapped[bytes]
    registered_by: Mapped[str]
    registered_at: Mapped[Now]


class MarkRow(Model):
    """Table `mark`: which transactions had ended when."""

    __tablename__ = "mark"
    __table_args__ = (PrimaryKeyConstraint("at", name="mark_pkey"),)

    at: Mapped[datetime]
    epoch: Mapped[int]
    ended_below: Mapped[int] = mapped_column(Xid8)


class SweepRow(Model):
    """Table `sweep`: how far retention has come."""

    __tablename__ = "sweep"
    __table_args__ = (PrimaryKeyConstraint("delay", name="sweep_pkey"),)

    delay: Mapped[timedelta]
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("'0'"))
    seq: Mapped[BigInt] = mapped_column(server_default=text("0"))


class ReviewRow(Model):
    """Table `review`: where the history to be kept has changed, and how far retention has gone through that."""

    __tablename__ = "review"
    __table_args__ = (PrimaryKeyConstraint("subtree", name="review_pkey"),)

    subtree: Mapped[Name]
    after: Mapped[Name] = mapped_column(server_default=text("''"))
    asked_at: Mapped[Now]


class WatcherRow(Model):
    """Table `watcher`: which channels to notify of changes in which ranges of keys."""

    __tablename__ = "watcher"
    __table_args__ = (PrimaryKeyConstraint("channel", name="watcher_pkey"), {"prefixes": ["unlogged"]})

    channel: Mapped[Name]
    login: Mapped[str]
    agent_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    ranges: Mapped[Any] = mapped_column(KeyMultirange, nullable=False)
    expires_at: Mapped[datetime]


class FeedPointRow(Model):
    """Table `feed_point`: points of the change feed by time, which reads as of a past time go by."""

    __tablename__ = "feed_point"
    __table_args__ = (PrimaryKeyConstraint("at", name="feed_point_pkey"),)

    at: Mapped[datetime]
    epoch: Mapped[int]
    seen: Mapped[str] = mapped_column(PgSnapshot, nullable=False)
