"""Rules of the state machine about policies, retention and restores: what is written is held to rules, and history ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from client._model import MISSING, Key, Op
from client._past_rules import Past
from client._world import agents, as_logged, directories, leaves
from pgstate import errors

# of no sum of advances, as the spans
_AGE = 5000.0
_SUBTREES = st.sampled_from(["{}/{}/**", "{}/{}/deep/**", "{}/{}/k", "{}/{}/deep/k"])
_SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "reducer": st.sampled_from(["append", "add", "replace", "union", "max"]),
        "ttl": st.sampled_from([2050.0, 0.0]),
        "keep": st.sampled_from([1, 1, 2, _AGE, "everything"]),
        "value_limit": st.just(20000),
        "schema": st.sampled_from([{"type": "array"}, {"type": ["integer", "string", "array"], "maxItems": 4}, True]),
    },
)


class Ruled(Past):
    def _subtree(self, form: str, directory: str) -> str:
        return form.format(directory, self.home)

    @rule(agent=st.sampled_from(["admin", "admin", "admin", "alice"]), form=_SUBTREES, directory=directories, settings=_SETTINGS)  # fmt: skip
    def set_policy(self, agent: str, form: str, directory: str, settings: dict[str, Any]) -> None:
        subtree, given = self._subtree(form, directory), dict(settings)
        if isinstance(given.get("keep"), float):
            given["keep"] = timedelta(seconds=given["keep"])
        (got,) = self.world.attempt(self.world.views[agent].set_policy(subtree, **given))
        if agent != "admin":
            assert isinstance(got, errors.AccessDenied)
        elif not settings:
            assert isinstance(got, errors.InvalidArgument)
        else:
            assert got is None
            self.model.policies[subtree] = {**self.model.policies.get(subtree, {}), **settings}

    @precondition(lambda self: self.model.policies)
    @rule(which=st.integers(0, 9), all_of_it=st.booleans())
    def drop_policy(self, which: int, all_of_it: bool) -> None:
        subtree = sorted(self.model.policies)[which % len(self.model.policies)]
        settings = self.model.policies[subtree]
        names = None if all_of_it else sorted(settings)[:1]
        self.world.run(self.world.views["admin"].drop_policy(subtree, names))
        for name in names or list(settings):
            del settings[name]
        if not settings:
            del self.model.policies[subtree]

    @rule(directory=directories, leaf=leaves)
    def explain_policy(self, directory: str, leaf: str) -> None:
        key = self._key(directory, leaf)
        told = self.world.run(self.world.views["admin"].explain_policy(key))
        where = {row.setting: row.subtree for row in told if row.subtree is not None}
        assert where == {name: subtree for name, (_, subtree) in self.model.settings(key).items()}

    @rule(agent=agents, directory=directories, leaf=leaves, value=st.sampled_from([1, "a", [1], ["b"]]), tell=st.booleans())  # fmt: skip
    def merge_by_policy(self, agent: str, directory: str, leaf: str, value: Any, tell: bool) -> None:
        self._write(agent, Op("merge", self._key(directory, leaf), value, return_value=tell))

    @rule(agent=agents, directory=directories, leaf=leaves, grows=st.booleans())
    def write_much(self, agent: str, directory: str, leaf: str, grows: bool) -> None:
        key = self._key(directory, leaf)
        value = [self.world.large]
        self._write(agent, Op("merge", key, value, reducer="append") if grows else Op("put", key, value))

    @rule()
    def maintain(self) -> None:
        removed, more = 0, True
        while more:
            done = self.world.run(self.world.views["admin"].maintain())
            assert done.status == "ok"
            removed, more = removed + done.removed, done.more
        if removed:
            self.last_removal = self.model.now
        for key in self.keys:
            self.may_go[key] = max(self.may_go.get(key, 0), self._may_go(key))
        there = {row[0] for row in self.world.inside("select key from pgstate.entry where key = any ($1)", self.keys)}
        for key in set(self.model.items) - there:
            if self.model.items[key].version > 0:
                # with all of its history
                assert self.may_go[key] == len(self._log(key))
                del self.model.items[key]
                self.model.claims.pop(key, None)
        ((self.model.floor,),) = self.world.inside(self.world.FLOOR)

    def _may_go(self, key: Key) -> int:
        """How many versions, from the first one that there was, no policy keeps."""
        log = self._log(key)
        keep, _ = self.model.settings(key).get("keep", ("everything", ""))
        if keep == "everything" or not log:
            return 0
        dead = log[-1].value is MISSING
        if isinstance(keep, int):
            return len(log) if dead and keep == 1 else max(len(log) - keep, 0)
        old = [number for number, row in enumerate(log) if row.at <= self.model.now - keep]
        if not old:
            return 0
        return len(log) if dead and old[-1] == len(log) - 1 else old[-1]

    @rule()
    def restore(self) -> None:
        """As in another cluster: transaction ids of before mean nothing, all else goes on."""
        self.world.inside("update pgstate.install set identity = '1:1'")
        (refused,) = self.world.attempt(self.world.views["admin"].cursor())
        assert isinstance(refused, errors.FeedUnavailable)
        self.world.run(self.world.views["admin"].put(f"restored-{self.home}", self.restores))
        self.restores += 1

    def _missed(self, agent: str, received: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        had = {(row[0], row[1]) for row in received}
        log = [row for row in self.model.log if self.model.may(agent, "read", row.key)]
        missed = [row for row in log if (row.key, row.version) not in had]
        return [as_logged(row) for row in sorted(missed, key=lambda row: (row.moment, row.key, row.version))]

    def start_again(self, agent: str) -> None:
        """What a consumer does whose cursor was refused: it takes a new one, and looks for what it has missed."""
        cursor = self.world.run(self.world.views[agent].cursor())
        self.received[agent] += self._missed(agent, self.received[agent])
        self.cursors[agent].append((cursor, len(self.received[agent]), self._now_here()))

    def teardown(self) -> None:
        for subtree in self.model.policies:
            self.world.run(self.world.views["admin"].drop_policy(subtree))
