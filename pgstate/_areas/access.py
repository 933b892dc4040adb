"""Who may do what."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pgstate import errors
from pgstate._areas._base import Area, seconds, sqlstate_of
from pgstate._calls import access
from pgstate._calls._run import Connection
from pgstate.types import AccessReason, Agent, Effective, Grant, Group, HardenStep, Info, Quota, Seconds


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

    async def grant_access(
        self, agent: str, subtree: str, right: str, *, ttl: Seconds | None = None, until: datetime | None = None
    ) -> None:
        """Grants an agent, or each member of a group, read, write or admin on a key, a subtree (research/**) or
        everything (**); `{agent}` as a segment stands for the agent's name. `ttl` (seconds) or `until`: when it ends
        by itself; granted again, it ends as is said then. Raises InvalidPattern, InvalidArgument, AccessDenied (needs
        admin on all of it), QuotaExceeded (an agent has 1,000 rights of the acting one, which does not administer
        everything)."""
        await self._administer(access.grant_access, agent, subtree, right, None if ttl is None else seconds(ttl), until)

    async def deny_access(
        self, agent: str, subtree: str, right: str, *, ttl: Seconds | None = None, until: datetime | None = None
    ) -> None:
        """Denies a right there, whatever is granted, to the agent or to a group of it: denials win. Each right is
        denied by itself; to deny admin takes admin on everything. `revoke_access(..., deny=True)` takes it back.
        Otherwise as `grant_access`."""
        await self._administer(access.deny_access, agent, subtree, right, None if ttl is None else seconds(ttl), until)

    async def revoke_access(self, agent: str, subtree: str, right: str, *, deny: bool = False) -> None:
        """Takes a grant back, or with `deny` a denial, exactly as it was given. Watches that are open lose it at once.
        Raises as `grant_access`."""
        await self._administer(access.revoke_access, agent, subtree, right, deny)

    async def create_group(self, name: str) -> None:
        """Registers a group of agents: what is granted and denied to it, by its name, holds for each member, for whom
        `{agent}` stands. Raises InvalidArgument, AccessDenied (needs admin on everything)."""
        await self._administer(access.create_group, name)

    async def drop_group(self, name: str) -> None:
        """Removes a group with what it was granted and denied. Raises as `create_group`."""
        await self._administer(access.drop_group, name)

    async def add_to_group(self, name: str, agent: str) -> None:
        """Adds an agent to a group. Raises as `create_group`."""
        await self._administer(access.add_to_group, name, agent)

    async def remove_from_group(self, name: str, agent: str) -> None:
        """Removes an agent from a group; its watches lose at once what it had through that. Raises as
        `create_group`."""
        await self._administer(access.remove_from_group, name, agent)

    async def groups(self) -> list[Group]:
        """The groups with their members; without admin on everything, the acting agent's own, and of the members only
        itself."""
        with self._to("list groups"):
            rows = await self._core.call(lambda c, left: access.groups(c, self._agent, timeout=left), self._timeout)
        return [Group(**row) for row in rows]

    async def effective(self, agent: str | None = None) -> list[Effective]:
        """What an agent may and may not, from its own grants and denials and those of its groups, and which of them are
        in force; the login's own agent if none is named. Raises InvalidArgument, AccessDenied (about others: needs
        admin on everything)."""
        with self._to(f"see what {agent or 'it'} may", "admin on everything"):
            rows = await self._core.call(lambda c, left: access.effective(c, agent, timeout=left), self._timeout)
        return [Effective(**row) for row in rows]

    async def explain_access(self, agent: str, key: str, right: str) -> list[AccessReason]:
        """Why an agent has a right on a key (named in full), or not: the grants and denials that cover it now, the one
        that decides first. Raises InvalidKey, InvalidArgument, AccessDenied (about others: needs admin on the key)."""
        with self._to(f"see what {agent} may with {key}", "admin", key):
            rows = await self._core.call(
                lambda c, left: access.explain_access(c, agent, key, right, timeout=left), self._timeout
            )
        return [AccessReason(**row) for row in rows]

    async def set_quota(
        self,
        agent: str,
        *,
        entries: int | None = None,
        bytes: int | None = None,
        writes_per_minute: int | None = None,
    ) -> None:
        """How many entries an agent may keep (those whose newest version is its), how many bytes it may keep in their
        values and in threads and runs (what it wrote there since it has a quota, until it is collected), and how many
        times it may write in a minute of the clock; None for no limit, all None for no quota. Writes beyond it raise
        QuotaExceeded and write nothing. What several of its transactions write at the same time may come to more.
        Raises InvalidArgument, AccessDenied (needs admin on everything)."""
        await self._administer(access.set_quota, agent, entries, bytes, writes_per_minute)

    async def set_trust(self, agent: str, trust: str) -> None:
        """The most that what an agent writes is trusted: "external", "agent" (which holds until it is set), "verified"
        or "operator". Versions that there are keep theirs. Raises InvalidArgument, AccessDenied (needs admin on
        everything)."""
        await self._administer(access.set_trust, agent, trust)

    async def endorse(self, key: str, version: int, trust: str) -> int:
        """Raises the trust of what a key holds, up to the acting agent's own and whatever the policies say, and returns
        the new version, which has the same value (0 for an agent that may not read). Raises VersionConflict when
        `version` is not the current one or nothing is there, ClaimHeld, InvalidArgument (also when it is trusted that
        far already), AccessDenied (needs admin on the key)."""
        full = self._key(key)
        with self._to(f"endorse {full}", "admin", full):
            row = await self._core.once(
                lambda c: access.endorse(c, full, version, trust, self._agent, timeout=self._timeout), self._timeout
            )
        if row["status"] == "held":
            raise errors.ClaimHeld(f"{key} is claimed: wait for the end of the claim", key)
        if row["status"] != "ok":
            raise errors.VersionConflict(f"{key} is not at version {version}", key, row["version"] or 0, None)
        return row["version"] or 0

    async def quotas(self) -> list[Quota]:
        """The quotas of agents, and what they have used at most: what others overwrote or removed is taken off before
        anything is refused. Without admin on everything, only the acting agent's own."""
        with self._to("list quotas"):
            rows = await self._core.call(lambda c, left: access.quotas(c, self._agent, timeout=left), self._timeout)
        return [Quota(**row) for row in rows]

    async def harden(
        self,
        gateway: str | None = None,
        *,
        agents: Sequence[str] | None = None,
        logins: bool = False,
        prefix: str = "",
        tickets: bool = False,
        dry_run: bool = False,
    ) -> list[HardenStep]:
        """Goes from one login for everything to isolation: a `gateway`, which acts for the agents delegated to it, or
        with `logins` a database login for each agent, called `prefix` and the agent's name. `agents` are made if there
        are none; without, all that are registered, but for readers. With `tickets` the gateway names agents by tickets
        alone. Makes what is missing, database roles too, without passwords, all or nothing, and returns the steps; with
        `dry_run` it does nothing else. Raises InvalidArgument, AccessDenied (needs admin on everything, and
        CREATEROLE)."""
        names = None if agents is None else list(agents)
        with self._to("harden", "admin on everything"):
            rows = await self._core.once(
                lambda c: access.harden(c, gateway, names, logins, prefix, tickets, dry_run, timeout=self._timeout),
                self._timeout,
            )
        return [HardenStep(**row) for row in rows]

    async def issue_ticket(self, login: str, agent: str, *, ttl: Seconds = 300.0) -> str:
        """A signed ticket by which the gateway `login` names an agent: `state.as_agent(agent, ticket=...)` there. It is
        good for that login and agent, for `ttl` seconds (a day at most). Whoever could ask for any, an administrator,
        should not be in the gateway's process; an agent's own login may ask for its own, and no gateway for any. Raises
        InvalidArgument, AccessDenied."""
        span = seconds(ttl)
        with self._to(f"issue a ticket for {agent}", "admin on everything, and no gateway"):
            return await self._core.call(
                lambda c, left: access.issue_ticket(c, login, agent, span, timeout=left), self._timeout
            )

    async def require_tickets(self, login: str, required: bool = True) -> None:
        """From now on a gateway names agents by tickets alone: SQL that is injected into it acts for nobody whose
        ticket it does not have. Raises InvalidArgument, AccessDenied (needs admin on everything)."""
        await self._administer(access.require_tickets, login, required)

    async def rotate_ticket_keys(self, grace: Seconds = 3600.0) -> None:
        """Signs tickets with a new key from now on. Those that are about are taken for `grace` seconds yet; 0 ends them
        at once. Raises InvalidArgument, AccessDenied (needs admin on everything)."""
        await self._administer(access.rotate_ticket_keys, seconds(grace))

    async def _administer(self, call: Any, *args: str | bool | int | timedelta | datetime | None) -> None:
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
                granting = call in (access.grant_access, access.deny_access, access.revoke_access)
                where = str(args[1]) if granting else "everything"
                said = f"access denied: {said}, which takes admin on {where}"
                self._core.report_denial(call.__name__, where if granting else None, None)
            raise errors.AccessDenied(said) from error.__cause__
