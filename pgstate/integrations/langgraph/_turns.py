"""Runs on one thread at the same time. Each reads the latest checkpoint, computes, and saves what comes after it; of
two that have read the same, LangGraph itself keeps what is saved last, and the other's update is lost.

A save that does not come after the latest checkpoint is a conflict, unless its run was pointed at an older one on
purpose (time travel). To wait in place of that, a run takes a turn, before it reads: the lock `turn` under the thread's
key.

LangGraph does not tell a saver when a run ends. But it reads from within the loop that carries the run, whose stack of
what to do at the end takes the turn's end too. Where that is not found, there is the run's stream writer, which nothing
else has and which goes when the run is over: late, where a node has left something behind that keeps the context it was
made in (the timer of a timeout that was not reached). A run that ends by an interrupt or an error leaves cycles of
references behind, and says so in its writes.

An update (`update_state`) reads and saves as a run does. Its turn ends with its save, or where it fails before with the
configuration that it has made.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal, TypeAlias
from weakref import WeakKeyDictionary, finalize, ref

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT

from pgstate import State, errors

OnConflict: TypeAlias = Literal["refuse", "wait"] | None

_RUNTIME = "__pregel_runtime"  # of LangGraph: in the configuration of all that a run calls
_TASK = "__pregel_task_id"  # likewise, of what a node calls
_UPDATE = "__pgstate_update"  # in that of an update, which goes when it is over: what has its turn
_TURN = "turn"
_FIRST_LOOK = 1.0  # seconds
_FAREWELL = 1.0  # seconds
_LONGEST_UPDATE = 5.0  # seconds; where it failed, its configuration is there as long as the error is
_FARTHEST = 20  # frames, if something is wrapped around the saver

_log = logging.getLogger("pgstate")
# what was read outside of a run: (thread's key, the checkpoint that was asked for)
_read: ContextVar[tuple[str, str | None] | None] = ContextVar("pgstate_langgraph_read", default=None)
# the update that began last
_updating: ContextVar[ref[_Run] | None] = ContextVar("pgstate_langgraph_updating", default=None)


@dataclass
class _Run:
    """A run of a graph on a thread, or an update."""

    # it was pointed at a checkpoint, and has not saved anything behind it yet
    pointed: bool
    turn: Turn | None = None
    # it tells when it ends
    tells: bool = False
    # of an update: the thread's key
    updates: str | None = None
    # a node of a run on the same thread has called it
    inside: bool = False

    @property
    def goes_on(self) -> bool:
        """Has it a turn that has not ended?"""
        return self.turn is not None and not self.turn.over

    def end(self) -> None:
        """Gives the turn back, from any thread."""
        if self.turn is not None:
            self.turn.end()


class Turns:
    """What a saver and its shallow copies know of the runs that they serve."""

    def __init__(self, how: OnConflict, lease: float, wait: float) -> None:
        if how not in (None, "refuse", "wait"):
            raise errors.InvalidArgument(f"on_conflict is None, 'refuse' or 'wait', not {how!r}")
        self.how = how
        self._lease = lease
        self._wait = wait
        self._runs: WeakKeyDictionary[Callable[..., Any], dict[str, _Run]] = WeakKeyDictionary()

    def note(self, config: RunnableConfig, key: str) -> _Run | None:
        """Before a read of a thread, in the caller's own context. Returns the run or update if it has just begun."""
        if self.how is None or config["configurable"].get("checkpoint_ns"):
            return None
        asked = config["configurable"].get("checkpoint_id")
        writer = writer_of(config)
        if writer is not None and key in self._runs.get(writer, {}):
            return None
        loop = None if writer is None else _loop()
        # a node may look at another thread with its own configuration, which is no run there
        if writer is None or (loop is None and _TASK in config["configurable"]):
            if looks(config):
                return None
            _read.set((key, asked))
            under_way = self.update(key)
            if self.how != "wait" or (under_way is not None and under_way.goes_on) or not _updates():
                return None
            config["configurable"][_UPDATE] = update = _Run(False, updates=key, inside=self._inside(key))
            _updating.set(ref(update))
            return update
        self._runs.setdefault(writer, {})[key] = run = _Run(asked is not None, inside=self._inside(key))
        if self.how == "wait" and loop is not None:
            loop.stack.callback(run.end)
            run.tells = True
            if (manager := getattr(loop, "manager", None)) is not None:
                manager.handlers = [*manager.handlers, _Failed(run)]
        return run

    async def begin(self, state: State, key: str, run: _Run | None, writer: Any) -> None:
        """Waits for the run's turn, before it reads. Raises ClaimHeld."""
        if run is not None and self.how == "wait":
            most = None if run.updates is None else _LONGEST_UPDATE
            try:
                run.turn = await Turn.take(state, key, self._lease, self._wait, most)
            except errors.ClaimHeld as error:
                if not run.inside:
                    raise
                raise errors.ClaimHeld(
                    f"the run on the thread {key} that this was called in has the turn, and waited for this: have its "
                    "node return the change, or call a graph in it with the node's own config",
                    error.key,
                ) from error
            finalize(writer if run.updates is None else run, run.turn.end).atexit = False

    def expected(self, config: RunnableConfig, key: str, source: object) -> str | None:
        """The checkpoint that has to be the latest when what comes behind it is saved, '' for none at all; None if any
        may: a `source` that is a fork begins a branch on purpose. In the caller's own context."""
        named = config["configurable"]
        if self.how is None or named.get("checkpoint_ns"):
            return None
        parent: str = named.get("checkpoint_id") or ""
        run = self._run(config, key)
        if run is not None:
            pointed, run.pointed = run.pointed, False
        else:
            pointed = _read.get() == (key, parent)
        return None if pointed or source == "fork" else parent

    def update(self, key: str) -> _Run | None:
        """The update under way on a thread. In the caller's own context."""
        known = _updating.get()
        found = None if known is None else known()
        return found if found is not None and found.updates == key else None

    @asynccontextmanager
    async def for_save(
        self, state: State, config: RunnableConfig, key: str, update: _Run | None
    ) -> AsyncIterator[None]:
        """Around a save: one outside of a run takes a turn of its own, unless an `update` has one."""
        if self.how != "wait" or config["configurable"].get("checkpoint_ns") or self._run(config, key) is not None:
            yield
            return
        if update is not None and update.turn is not None and update.goes_on:
            turn = update.turn
        else:
            turn = await Turn.take(state, key, self._lease, self._wait)
        try:
            yield
        finally:
            turn.end()

    def wrote(self, config: RunnableConfig, key: str, channels: list[str]) -> None:
        """After writes were saved: those by which a run says that it ends."""
        if self.how == "wait" and not config["configurable"].get("checkpoint_ns"):
            run = self._run(config, key)
            if run is not None and not run.tells and (INTERRUPT in channels or ERROR in channels):
                run.end()

    async def forget(self, state: State, key: str) -> None:
        """After a thread was deleted: removes the key of its turns, unless a run goes on."""
        if self.how == "wait":
            with suppress(errors.Conflict, errors.AccessDenied):
                # a run that has just ended gives its turn back behind the scenes
                async with state.lock(f"{key}/{_TURN}", lease=self._lease, wait=_FAREWELL) as lock:
                    await state.complete(lock.key, lock.token)

    def _inside(self, key: str) -> bool:
        """Does the call under way come from a node of a run that has the thread's turn? In the caller's own context."""
        outer = var_child_runnable_config.get()
        run = self._run(outer, key) if outer and "configurable" in outer else None
        return run is not None and run.goes_on

    def _run(self, config: RunnableConfig, key: str) -> _Run | None:
        writer = writer_of(config)
        return None if writer is None else self._runs.get(writer, {}).get(key)


def looks(config: RunnableConfig) -> bool:
    """Does LangGraph only look whether what it has read is still the latest? Or somebody has said that there is no
    checkpoint to begin at."""
    named = config["configurable"]
    return "checkpoint_id" in named and named["checkpoint_id"] is None and not named.get("checkpoint_ns")


class _Failed(BaseCallbackHandler):
    """Ends the turn of a run that fails while it begins: its loop has nothing to end then, and its frames live as long
    as the error does."""

    run_inline = True

    def __init__(self, run: _Run) -> None:
        self._run = run

    def on_chain_error(self, error: BaseException, **_: Any) -> None:
        self._run.end()


def _loop() -> Any:
    """LangGraph's loop that is beginning by the call under way; its `stack` is what it does when it ends, in whatever
    way."""
    for frame in _frames():
        if frame.f_code.co_name in ("__enter__", "__aenter__"):
            loop = frame.f_locals.get("self")
            if hasattr(loop, "checkpointer") and isinstance(getattr(loop, "stack", None), ExitStack | AsyncExitStack):
                return loop
    return None


def _updates() -> bool:
    """Is the call under way a read of LangGraph's `update_state`? It makes a configuration of its own for that."""
    return any(frame.f_code.co_name in ("perform_superstep", "aperform_superstep") for frame in _frames())


def _frames() -> Iterator[FrameType]:
    """Those that the call under way came through."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_FARTHEST):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def writer_of(config: RunnableConfig) -> Any:
    """What stands for the run that a call is of; None for a call outside of any."""
    return getattr(config["configurable"].get(_RUNTIME), "stream_writer", None)


def thread_of_run(config: RunnableConfig) -> str | None:
    """The thread of the task that a call of a nested graph is made in; None if that is not told."""
    info = getattr(config["configurable"].get(_RUNTIME), "execution_info", None)
    thread = getattr(info, "thread_id", None)
    return None if thread is None else str(thread)


class Turn:
    """A turn on a thread, held until its end by a task of the state's own loop."""

    def __init__(self, state: State, name: str, lease: float, wait: float, most: float | None = None) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._taken: asyncio.Future[None] = self._loop.create_future()
        self._core = state._core
        self._core.before_close.append(self._finish)
        self._task = self._loop.create_task(self._hold(state, name, lease, wait), name="pgstate-turn")

    @classmethod
    async def take(cls, state: State, key: str, lease: float, wait: float, most: float | None = None) -> Turn:
        """Waits `wait` seconds for the turn, which then ends by itself after `most`. Raises ClaimHeld."""
        turn = cls(state, f"{key}/{_TURN}", lease, wait, most)
        try:
            await turn._taken
        except BaseException:
            turn._task.cancel()
            raise
        return turn

    @property
    def over(self) -> bool:
        """Has it ended, or is about to?"""
        return self._ended.is_set()

    def end(self) -> None:
        """From any thread, any number of times."""
        with suppress(RuntimeError):  # the loop has ended, and with it the turn
            self._loop.call_soon_threadsafe(self._ended.set)

    async def _finish(self) -> None:
        self._ended.set()
        if not self._taken.done():
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _hold(self, state: State, name: str, lease: float, wait: float) -> None:
        try:
            # when it is lost, the run's next save finds that another came before it
            async with state.leader(name, lease, wait=wait, on_loss=lambda lost: _log.warning("a turn: %s", lost)):
                self._taken.set_result(None)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._most):
                        await self._until_ended()
                self._ended.set()
        except Exception as error:
            if self._taken.done():
                _log.warning("the turn %s is left to the end of its lease: %s", name, error)
            else:
                self._taken.set_exception(error)
        finally:
            self._core.before_close.remove(self._finish)

    async def _until_ended(self) -> None:
        look = _FIRST_LOOK
        while True:
            try:
                async with asyncio.timeout(look):
                    await self._ended.wait()
                return
            except TimeoutError:
                # a run that is over may hang on in a cycle
                gc.collect()
                look *= 2
