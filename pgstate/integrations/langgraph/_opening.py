"""Where a saver's state comes from: it is given, or made at an address when `with` or `async with` begins."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

import pgstate
import pgstate.sync
from pgstate import errors, migrate
from pgstate._address import driver_address
from pgstate.client import Connecting
from pgstate.sync import _loop
from pgstate.sync._bridge import AnyState

T = TypeVar("T")


class Opening(Generic[T]):
    """`async with` or `with` gives what `make` makes of it, with connections that close at the end."""

    def __init__(self, state: AnyState | None, address: str | None, make: Callable[[Opening[T]], T] | None) -> None:
        self._state = state
        self._address = address
        self._make = make
        self._synchronous = isinstance(state, pgstate.sync.State)
        self._why: errors.SchemaError | None = None

    @classmethod
    def of(cls, state: AnyState) -> Opening[T]:
        """Of a state that somebody else closes. Raises InvalidArgument for what is none: LangGraph's own savers and
        stores take connections and pools."""
        if not isinstance(state, pgstate.State | pgstate.sync.State | Connecting | None):
            raise errors.InvalidArgument(
                f"a {type(state).__name__} is no state: pgstate.connect(…) makes one, of a dsn, an asyncpg pool or an "
                "engine of SQLAlchemy; from_conn_string(dsn) makes its own"
            )
        return cls(state, None, None)

    @classmethod
    def at(cls, address: str, make: Callable[[Opening[T]], T]) -> Opening[T]:
        """Of one at an address."""
        driver_address(address)
        return cls(None, address, make)

    @property
    def state(self) -> AnyState:
        """The state. Raises SchemaMissing or SchemaTooOld until the database is migrated."""
        if self._state is None:
            if self._why is not None:
                raise type(self._why)(f"{self._why}, or call setup()")
            raise errors.Closed("use it inside `with` or `async with`")
        return self._state

    def setup(self) -> Any:
        """Migrates the database unless that is done; a coroutine except in `with`."""
        return self._setup_sync() if self._synchronous else self._setup()

    async def _setup(self) -> None:
        if self._state is None and self._address is not None:
            await migrate.upgrade_async(driver_address(self._address))
            self._state = await pgstate.connect(self._address)

    def _setup_sync(self) -> None:
        if self._state is None and self._address is not None:
            # not by asyncio.run(): in a notebook a loop runs already
            _loop.current().run(migrate.upgrade_async(driver_address(self._address)))
            self._state = pgstate.sync.connect(self._address)

    def _made(self) -> T:
        assert self._make is not None
        return self._make(self)

    def __enter__(self) -> T:
        self._synchronous = True
        try:
            self._state = pgstate.sync.connect(self._address)
        except (errors.SchemaMissing, errors.SchemaTooOld) as error:
            self._why = error
        return self._made()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(self._state, pgstate.sync.State):
            self._state.close()

    async def __aenter__(self) -> T:
        try:
            self._state = await pgstate.connect(self._address)
        except (errors.SchemaMissing, errors.SchemaTooOld) as error:
            self._why = error
        return self._made()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(self._state, pgstate.State):
            await self._state.close()
