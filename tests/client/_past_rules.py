"""Rules of the state machine about the past: it stays readable as it was, and can be gone back to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from client._machine import Machine, Taken
from client._model import Key, Op, same
from client._world import World, agents, directories, matches
from pgstate import errors


class Past(Machine):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        # cursors and times, with what was there then, which keys were about to expire (of those a cursor does not tell
        # when), and when that was
        self.pasts: list[tuple[str | datetime, dict[Key, tuple[int, Any]], set[Key], Taken]] = []

    def _lasting(self) -> dict[Key, tuple[int, Any]]:
        items = {key: self.model.item(key) for key in self.keys}
        return {key: (item.version, item.value) for key, item in items.items() if item.live and item.expires is None}

    @rule()
    def remember(self) -> None:
        cursor = self.world.run(self.world.views["admin"].cursor())
        passing = {key for key in self.keys if self.model.item(key).expires is not None}
        self.pasts.append((cursor, self._lasting(), passing, self._now_here()))

    @rule()
    def remember_the_time(self) -> None:
        self.world.inside(self.world.RECORD)
        time = self.world.run(self.world.clock.now())
        passing = {key for key in self.keys if self.model.item(key).expires is not None}
        self.pasts.append((time, self._lasting(), passing, self._now_here()))

    @precondition(lambda self: self.pasts)
    @rule(agent=agents, which=st.integers(0, 99), pattern=st.sampled_from(["*/{}/**", "s/{}/*", "a/{}/**"]))
    def read_the_past(self, agent: str, which: int, pattern: str) -> None:
        ref, there, passing, taken = self.pasts[which % len(self.pasts)]
        view, model = self.world.views[agent], self.model
        (listed,) = self.world.attempt(view.list(pattern.format(self.home), as_of=ref))
        refused = isinstance(listed, errors.CursorExpired)
        if not isinstance(listed, errors.AccessDenied):
            self._check_refusal(refused, taken, ref)
        asked = self.world.attempt(*(view.get(key, as_of=ref) for key in self.keys))
        for key, got in zip(self.keys, asked, strict=True):
            if not model.may(agent, "read", key):
                assert isinstance(got, errors.AccessDenied)
            elif isinstance(got, errors.CursorExpired):
                self._check_refusal(True, taken, ref)
                assert refused or isinstance(listed, errors.AccessDenied)
            elif key not in there:
                assert got is None or key in passing
            else:
                assert got.version == there[key][0] and same(got.value, there[key][1])
        if isinstance(listed, errors.PgStateError):
            return
        wanted = [key for key in sorted(there) if matches(pattern, key) and model.may(agent, "read", key)]
        assert [entry.key for entry in listed if entry.key not in passing] == wanted

    @precondition(lambda self: self.pasts)
    @rule(directory=directories, which=st.integers(0, 99))
    def go_back(self, directory: str, which: int) -> None:
        ref, there, passing, taken = self.pasts[which % len(self.pasts)]
        keys = [key for key in self.keys if key[0] == directory]
        if any(self.model.claim_of(key) or key in passing or self.model.item(key).expires is not None for key in keys):
            return
        now = self._lasting()
        ops = []
        for key in keys:
            if key in there and (key not in now or not same(now[key][1], there[key][1])):
                ops.append(Op("put", key, there[key][1]))
            elif key in now and key not in there:
                ops.append(Op("delete", key))
        admin, pattern = self.world.views["admin"], f"{directory}/{self.home}/**"
        (shown,) = self.world.attempt(admin.rollback(pattern, ref, dry_run=True))
        refused = isinstance(shown, errors.CursorExpired)
        self._check_refusal(refused, taken, ref)
        (done,) = self.world.attempt(admin.rollback(pattern, ref))
        if refused:
            assert isinstance(done, errors.CursorExpired)
            return
        outs = self.model.write("admin", ops, atomic=True)
        faults = sorted((op.key, out.status) for op, out in zip(ops, outs, strict=True) if out.status.startswith("PS"))
        if faults:
            # what policies of today do not let pass does not come back, and nothing else does
            kinds = {"PS004": errors.ValueTooLarge, "PS008": errors.SchemaViolation}
            assert type(done) is kinds[faults[0][1]]
            return
        told = sorted((op.key, op.op, out.version) for op, out in zip(ops, outs, strict=True))
        assert sorted((row.key, row.action, row.version) for row in done) == told
        assert [(row.key, row.action, row.from_version, row.to_version) for row in shown] == [
            (row.key, row.action, row.from_version, row.to_version) for row in done
        ]
        for row in done:
            assert row.status == "ok"
            assert (row.from_version, row.to_version) == (now.get(row.key, (0,))[0], there.get(row.key, (0,))[0])
            assert row.action == "delete" or same(row.new, there[row.key][1])
