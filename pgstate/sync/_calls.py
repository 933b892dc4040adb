"""Written by `python pgstate/sync/_generate.py` from the asynchronous classes."""

from __future__ import annotations

import builtins
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, Self, TypeVar, overload
from uuid import UUID

from pydantic import BaseModel

from pgstate import client, errors
from pgstate._areas import _held, runs, threads, typed
from pgstate._areas._held import Loss
from pgstate._areas._retry import Retry
from pgstate._areas.typed import _ATTEMPTS, _Row
from pgstate._codec import JSON, Serializer
from pgstate.sync._kinds import Claiming, Locking, TypedWatch, Watch
from pgstate.sync._loop import called_in_thread
from pgstate.sync._proxy import Proxy, moved
from pgstate.sync._run import Running, RunProxy
from pgstate.types import (
    UNSET,
    AccessReason,
    Agent,
    AsOf,
    AuditCheck,
    AuditRecord,
    ChangePage,
    Channel,
    Checkpoint,
    CheckpointInfo,
    Claim,
    CredentialGrant,
    Effective,
    Entry,
    Failed,
    FieldChange,
    ForcedRelease,
    FoundPage,
    Grant,
    Group,
    HardenStep,
    HeldClaim,
    Info,
    Maintained,
    OpenTransaction,
    Page,
    Policy,
    PolicySetting,
    Quarantined,
    Quota,
    Rekeyed,
    RekeyProgress,
    Result,
    RolledBack,
    RunInfo,
    SearchRule,
    Seconds,
    Source,
    Stats,
    StepInfo,
    TaskState,
    ThreadInfo,
    Unembedded,
    VectorIndex,
    Version,
    _Unset,
)

T = TypeVar("T")


class StateCalls(Proxy[client.BoundState | client.State]):
    """Shared state, as one agent sees it. Made by `connect`; safe to use from any number of threads.

    Views of it share connections, queues and the feed reader: `namespace` for relative keys, `as_agent` for
    another agent, `with_timeout` for another patience."""

    def namespace(self, prefix: str) -> Self:
        """A view with keys and patterns relative to a prefix: `state.namespace("research/agent-1").get("findings")`."""
        return type(self)(lambda: self._its.namespace(prefix))

    def as_agent(self, name: str, *, ticket: str | None = None) -> Self:
        """A view that acts as another agent: one delegated to this gateway, or any, for the login that installed.

        `ticket` (`issue_ticket`; also alone, as the name) names the agent to a database that takes no bare names
        from this gateway. Called again with a newer one, all views of that agent that have a ticket use it from
        their next statement on."""
        return type(self)(lambda: self._its.as_agent(name, ticket=ticket))

    def with_timeout(self, timeout: Seconds) -> Self:
        """A view whose calls wait this many seconds for their answer."""
        return type(self)(lambda: self._its.with_timeout(timeout))

    @property
    def stats(self) -> Stats:
        """Counts of what this client did since it connected."""
        return self._its.stats

    def export_changes(
        self,
        tracer: Any,
        patterns: str | Sequence[str] = "",
        *,
        name: str = "traces",
        key: str | None = None,
        values: bool = False,
        min_trust: str | None = None,
        flush: Callable[[], Any] | None = None,
        every: Seconds = 1.0,
        lease: Seconds = 10.0,
        wait: Seconds | None = None,
    ) -> None:
        """Makes a span of OpenTelemetry of each change that the agent may read, as it happens, until it is
        interrupted, or the state is closed (Closed).

        `tracer` is OpenTelemetry's. A span is called after its op ("pgstate put"), stands at the time of the
        change, and has the attributes pgstate.key, version, op, writer, via and trust; with `values` also
        pgstate.value, as JSON, or pgstate.unreadable, which says why there is none: the detector refuses it, or
        Python cannot hold it. Secrets are taken out of all of them, as out of other spans.

        How far it has come is kept in an entry, `key`, or memory/{agent}/exports/{name}, by compare-and-set: it
        begins with what changes from now on, and goes on from there when it is called again. The entry's claim is
        held meanwhile, so that of two with one name one exports and the other waits (`wait`, as in `lock`) or
        raises ClaimHeld. Each change is exported at least once: the cursor is stored `every` so many seconds,
        after what it covers, and what came since then is exported again after a crash. A tracer whose processor
        keeps spans back loses those in a crash: give `flush`, such as the provider's `force_flush`; where it
        returns False, the cursor stays. What the backend itself drops is not known here.

        Changes of the entry itself are left out. Raises ClaimHeld, LeaseLost when the claim was lost (call it
        again), VersionConflict when somebody else wrote the entry, CursorExpired when the changes to go on with
        are no longer kept (delete the entry, and it begins anew), InvalidArgument, InvalidKey, InvalidPattern,
        AccessDenied."""
        self._run(
            self._its.export_changes(
                tracer,
                patterns,
                name=name,
                key=key,
                values=values,
                min_trust=min_trust,
                flush=flush,
                every=every,
                lease=lease,
                wait=wait,
            )
        )

    def claim_next(
        self, pattern: str, lease: Seconds = 30.0, *, wait: Seconds | None = None, min_trust: str | None = None
    ) -> Claiming:
        """Claims the entry that waits with the highest priority, then longest, among those that match.

        `with state.claim_next("tasks/pending/*") as task:` gives a `Task`, which is renewed in the background,
        and completed when the block ends; or fails with what the block raised (to be tried again as its policy
        says), or is released when it is interrupted. When the lease is lost nevertheless, LeaseLost is raised
        when the block ends. `state.claim_next(...).take()` gives a `Claim` that is left to the caller: renew,
        complete or release it.

        None when nothing is claimable; with `wait`, only after that many seconds in which nothing became so. The
        wait polls nothing: a write, a release, or the end of another's lease or of a not_before ends it. Those
        who wait for the same in one client share its statements. `lease` is in seconds; `min_trust` passes over
        what is trusted less. Raises InvalidPattern, InvalidArgument, AccessDenied (needs read and write)."""
        return Claiming(self._its.claim_next(pattern, lease, wait=wait, min_trust=min_trust), Task)

    def claim_many(
        self, pattern: str, limit: int, lease: Seconds = 30.0, *, min_trust: str | None = None
    ) -> builtins.list[Claim]:
        """`claim_next` for up to `limit` entries (1 to 1000) in one statement, best first; as many as there are.
        `min_trust` passes over what is trusted less."""
        return self._run(self._its.claim_many(pattern, limit, lease, min_trust=min_trust))

    def claim(self, key: str, lease: Seconds = 30.0) -> Claim | None:
        """Claims one entry; None if it does not exist. `lease` is in seconds.

        Raises ClaimHeld if it is claimed already, by this agent too, or failed and is not to be tried yet;
        InvalidKey, InvalidArgument, AccessDenied."""
        return self._run(self._its.claim(key, lease))

    def renew(self, key: str, token: int, lease: Seconds = 30.0) -> Claim:
        """Lets the lease end `lease` seconds from now. The entry is not read: in the Claim that it returns `value`
        is None and `version` 0. Raises StaleToken once it has ended or somebody else has it."""
        return self._run(self._its.renew(key, token, lease))

    def release(self, key: str, token: int | None = None, *, force: bool = False) -> bool:
        """Gives a claim back: others may claim the entry at once. False if the claim was lost already.

        With `force`, which takes no token and needs admin on the key, anybody's claim is ended, and what failed
        may be tried again from the beginning; `claim_log` keeps who did it. False if there was neither. Raises
        AccessDenied."""
        return self._run(self._its.release(key, token, force=force))

    def complete(
        self, key: str, token: int, result: Any = None, *, move_to: str | None = None, op_id: str | None = None
    ) -> int:
        """Finishes claimed work: removes the entry, and returns the version of that.

        With `move_to` the result (or, when it is None, the entry's value) is put there in the same transaction.
        Raises StaleToken, ClaimHeld when somebody has claimed `move_to`, InvalidArgument for a result without
        `move_to`, and for that key what `put` raises."""
        return self._run(self._its.complete(key, token, result, move_to=move_to, op_id=op_id))

    def fail(
        self,
        key: str,
        token: int,
        error: str | None = None,
        retry_in: Seconds | None = None,
        *,
        op_id: str | None = None,
    ) -> Failed:
        """Gives claimed work back as failed. It may be claimed again after `retry_in` seconds, or after the backoff
        of its policy (1 s and doubled each time, up to 5 minutes, without one); when its `max_attempts` are used
        up it goes to the `dead_letter` of its policy, or stays and is not claimed again. `error` is kept, its
        first 2000 characters. Raises StaleToken, AccessDenied."""
        return self._run(self._its.fail(key, token, error, retry_in, op_id=op_id))

    def claims(self, pattern: str = "") -> builtins.list[HeldClaim]:
        """Who holds what now, in key order, of the entries that match and that the agent may read; an empty pattern
        means everything. Raises InvalidPattern, AccessDenied when the pattern reaches nothing that it may read."""
        return self._run(self._its.claims(pattern))

    def tasks(
        self,
        pattern: str = "",
        *,
        states: Sequence[str] | None = None,
        limit: int | None = 1000,
        after: str | None = None,
    ) -> builtins.list[TaskState]:
        """Entries as pieces of work, in key order: waiting, claimed, failed or finished. `states` names those
        wanted; `limit` and `after` as in `list`. Raises InvalidPattern, InvalidArgument, AccessDenied when the
        pattern reaches nothing that the agent may read."""
        return self._run(self._its.tasks(pattern, states=states, limit=limit, after=after))

    def claim_log(self, pattern: str = "", *, limit: int | None = 100) -> builtins.list[ForcedRelease]:
        """Claims that were ended by force, newest first, of the keys that match and that the agent administers.
        Raises InvalidPattern, AccessDenied."""
        return self._run(self._its.claim_log(pattern, limit=limit))

    def lock(self, key: str, lease: Seconds = 10.0, *, wait: Seconds | None = None) -> Locking:
        """`with state.lock("deploy", lease=10, wait=5) as lock:` holds the claim of the key itself, which is made
        (with the value null) if there is none; the grants of the key say who may. It is renewed until the block
        ends, and writes to the key take `lock.token`. Waits `wait` seconds for it. Raises ClaimHeld when somebody
        else holds it, LeaseLost in the block when it was lost, InvalidKey, InvalidArgument, AccessDenied."""
        return Locking(self._its.lock(key, lease, wait=wait), Lock)

    def semaphore(self, name: str, n: int, lease: Seconds = 10.0, *, wait: Seconds | None = None) -> Locking:
        """As `lock`, for `n` holders at once: the keys `name/1` to `name/n`. All who use it must agree on `n`."""
        return Locking(self._its.semaphore(name, n, lease, wait=wait), Lock)

    def leader(
        self, name: str, lease: Seconds = 10.0, *, wait: Seconds | None = math.inf, on_loss: Loss | None = None
    ) -> Locking:
        """As `lock`, and waits as long as another leads. When leadership is lost, `on_loss` is called with the
        LeaseLost (it may be a coroutine function) and the block goes on; without one LeaseLost is raised when the
        block ends."""
        return Locking(self._its.leader(name, lease, wait=wait, on_loss=called_in_thread(on_loss)), Lock)

    def rollback(
        self,
        pattern: str,
        to: AsOf,
        *,
        writer: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        op_id: str | None = None,
    ) -> builtins.list[RolledBack]:
        """Brings keys back to what they were, by new versions, all or nothing; returns what it did to each of them.

        `to` is a version (of one key), a cursor, or a time, as in `get(as_of=...)`. What was not there then is
        deleted. With `writer` only keys that this agent wrote since, and that nobody else did: the others come
        back with status conflict and stay as they are, unless `force`. `dry_run` does nothing and shows exactly
        what would change. Values whose time to live has ended do not come back (but do by their version), and
        priority and not_before stay as they are. Needs read and write.

        Raises ClaimHeld when one of the keys is claimed (nothing is done then), AccessDenied, InvalidArgument for
        a version that is not there or a time to come, NotRecorded for a time before anything was recorded,
        CursorInvalid, CursorExpired, InvalidKey, InvalidPattern, OpIdReused; and ValueTooLarge, SchemaViolation
        or SecretRefused for a value that a rule of today does not take, which a dry run shows as refused."""
        return self._run(self._its.rollback(pattern, to, writer=writer, force=force, dry_run=dry_run, op_id=op_id))

    def info(self) -> Info:
        """The installation as the acting agent sees it."""
        return self._run(self._its.info())

    def me(self) -> str | None:
        """The acting agent's name; None for a gateway that named none. Raises AccessDenied."""
        return self._run(self._its.me())

    def agents(self) -> builtins.list[Agent]:
        """The registered agents; without admin on everything, only the acting one."""
        return self._run(self._its.agents())

    def grants(self) -> builtins.list[Grant]:
        """All grants; without admin on everything, only the acting agent's own."""
        return self._run(self._its.grants())

    def create_agent(self, name: str, login: str | None = None, *, reuse: bool = False) -> None:
        """Registers an agent with read and write on memory/{agent}/**. With `login` it gets a database login of its
        own, made without a password if there is none. The name of an agent that was dropped is refused, because
        the new one would read the old one's memory and pass for it in the history, unless `reuse` says that this
        is meant. Raises InvalidArgument, AccessDenied (needs admin on everything, and CREATEROLE for a login)."""
        self._run(self._its.create_agent(name, login, reuse=reuse))

    def create_gateway(self, login: str) -> None:
        """Registers a login that acts for the agents delegated to it. Raises as `create_agent`."""
        self._run(self._its.create_gateway(login))

    def create_reader(self, login: str, pattern: str, *, reuse: bool = False) -> None:
        """A login for people who query the views with SQL, limited to a key or subtree: an agent of that name, which
        `drop_agent` removes. `reuse` and what is raised as in `create_agent`."""
        self._run(self._its.create_reader(login, pattern, reuse=reuse))

    def drop_agent(self, name: str) -> None:
        """Removes an agent with its grants, delegations, login and watches, and gives its claims back. What it wrote
        and the history stay, with its name. Its database role stays too: DROP ROLE removes that. Asked again, it
        gives back what a transaction had locked or claimed that was under way. Raises InvalidArgument (there
        never was such an agent, or it is the administrator), AccessDenied (needs admin on everything)."""
        self._run(self._its.drop_agent(name))

    def drop_gateway(self, login: str) -> None:
        """Removes a gateway and its delegations; its agents and its database role stay. Raises as `drop_agent`."""
        self._run(self._its.drop_gateway(login))

    def set_login(self, agent: str, login: str | None) -> None:
        """Moves an agent to another database login, made without a password if there is none. None: it has no login
        of its own and acts through gateways. The login that it had is nobody's from then on; its database role
        stays. Raises as `create_agent`."""
        self._run(self._its.set_login(agent, login))

    def delegate(self, login: str, agent: str) -> None:
        """Lets a gateway act for an agent. Raises InvalidArgument, AccessDenied."""
        self._run(self._its.delegate(login, agent))

    def undelegate(self, login: str, agent: str) -> None:
        """Ends a delegation. Raises InvalidArgument, AccessDenied."""
        self._run(self._its.undelegate(login, agent))

    def grant_access(
        self, agent: str, subtree: str, right: str, *, ttl: Seconds | None = None, until: datetime | None = None
    ) -> None:
        """Grants an agent, or each member of a group, read, write or admin on a key, a subtree (research/**) or
        everything (**); `{agent}` as a segment stands for the agent's name. `ttl` (seconds) or `until`: when it
        ends by itself; granted again, it ends as is said then. Raises InvalidPattern, InvalidArgument,
        AccessDenied (needs admin on all of it), QuotaExceeded (an agent has 1,000 rights of the acting one, which
        does not administer everything)."""
        self._run(self._its.grant_access(agent, subtree, right, ttl=ttl, until=until))

    def deny_access(
        self, agent: str, subtree: str, right: str, *, ttl: Seconds | None = None, until: datetime | None = None
    ) -> None:
        """Denies a right there, whatever is granted, to the agent or to a group of it: denials win. Each right is
        denied by itself; to deny admin takes admin on everything. `revoke_access(..., deny=True)` takes it back.
        Otherwise as `grant_access`."""
        self._run(self._its.deny_access(agent, subtree, right, ttl=ttl, until=until))

    def revoke_access(self, agent: str, subtree: str, right: str, *, deny: bool = False) -> None:
        """Takes a grant back, or with `deny` a denial, exactly as it was given. Watches that are open lose it at
        once. Raises as `grant_access`."""
        self._run(self._its.revoke_access(agent, subtree, right, deny=deny))

    def create_group(self, name: str) -> None:
        """Registers a group of agents: what is granted and denied to it, by its name, holds for each member, for
        whom `{agent}` stands. Raises InvalidArgument, AccessDenied (needs admin on everything)."""
        self._run(self._its.create_group(name))

    def drop_group(self, name: str) -> None:
        """Removes a group with what it was granted and denied. Raises as `create_group`."""
        self._run(self._its.drop_group(name))

    def add_to_group(self, name: str, agent: str) -> None:
        """Adds an agent to a group. Raises as `create_group`."""
        self._run(self._its.add_to_group(name, agent))

    def remove_from_group(self, name: str, agent: str) -> None:
        """Removes an agent from a group; its watches lose at once what it had through that. Raises as
        `create_group`."""
        self._run(self._its.remove_from_group(name, agent))

    def groups(self) -> builtins.list[Group]:
        """The groups with their members; without admin on everything, the acting agent's own, and of the members
        only itself."""
        return self._run(self._its.groups())

    def effective(self, agent: str | None = None) -> builtins.list[Effective]:
        """What an agent may and may not, from its own grants and denials and those of its groups, and which of them
        are in force; the login's own agent if none is named. Raises InvalidArgument, AccessDenied (about others:
        needs admin on everything)."""
        return self._run(self._its.effective(agent))

    def explain_access(self, agent: str, key: str, right: str) -> builtins.list[AccessReason]:
        """Why an agent has a right on a key (named in full), or not: the grants and denials that cover it now, the
        one that decides first. Raises InvalidKey, InvalidArgument, AccessDenied (about others: needs admin on the
        key)."""
        return self._run(self._its.explain_access(agent, key, right))

    def set_quota(
        self, agent: str, *, entries: int | None = None, bytes: int | None = None, writes_per_minute: int | None = None
    ) -> None:
        """How many entries an agent may keep (those whose newest version is its), how many bytes it may keep in
        their values and in threads and runs (what it wrote there since it has a quota, until it is collected),
        and how many times it may write in a minute of the clock; None for no limit, all None for no quota. Writes
        beyond it raise QuotaExceeded and write nothing. What several of its transactions write at the same time
        may come to more. Raises InvalidArgument, AccessDenied (needs admin on everything)."""
        self._run(self._its.set_quota(agent, entries=entries, bytes=bytes, writes_per_minute=writes_per_minute))

    def set_trust(self, agent: str, trust: str) -> None:
        """The most that what an agent writes is trusted: "external", "agent" (which holds until it is set),
        "verified" or "operator". Versions that there are keep theirs. Raises InvalidArgument, AccessDenied (needs
        admin on everything)."""
        self._run(self._its.set_trust(agent, trust))

    def endorse(self, key: str, version: int, trust: str) -> int:
        """Raises the trust of what a key holds, up to the acting agent's own and whatever the policies say, and
        returns the new version, which has the same value (0 for an agent that may not read). Raises
        VersionConflict when `version` is not the current one or nothing is there, ClaimHeld, InvalidArgument
        (also when it is trusted that far already), AccessDenied (needs admin on the key)."""
        return self._run(self._its.endorse(key, version, trust))

    def quotas(self) -> builtins.list[Quota]:
        """The quotas of agents, and what they have used at most: what others overwrote or removed is taken off
        before anything is refused. Without admin on everything, only the acting agent's own."""
        return self._run(self._its.quotas())

    def harden(
        self,
        gateway: str | None = None,
        *,
        agents: Sequence[str] | None = None,
        logins: bool = False,
        prefix: str = "",
        tickets: bool = False,
        dry_run: bool = False,
    ) -> builtins.list[HardenStep]:
        """Goes from one login for everything to isolation: a `gateway`, which acts for the agents delegated to it,
        or with `logins` a database login for each agent, called `prefix` and the agent's name. `agents` are made
        if there are none; without, all that are registered, but for readers. With `tickets` the gateway names
        agents by tickets alone. Makes what is missing, database roles too, without passwords, all or nothing, and
        returns the steps; with `dry_run` it does nothing else. Raises InvalidArgument, AccessDenied (needs admin
        on everything, and CREATEROLE)."""
        return self._run(
            self._its.harden(gateway, agents=agents, logins=logins, prefix=prefix, tickets=tickets, dry_run=dry_run)
        )

    def issue_ticket(self, login: str, agent: str, *, ttl: Seconds = 300.0) -> str:
        """A signed ticket by which the gateway `login` names an agent: `state.as_agent(agent, ticket=...)` there. It
        is good for that login and agent, for `ttl` seconds (a day at most). Whoever could ask for any, an
        administrator, should not be in the gateway's process; an agent's own login may ask for its own, and no
        gateway for any. Raises InvalidArgument, AccessDenied."""
        return self._run(self._its.issue_ticket(login, agent, ttl=ttl))

    def require_tickets(self, login: str, required: bool = True) -> None:
        """From now on a gateway names agents by tickets alone: SQL that is injected into it acts for nobody whose
        ticket it does not have. Raises InvalidArgument, AccessDenied (needs admin on everything)."""
        self._run(self._its.require_tickets(login, required))

    def rotate_ticket_keys(self, grace: Seconds = 3600.0) -> None:
        """Signs tickets with a new key from now on. Those that are about are taken for `grace` seconds yet; 0 ends
        them at once. Raises InvalidArgument, AccessDenied (needs admin on everything)."""
        self._run(self._its.rotate_ticket_keys(grace))

    def suspend_agent(self, agent: str) -> builtins.list[OpenTransaction]:
        """Stops an agent: nobody acts as it, by its login, a gateway or a ticket, whatever it is granted meanwhile,
        until `resume_agent`. Its claims are given back, and its watches get nothing more. Returns the
        transactions that it has under way, or a gateway of its has, or the login that installed, which may still
        commit. Raises InvalidArgument (no such agent, the administrator, the caller itself), AccessDenied (needs
        admin on everything)."""
        return self._run(self._its.suspend_agent(agent))

    def resume_agent(self, agent: str) -> None:
        """Lets a suspended agent act again, with the grants that it has by now. What `quarantine` did stays. Raises
        InvalidArgument, AccessDenied (needs admin on everything)."""
        self._run(self._its.resume_agent(agent))

    def quarantine(
        self,
        agent: str,
        since: str | datetime,
        *,
        rollback: bool = False,
        force: bool = False,
        dry_run: bool = False,
        wait: Seconds = 10,
    ) -> builtins.list[Quarantined]:
        """Answers to an agent that has been taken over `since` a time or a cursor, and returns what was done.

        It is suspended, as by `suspend_agent`, at once; what it has under way is waited for, up to `wait`
        seconds. Then what it wrote since, and is still there of that, becomes trusted as external, so that nobody
        gets it who asks for a `min_trust`; with `rollback` it is undone, as by `rollback(writer=agent)`, and
        entries that others wrote too come back as conflict and are only not trusted, unless `force`. That is done
        for some thousand keys at a time, each all or nothing: a failure says how far it came. What is left to you
        is told: versions of others that name its writes as their sources, or were moved by completing, threads
        and runs in which it recorded, forks with checkpoints of its, threads with writes of tasks (`put_writes`)
        of its, and transactions that are still open: end them, and call again, which does the rest. With
        `dry_run` nothing is done.

        Raises InvalidArgument, NotRecorded (nothing was recorded by that time), CursorInvalid, CursorExpired,
        AccessDenied (needs admin on everything)."""
        return self._run(self._its.quarantine(agent, since, rollback=rollback, force=force, dry_run=dry_run, wait=wait))

    def audit(
        self,
        pattern: str = "",
        *,
        events: Sequence[str] | None = None,
        limit: int | None = 100,
        before: int | None = None,
    ) -> builtins.list[AuditRecord]:
        """The audit trail, newest first: grants, revocations, administration, resolved secrets and denials that
        concern what matches and what the agent administers; what concerns the installation is for those who
        administer everything. `events` are the kinds wanted, `before` goes on behind a page, by its last id.

        A denial that is raised undoes its transaction, and so cannot record itself: this client tells of it
        afterwards, ten at once and then one a second. Of other clients (psql) only denied writes are there that
        came back as outcomes. Raises InvalidPattern, InvalidArgument, AccessDenied."""
        return self._run(self._its.audit(pattern, events=events, limit=limit, before=before))

    def verify_audit(self, subtree: str, noted: str | None = None) -> AuditCheck:
        """Computes the chain of a subtree (named in full) anew from the entries of the audit trail. `noted` is the
        `head` of an earlier check, which must still be in it: who can rewrite an entry can rewrite the chain
        after it. Raises InvalidArgument (there is no such chain), AccessDenied (needs admin on all of it)."""
        return self._run(self._its.verify_audit(subtree, noted))

    def set_audit_chain(self, subtree: str, active: bool = True) -> None:
        """From now on entries of the audit trail that concern a key, a subtree or everything (**) are linked by
        hashes, within seconds while a client is connected; what is changed before is not found. With `active`
        false no new ones are. Raises InvalidPattern, InvalidArgument, AccessDenied (needs admin on all of it),
        QuotaExceeded (100 chains of one who does not administer everything)."""
        self._run(self._its.set_audit_chain(subtree, active))

    def set_audit(self, *, keep: Seconds | None) -> None:
        """How long entries of the audit trail are kept (seconds or timedelta, a day at least), None for ever. Nobody
        can remove younger ones. Raises InvalidArgument, AccessDenied (needs admin on everything)."""
        self._run(self._its.set_audit(keep=keep))

    def resolve(self, value: Any, *, purpose: str) -> Any:
        """A value with credentials in place of the handles `$CRED{name}` in its texts (keys of mappings are left),
        for use at once: each is checked, recorded in the audit trail, and had from the resolver of
        `connect(credentials=…)`. What it gives is remembered by this process: wherever it would be written from
        now on, the handle is.

        Raises AccessDenied (an administrator says by `allow_credential` who may have which credential for what),
        InvalidArgument when there is no resolver, or it does not know the name."""
        return self._run(self._its.resolve(value, purpose=purpose))

    def allow_credential(self, agent: str, name: str, purpose: str) -> None:
        """Lets an agent have `$CRED{name}` resolved for a purpose; * is any. Raises InvalidArgument, AccessDenied
        (needs admin on everything)."""
        self._run(self._its.allow_credential(agent, name, purpose))

    def disallow_credential(self, agent: str, name: str, purpose: str) -> None:
        """Takes back exactly what `allow_credential` gave. Raises as it does, and InvalidArgument where there is no
        such thing."""
        self._run(self._its.disallow_credential(agent, name, purpose))

    def credentials(self) -> builtins.list[CredentialGrant]:
        """Which credentials agents may have resolved; without admin on everything, only the acting agent's own."""
        return self._run(self._its.credentials())

    def rekey(self, progress: Callable[[RekeyProgress], None] | None = None) -> Rekeyed:
        """Seals under the current key of `connect(encryption=Keys(…))` what is stored under its others: checkpoints,
        pending writes, and what runs have recorded. Have all clients write with the new key before; the old one
        may be deleted when the result is `complete`. What does not open is passed over, and told: as long as it
        is there its key is needed, unless you know that it is junk, which whoever may write can write.

        It may be stopped at any time and called again: what is done is passed over. Others go on meanwhile, and
        wait for a batch at most; what they hold locked in long transactions is left, and counted. `progress` is
        called after each batch. Raises InvalidArgument (without encryption), InTransaction, AccessDenied (needs
        admin on everything)."""
        return self._run(self._its.rekey(progress))

    def set_policy(
        self,
        subtree: str,
        *,
        reducer: str | None = None,
        ttl: Seconds | None = None,
        keep: int | timedelta | str | None = None,
        value_limit: int | None = None,
        schema: Any = None,
        max_attempts: int | None = None,
        backoff: Seconds | None = None,
        backoff_limit: Seconds | None = None,
        dead_letter: str | None = None,
        claimed_writes: bool | None = None,
        guard: str | None = None,
        trust: str | None = None,
    ) -> None:
        """Rules for a key, a subtree (research/**) or everything (**), named in full also in a namespace. What is
        given is set, the rest stays as it is; for each key the nearest subtree that sets something decides it.

        `reducer` is the default of `merge`. `ttl` (seconds) is that of what is written without one, 0 for none.
        `keep` is the history kept: a number of versions, a timedelta, or "everything". `value_limit` is in bytes,
        at most the installation's. `schema` is a JSON Schema (a mapping or bool) or a type whose schema Pydantic
        knows: values written from now on must fit it. `max_attempts` is how often work is claimed in vain before
        it is given up, `dead_letter` the subtree ("tasks/dead", named in full) that it is moved to then,
        `backoff` and `backoff_limit` (seconds) the pause after its first failure and the longest.
        `claimed_writes` lets claimed entries be written without the token. `guard` is what becomes of writes that
        hold a secret: "refuse", which holds without a policy (SecretRefused), "redact", or "off". `trust` is the
        most that what is written there is trusted, whoever writes it. Raises InvalidPattern, UnknownReducer,
        InvalidArgument (which names the keyword of a schema that the database cannot check), AccessDenied (needs
        admin on all of the subtree, and on that of `dead_letter`), QuotaExceeded (20 ages in `keep`, of one who
        does not administer everything)."""
        self._run(
            self._its.set_policy(
                subtree,
                reducer=reducer,
                ttl=ttl,
                keep=keep,
                value_limit=value_limit,
                schema=schema,
                max_attempts=max_attempts,
                backoff=backoff,
                backoff_limit=backoff_limit,
                dead_letter=dead_letter,
                claimed_writes=claimed_writes,
                guard=guard,
                trust=trust,
            )
        )

    def drop_policy(self, subtree: str, settings: Sequence[str] | None = None) -> None:
        """Takes the policy on a key or subtree away, or only some of its settings (reducer, ttl, keep, value_limit,
        schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard, trust). Raises
        InvalidPattern, InvalidArgument when there is no such policy, AccessDenied."""
        self._run(self._its.drop_policy(subtree, settings))

    def policies(self) -> builtins.list[Policy]:
        """The policies that hold for keys within the acting agent's grants."""
        return self._run(self._its.policies())

    def explain_policy(self, key: str) -> builtins.list[PolicySetting]:
        """What holds for a key: each setting, its value, and the subtree whose policy sets it. Raises InvalidKey,
        AccessDenied (needs read or write on the key, whether or not it exists)."""
        return self._run(self._its.explain_policy(key))

    def register_reducer(self, name: str, function: str) -> None:
        """Registers a function of the database, such as "app.longest", that policies may name as a reducer:
        immutable, (jsonb, jsonb) -> jsonb, and callable by pgstate_api. Raises InvalidArgument, which says what
        it lacks, and AccessDenied (needs admin on everything)."""
        self._run(self._its.register_reducer(name, function))

    def drop_reducer(self, name: str) -> None:
        """Forgets a registered reducer that no policy uses. Raises as `register_reducer`."""
        self._run(self._its.drop_reducer(name))

    def maintain(self, limit: int = 5000) -> Maintained:
        """One step of what connected clients do by themselves every ten seconds: removes versions that no policy
        keeps, and indexes for search what was there before `set_search`. `limit` is how many versions it looks
        at, 1 to 100,000, and ten times how many keys it indexes. Raises InvalidArgument, AccessDenied."""
        return self._run(self._its.maintain(limit))

    def typed(self, type_: type[T], path: str, *, fallback: Literal["cas"] | None = None) -> TypedState[T]:
        """An object of a TypedDict, dataclass or Pydantic model, kept below a key: `state.typed(Research,
        "tasks/7")`.

        How concurrent updates of a field merge is said by its annotation: `Annotated[list[str], operator.add]`
        appends, on numbers it adds (as decimals, not as binary fractions); `max` and `min`; `operator.or_` unites
        sets and merges dicts; LangGraph's `add_messages` merges messages by id (RemoveMessage has no
        counterpart); one of `pgstate.reducers`, or its name as a string. Without any the last write wins. Other
        functions are refused, unless `fallback` is "cas": then they are applied here, in Python, to what was
        read, and written unless another was faster, which is tried again.

        Raises UnknownReducer or ReducerMismatch with the field's name, InvalidArgument for a type that cannot be
        kept, InvalidKey."""
        return TypedState(lambda: self._its.typed(type_, path, fallback=fallback))

    def search(
        self,
        pattern: str = "",
        query: str | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        limit: int = 10,
        after: str | None = None,
        mode: Literal["text", "vector", "hybrid"] | None = None,
        vector: Sequence[float] | None = None,
        vectors: str | None = None,
        offset: int = 0,
        order: Literal["newest"] | None = None,
    ) -> FoundPage:
        """Entries that match a pattern and that the agent may read, best first: by a query as people type it (words,
        "a phrase", or, -not), by a vector, or by both; without either those that fit the filter, in key order.

        `filter` is an object of fields and what they are: `{"status": "open", "author.name": "ana", "tries":
        {"$gt": 3}, "$or": [{"tags[*]": "x"}, {"due": {"$exists": False}}]}`; operators are $eq $ne $gt $gte $lt
        $lte $in $nin $exists $contains $not, and types that differ never compare. `limit` is 1 to 10,000; `after`
        goes on behind a page (`page.after`), `offset` passes over as many. With `order` newest, where nothing
        else gives one, those written last come first. `mode` is text (ts_rank_cd), vector (distance), or hybrid
        (reciprocal rank fusion of both); unless given, what there is. With `connect(embed=...)` queries are
        embedded, and entries under the pattern that wait for their vectors too, up to 64 at a time. `vectors`
        names the vector index where the pattern reaches several. Raises InvalidPattern, InvalidArgument,
        AccessDenied when the pattern reaches nothing that the agent may read, VectorsUnavailable, and what the
        embedding function raises."""
        return self._run(
            self._its.search(
                pattern,
                query,
                filter=filter,
                limit=limit,
                after=after,
                mode=mode,
                vector=vector,
                vectors=vectors,
                offset=offset,
                order=order,
            )
        )

    def set_search(
        self,
        subtree: str,
        *,
        fields: Sequence[str] = ("$",),
        config: str = "english",
        vectors: str | None = None,
        vector_fields: Sequence[str] | None = None,
    ) -> None:
        """Has what is written to a key, a subtree (research/**) or everything (**), named in full also in a
        namespace, indexed for `search`; for each key the nearest subtree decides, and alone.

        `fields` are paths whose strings and numbers are searched (title, author.name, items[*].text; "$" is all
        of the value), `config` is Postgres's text search configuration. `vectors` names a vector index
        (`create_vectors`) that entries are embedded for, with a vector for each match of `vector_fields`, or one
        for all of the value; an empty list leaves it to writers to give them, with `put_embedded`. What is there
        already is found meanwhile, slower, until any connected client has indexed it. Raises InvalidPattern,
        InvalidArgument, QuotaExceeded (100 rules of one who does not administer everything), AccessDenied (needs
        admin on all of the subtree, the first one admin on everything, because all writes wait while the database
        begins to follow them), DatabaseError when another transaction that has written stays open."""
        self._run(
            self._its.set_search(subtree, fields=fields, config=config, vectors=vectors, vector_fields=vector_fields)
        )

    def drop_search(self, subtree: str) -> None:
        """Takes away what `set_search` set for a key or subtree. Raises InvalidPattern, InvalidArgument when there
        is none, AccessDenied."""
        self._run(self._its.drop_search(subtree))

    def searches(self) -> builtins.list[SearchRule]:
        """What is indexed for `search`, of what holds for keys within the acting agent's grants."""
        return self._run(self._its.searches())

    def create_vectors(
        self,
        name: str,
        dims: int,
        *,
        model: str | None = None,
        distance: Literal["cosine", "l2", "inner_product"] = "cosine",
        method: Literal["hnsw", "ivfflat", "exact"] = "hnsw",
        type: Literal["vector", "halfvec"] | None = None,
        options: Mapping[str, int] | None = None,
    ) -> None:
        """Makes a vector index, which `set_search` names: it holds vectors of one model (that of
        `connect(embed=...)` unless given) with `dims` dimensions.

        `method` exact makes no index and compares every vector. `type` is that of the index: vector up to 2,000
        dimensions, halfvec up to 4,000. `options`: m, ef_construction (hnsw), lists (ivfflat). Asked again with
        the same settings it restores an index that went with the extension. Raises VectorsUnavailable without
        pgvector (it says what is missing), InvalidArgument, AccessDenied (needs admin on everything)."""
        self._run(
            self._its.create_vectors(
                name, dims, model=model, distance=distance, method=method, type=type, options=options
            )
        )

    def drop_vectors(self, name: str) -> None:
        """Removes a vector index that no `set_search` names, with its vectors. Raises InvalidArgument, AccessDenied."""
        self._run(self._its.drop_vectors(name))

    def vectors(self) -> builtins.list[VectorIndex]:
        """The vector indexes of the installation."""
        return self._run(self._its.vectors())

    def unembedded(self, pattern: str = "", *, limit: int = 100, after: str | None = None) -> builtins.list[Unembedded]:
        """Entries under a pattern that the agent may read and write and whose vectors are missing, or were of an
        older text, in key order. `search` finds them by words. `limit` is 1 to 10,000. Raises InvalidPattern,
        InvalidArgument, AccessDenied."""
        return self._run(self._its.unembedded(pattern, limit=limit, after=after))

    def set_vectors(self, entry: Unembedded, vectors: Sequence[Sequence[float]], *, model: str | None = None) -> str:
        """Stores the vectors of an entry as `unembedded` gave it, one for each of its texts: "ok", "stale" when its
        text has changed meanwhile or they are there already (then nothing is stored), "denied" without read and
        write. Raises InvalidArgument."""
        return self._run(self._its.set_vectors(entry, vectors, model=model))

    def put_embedded(
        self,
        key: str,
        value: Any,
        vectors: Sequence[Sequence[float]],
        *,
        model: str | None = None,
        expect: int | None = None,
        ttl: Seconds | None = None,
    ) -> int:
        """`put`, with the vectors that the entry is found by, until its next version: in one statement, so that no
        search finds it by an older text. For subtrees whose `set_search` has `vector_fields=[]`. `model` is that
        of the vectors, of the client unless given. Calls that come together share a statement. Raises
        InvalidArgument, and what `put` raises."""
        return self._run(self._its.put_embedded(key, value, vectors, model=model, expect=expect, ttl=ttl))

    def embed(self, pattern: str = "", *, limit: int | None = None) -> int:
        """Embeds entries under a pattern that wait for vectors of the client's model, all or at most `limit`, and
        returns how many. Connected clients do it by themselves now and then. Raises InvalidArgument without
        `connect(embed=...)`, InvalidPattern, AccessDenied, and what the embedding function raises."""
        return self._run(self._its.embed(pattern, limit=limit))

    def put(
        self,
        key: str,
        value: Any,
        *,
        expect: int | None = None,
        expect_value: Any | _Unset = UNSET,
        ttl: Seconds | None = None,
        op_id: str | None = None,
        token: int | None = None,
        priority: int | None = None,
        not_before: datetime | None = None,
        trust: str | None = None,
        sources: Sequence[Source] | None = None,
    ) -> int:
        """Writes a value and returns its version (0 for an agent that may write but not read).

        `value` is anything that JSON or Pydantic can serialize. `expect` None writes regardless, 0 only creates,
        n only replaces version n; `expect_value` compares the value instead. `ttl` (seconds) ends in the entry's
        expiry, None means never. `op_id` makes the write happen once, however often it is asked for. `token` is
        that of the caller's claim. `priority` and `not_before` order claims, and stay as they are unless given.
        `trust` is the most that the value is to be trusted ("external", "agent", "verified", "operator"), up to
        what the agent is; `sources` are the keys it derives from, or `{"key": ..., "version": ...}`: the agent
        must be able to read them (AccessDenied), and it is trusted no more than they are. Raises VersionConflict
        (with `.current`), ClaimHeld, StaleToken, InvalidKey, InvalidValue, ValueTooLarge, AccessDenied,
        OpIdReused, Timeout, Unreachable."""
        return self._run(
            self._its.put(
                key,
                value,
                expect=expect,
                expect_value=expect_value,
                ttl=ttl,
                op_id=op_id,
                token=token,
                priority=priority,
                not_before=not_before,
                trust=trust,
                sources=sources,
            )
        )

    def touch(self, *keys: str) -> int:
        """Lets the time to live of entries begin anew: each lives on for as long as its last write let it. Returns
        how many did: those without a time to live, that have expired, or that the agent may not read and write
        stay as they are. It makes no version. Raises InvalidKey."""
        return self._run(self._its.touch(*keys))

    @overload
    def merge(
        self,
        key: str,
        operand: Any,
        reducer: str | None = ...,
        *,
        ttl: Seconds | None = ...,
        token: int | None = ...,
        op_id: str | None = ...,
        return_value: Literal[False] = ...,
        trust: str | None = ...,
        sources: Sequence[Source] | None = ...,
    ) -> int: ...

    @overload
    def merge(
        self,
        key: str,
        operand: Any,
        reducer: str | None = ...,
        *,
        ttl: Seconds | None = ...,
        token: int | None = ...,
        op_id: str | None = ...,
        return_value: Literal[True],
        trust: str | None = ...,
        sources: Sequence[Source] | None = ...,
    ) -> Any: ...

    def merge(
        self,
        key: str,
        operand: Any,
        reducer: str | None = None,
        *,
        ttl: Seconds | None = None,
        token: int | None = None,
        op_id: str | None = None,
        return_value: bool = False,
        trust: str | None = None,
        sources: Sequence[Source] | None = None,
    ) -> Any:
        """Merges an operand into a key inside the database, and returns the version, or the merged value if asked
        to.

        Reducers: replace, append, add, max, min, union, merge, deep_merge, messages (by id), first; without a
        name, the one that a policy sets for the key. Never conflicts: concurrent merges all take effect. A
        missing key starts from the operand; a merge that changes nothing makes no version, unless it gives a ttl,
        or goes into a value over 2 kB that grows by merges. `trust` and `sources` as in `put`, of the operand:
        the value is trusted no more than that, nor than before. Raises UnknownReducer, ReducerMismatch, and what
        `put` raises but VersionConflict."""
        its: Any = self._its
        return self._run(
            its.merge(
                key,
                operand,
                reducer,
                ttl=ttl,
                token=token,
                op_id=op_id,
                return_value=return_value,
                trust=trust,
                sources=sources,
            )
        )

    def delete(
        self, key: str, *, expect: int | None = None, token: int | None = None, op_id: str | None = None
    ) -> int | None:
        """Deletes a key and returns the version of the deletion, None if there was nothing. Its history stays.

        Raises VersionConflict, ClaimHeld, StaleToken, InvalidKey, AccessDenied."""
        return self._run(self._its.delete(key, expect=expect, token=token, op_id=op_id))

    def update(self, key: str, fn: Callable[[Any], Any], *, attempts: int = 10, token: int | None = None) -> Entry[Any]:
        """Reads, applies `fn` to the value (None if there is none), and writes the result unless another was faster;
        then reads again, up to `attempts` times. `fn` may be a coroutine function. Updates of one key in this
        client take turns, so only other processes are faster. Returns the entry that was written.

        Raises VersionConflict after the last attempt, Timeout when its turn does not come, and what `get` and
        `put` raise."""
        return self._run(self._its.update(key, called_in_thread(fn), attempts=attempts, token=token))

    def put_many(
        self, items: Mapping[str, Any] | Iterable[tuple[str, Any] | Mapping[str, Any]], *, ttl: Seconds | None = None
    ) -> builtins.list[Result]:
        """`put` for many keys: one outcome per item, in order; a refused one harms no other and raises nothing.

        `items` is a mapping of keys to values, or any of `(key, value)` and `ops.put(key, value, expect=3,
        token=…)`, which has the options of `put` for each: `[("a", 1), ops.put("b", 2, expect=0)]`. Such a
        document may have an `op_id` too: `ops.put("b", 2) | {"op_id": "…"}`. `ttl` is for those that have none of
        their own. A lost race is an outcome with status conflict and the current version and value. Raises
        InvalidArgument for an item that is none of these (nothing was sent then), Timeout, Unreachable."""
        return self._run(self._its.put_many(items, ttl=ttl))

    def merge_many(self, items: Iterable[tuple[str, Any, str] | Mapping[str, Any]]) -> builtins.list[Result]:
        """`merge` for many (key, operand, reducer) or `ops.merge(...)`: one outcome per item, in order; see
        `put_many`."""
        return self._run(self._its.merge_many(items))

    def delete_many(self, keys: Iterable[str | Mapping[str, Any]]) -> builtins.list[Result]:
        """`delete` for many keys or `ops.delete(...)`: one outcome per item, in order, status missing where there
        was nothing; see `put_many`."""
        return self._run(self._its.delete_many(keys))

    def apply(
        self,
        *,
        guards: Sequence[Mapping[str, Any]] = (),
        operations: Sequence[Mapping[str, Any]] = (),
        op_id: str | None = None,
    ) -> builtins.list[Result]:
        """Several keys, all or nothing: if every guard holds, every operation is done, in one transaction.

        Guards and operations are documents as the functions of `pgstate.ops` make them. Returns one outcome per
        guard, then per operation. Raises VersionConflict, ClaimHeld or StaleToken for the first that failed
        (nothing was done then), InvalidArgument for a misspelt one, and what `put` raises."""
        return self._run(self._its.apply(guards=guards, operations=operations, op_id=op_id))

    @overload
    def get(self, key: str, *, as_of: AsOf | None = ..., min_trust: str | None = ...) -> Entry[Any] | None: ...

    @overload
    def get(
        self, key: str, *, as_: type[T], as_of: AsOf | None = ..., min_trust: str | None = ...
    ) -> Entry[T] | None: ...

    @overload
    def get(
        self, key: str, *, as_: Any, as_of: AsOf | None = ..., min_trust: str | None = ...
    ) -> Entry[Any] | None: ...

    def get(self, key: str, *, as_: Any = None, as_of: AsOf | None = None, min_trust: str | None = None) -> Any:
        """The entry, None if there is none. With `as_`, `value` is an object of that type, validated by Pydantic.

        With `as_of` the entry as it was: at a version of its own (int), at a cursor (str), or at a time
        (datetime), which stands for the newest point of the feed recorded before it, about one a second. Of a
        past entry key, value, version, writer, via, updated_at and expires_at are known. What had expired by then
        is None. `min_trust`: what is trusted less is None as well; not with `as_of`.

        Raises InvalidKey, AccessDenied (whether or not the key exists), Timeout, Unreachable; InvalidValue when
        `.value` is looked at and does not fit `as_`; with `as_of` InvalidArgument for a time to come, NotRecorded
        for one before anything was recorded, CursorInvalid, CursorExpired, FeedUnavailable."""
        its: Any = self._its
        return self._run(its.get(key, as_=as_, as_of=as_of, min_trust=min_trust))

    @overload
    def get_many(
        self, keys: Iterable[str], *, return_errors: Literal[False] = ..., min_trust: str | None = ...
    ) -> builtins.list[Entry[Any] | None]: ...

    @overload
    def get_many(
        self, keys: Iterable[str], *, return_errors: Literal[True], min_trust: str | None = ...
    ) -> builtins.list[Entry[Any] | errors.PgStateError | None]: ...

    def get_many(self, keys: Iterable[str], *, return_errors: bool = False, min_trust: str | None = None) -> Any:
        """`get` for many keys, in their order; `min_trust` as there.

        A key that is refused raises its error, unless `return_errors` puts that in its place: then a list may
        hold entries, None for what does not exist, and InvalidKey and AccessDenied, one for each key. What is no
        key's own fault (Timeout, Unreachable) raises in any case."""
        its: Any = self._its
        return self._run(its.get_many(keys, return_errors=return_errors, min_trust=min_trust))

    def list(
        self,
        pattern: str = "",
        *,
        limit: int | None = 1000,
        after: str | None = None,
        as_of: str | datetime | None = None,
        claimed: bool | None = None,
        min_trust: str | None = None,
    ) -> Page:
        """Entries that match a pattern and that the agent may read, in key order; an empty pattern means everything.

        `limit` is 1 to 100,000 (None: all); `after` continues behind a key, such as `page.after`. `page.cursor`
        is the point in the change feed at which they were listed, empty on a standby, which has none. With
        `as_of` (a cursor or a datetime) they are listed as they were, deleted ones too, as in `get`;
        `page.cursor` is that point of the feed then (empty for a time before a restore, from which the feed
        cannot go on). `claimed` lists only those that somebody holds now (True), or that nobody does (False),
        `min_trust` only those that are trusted at least so far. Raises InvalidPattern, AccessDenied when the
        pattern reaches nothing that the agent may read, and with `as_of` what `get` raises."""
        return self._run(
            self._its.list(pattern, limit=limit, after=after, as_of=as_of, claimed=claimed, min_trust=min_trust)
        )

    def history(self, key: str, *, limit: int | None = 100, before: int | None = None) -> builtins.list[Version]:
        """Versions of a key, newest first; `before` continues with those older than a version. InvalidKey,
        AccessDenied."""
        return self._run(self._its.history(key, limit=limit, before=before))

    def namespaces(
        self,
        pattern: str = "",
        *,
        matching: Sequence[str] = (),
        depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> builtins.list[str]:
        """Keys under which there are entries (theirs without the last segment) that match a pattern and all of
        `matching`, of entries that the agent may read. `depth` cuts them short, each once, to that many segments.
        `limit` is 1 to 100,000, `offset` how many are passed over. Costs what it returns, however many entries
        there are. Raises InvalidPattern, InvalidArgument, AccessDenied when the pattern reaches nothing that the
        agent may read."""
        return self._run(self._its.namespaces(pattern, matching=matching, depth=depth, limit=limit, offset=offset))

    def cursor(self) -> str:
        """The point that the change feed is at now: `changes` and `watch(since=...)` tell all that comes after it."""
        return self._run(self._its.cursor())

    def changes(
        self, cursor: str, patterns: str | Sequence[str] = "", *, limit: int = 1000, min_trust: str | None = None
    ) -> ChangePage:
        """Changes after a cursor, in order, of keys that match any of the patterns and that the agent may read.

        `limit` is 1 to 10,000; `min_trust` leaves out versions that are trusted less.
        Raises CursorInvalid, CursorExpired (list again then), FeedUnavailable, InvalidPattern,
        AccessDenied."""
        return self._run(self._its.changes(cursor, patterns, limit=limit, min_trust=min_trust))

    def watch(
        self,
        patterns: str | Sequence[str] = "",
        *,
        since: str | None = None,
        initial: bool = False,
        min_trust: str | None = None,
    ) -> Watch:
        """Follows changes as they happen: `for change in state.watch("tasks/*")`.

        Every matching change that the agent may read comes exactly once, versions of a key in order, across lost
        connections and restarts of the server. `since` goes on from a cursor (of a change, a page or a listing);
        without it the watch begins when it is first waited for. With `initial` the entries that match now come
        first, then what changes, without a gap. With `min_trust` only versions that are trusted at least so far
        come. A slow consumer holds nobody up. Raises CursorExpired when it cannot go on."""
        return Watch(lambda: self._its.watch(patterns, since=since, initial=initial, min_trust=min_trust))

    def thread(self, key: str, *, namespace: str = "", serializer: Serializer = JSON) -> Thread:
        """The thread under a key, whether or not there is one. `namespace` is that of a nested agent within it;
        `serializer` turns values into bytes and back, and what it was saved with must read it."""
        return Thread(lambda: self._its.thread(key, namespace=namespace, serializer=serializer))

    def threads(
        self, pattern: str = "", *, limit: int | None = 1000, after: str | None = None
    ) -> builtins.list[ThreadInfo]:
        """Threads that match a pattern and that the agent may read, in key order; `after` is the last key of the
        page before. Raises InvalidPattern, InvalidKey, InvalidArgument, AccessDenied when the pattern reaches
        nothing that the agent may read."""
        return self._run(self._its.threads(pattern, limit=limit, after=after))

    def delete_runs(self, run_ids: Iterable[str]) -> int:
        """Removes the checkpoints that these runs made (their metadata's `run_id`), of all threads that the agent
        may read and write, but those that others cannot be read without. Returns how many. Raises ClaimHeld when
        a thread that somebody has claimed was left out."""
        return self._run(self._its.delete_runs(run_ids))

    def run(
        self,
        key: str,
        *,
        lease: Seconds = 30.0,
        wait: Seconds | None = None,
        name: str | None = None,
        input: Any = None,
        version: str | None = None,
        timeout: Seconds | None = None,
        ttl: Seconds | None = None,
        serializer: Serializer = JSON,
    ) -> Running:
        """`with state.run("research/report-42") as run:` begins a run, or goes on with it: each `run.step` whose
        result is recorded returns that without calling its function.

        One worker has a run at a time, by a lease of `lease` seconds that is renewed meanwhile; `wait` says how
        long to wait for it. When the block ends the run is done; when it raises, the run has failed, and entering
        it again does the steps again that it failed with. A run that is done is replayed: its steps return what
        is recorded. A process that dies leaves it to the next.

        `name` is the workflow that workers know it by, `input` what they are given. `version` is that of the
        code: with another one, the order of the steps before does not count. `timeout` is how long the run may
        take, `ttl` how long it stays after each change. Raises RunHeld, RunCancelled, InvalidKey,
        InvalidArgument, WrongKind, AccessDenied (takes read and write); in the block LeaseLost, RunCancelled,
        RunTimeout; at its end StepMismatch when the run has recorded more steps."""
        return Running(
            self._its.run(
                key,
                lease=lease,
                wait=wait,
                name=name,
                input=input,
                version=version,
                timeout=timeout,
                ttl=ttl,
                serializer=serializer,
            ),
            Run,
        )


class TypedState(Proxy[typed.TypedState[T]], Generic[T]):
    """One object of type T in the shared state. Made by `State.typed`; cheap, and safe to use from any number of
    threads.

    Each field is a key of its own, `<path>/<field>` (the name quoted by `pgstate.key` where need be), which
    holds the field as Pydantic dumps it, by names and not by aliases. So SQL, the shell and other clients
    read and write the same state: `pgstate.merge('research/task-7/findings', '["x"]', 'append')`. Other keys
    below the path are left alone.

    The state exists when any of its fields is stored. Loading fills the others with their defaults."""

    @property
    def path(self) -> str:
        """The key that the fields' keys begin with."""
        return self._its.path

    @property
    def reducers(self) -> dict[str, str]:
        """What merges each field: a built-in reducer, or cas for a function that is applied in Python."""
        return self._its.reducers

    def define(self) -> None:
        """Makes a policy for each field: its reducer, and the JSON Schema that its values must fit from now on,
        whoever writes them. Can be done again; other settings of these policies stay as they are.

        Raises AccessDenied (needs admin on every field's key), and InvalidArgument for a schema that the database
        cannot check, such as one with a regular expression: the fields before it have their policies then."""
        self._run(self._its.define())

    @overload
    def load(self) -> T | None: ...

    @overload
    def load(self, *, partial: Literal[True]) -> dict[str, Any]: ...

    def load(self, *, partial: bool = False) -> Any:
        """The state as one moment had it, validated; None if there is none. With `partial` a dict of the fields that
        are stored, each validated by itself, without defaults.

        Raises InvalidValue when a field without default is not stored yet, or a stored value does not fit;
        AccessDenied when the agent may not read every field; Timeout, Unreachable."""
        its: Any = self._its
        return self._run(its.load(partial=partial))

    def update(
        self,
        fields: Mapping[str, Any] | None = None,
        /,
        *,
        op_id: str | None = None,
        token: int | None = None,
        guards: Sequence[_Row] = (),
        **values: Any,
    ) -> dict[str, int]:
        """Merges values into fields: all of them in one statement, or none. Returns the fields' versions (0 for an
        agent that may write but not read).

        Each value is validated as a value of its field before anything is sent, and its JSON as one that is read
        back; then the database merges it by the field's reducer, so that concurrent updates all take effect.
        Lists are appended to, sets united and messages merged with a list or with one element; a nested model
        that is merged may be given as a document of some of its fields. A field that is not stored starts from
        its default. What the merging makes of a field is checked when it is loaded, as are rules about several
        fields.

        `fields` takes names that are no keywords here. `token` is that of the caller's claim on the state's own
        key, `path`; `guards` are those of `pgstate.ops`, what else must hold. `op_id` makes the update happen
        once, however often it is asked for. With `fallback="cas"`, fields merged by functions are read first, and
        all of it is tried again (10 times) if they have changed meanwhile; then op_id cannot be given.

        Raises InvalidArgument for an unknown field, InvalidValue, ReducerMismatch, VersionConflict (a guard, or a
        function's field after the last attempt), StaleToken, ClaimHeld, AccessDenied, ValueTooLarge, OpIdReused,
        Timeout, Unreachable. Nothing was written then, except perhaps after Timeout."""
        return self._run(self._its.update(fields, op_id=op_id, token=token, guards=guards, **values))

    def set(self, value: T, *, token: int | None = None, guards: Sequence[_Row] = ()) -> None:
        """Replaces the whole state by an object of the type, or by a document with its fields; all fields or none.

        `token` and `guards` as in `update`. Raises InvalidValue (nothing is written that could not be loaded),
        and what `update` raises. Fields that a TypedDict leaves out are removed, which takes the right to read;
        so are those that are at a default which is not stored: None where something is merged, and infinities."""
        self._run(self._its.set(value, token=token, guards=guards))

    def delete(self, *, token: int | None = None, guards: Sequence[_Row] = ()) -> bool:
        """Removes all fields, all or none; False if there were none. Their history stays. Raises what `set` raises."""
        return self._run(self._its.delete(token=token, guards=guards))

    def modify(
        self,
        fn: Callable[[T | None], T | Awaitable[T]],
        *,
        attempts: int = _ATTEMPTS,
        token: int | None = None,
        guards: Sequence[_Row] = (),
    ) -> T:
        """Loads the state, applies `fn` (None if there is none), and writes what differs, unless any field changed
        meanwhile; then loads again, up to `attempts` times. For changes that depend on several fields. `fn` may
        be a coroutine function. Calls for one state in this client take turns. Returns what `fn` made.

        Raises VersionConflict after the last attempt, and what `load` and `set` raise."""
        return self._run(self._its.modify(called_in_thread(fn), attempts=attempts, token=token, guards=guards))

    def watch(self) -> TypedWatch[T]:
        """Follows the state: first what it is now (None if there is none), then what it is after each transaction
        that touched it, never half of one; None when it was removed.

        Changes that come close together may show as one. Raises InvalidValue from an `next()` for a state that is
        not whole or not valid; the next one goes on. Raises AccessDenied when the agent may not read every field."""
        return TypedWatch(lambda: self._its.watch())

    def diff(self, since: str, until: str) -> dict[str, FieldChange]:
        """The fields that differ between two cursors (of the feed, a listing, a change or a watch), with the values
        at both. What changed and changed back is left out.

        Raises CursorInvalid when `until` lies before `since`, CursorExpired, InvalidValue, AccessDenied."""
        return self._run(self._its.diff(since, until))


class Thread(Proxy[threads.Thread]):
    """A recorded execution. Its checkpoints are points to go on from, by namespace; the head of it is the entry
    under its key, which the same grants guard and watches see.

    One object follows one line: what it saves comes after what it saved or read last (`latest`). So who goes
    on after the thread was deleted is refused, and who saves after somebody else saved has made a branch,
    unless `expect_head` refuses that."""

    @property
    def key(self) -> str:
        """The key."""
        return self._its.key

    def namespace(self, name: str) -> Self:
        """A namespace of the same thread, for a nested agent; it has checkpoints of its own."""
        return type(self)(lambda: self._its.namespace(name))

    def save(
        self,
        state: Mapping[str, Any] | BaseModel | Any,
        *,
        metadata: Mapping[str, Any] | None = None,
        expect_head: str | _Unset | None = UNSET,
        parent: str | _Unset | None = UNSET,
        ttl: Seconds | None = None,
        token: int | None = None,
    ) -> str:
        """Saves a checkpoint and returns its id. `state` is a mapping of channels to values, a Pydantic model or a
        dataclass. Of a list, and of what did not change, only what is new is sent and stored.

        `expect_head` refuses unless this is the latest checkpoint (None: unless there is none). `parent` is the
        one that it comes after: what this object saved or read last, else the latest; None begins a thread, also
        one that was deleted. `ttl` is how long the thread stays after this and every later save, 0 for ever;
        without it, what it was, or what a policy says. `token` is that of a claim of the thread.

        Raises CheckpointConflict (with `.head`), CheckpointMissing when the parent is not there, as in a thread
        that was deleted, ClaimHeld, StaleToken, InvalidKey, InvalidValue, WrongKind, AccessDenied (takes read and
        write), Timeout, Unreachable."""
        return self._run(
            self._its.save(state, metadata=metadata, expect_head=expect_head, parent=parent, ttl=ttl, token=token)
        )

    def latest(self) -> Checkpoint | None:
        """The latest checkpoint of the namespace, None if there is none. Raises AccessDenied (takes read),
        InvalidKey, InvalidValue for one that was saved with another serializer."""
        return self._run(self._its.latest())

    def get(self, id: str) -> Checkpoint | None:
        """A checkpoint by its id, None if it is not there. Raises as `latest`."""
        return self._run(self._its.get(id))

    def channels(self, id: str | None = None) -> builtins.list[Channel]:
        """The channels of a checkpoint, the latest unless an id is given, whatever they were saved with; none if it
        is not there. Raises AccessDenied (takes read), InvalidKey."""
        return self._run(self._its.channels(id))

    def history(
        self, limit: int | None = None, *, before: str | None = None, where: Mapping[str, Any] | None = None
    ) -> Iterator[CheckpointInfo]:
        """The checkpoints of the namespace without their values, newest first, in pages as they are asked for: all,
        or `limit` of them (at least 1). `before` leaves out those from this id on, `where` those whose metadata
        does not contain this. Raises as `latest`, InvalidArgument."""
        return self._each(self._its.history(limit, before=before, where=where))

    def fork(self, id: str | None, key: str, *, history: bool = False, ttl: Seconds | None = None) -> Thread:
        """Makes a thread under another key from a checkpoint of this one (None: the latest), with the writes after
        it, and returns it; with `history` from all checkpoints of all namespaces. Values are not copied. Raises
        CheckpointConflict when there is a thread under that key, CheckpointMissing, WrongKind, AccessDenied
        (takes read here, read and write there)."""
        made = self._run(self._its.fork(id, key, history=history, ttl=ttl))
        return Thread(lambda: moved(made, self._its))

    def rollback(self, id: str, *, metadata: Mapping[str, Any] | None = None, token: int | None = None) -> str:
        """Goes back to a checkpoint by a new one with its values, which becomes the latest, and returns the id of
        that. Those between stay. Raises CheckpointMissing, ClaimHeld, StaleToken, AccessDenied (takes read and
        write)."""
        return self._run(self._its.rollback(id, metadata=metadata, token=token))

    def delete(self, *, token: int | None = None) -> bool:
        """Deletes the thread, all namespaces of it; was there one? Who goes on saving to it is refused. Raises
        ClaimHeld, StaleToken, WrongKind, AccessDenied (takes read and write)."""
        return self._run(self._its.delete(token=token))

    def prune(self, keep: int = 1, *, everywhere: bool = False, token: int | None = None) -> int:
        """Removes all but the newest `keep` checkpoints of the namespace, or of each namespace with `everywhere`,
        and returns how many went. Raises InvalidArgument, ClaimHeld, StaleToken, WrongKind, AccessDenied (takes
        read and write)."""
        return self._run(self._its.prune(keep, everywhere=everywhere, token=token))

    def put_writes(
        self,
        checkpoint: str,
        task_id: str,
        writes: Sequence[tuple[str, Any]],
        *,
        task_path: str = "",
        replace: bool = False,
    ) -> None:
        """Keeps what a task wrote after a checkpoint, as (channel, value), until the next checkpoint holds it: who
        resumes finds it in `Checkpoint.writes`. Writing it again changes nothing, unless `replace`. Raises
        InvalidValue, WrongKind, AccessDenied (takes read and write)."""
        self._run(self._its.put_writes(checkpoint, task_id, writes, task_path=task_path, replace=replace))


class RunsCalls(Proxy[runs.Runs]):
    """The runs of a state: `state.runs`."""

    def with_serializer(self, serializer: Serializer) -> Self:
        """A view whose inputs, results and signals, and those of the runs that it works on, go through another
        serializer than JSON: anything with LangGraph's `dumps_typed` and `loads_typed`."""
        return type(self)(lambda: self._its.with_serializer(serializer))

    def start(
        self,
        key: str,
        workflow: str,
        input: Any = None,
        *,
        priority: int | None = None,
        at: datetime | None = None,
        timeout: Seconds | None = None,
        ttl: Seconds | None = None,
        parent: str | None = None,
    ) -> bool:
        """Leaves a run to the workers that know its workflow. False if there is a run under the key already, ended
        or not: nothing is changed then, so starting may be repeated.

        A higher `priority` is taken first; `at` is the earliest time; `timeout` is how long it may take from then
        on; `ttl` how long it stays after each change. Raises InvalidKey, InvalidArgument, InvalidValue,
        WrongKind, AccessDenied (takes read and write, and write on `parent`)."""
        return self._run(
            self._its.start(key, workflow, input, priority=priority, at=at, timeout=timeout, ttl=ttl, parent=parent)
        )

    def get(self, key: str) -> RunInfo | None:
        """One run, None if there is none. Raises InvalidKey, AccessDenied."""
        return self._run(self._its.get(key))

    def list(
        self,
        pattern: str = "",
        *,
        states: Sequence[str] | None = None,
        limit: int | None = 1000,
        after: str | None = None,
    ) -> builtins.list[RunInfo]:
        """Runs that match a pattern and that the agent may read, in key order. `states`: waiting, running, done,
        failed, cancelled; `after` is the last key of the page before. Raises InvalidPattern, InvalidArgument,
        AccessDenied."""
        return self._run(self._its.list(pattern, states=states, limit=limit, after=after))

    def steps(self, key: str) -> builtins.list[StepInfo]:
        """The steps of a run, in the order of its code; none if there is no run. Raises InvalidKey, AccessDenied."""
        return self._run(self._its.steps(key))

    @overload
    def result(self, key: str, *, wait: Seconds | None = ..., as_: type[T]) -> T: ...

    @overload
    def result(self, key: str, *, wait: Seconds | None = ..., as_: Any = ...) -> Any: ...

    def result(self, key: str, *, wait: Seconds | None = None, as_: Any = None) -> Any:
        """What a run has returned; waits up to `wait` seconds for its end. Raises Timeout if it has not ended by
        then, RunMissing, RunCancelled, StepFailed with the error that it failed with, InvalidKey, AccessDenied."""
        its: Any = self._its
        return self._run(its.result(key, wait=wait, as_=as_))

    def signal(self, key: str, name: str, payload: Any = None) -> None:
        """Sends a signal to a run, which keeps it until a `wait_signal` of that name takes it, once, whatever dies
        meanwhile. Raises RunMissing, RunEnded, InvalidKey, InvalidValue, AccessDenied (takes read and write)."""
        self._run(self._its.signal(key, name, payload))

    def cancel(self, key: str) -> bool:
        """Cancels a run. False while there may be something to undo: then who works on it is interrupted, or else
        the next worker that knows its workflow takes it up, undoes that, the last first, and the run is cancelled
        when that is done. A run without a workflow's name that nobody works on ends at once, and nothing is
        undone.

        Raises RunMissing, RunEnded, InvalidKey, AccessDenied (takes read and write)."""
        return self._run(self._its.cancel(key))

    def retry(self, key: str) -> bool:
        """Lets a failed or cancelled run go on; the steps that it failed with are done again. One that undid what it
        had done begins anew. False if it is open. Raises RunMissing, RunEnded for one that is done, InvalidKey,
        AccessDenied (takes read and write)."""
        return self._run(self._its.retry(key))

    def fork(self, key: str, target: str, from_step: str | None = None) -> None:
        """Makes a run under another key with the results that one had before a step (None: all), to go on its own
        way from there. Raises RunMissing, RunHeld when there is a run under `target`, InvalidKey, AccessDenied
        (takes read here, read and write there)."""
        self._run(self._its.fork(key, target, from_step))

    def delete(self, key: str) -> bool:
        """Deletes a run with its steps; was there one? Raises RunHeld while somebody works on it, InvalidKey,
        AccessDenied (takes read and write)."""
        return self._run(self._its.delete(key))

    def run(
        self,
        key: str,
        *,
        lease: Seconds = 30.0,
        wait: Seconds | None = None,
        name: str | None = None,
        input: Any = None,
        version: str | None = None,
        timeout: Seconds | None = None,
        ttl: Seconds | None = None,
    ) -> Running:
        """See `State.run`."""
        return Running(
            self._its.run(
                key, lease=lease, wait=wait, name=name, input=input, version=version, timeout=timeout, ttl=ttl
            ),
            Run,
        )

    def schedule(
        self,
        key: str,
        workflow: str,
        cron: str,
        input: Any = None,
        *,
        timezone: str = "UTC",
        priority: int | None = None,
    ) -> datetime:
        """Has runs of a workflow started by a cron expression ("0 9 * * MON-FRI"), under `key/<time>`, by whichever
        worker follows `schedules`; returns when the first is due. The schedule is an entry, which `delete` ends;
        times that nobody was there for are made up for by one run. Needs pgstate[cron]. Raises InvalidArgument,
        InvalidKey, AccessDenied."""
        return self._run(self._its.schedule(key, workflow, cron, input, timezone=timezone, priority=priority))


class Run(RunProxy):
    """A durable execution that is under way, or one that has ended and is replayed. Made by `state.run`.

    A step's result is recorded before the next begins, and whoever goes on with the run gets it without
    calling the function. `result` is what the run returns when its block ends."""

    def now(self, name: str = "now") -> datetime:
        """The time, recorded: a replay is told the same."""
        return self._run(self._its.now(name))

    def random(self) -> float:
        """A number from 0 to 1 by chance, the same in a replay."""
        return self._at_once(self._its.random)

    def uuid(self) -> UUID:
        """A random UUID, the same in a replay."""
        return self._at_once(self._its.uuid)

    def on_failure(self, name: str, function: Callable[..., Any], *args: Any) -> None:
        """Has a function called when the run fails or is cancelled, the last one first, each once: as a step."""
        self._at_once(self._its.on_failure, name, self._called(function), *args)

    def sleep(self, duration: Seconds, name: str = "sleep") -> None:
        """Waits until `duration` after the first time that it was called, whatever dies meanwhile. Raises as `step`."""
        self._run(self._its.sleep(duration, name))

    @overload
    def wait_signal(self, name: str, *, timeout: Seconds | None = ..., as_: type[T]) -> T: ...

    @overload
    def wait_signal(self, name: str, *, timeout: Seconds | None = ..., as_: Any = ...) -> Any: ...

    def wait_signal(self, name: str, *, timeout: Seconds | None = None, as_: Any = None) -> Any:
        """Waits for `state.runs.signal(key, name, payload)` and returns the payload. A signal that came before
        counts; each is taken by one wait. `timeout` is in seconds from when the run first came here. Raises
        SignalTimeout (recorded), and as `step`."""
        its: Any = self._its
        return self._run(its.wait_signal(name, timeout=timeout, as_=as_))

    @overload
    def child(
        self, workflow: str, input: Any = ..., *, name: str | None = ..., key: str | None = ..., as_: type[T]
    ) -> T: ...

    @overload
    def child(
        self, workflow: str, input: Any = ..., *, name: str | None = ..., key: str | None = ..., as_: Any = ...
    ) -> Any: ...

    def child(
        self, workflow: str, input: Any = None, *, name: str | None = None, key: str | None = None, as_: Any = None
    ) -> Any:
        """Starts a run of another workflow, which a worker takes, and returns its result when it has ended. It is
        under `key`, else `<this run's key>/<name>`, quoted where need be. Raises StepFailed when it failed or was
        cancelled, and as `step`."""
        its: Any = self._its
        return self._run(its.child(workflow, input, name=name, key=key, as_=as_))

    @overload
    def step(
        self,
        name: str,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        undo: Callable[[Any], Any] | None = None,
        as_: Any = None,
        **kwargs: Any,
    ) -> T: ...

    @overload
    def step(
        self,
        name: str,
        function: Callable[..., T],
        *args: Any,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        undo: Callable[[Any], Any] | None = None,
        as_: Any = None,
        **kwargs: Any,
    ) -> T: ...

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        undo: Callable[[Any], Any] | None = None,
        as_: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Calls a function, once in the run's life, and returns what it returned; later from the record.

        A plain function is called in a thread. One with a parameter `ctx` gets a `Context`, whose `state` writes
        in the transaction that records the step. The result is JSON, validated by the function's annotation or
        `as_`: what the first time returns is what a replay does. `timeout` is for each attempt. `undo` is called
        with the result when the run fails or is cancelled, the last first.

        Raises StepFailed when all attempts have failed (recorded), StepMismatch, RunCancelled, RunTimeout,
        LeaseLost, RunEnded when the block of the run has ended, InvalidArgument, InvalidValue, Timeout,
        Unreachable."""
        its: Any = self._its
        return self._run(
            its.step(
                name,
                self._called(function),
                *args,
                retry=retry,
                timeout=timeout,
                undo=self._called(undo),
                as_=as_,
                **kwargs,
            )
        )

    @overload
    def map(
        self,
        name: str,
        function: Callable[..., Awaitable[T]],
        items: Iterable[Any],
        *,
        concurrency: int = 8,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        as_: Any = None,
    ) -> builtins.list[T]: ...

    @overload
    def map(
        self,
        name: str,
        function: Callable[..., T],
        items: Iterable[Any],
        *,
        concurrency: int = 8,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        as_: Any = None,
    ) -> builtins.list[T]: ...

    def map(
        self,
        name: str,
        function: Callable[..., Any],
        items: Iterable[Any],
        *,
        concurrency: int = 8,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        as_: Any = None,
    ) -> Any:
        """`step` for each item, `concurrency` at once; each element is recorded by itself. The first that fails for
        good ends it, when those under way have ended. Raises as `step`."""
        its: Any = self._its
        return self._run(
            its.map(name, self._called(function), items, concurrency=concurrency, retry=retry, timeout=timeout, as_=as_)
        )

    @property
    def input(self) -> Any:
        """What it was started with. Raises InvalidValue when that cannot be read here."""
        return self._its.input

    @property
    def finished(self) -> bool:
        """It has ended before: this is a replay."""
        return self._its.finished

    @property
    def cancelled(self) -> bool:
        """Somebody cancelled the run: for functions in threads, which are not interrupted."""
        return self._its.cancelled

    @property
    def key(self) -> str:
        """The key."""
        return self._its.key

    @property
    def token(self) -> int:
        """The fencing token: give it to every write under the claim."""
        return self._its.token

    @property
    def attempts(self) -> int:
        """How often the entry was claimed, this time included."""
        return self._its.attempts

    @property
    def lease_until(self) -> datetime:
        """When the lease ends unless it is renewed, by the server's clock."""
        return self._its.lease_until

    @property
    def lost(self) -> bool:
        """The lease was lost."""
        return self._its.lost


class Task(Proxy[_held.Task]):
    """Claimed work: `key`, `value`, `token`, `attempts`. When the block ends it is completed, or fails with what
    was raised, unless it was completed, failed or released in the block: by these methods, or by those of a
    `State`, in a transaction of yours too (`State.bind`). What is ended by SQL of yours, or in another
    process, is lost to the block, which raises LeaseLost."""

    _can_be_remade = False

    @property
    def value(self) -> Any:
        """The entry's value when it was claimed."""
        return self._its.value

    @property
    def version(self) -> int:
        """The entry's version when it was claimed."""
        return self._its.version

    def complete(self, result: Any = None, *, move_to: str | None = None, op_id: str | None = None) -> int:
        """As `State.complete`; `*` in `move_to` stands for the last segment of the key ("tasks/done/*")."""
        return self._run(self._its.complete(result, move_to=move_to, op_id=op_id))

    def fail(self, error: str | None = None, retry_in: Seconds | None = None) -> Failed:
        """As `State.fail`."""
        return self._run(self._its.fail(error, retry_in))

    def release(self) -> bool:
        """As `State.release`: for others to claim at once; it does not count as an attempt."""
        return self._run(self._its.release())

    @property
    def key(self) -> str:
        """The key."""
        return self._its.key

    @property
    def token(self) -> int:
        """The fencing token: give it to every write under the claim."""
        return self._its.token

    @property
    def attempts(self) -> int:
        """How often the entry was claimed, this time included."""
        return self._its.attempts

    @property
    def lease_until(self) -> datetime:
        """When the lease ends unless it is renewed, by the server's clock."""
        return self._its.lease_until

    @property
    def lost(self) -> bool:
        """The lease was lost."""
        return self._its.lost


class Lock(Proxy[_held.Lock]):
    """A lock that is held: `token` is the fencing token, which writes to the locked key take."""

    _can_be_remade = False

    @property
    def key(self) -> str:
        """The key."""
        return self._its.key

    @property
    def token(self) -> int:
        """The fencing token: give it to every write under the claim."""
        return self._its.token

    @property
    def attempts(self) -> int:
        """How often the entry was claimed, this time included."""
        return self._its.attempts

    @property
    def lease_until(self) -> datetime:
        """When the lease ends unless it is renewed, by the server's clock."""
        return self._its.lease_until

    @property
    def lost(self) -> bool:
        """The lease was lost."""
        return self._its.lost
