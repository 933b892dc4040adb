"""The calls of State in a session or connection of SQLAlchemy's, inside its transaction.

    async with session.begin():
        session.add(Order(id=7))
        await pgstate.orm.put(session, "tasks/order-7", {"order": 7})

Each takes an AsyncSession or AsyncConnection (on asyncpg or psycopg), then what the method of that name takes;
`BoundState` says what holds inside a transaction. `bind(session)` is all of it as one object, for another agent, a
namespace or a timeout of one's own: `bind(session, agent="critic").namespace("notes")`. These calls do not flush what
is pending in the session. `pgstate.models` is for queries in the same session.
"""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Coroutine
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from pgstate._areas._base import seconds
from pgstate._bound import BoundCore
from pgstate._links import link
from pgstate.client import BoundState
from pgstate.types import Seconds

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

P = ParamSpec("P")
T = TypeVar("T")
Session: TypeAlias = "AsyncSession | AsyncConnection | async_scoped_session[Any]"


def bind(session: Session, *, agent: str | None = None, timeout: Seconds = 10.0) -> BoundState:
    """Shared state inside the session's transaction, without a client: as `State.bind`. `agent` acts (for gateways),
    else the agent of the session's login. `timeout` is for each call, in seconds. Raises InvalidArgument."""
    return BoundState(BoundCore(link(session)), agent, "", seconds(timeout).total_seconds())


def _helper(
    method: Callable[Concatenate[BoundState, P], Awaitable[T]],
) -> Callable[Concatenate[Session, P], Coroutine[Any, Any, T]]:
    async def helper(session: Session, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await method(bind(session), *args, **kwargs)

    helper.__name__ = helper.__qualname__ = method.__name__
    helper.__doc__ = f"`State.{method.__name__}` in the session's transaction.\n\n{method.__doc__}"
    shown = signature(method)
    session = Parameter("session", Parameter.POSITIONAL_ONLY, annotation="Session")
    helper.__signature__ = shown.replace(  # type: ignore[attr-defined]
        parameters=[session, *builtins.list(shown.parameters.values())[1:]]
    )
    return helper


get = _helper(BoundState.get)
get_many = _helper(BoundState.get_many)
list = _helper(BoundState.list)
history = _helper(BoundState.history)
search = _helper(BoundState.search)
put = _helper(BoundState.put)
put_many = _helper(BoundState.put_many)
merge = _helper(BoundState.merge)
merge_many = _helper(BoundState.merge_many)
delete = _helper(BoundState.delete)
delete_many = _helper(BoundState.delete_many)
update = _helper(BoundState.update)
apply = _helper(BoundState.apply)
rollback = _helper(BoundState.rollback)
claim = _helper(BoundState.claim)
claim_next = _helper(BoundState.claim_next)
claim_many = _helper(BoundState.claim_many)
claims = _helper(BoundState.claims)
renew = _helper(BoundState.renew)
release = _helper(BoundState.release)
complete = _helper(BoundState.complete)
fail = _helper(BoundState.fail)
tasks = _helper(BoundState.tasks)
cursor = _helper(BoundState.cursor)
changes = _helper(BoundState.changes)
