"""Decorators, for those who prefer them: the same runs underneath."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from pgstate._areas._records import Values, fitted, hints, validated_by
from pgstate._areas._retry import Retry
from pgstate._areas._run import Run, current
from pgstate.types import Seconds

if TYPE_CHECKING:
    from pgstate._areas.runs import Durable

# how run_sync() connects: the client says, which is above this
connector: list[Callable[[str | None], Any]] = []

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Generic[P, R]):
    """A function whose calls are runs. Made by `@pgstate.workflow`; `worker([...])` takes it.

    `await report(state, "research/42", topic)` begins the run under that key, or goes on with it, here; `await
    report.start(state, "research/42", topic)` leaves it to workers; `report.run_sync(...)` is for code without an event
    loop."""

    def __init__(self, function: Callable[P, Any], name: str, version: str | None, lease: Seconds) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self.name = name
        """What workers know it by."""
        self.version = version
        """That of the code."""
        self._lease = lease
        self._signature = inspect.signature(function)

    async def __call__(self, state: Durable, key: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        given = self._given(args, kwargs)
        block = state.run(key, name=self.name, input=given, version=self.version, lease=self._lease)
        async with block as run:
            if not run.finished:
                run.result = await self.handle(run, run.input)
        wanted = self._types.get("return")
        return fitted(run.result, wanted, f"the result of run {key}")  # type: ignore[no-any-return]

    async def start(self, state: Durable, key: str, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Leaves a run to the workers; False if there is one under the key already."""
        return await state.runs.start(key, self.name, self._given(args, kwargs))

    def run_sync(self, dsn: str | None, key: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As a call, for code without an event loop: connects, runs, and returns the result. Raises RuntimeError inside
        of one."""

        async def work() -> R:
            async with connector[0](dsn) as state:
                return await self(state, key, *args, **kwargs)

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(work())
        raise RuntimeError(f"run_sync is for code without an event loop: here, await {self.name}(state, key, …)")

    async def handle(self, run: Run, input: Any) -> Any:
        """What a worker calls."""
        bound = self._bound({} if input is None else input)
        value = self._function(*bound.args, **bound.kwargs)
        value = await value if inspect.isawaitable(value) else value
        # what a replay gives, the first time too
        return Values.json(value)

    def _bound(self, input: Any) -> inspect.BoundArguments:
        """The arguments that an input has by name: those that were recorded of a call, or given to `runs.start`. Raises
        TypeError, and InvalidValue for one that does not fit its annotation."""
        if not isinstance(input, Mapping):
            raise TypeError(f"the input of workflow {self.name} is its arguments by name, not {input!r:.80}")
        parameters = self._signature.parameters
        given = OrderedDict((name, input[name]) for name in parameters if name in input)
        if others := {name: value for name, value in input.items() if name not in parameters}:
            takes = next((p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
            if takes is None:
                raise TypeError(f"workflow {self.name} has no argument {next(iter(others))!r}")
            given[takes] = {**given.get(takes, {}), **others}
        for name, value in given.items():
            given[name] = fitted(value, self._types.get(name), f"the argument {name} of workflow {self.name}")
        bound = inspect.BoundArguments(self._signature, given)
        # a missing one is told by the function
        bound.apply_defaults()
        return bound

    @functools.cached_property
    def _types(self) -> dict[str, Any]:
        """What arguments and the result are validated by. Not before the first call: names that annotations mention may
        be defined behind the function."""
        known = hints(self._function)
        for name, parameter in self._signature.parameters.items():
            each = known.get(name, Any)
            if parameter.kind is parameter.VAR_POSITIONAL:
                known[name] = list[each]  # type: ignore[valid-type]
            elif parameter.kind is parameter.VAR_KEYWORD:
                known[name] = dict[str, each]  # type: ignore[valid-type]
        return {name: validated_by(annotation) for name, annotation in known.items()}

    def _given(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, so that defaults may change while runs are under way."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)


class _MakesWorkflow(Protocol):
    # two, here and below: type checkers find no R in `Callable[P, Awaitable[R] | R]`
    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Workflow[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Workflow[P, R]: ...


@overload
def workflow(function: Callable[P, Awaitable[R]], /) -> Workflow[P, R]: ...
@overload
def workflow(function: Callable[P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(*, name: str | None = None, version: str | None = None, lease: Seconds = 30.0) -> _MakesWorkflow: ...


def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    lease: Seconds = 30.0,
) -> Any:
    """Makes a `Workflow` of a coroutine function. Its arguments are recorded, by name, so they are JSON or what
    Pydantic makes JSON of, and come to it, as its result does to its caller, as the types that annotations name. In it,
    functions made by `@pgstate.step` are steps, and `pgstate.current_run()` has the rest."""

    def make(function: Callable[..., Any]) -> Workflow[..., Any]:
        return Workflow(function, name or function.__name__, version, lease)

    return make if function is None else make(function)


class _MakesStep(Protocol):
    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...


@overload
def step(function: Callable[P, Awaitable[R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
@overload
def step(function: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
@overload
def step(
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: Seconds | None = None,
    undo: Callable[[Any], Any] | None = None,
) -> _MakesStep: ...


def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: Seconds | None = None,
    undo: Callable[[Any], Any] | None = None,
) -> Any:
    """Makes calls of a function steps of the run that they are made in; outside of one they are plain calls. The result
    is a coroutine function, of a plain function too. The options are those of `Run.step`."""

    def make(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            run = current.get()
            if run is None:
                value = function(*args, **kwargs)
                return await value if inspect.isawaitable(value) else value
            own = name or function.__name__
            # not by step(): the function may have arguments of the names of its own
            return await run._step(run._place(own), "step", function, args, kwargs, retry, timeout, undo, None)

        return call

    return make if function is None else make(function)


def current_run() -> Run:
    """The run that this code is in. Raises LookupError outside of one."""
    run = current.get()
    if run is None:
        raise LookupError("this code is in no run: begin one with state.run(key)")
    return run
