"""`connect`, `State`, and `BoundState`."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pgstate import errors, migrate
from pgstate._areas._base import seconds, sqlstate_of
from pgstate._areas._export import Export
from pgstate._areas._threads import Known
from pgstate._areas._workflow import connector
from pgstate._areas.access import Access
from pgstate._areas.audit import Audit
from pgstate._areas.credentials import Credentials
from pgstate._areas.history import History
from pgstate._areas.policies import Policies
from pgstate._areas.quarantine import Quarantine
from pgstate._areas.rekey import Rekeying
from pgstate._areas.runs import Durable
from pgstate._areas.search import Search
from pgstate._areas.threads import Threads
from pgstate._areas.typed import Typed
from pgstate._bound import BoundCore
from pgstate._calls import access
from pgstate._calls._tickets import Ticketed, agent_of
from pgstate._core import Core
from pgstate._embedding import Embedding
from pgstate._guard import Guard, Resolver
from pgstate._keys import check_key
from pgstate._links import link
from pgstate._source import AddressSource, EngineSource, PoolSource, Source, examined, using
from pgstate.detection import Detector
from pgstate.encryption import Keys
from pgstate.types import Info, Seconds, Stats

if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

_log = logging.getLogger("pgstate")


class _Views(
    Export, History, Access, Quarantine, Audit, Credentials, Rekeying, Policies, Typed, Search, Threads, Durable
):
    """All areas, and views of them."""

    def namespace(self, prefix: str) -> Self:
        """A view with keys and patterns relative to a prefix: `state.namespace("research/agent-1").get("findings")`."""
        return self._view(prefix=self._prefix + check_key(prefix) + "/")

    def as_agent(self, name: str, *, ticket: str | None = None) -> Self:
        """A view that acts as another agent: one delegated to this gateway, or any, for the login that installed.

        `ticket` (`issue_ticket`; also alone, as the name) names the agent to a database that takes no bare names from
        this gateway. Called again with a newer one, all views of that agent that have a ticket use it from their next
        statement on."""
        if ticket is None:
            given = agent_of(name)
            if type(given) is not Ticketed:
                return self._view(agent=name)
            name, ticket = str(given), given.ticket
        tickets: dict[str, Ticketed] = self._core.kept.setdefault(Ticketed, {})
        agent = tickets.setdefault(name, Ticketed(name, ticket))
        agent.ticket = ticket
        return self._view(agent=agent)

    def with_timeout(self, timeout: Seconds) -> Self:
        """A view whose calls wait this many seconds for their answer."""
        return self._view(timeout=seconds(timeout).total_seconds())

    def _bound(self, core: BoundCore) -> BoundState:
        return BoundState(core, self._agent, self._prefix, self._timeout)

    @property
    def stats(self) -> Stats:
        """Counts of what this client did since it connected."""
        return self._core.stats


class State(_Views):
    """Shared state, as one agent sees it. Made by `connect`; safe to use from any number of tasks of one event loop.

    Views of it share connections, queues and the feed reader: `namespace` for relative keys, `as_agent` for another
    agent, `with_timeout` for another patience.
    """

    _core: Core

    def bind(self, connection: AsyncConnection | AsyncSession | Any) -> BoundState:
        """The same state inside a transaction of the caller's: what is written commits or rolls back with what else the
        transaction does. `connection` is asyncpg's (of a pool too), an AsyncSession or AsyncConnection of SQLAlchemy on
        asyncpg or psycopg, or psycopg's AsyncConnection. Raises InvalidArgument for anything else.

        The login of that connection decides which agent acts, or this view's agent if it names one. See BoundState.
        """
        core = BoundCore(link(connection), self._core.embedding, self._core.guard)
        Known.share(self._core, core)
        return BoundState(core, self._agent, self._prefix, self._timeout)

    async def close(self) -> None:
        """Finishes what is under way and closes the connections that this client opened. Idempotent."""
        await self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class BoundState(_Views):
    """Shared state inside a transaction of the caller's. Made by `State.bind` or `pgstate.orm.bind`; cheap.

    It has the calls of State, each a statement on the caller's connection: in the transaction and savepoint that is
    open then; where none is, in one of its own (asyncpg, autocommit) or in one that it begins and the caller commits
    (SQLAlchemy, psycopg). Watchers hear of it when it commits. A cursor taken inside delivers what the transaction
    wrote after its commit, once.

    A lost race, a held claim and a write that is refused raise and leave the transaction as it was: go on if you like.
    What PostgreSQL itself refuses (an invalid argument, a read that is denied, a lock_timeout, a deadlock) has aborted
    it, as ever: back to a savepoint, or all of it. Nothing is sent again; running the transaction again is up to the
    caller, and `op_id` keeps what it did from being done twice. Locks are held until its end, so other writers of the
    same keys wait: keep it short.

    Raises InTransaction: `watch`, `claim_next(wait=…)`, and what renews a claim (`async with`, `work`, locks). With
    `as_agent` the views (`pgstate.entries` …) show what that agent may read too, until the next call or the end of the
    transaction.
    """


class Connecting:
    """What `connect` returns: `await` it, or use it in `async with`."""

    def __init__(
        self,
        source: Source | None,
        dsn: str | None,
        listen_dsn: str | None,
        timeout: float,
        agent: str | None,
        size: int,
        embedding: Embedding | None,
        guard: Guard,
    ) -> None:
        self._source = source
        self._guard = guard
        self._dsn = dsn
        self._listen_dsn = listen_dsn
        self._timeout = timeout
        self._agent = agent_of(agent)
        self._size = size
        self._embedding = embedding
        self._state: State | None = None

    def __await__(self) -> Generator[Any, None, State]:
        return self._open().__await__()

    if not TYPE_CHECKING:  # which sees it before

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(
                f"no {name} before it is connected: state = await pgstate.connect(…), or async with "
                "pgstate.connect(…) as state; code without an event loop has pgstate.sync.connect(…)",
                name=name,
                obj=self,
            )

    async def __aenter__(self) -> State:
        self._state = await self._open()
        return self._state

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._state is not None:
            await self._state.close()

    async def _open(self) -> State:
        source, embedded = self._source, None
        listen_dsn = self._listen_dsn
        if source is None:
            dsn = self._dsn
            # an address that was given and is empty is a variable that nobody set: no reason for a server of its own
            if dsn is None and (dsn := os.environ.get("PGSTATE_DSN") or None):
                listen_dsn = listen_dsn or os.environ.get("PGSTATE_LISTEN_DSN")
            if dsn is None:
                dsn = embedded = await _embedded_address()
            source = AddressSource(dsn, size=self._size, connect_timeout=self._timeout)
        try:
            listening = AddressSource(listen_dsn, size=1, connect_timeout=self._timeout) if listen_dsn else None
            source = await examined(source, listening, self._timeout)
            try:
                info = await self._info(source)
            except errors.SchemaError:
                if embedded is None:
                    raise
                await migrate.upgrade_async(embedded)
                info = await self._info(source)
        except BaseException:
            await source.close()
            raise
        core = Core(source, info, self._timeout, self._embedding, self._agent, self._guard)
        return State(core, self._agent, "", self._timeout)

    async def _info(self, source: Source) -> Info:
        try:
            info = await using(source, lambda c: access.info(c, self._agent, timeout=self._timeout))
        except errors.AccessDenied as error:
            raise self._refused(error) from error.__cause__
        if info.revision < migrate.HEAD:
            raise errors.SchemaTooOld(
                f"the schema is at revision {info.revision}, this client needs {migrate.HEAD}: run pgstate migrate"
            )
        # databases are migrated before their clients are replaced: older ones go on while the schema says so
        if info.revision > migrate.HEAD and (info.serves is None or info.serves > migrate.HEAD):
            raise errors.SchemaTooNew(
                f"the schema is at revision {info.revision} and serves clients from {info.serves or info.revision} on, "
                f"this one is of {migrate.HEAD}: upgrade pgstate"
            )
        return info

    def _refused(self, error: errors.AccessDenied) -> errors.AccessDenied:
        """The database says no more than that access is denied; who asked knows for what."""
        if sqlstate_of(error) != "PS010":
            return error
        if self._agent is not None:
            return errors.AccessDenied(
                f"access denied: this login may not act for agent {self._agent}, or not without a ticket, "
                "or there is no such agent"
            )
        return errors.AccessDenied(
            "access denied: this login is not registered with pgstate. "
            "An administrator can create_agent, create_gateway or create_reader"
        )


async def _embedded_address() -> str:
    # imported here: it is for POSIX only, and a client with an address does without it
    from pgstate import embedded

    server = await embedded.ensure()
    _log.info("using the embedded PostgreSQL %s in %s, which is for development", server.version, server.home)
    return server.dsn


def connect(
    dsn: str | None = None,
    *,
    pool: asyncpg.Pool[Any] | None = None,
    engine: AsyncEngine | None = None,
    listen_dsn: str | None = None,
    agent: str | None = None,
    timeout: float | timedelta = 10.0,
    connections: int = 10,
    embed: Embedding | None = None,
    guard: str = "redact",
    credentials: Resolver | None = None,
    encryption: Keys | None = None,
    detector: Detector | None = None,
) -> Connecting:
    """Connects to a PostgreSQL that has pgstate: `state = await connect(...)`, or `async with connect(...) as state`.

    One of `dsn` (postgresql://, postgresql+asyncpg://, or libpq's keywords and values, "service=…" among them), `pool`
    (asyncpg's) or `engine` (SQLAlchemy's, on asyncpg). Without any, PGSTATE_DSN, else the embedded server in
    `.pgstate/`, which is started and migrated if need be and is for development. What an address leaves open, libpq's
    environment (PGHOST, PGSERVICE, PGPASSFILE, PGSSLMODE …) says.

    Each may lead through PgBouncer, in session or transaction mode. In transaction mode nothing can be listened to:
    give `listen_dsn`, an address of the server itself for the same login, which one connection for watches uses (beside
    PGSTATE_DSN: PGSTATE_LISTEN_DSN), or watches ask once a second, and a warning says so. Below PgBouncer 1.21, or with
    max_prepared_statements = 0, a pool or engine needs asyncpg's statement_cache_size=0, and a call a round trip more.
    With asyncpg before 0.32 a call that PgBouncer has no server process for may outlast its timeout.

    `agent` acts in all calls (for gateways; `State.as_agent` later does the same). `timeout` is how
    many seconds a call waits for its answer. `connections` is how many are opened at most, besides one for watches.
    `embed` makes vectors: of queries that are searched for, and, as this agent, of entries that wait for theirs.
    `guard` is what becomes of secrets in what the database cannot look into (checkpoints, results of steps, inputs and
    signals of runs): "redact" or "off", whatever policies say. `credentials` gives `resolve` the
    credential of a name for a purpose; a coroutine function too. `encryption` seals that data (pgstate.encryption):
    nobody reads it without the keys, and nothing in the database checks it. `detector` is asked for what is written and
    read (pgstate.detection), and may refuse it: ValueRefused.
    Raises Unreachable, AccessDenied, SchemaMissing, SchemaTooOld, SchemaTooNew, EmbeddedMissing, InvalidArgument.
    """
    if dsn is not None and not isinstance(dsn, str):
        raise errors.InvalidArgument("dsn is an address; a pool is given as pool=…, an engine as engine=…")
    if sum(given is not None for given in (dsn, pool, engine)) > 1:
        raise errors.InvalidArgument("give one of dsn, pool and engine")
    if embed is not None and not isinstance(embed, Embedding):
        raise errors.InvalidArgument(
            "embed takes pgstate.Embedding(function, model=...): vectors go by their model's name"
        )
    patience = seconds(timeout).total_seconds()
    if patience <= 0 or connections < 1:
        raise errors.InvalidArgument("timeout and connections must be positive")
    source: Source | None = None
    if pool is not None:
        source = PoolSource(pool)
    elif engine is not None:
        source = EngineSource(engine)
    checked = Guard(guard, credentials, encryption, detector)
    return Connecting(source, dsn, listen_dsn, patience, agent, connections, embed, checked)


connector.append(connect)
