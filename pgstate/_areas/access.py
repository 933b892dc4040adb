"""Who may do what."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from pgstate import errors
from pgstate._areas._base import Area, sqlstate_of
from pgstate._calls import access
from pgstate._calls._run import Connection
from pgstate.types import Agent, Grant, Info


class Access(Area):
    """me, agents, grants, and the administration of both."""

    async def info(self) -> Info:
        """The installation as the acting agent sees it."""
        with self._to("act"):
            return await self._core.call(lambda c, left: access.info(c, self._agent, timeout=left), self._timeout)

    async def me(self) -> str | None:
        """The acting agent's name; None for a gateway that named none. Raises AccessDenied."""
        return (await self.info()).agent

    async def agents(self) -> list[Agent]:
        """The registered agents; without admin on everything, only the acting one."""
        with self._to("list agents"):
            rows = await self._core.call(lambda c, left: access.agents(c, self._agent, timeout=left), self._timeout)
        return [Agent(**row) for row in rows]

    async def grants(self) -> list[Grant]:
        """All grants; without admin on everything, only the acting agent's own."""
        with self._to("list grants"):
            rows = await self._core.call(lambda c, left: access.grants(c, self._agent, timeout=left), self._timeout)
        return [Grant(**row) for row in rows]

    async def create_agent(self, name: str, login: str | None = None, *, reuse: bool = False) -> None:
        """Registers an agent with read and write on memory/{agent}/**. With `login` it gets a database login of its
        own, made without a password if there is none. The name of an agent that was dropped is refused, because the new
        one would read the old one's memory and pass for it in the history, unless `reuse` says that this is meant.
        Raises InvalidArgument, AccessDenied (needs admin on everything, and CREATEROLE for a login)."""
        await self._administer(access.create_agent, name, login, reuse)

    async def create_gateway(self, login: str) -> None:
        """Registers a login that acts for the agents delegated to it. Raises as `create_agent`."""
        await self._administer(access.create_gateway, login)

    async def create_reader(self, login: str, pattern: str, *, reuse: bool = False) -> None:
        """A login for people who query the views with SQL, limited to a key or subtree: an agent of that name, which
        `drop_agent` removes. `reuse` and what is raised as in `create_agent`."""
        await self._administer(access.create_reader, login, pattern, reuse)

    async def drop_agent(self, name: str) -> None:
        """Removes an agent with its grants, delegations, login and watches, and gives its claims back. What it wrote
        and the history stay, with its name. Its database role stays too: DROP ROLE removes that. Asked again, it gives
        back what a transaction had locked or claimed that was under way. Raises InvalidArgument (there never was such
        an agent, or it is the administrator), AccessDenied (needs admin on everything)."""
        await self._administer(access.drop_agent, name)

    async def drop_gateway(self, login: str) -> None:
        """Removes a gateway and its delegations; its agents and its database role stay. Raises as `drop_agent`."""
        await self._administer(access.drop_gateway, login)

    async def set_login(self, agent: str, login: str | None) -> None:
        """Moves an agent to another database login, made without a password if there is none. None: it has no login of
        its own and acts through gateways. The login that it had is nobody's from then on; its database role stays.
        Raises as `create_agent`."""
        await self._administer(access.set_login, agent, login)

    async def delegate(self, login: str, agent: str) -> None:
        """Lets a gateway act for an agent. Raises InvalidArgument, AccessDenied."""
        await self._administer(access.delegate, login, agent)

    async def undelegate(self, login: str, agent: str) -> None:
        """Ends a delegation. Raises InvalidArgument, AccessDenied."""
        await self._administer(access.undelegate, login, agent)

    async def grant_access(self, agent: str, subtree: str, right: str) -> None:
        """Grants read, write or admin on a key, a subtree (research/**) or everything (**); `{agent}` as a segment
        stands for the agent's name. Raises InvalidPattern, InvalidArgument, AccessDenied (needs admin on all of it)."""
        await self._administer(access.grant_access, agent, subtree, right)

    async def revoke_access(self, agent: str, subtree: str, right: str) -> None:
        """Takes a grant back, exactly as it was given. Raises as `grant_access`."""
        await self._administer(access.revoke_access, agent, subtree, right)

    async def _administer(self, call: Any, *args: str | bool | None) -> None:
        # as the login itself, and once: a second try of what may have happened would say that it exists already
        async def run(connection: Connection) -> None:
            outcome: Awaitable[None] = call(connection, *args, timeout=self._timeout)
            await outcome

        try:
            await self._core.once(run, self._timeout)
        except errors.AccessDenied as error:
            # whichever agent was named, the login itself administers
            login = "this login" if self._core.info is None else f"login {self._core.info.login}"
            said = f"{login} may not {call.__name__}({', '.join(map(repr, args))})"
            if sqlstate_of(error) == "42501":
                said += f": {error.__cause__}. Making a login takes a database role with CREATEROLE"
            else:
                granting = call in (access.grant_access, access.revoke_access)
                where = str(args[1]) if granting else "everything"
                said = f"access denied: {said}, which takes admin on {where}"
                self._core.report_denial(call.__name__, where if granting else None, None)
            raise errors.AccessDenied(said) from error.__cause__
