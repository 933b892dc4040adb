"""The whole key space against a plain Python model: any sequence of calls by several agents, with time moving on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from _cases import first_of
from _server import SUPERUSER
from client._machine import Taken
from client._model import MISSING, RIGHTS, Key, Op, canon, same
from client._policy_rules import Ruled
from client._world import (
    REDUCERS,
    World,
    advances,
    agents,
    as_json,
    as_logged,
    as_told,
    directories,
    json_values,
    leaves,
    matches,
    numbers,
    spans,
    tokens,
)
from client.conftest import Connect, MakeLogin
from conftest import Clock
from pgstate import State, _core, errors


class KeySpace(Ruled):
    @rule(
        agent=agents, directory=directories, leaf=leaves, value=json_values, token=tokens, ttl=st.none() | spans,
        expect=st.sampled_from([None, None, "current", "none", "wrong"]), compare=st.sampled_from([None, None, None, "same", "other"]),
        priority=st.none() | st.integers(-1, 2), after=st.none() | st.none() | spans,
    )  # fmt: skip
    def put(
        self, agent: str, directory: str, leaf: str, value: Any, token: str | None, ttl: float | None, expect: str | None,
        compare: str | None, priority: int | None, after: float | None,
    ) -> None:  # fmt: skip
        key = self._key(directory, leaf)
        item = self.model.item(key)
        versions = {None: None, "current": item.version, "none": 0, "wrong": item.version + 1}
        values = {None: MISSING, "same": None if item.value is MISSING else item.value, "other": "other"}
        self._write(agent, Op("put", key, value, versions[expect], values[compare], ttl, self._token(token, key), priority, self._not_before(after)))  # fmt: skip

    @rule(
        agent=agents, directory=directories, leaf=leaves, value=json_values, reducer=st.sampled_from(REDUCERS),
        token=tokens, ttl=st.none() | st.none() | spans, tell=st.booleans(),
    )  # fmt: skip
    def merge(
        self,
        agent: str,
        directory: str,
        leaf: str,
        value: Any,
        reducer: str,
        token: str | None,
        ttl: float | None,
        tell: bool,
    ) -> None:
        key = self._key(directory, leaf)
        self._write(
            agent, Op("merge", key, value, ttl=ttl, token=self._token(token, key), reducer=reducer, return_value=tell)
        )

    @rule(
        agent=agents,
        directory=directories,
        leaf=leaves,
        token=tokens,
        expect=st.sampled_from([None, None, "current", "none", "wrong"]),
    )
    def delete(self, agent: str, directory: str, leaf: str, token: str | None, expect: str | None) -> None:
        key = self._key(directory, leaf)
        version = self.model.item(key).version
        versions = {None: None, "current": version, "none": 0, "wrong": version + 1}
        self._write(agent, Op("delete", key, expect=versions[expect], token=self._token(token, key)))

    @rule(
        agent=agents,
        rows=st.lists(st.tuples(st.sampled_from(["put", "merge", "delete"]), directories, leaves, json_values, st.sampled_from(REDUCERS)), max_size=12),
    )  # fmt: skip
    def many_at_once(self, agent: str, rows: list[tuple[str, str, str, Any, str]]) -> None:
        ops = [
            Op(
                op,
                self._key(directory, leaf),
                None if op == "delete" else value,
                reducer=reducer if op == "merge" else None,
            )
            for op, directory, leaf, value, reducer in rows
        ]
        self._write(agent, *ops)

    @rule(
        agent=agents,
        rows=st.lists(st.tuples(directories, leaves, json_values, st.sampled_from([None, None, None, "current", "wrong"]), st.sampled_from([None, None, 1050.0])), min_size=1, max_size=5, unique_by=lambda row: row[:2]),
    )  # fmt: skip
    def puts_at_once(self, agent: str, rows: list[tuple[str, str, Any, str | None, float | None]]) -> None:
        """Different keys, which a batch of puts takes the short way with if all of them exist."""
        ops = []
        for directory, leaf, value, expect, ttl in rows:
            version = self.model.item(key := self._key(directory, leaf)).version
            wanted = {None: None, "current": version, "wrong": version + 1}[expect]
            ops.append(Op("put", key, value, expect=wanted, ttl=ttl))
        self._write(agent, *ops)

    @rule(agent=agents, directory=st.sampled_from("asw"), leaf=leaves, value=json_values)
    def put_with_op_id(self, agent: str, directory: str, leaf: str, value: Any) -> None:
        op = Op("put", self._key(directory, leaf), value)
        op_id = f"request {next(numbers)}"
        (got,) = self.world.attempt(self._call(agent, op, op_id))
        (out,) = self.model.write(agent, [op])
        self._compare(op, got, out)
        if out.status == "ok":
            self.requests.append((agent, op, op_id, got))

    @precondition(lambda self: self.requests)
    @rule(which=st.integers(0, 9))
    def ask_again(self, which: int) -> None:
        agent, op, op_id, answer = self.requests[which % len(self.requests)]
        other = Op("put", op.key, ["another", op.value])
        assert self.world.run(self._call(agent, op, op_id)) == answer
        (refused,) = self.world.attempt(self._call(agent, other, op_id))
        assert isinstance(refused, errors.OpIdReused)

    @rule(agent=agents)
    def read(self, agent: str) -> None:
        view, model = self.world.views[agent], self.model
        for key, got in zip(self.keys, self.world.attempt(*(view.get(key) for key in self.keys)), strict=True):
            item = model.item(key)
            if not model.may(agent, "read", key):
                assert isinstance(got, errors.AccessDenied)
            elif not model.live(key):
                assert got is None
            else:
                assert (got.key, got.version, got.writer, got.priority) == (
                    key,
                    item.version,
                    item.writer,
                    item.priority,
                )
                assert same(got.value, item.value)
                assert (got.expires_at is None) == (item.expires is None)

    @rule(
        agent=agents, limit=st.sampled_from([1, 2, 100]),
        pattern=st.sampled_from(["*/{}/**", "**/{}/*", "s/{}/**", "a/{}/?", "w/{}/**", "**/{}/deep/*", "x/{}/k", "a/{}/k"]),
    )  # fmt: skip
    def list(self, agent: str, limit: int, pattern: str) -> None:
        view = self.world.views[agent]
        wanted = [key for key in self.keys if matches(pattern, key)]
        after, found = None, []
        while True:
            (page,) = self.world.attempt(view.list(pattern.format(self.home), limit=limit, after=after))
            if pattern[0] in "aswx" and pattern[0] not in RIGHTS[agent]["read"]:
                assert isinstance(page, errors.AccessDenied)
                return
            found += [(entry.key, entry.version, canon(entry.value)) for entry in page]
            after = page.after
            if after is None:
                break
        items = self.model.items
        assert found == [(key, items[key].version, canon(items[key].value)) for key in self.model.listed(agent, wanted)]

    @rule(agent=agents, directory=directories, leaf=leaves, limit=st.integers(1, 5))
    def history(self, agent: str, directory: str, leaf: str, limit: int) -> None:
        key, before, found = self._key(directory, leaf), None, []
        while True:
            (page,) = self.world.attempt(self.world.views[agent].history(key, limit=limit, before=before))
            if not self.model.may(agent, "read", key):
                assert isinstance(page, errors.AccessDenied)
                return
            found += page
            if not page:
                break
            before = page[-1].version
        told = [(v.version, v.op, canon(v.value), v.created, v.writer) for v in reversed(found)]
        log = self._log(key)
        gone = len(log) - len(told)
        assert 0 <= gone <= self.may_go.get(key, 0)
        log = log[gone:]
        assert told == [(row.version, row.op, as_json(row.value), row.created, row.writer) for row in log]

    @rule(agent=agents, directory=directories, leaf=leaves, lease=spans)
    def claim(self, agent: str, directory: str, leaf: str, lease: float) -> None:
        key, model = self._key(directory, leaf), self.model
        (got,) = self.world.attempt(self.world.views[agent].claim(key, lease))
        if not (model.may(agent, "read", key) and model.may(agent, "write", key)):
            assert isinstance(got, errors.AccessDenied)
        elif not model.live(key):
            assert got is None
        elif model.claim_of(key):
            assert isinstance(got, errors.ClaimHeld) and got.key == key
        else:
            self._taken(agent, key, got, lease)

    @rule(agent=agents, lease=spans, pattern=st.sampled_from(["s/{}/*", "s/{}/**", "*/{}/**", "a/{}/**", "w/{}/*"]))
    def claim_next(self, agent: str, lease: float, pattern: str) -> None:
        (got,) = self.world.attempt(self.world.views[agent].claim_next(pattern.format(self.home), lease))
        both = set(RIGHTS[agent]["read"]) & set(RIGHTS[agent]["write"])
        if pattern[0] != "*" and pattern[0] not in both:
            assert isinstance(got, errors.AccessDenied)
            return
        candidates = self.model.claimable(agent, [key for key in self.keys if matches(pattern, key)])
        if not candidates:
            assert got is None
        else:
            assert got.key in candidates
            self._taken(agent, got.key, got, lease)

    def _taken(self, agent: str, key: Key, got: Any, lease: float) -> None:
        known = [*self.old_tokens, *(claim.token for claim in self.model.claims.values())]
        if key in self.model.claims:
            self.old_tokens.append(self.model.claims[key].token)
        item = self.model.items[key]
        claim = self.model.take(agent, key, got.token, lease)
        assert got.token > max(known, default=0)
        assert (got.key, got.version, got.attempts) == (key, item.version, claim.attempts)
        assert same(got.value, item.value)

    @rule(
        agent=agents,
        directory=st.sampled_from("asw"),
        leaf=leaves,
        token=tokens,
        what=st.sampled_from(["renew", "release", "complete"]),
        lease=spans,
    )
    def with_the_claim(self, agent: str, directory: str, leaf: str, token: str | None, what: str, lease: float) -> None:
        key, model = self._key(directory, leaf), self.model
        number = self._token(token, key) or 1
        if what == "complete":
            self._write(agent, Op("complete", key, token=number))
            return
        view = self.world.views[agent]
        (got,) = self.world.attempt(view.renew(key, number, lease) if what == "renew" else view.release(key, number))
        claim = model.claims.get(key)
        holds = claim is not None and (claim.token, claim.holder) == (number, agent) and claim.until > model.now
        if not (model.may(agent, "read", key) and model.may(agent, "write", key)):
            assert isinstance(got, errors.AccessDenied)
        elif what == "release":
            assert got is holds
            if claim and holds:
                claim.until = float("-inf")
        elif claim and holds and model.live(key):
            assert (got.token, got.attempts) == (claim.token, claim.attempts)
            claim.until = model.now + lease
        else:
            assert isinstance(got, errors.StaleToken)

    @rule(
        agent=agents,
        guards=st.lists(st.tuples(st.sampled_from(["exists", "absent", "version", "wrong", "value", "token"]), directories, leaves), max_size=3),
        rows=st.lists(st.tuples(st.sampled_from(["put", "merge", "delete"]), directories, leaves, json_values, tokens), min_size=1, max_size=4),
    )  # fmt: skip
    def apply(self, agent: str, guards: Any, rows: Any) -> None:
        ops, documents = [], []
        for kind, directory, leaf in guards:
            key = self._key(directory, leaf)
            item = self.model.item(key)
            value = None if item.value is MISSING else item.value
            number = item.version + (kind == "wrong")
            token = self._token("current", key) or 1
            op, document = {
                "exists": (Op("exists", key), {"exists": True}),
                "absent": (Op("absent", key), {"absent": True}),
                "value": (Op("check", key, expect_value=value), {"value": value}),
                "token": (Op("check", key, token=token), {"token": token}),
            }.get(kind, (Op("check", key, expect=number), {"version": number}))
            ops.append(op)
            documents.append({"key": key, **document})
        count = len(ops)
        for kind, directory, leaf, value, which in rows:
            op = Op(
                kind,
                self._key(directory, leaf),
                None if kind == "delete" else value,
                token=self._token(which, self._key(directory, leaf)),
            )
            if kind == "merge":
                op.reducer = "union"
            ops.append(op)
            document = {"op": kind, "key": op.key}
            document |= {"put": {"value": value}, "merge": {"operand": value, "reducer": "union"}, "delete": {}}[kind]
            documents.append(document if op.token is None else {**document, "token": op.token})
        (got,) = self.world.attempt(
            self.world.views[agent].apply(guards=documents[:count], operations=documents[count:])
        )
        outs = self.model.write(agent, ops, atomic=True)
        refused = [(op, out) for op, out in zip(ops, outs, strict=True) if out.status not in ("ok", "skipped")]
        # what is an error comes before what is a conflict
        refused.sort(key=lambda pair: not pair[1].status.startswith("PS"))
        if not refused:
            assert [(row.key, row.status, row.version) for row in got] == [
                (op.key, "ok", out.version) for op, out in zip(ops, outs, strict=True)
            ]
        elif refused[0][1].status == "missing":
            assert isinstance(got, errors.VersionConflict) and (got.key, got.current) == (refused[0][0].key, None)
        else:
            op, out = refused[0]
            self._compare(op, got, out)

    @rule(by=advances, settle=st.booleans())
    def time_passes(self, by: float, settle: bool) -> None:
        self.world.run(self.world.clock.advance(by))
        self.model.now += by
        if settle:
            self.expire()

    @rule()
    def expire(self) -> None:
        self.world.run(self.world.expire())
        self.model.expire()

    @rule(agent=agents, limit=st.integers(1, 20), stop=st.integers(0, 20))
    def consume(self, agent: str, limit: int, stop: int) -> None:
        """Reads a page, and is killed after some change of it."""
        cursor, count, when = self.cursors[agent][-1]
        assert count == len(self.received[agent])
        (page,) = self.world.attempt(self.world.views[agent].changes(cursor, self._patterns(agent), limit=limit))
        refused = isinstance(page, errors.CursorExpired)
        self._check_refusal(refused, when)
        if refused:
            self.start_again(agent)
            return
        assert len(page) <= limit
        taken = page.changes[:stop] or page.changes
        self.received[agent] += [as_told(change) for change in taken]
        cursor = page.cursor if len(taken) == len(page) else taken[-1].cursor
        # one from inside a page is as old as the page's
        self.cursors[agent].append((cursor, len(self.received[agent]), self._now_here() if not taken else when))

    def _rest(self, agent: str, cursor: str, taken: Taken, limits: Iterable[int]) -> list[tuple[Any, ...]] | None:
        """All that comes from a cursor on; None from one that is refused."""
        (page,) = self.world.attempt(self.world.views[agent].changes(cursor, self._patterns(agent)))
        refused = isinstance(page, errors.CursorExpired)
        self._check_refusal(refused, taken)
        return None if refused else [as_told(change) for change in self._drain(agent, cursor, limits)]

    def teardown(self) -> None:
        super().teardown()
        if sys.exc_info()[0] is not None:
            return  # a rule has failed: what follows from that is no news
        for agent in RIGHTS:
            cursor, _, when = self.cursors[agent][-1]
            rest = self._rest(agent, cursor, when, [7])
            told = self.received[agent] + (self._missed(agent, self.received[agent]) if rest is None else rest)
            log = [row for row in self.model.log if self.model.may(agent, "read", row.key)]
            moments = {(row.key, row.version): row.moment for row in log}
            expected = sorted(log, key=lambda row: (row.moment, row.key, row.version))
            in_order = sorted(told, key=lambda row: (moments[row[0], row[1]], row[0], row[1]))
            assert in_order == [as_logged(row) for row in expected]
            # together, or one after the other
            assert [moments[row[0], row[1]] for row in told] == [row.moment for row in expected]
            for key in self.keys:
                versions = [row[1] for row in told if row[0] == key]
                assert versions == sorted(versions)
            for cursor, count, when in self.cursors[agent][:: max(1, len(self.cursors[agent]) // 3)]:
                assert self._rest(agent, cursor, when, range(1, 21)) in (None, told[count:])


@pytest.mark.parametrize("examples", first_of([12, 35]))
async def test_the_key_space(
    state: State,
    gateway: Connect,
    make_agent: MakeLogin,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    connect: Connect,
    connect_as: Any,
    at_length: bool,
    examples: int,
) -> None:
    # expiry is written when the model says so
    monkeypatch.setattr(_core, "_PULSE", 3600.0)
    for name in ("alice", "bob"):
        grants = [f"{right} {directory}/**" for right, where in RIGHTS[name].items() for directory in where]
        await make_agent(name, *grants)
    shared = await gateway("alice", "bob")
    # clients made before the pulse was slowed down
    await state.close()
    views = {"admin": await connect(), "alice": shared.as_agent("alice"), "bob": shared.as_agent("bob")}
    admin = await connect_as()
    # where there is no policy at all, an unknown reducer is told before anything else
    await views["admin"].set_policy("elsewhere", value_limit=1000)
    inside = await connect_as(SUPERUSER)
    world = World(views, clock, lambda: admin.execute("select pgstate.expire()"), inside.fetch)
    exploring = settings().max_examples > 100
    how = settings(
        max_examples=settings().max_examples if exploring else 150 if at_length else examples,
        stateful_step_count=50,
        suppress_health_check=list(HealthCheck),
        # making a failure small takes minutes
        phases=[Phase.generate, *([Phase.shrink] if exploring else [])],
    )
    await asyncio.to_thread(run_state_machine_as_test, lambda: KeySpace(world), settings=how)
