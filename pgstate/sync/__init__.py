"""pgstate for synchronous code: the whole API, on one background event loop of the process.

    import pgstate.sync

    with pgstate.sync.connect() as state:
        state.put("research/topic", {"title": "owls"})
        for change in state.watch("research/**", initial=True):
            ...

It may be used from any thread, where an event loop runs already (notebooks), and after a fork. Functions that are given
to it (`update`, `modify`, `work`, steps of runs, `on_loss`, an embedding) are called in a thread, and may use it
themselves; coroutine functions run on its loop and may not. Errors and types are those of `pgstate`.
"""

from pgstate.sync._bind import BoundState
from pgstate.sync._calls import Lock, Run, Task, Thread, TypedState
from pgstate.sync._kinds import Claiming, Locking, TypedWatch, Watch
from pgstate.sync._run import Context, Running
from pgstate.sync._runs import Runs
from pgstate.sync._state import State, connect

__all__ = [
    "BoundState",
    "Claiming",
    "Context",
    "Lock",
    "Locking",
    "Run",
    "Running",
    "Runs",
    "State",
    "Task",
    "Thread",
    "TypedState",
    "TypedWatch",
    "Watch",
    "connect",
]
