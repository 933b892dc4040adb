"""`connect`, `State` and its `work`."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeAlias

from pgstate import client
from pgstate._areas import _held
from pgstate._embedding import Embedding
from pgstate._guard import Resolver
from pgstate.detection import Detector
from pgstate.encryption import Keys
from pgstate.sync import _loop
from pgstate.sync._bind import BoundState, WithRuns, bind
from pgstate.sync._calls import Task
from pgstate.sync._stop import until_told
from pgstate.types import Seconds

Handler: TypeAlias = Callable[[Task], Any]


class State(WithRuns):
    """Shared state, as one agent sees it. Made by `connect`; safe to use from any number of threads, and after a fork.

    Views of it share connections, queues and the feed reader: `namespace` for relative keys, `as_agent` for another
    agent, `with_timeout` for another patience."""

    def work(
        self,
        pattern: str,
        handler: Handler,
        *,
        concurrency: int = 8,
        lease: Seconds = 30.0,
        move_to: str | None = None,
        stop: threading.Event | None = None,
        signals: Sequence[int] = (signal.SIGTERM,),
        min_trust: str | None = None,
    ) -> int:
        """Works on what matches, `concurrency` at once, each in a thread, until it is told to stop: by a signal, or by
        `stop`. Then it claims nothing more, lets the handlers under way end, and returns how many tasks were completed.

        `handler(task)` gets a claimed task, which is renewed and ended as in `claim_next`. What it returns is stored
        under `move_to` ("tasks/done/*", where `*` stands for the last segment of the task's key), or ignored. A handler
        that raises fails its task, which is logged; a server that is down is waited for. `signals` do this in place of
        what they did, meanwhile, where this is the main thread. `min_trust` leaves what is trusted less to others.
        Raises InvalidPattern, InvalidArgument, AccessDenied.
        """

        async def handle(task: _held.Task) -> Any:
            try:
                return await _loop.current().in_thread(handler, Task(lambda: task))
            except _loop.Passed as passed:
                # SystemExit, say, would end the loop
                raise RuntimeError(f"the handler's thread was left by {passed.error!r}") from passed.error

        async def work(told: asyncio.Event) -> int:
            return await self._its.work(
                pattern,
                handle,
                concurrency=concurrency,
                lease=lease,
                move_to=move_to,
                stop=told,
                signals=(),
                min_trust=min_trust,
            )

        return until_told(stop, signals, work)

    def bind(self, connection: Any) -> BoundState:
        """The same state inside a transaction of the caller's: what is written commits or rolls back with what else the
        transaction does. `connection` is a psycopg Connection, or a Session, scoped_session or Connection of SQLAlchemy
        on psycopg. Raises InvalidArgument for anything else.

        The login of that connection decides which agent acts, or this view's agent if it names one. See BoundState.
        """
        return bind(self._its, connection)

    def close(self) -> None:
        """Finishes what is under way and closes the connections that this client opened. Idempotent."""
        if _loop.over():
            return
        state, loop = self._its, _loop.current()
        assert isinstance(state, client.State)
        loop.at_exit.pop(state._core, None)
        loop.give_back(state.close(), whole=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def connect(
    dsn: str | None = None,
    *,
    listen_dsn: str | None = None,
    agent: str | None = None,
    timeout: float | timedelta = 10.0,
    connections: int = 10,
    embed: Embedding | None = None,
    guard: str = "redact",
    credentials: Resolver | None = None,
    encryption: Keys | None = None,
    detector: Detector | None = None,
) -> State:
    """Connects to a PostgreSQL that has pgstate: `state = connect(...)`, or `with connect(...) as state`.

    As `pgstate.connect`, for synchronous code; a state that is not closed is closed at the end of the process. A child
    that is forked connects anew when it first uses it. `embed` may have a plain function, which runs in a thread.
    Raises Unreachable, AccessDenied, SchemaMissing, SchemaTooOld, SchemaTooNew, EmbeddedMissing, InvalidArgument.
    """

    async def open_() -> client.State:
        return await client.connect(
            dsn,
            listen_dsn=listen_dsn,
            agent=agent,
            timeout=timeout,
            connections=connections,
            embed=embed,
            guard=guard,
            credentials=credentials,
            encryption=encryption,
            detector=detector,
        )

    def make() -> client.State:
        loop = _loop.current()
        state = loop.run(open_())
        loop.at_exit[state._core] = state.close
        return state

    return State(make)
