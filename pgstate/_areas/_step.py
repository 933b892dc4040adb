"""What a step's function is given: who it is, and state that is written with the record of the step."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pgstate import errors
from pgstate._bound import BoundCore
from pgstate._calls._run import Connection, translate
from pgstate._core import Core
from pgstate._links import Statements

if TYPE_CHECKING:
    from pgstate._areas._run import Run
    from pgstate.client import BoundState


_OVER = "the step has ended, and its transaction with it"


class Transaction:
    """Begun by the first statement, ended with the step: a connection is taken that long."""

    def __init__(self, core: Core, timeout: float) -> None:
        self._core = core
        self._timeout = timeout
        self._connection: Connection | None = None
        self._begun: Any = None
        self._ended = False

    async def connection(self) -> Connection:
        """Where its statements go. Raises Unreachable, Timeout, InTransaction."""
        self._check_open()
        if self._connection is None:
            self._connection = await self._core.source.take(self._timeout)
            self._begun = self._connection.transaction()
            try:
                await self._begun.start()
            except BaseException as error:
                await self._give(whole=False)
                raise translate(error) from error
            if self._ended:
                # meanwhile: the step did not wait for this
                await self._give(whole=False)
                self._check_open()
        return self._connection

    def _check_open(self) -> None:
        if self._ended:
            # what the step's function has left behind would begin another, which nobody ends
            raise errors.InTransaction(_OVER)

    async def statements(self) -> Statements:
        """As a Link."""
        return await self.connection()

    async def end(self, *, commit: bool) -> None:
        """Raises Unreachable or Timeout when the server does not answer: a commit may have happened or not."""
        self._ended = True
        if self._connection is None:
            return
        whole = False
        try:
            async with asyncio.timeout(self._timeout):
                await (self._begun.commit() if commit else self._begun.rollback())
            whole = True
        except Exception as error:
            raise translate(error) from error
        finally:
            await self._give(whole=whole)

    async def drop(self) -> None:
        """Rolls it back. What goes wrong then breaks the connection, which does the same."""
        with suppress(errors.PgStateError):
            await self.end(commit=False)

    def abandon(self) -> None:
        """As `drop`, in the background: who is cancelled does not wait for a server that may be gone. A connection that
        were broken at once would leave a statement that waits for a lock to wait on, with the locks that it has."""
        self._ended = True
        self._core.spawn(self.drop())

    async def _give(self, *, whole: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if not whole:
            # it may be in the transaction still: what comes after on it would be answered, and never be committed
            connection.terminate()
        await self._core.source.give(connection)


class Context:
    """What a step's function gets as `ctx`."""

    def __init__(self, run: Run, step: str, attempt: int, idempotency_key: str) -> None:
        self.run = run
        self.step = step
        """The id of the step: its name, with #n for its nth occurrence and [i] for the ith element of a map."""
        self.attempt = attempt
        """Which attempt this is, from 1."""
        self.idempotency_key = idempotency_key
        """The same in every attempt of this step, by whichever worker: for services that take one."""
        self._transaction: Transaction | None = None
        self._state: BoundState | None = None

    @property
    def cancelled(self) -> bool:
        """The run was cancelled: for functions in threads, which are not interrupted."""
        return self.run.cancelled

    @property
    def state(self) -> BoundState:
        """The state, in one transaction with the record of the step: both, or neither. It begins with the first call,
        and keeps its locks until the step ends: do what takes long before it."""
        if self._state is None:
            area = self.run._runs
            self._transaction = Transaction(self.run._core, area._timeout)
            self._state = area._bound(BoundCore(self._transaction, self.run._core.embedding, self.run._core.guard))
        elif self._transaction is None:
            raise errors.InTransaction(_OVER)
        return self._state

    def _close(self) -> Transaction | None:
        """The step's function has ended: what it wrote with is to be ended, and used no more."""
        transaction, self._transaction = self._transaction, None
        return transaction
