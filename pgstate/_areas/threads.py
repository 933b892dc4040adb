"""Threads: recorded executions and their checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel

from pgstate import errors
from pgstate._areas import _threads
from pgstate._areas._base import Area, seconds
from pgstate._bound import BoundCore
from pgstate._calls import threads
from pgstate._codec import JSON, Serializer, decode, encode
from pgstate._core import Core
from pgstate._json import decode_told
from pgstate._json import encode as encode_json
from pgstate.types import UNSET, Channel, Checkpoint, CheckpointInfo, PendingWrite, Row, Seconds, ThreadInfo, _Unset

_PAGE = 200


class Threads(Area):
    """thread, threads, delete_runs."""

    def thread(self, key: str, *, namespace: str = "", serializer: Serializer = JSON) -> Thread:
        """The thread under a key, whether or not there is one. `namespace` is that of a nested agent within it;
        `serializer` turns values into bytes and back, and what it was saved with must read it."""
        return Thread(self._core, self._agent, self._prefix, self._timeout, self._key(key), namespace, serializer)

    async def threads(
        self, pattern: str = "", *, limit: int | None = 1000, after: str | None = None
    ) -> list[ThreadInfo]:
        """Threads that match a pattern and that the agent may read, in key order; `after` is the last key of the page
        before. Raises InvalidPattern, InvalidKey, InvalidArgument, AccessDenied when the pattern reaches nothing that
        the agent may read."""
        full = self._pattern(pattern)
        start = None if after is None else self._key(after)
        with self._to(f"list threads of {full or 'everything'}", "read", full):
            rows = await self._core.call(
                lambda c, left: threads.threads(c, full, limit, start, self._agent, timeout=left), self._timeout
            )
        return [ThreadInfo(**{**row, "key": row["key"][self._skip :]}) for row in rows]

    async def delete_runs(self, run_ids: Iterable[str]) -> int:
        """Removes the checkpoints that these runs made (their metadata's `run_id`), of all threads that the agent may
        read and write, but those that others cannot be read without. Returns how many. Raises ClaimHeld when a thread
        that somebody has claimed was left out."""
        ids = list(run_ids)
        row = await self._core.call_once(
            lambda c, lane, left: threads.delete_runs(c, ids, lane.id, lane.turn, self._agent, timeout=left),
            self._agent,
            self._timeout,
        )
        if row["status"] == "held":
            raise errors.ClaimHeld(f"{row['removed']} were removed, and claimed threads left out", "")
        return int(row["removed"])


class Thread(Area):
    """A recorded execution. Its checkpoints are points to go on from, by namespace; the head of it is the entry under
    its key, which the same grants guard and watches see.

    One object follows one line: what it saves comes after what it saved or read last (`latest`). So who goes on after
    the thread was deleted is refused, and who saves after somebody else saved has made a branch, unless `expect_head`
    refuses that.
    """

    def __init__(
        self,
        core: Core | BoundCore,
        agent: str | None,
        prefix: str,
        timeout: float,
        full: str,
        namespace: str,
        serializer: Serializer,
    ) -> None:
        super().__init__(core, agent, prefix, timeout)
        self._full = full
        self._ns = namespace
        self._given = serializer
        self._serializer = core.guard.sealed(serializer, full)
        self._last: str | None = None

    @property
    def key(self) -> str:
        """The key."""
        return self._full[self._skip :]

    def namespace(self, name: str) -> Self:
        """A namespace of the same thread, for a nested agent; it has checkpoints of its own."""
        return self._other(self._full, f"{self._ns}|{name}" if self._ns else name)

    def _other(self, full: str, namespace: str) -> Self:
        return type(self)(self._core, self._agent, self._prefix, self._timeout, full, namespace, self._given)

    async def save(
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

        `expect_head` refuses unless this is the latest checkpoint (None: unless there is none). `parent` is the one
        that it comes after: what this object saved or read last, else the latest; None begins a thread, also one that
        was deleted. `ttl` is how long the thread stays after this and every later save, 0 for ever; without it, what
        it was, or what a policy says. `token` is that of a claim of the thread.

        Raises CheckpointConflict (with `.head`), CheckpointMissing when the parent is not there, as in a thread that
        was deleted, ClaimHeld, StaleToken, InvalidKey, InvalidValue, WrongKind, AccessDenied (takes read and write),
        Timeout, Unreachable.
        """
        passed = _threads.Known.of(self._core).get((self._agent, self._full, self._ns))
        guard, channels = self._core.guard, _channels(state)
        if guard.detection is not None:
            for value in channels.values():
                await guard.detection.written(self._full, value)
        encoded = encode(channels, self._serializer, guard=guard, passed=passed)
        after = self._last if isinstance(parent, _Unset) else parent or ""
        with self._to(f"save a checkpoint of {self._full}", "read and write", self._full):
            row = await _threads.save(
                self._core,
                self._agent,
                self._full,
                encoded,
                metadata=None if metadata is None else guard.json(encode_json(metadata)),
                timeout=self._timeout,
                ns=self._ns,
                parent=after,
                expect_head=None if isinstance(expect_head, _Unset) else expect_head or "",
                ttl=None if ttl is None else seconds(ttl),
                token=token,
            )
        return self._saved(row, f"checkpoint {after} of {self.key} is not there: the thread was deleted, or pruned")

    def _saved(self, row: Row, missing: str) -> str:
        if row["status"] != "ok":
            raise self._refused(row["status"], row.get("head"), missing)
        self._last = str(row["id"])
        return self._last

    def _refused(self, status: str, head: str | None, missing: str) -> errors.PgStateError:
        if status == "missing":
            return errors.CheckpointMissing(missing, self.key)
        self._core.stats.conflicts += 1
        if status == "held":
            return errors.ClaimHeld(f"{self.key} is claimed: save with the token of the claim", self.key)
        if status == "stale":
            return errors.StaleToken(f"the token for {self.key} is not that of its current claim", self.key)
        return errors.CheckpointConflict(
            f"the latest checkpoint of {self.key} is {head or 'none'}, not as expected", self.key, head
        )

    async def latest(self) -> Checkpoint | None:
        """The latest checkpoint of the namespace, None if there is none. Raises AccessDenied (takes read), InvalidKey,
        InvalidValue for one that was saved with another serializer."""
        found = await self._get(None)
        if found is not None:
            self._last = found.id
        return found

    async def get(self, id: str) -> Checkpoint | None:
        """A checkpoint by its id, None if it is not there. Raises as `latest`."""
        return await self._get(id)

    async def _get(self, id: str | None) -> Checkpoint | None:
        row = await self._stored(id)
        if row["status"] != "ok":
            return None
        chunks = _threads.chunks_of(row)
        _threads.Known.of(self._core).set((self._agent, self._full, self._ns), frozenset(chunks))
        return Checkpoint(
            **self._info(row),
            state=decode(row["names"], row["types"], row["data"], chunks, self._serializer),
            writes=[
                PendingWrite(task, channel, self._serializer.loads_typed(value), idx, path)
                for task, path, idx, channel, value in _threads.writes_of(row)
            ],
        )

    async def _stored(self, id: str | None) -> Row:
        with self._to(f"read checkpoints of {self._full}", "read", self._full):
            return await self._core.call(
                lambda c, left: threads.get_checkpoint(c, self._full, id, self._ns, self._agent, timeout=left),
                self._timeout,
            )

    def _info(self, row: Row) -> dict[str, Any]:
        return {
            "key": row["key"][self._skip :],
            "namespace": row["ns"],
            "id": row["id"],
            "parent": row["parent"],
            "metadata": decode_told(row["metadata"]),
            "channels": list(row["names"]),
            "size": row["size"],
            "created_at": row["created_at"],
            "writer": row["writer"],
            "via": row["via"],
        }

    async def channels(self, id: str | None = None) -> list[Channel]:
        """The channels of a checkpoint, the latest unless an id is given, whatever they were saved with; none if it is
        not there. Raises AccessDenied (takes read), InvalidKey."""
        rows = await self._told(id)
        beyond: dict[str, Any] = {}
        if any(row["type"] == "json" and row["value"] is None for row in rows):
            # NaN, say: PostgreSQL does not read it, and Python does
            stored = await self._stored(id)
            if stored["status"] == "ok":
                rows = await self._told(str(stored["id"]))
                names = {row["channel"] for row in rows if row["type"] == "json" and row["value"] is None}
                beyond = _threads.read_json(stored, names)
        return [
            Channel(name := row["channel"], row["type"], row["version"], beyond.get(name, decode_told(row["value"])))
            for row in rows
        ]

    async def _told(self, id: str | None) -> Sequence[Row]:
        with self._to(f"read checkpoints of {self._full}", "read", self._full):
            return await self._core.call(
                lambda c, left: threads.checkpoint_state(c, self._full, id, self._ns, self._agent, timeout=left),
                self._timeout,
            )

    async def history(
        self, limit: int | None = None, *, before: str | None = None, where: Mapping[str, Any] | None = None
    ) -> AsyncIterator[CheckpointInfo]:
        """The checkpoints of the namespace without their values, newest first, in pages as they are asked for: all, or
        `limit` of them (at least 1). `before` leaves out those from this id on, `where` those whose metadata does not
        contain this. Raises as `latest`, InvalidArgument."""
        fits = None if where is None else encode_json(where)
        left_over = limit
        while True:
            size = _PAGE if left_over is None else min(_PAGE, left_over)
            rows = await self._page(size, before, fits)
            for row in rows:
                yield CheckpointInfo(**self._info(row))
            left_over = None if left_over is None else left_over - size
            if len(rows) < size or left_over == 0:
                return
            before = rows[-1]["id"]

    async def _page(self, size: int, before: str | None, where: str | None) -> Sequence[Row]:
        with self._to(f"list checkpoints of {self._full}", "read", self._full):
            return await self._core.call(
                lambda c, left: threads.checkpoints(
                    c, self._full, self._ns, before, size, where, None, self._agent, timeout=left
                ),
                self._timeout,
            )

    async def fork(self, id: str | None, key: str, *, history: bool = False, ttl: Seconds | None = None) -> Thread:
        """Makes a thread under another key from a checkpoint of this one (None: the latest), with the writes after it,
        and returns it; with `history` from all checkpoints of all namespaces. Values are not copied. Raises
        CheckpointConflict when there is a thread under that key, CheckpointMissing, WrongKind, AccessDenied (takes read
        here, read and write there)."""
        target = self._key(key)
        span = None if ttl is None else seconds(ttl)
        with self._to(f"fork {self._full} to {target}", "read there, and read and write on the fork", self._full):
            row = await self._core.call_once(
                lambda c, lane, left: threads.fork_thread(
                    c, self._full, target, id, self._ns, history, span, lane.id, lane.turn, self._agent, timeout=left
                ),
                self._agent,
                self._timeout,
            )
        fork = self._other(target, self._ns)
        if row["status"] == "conflict":
            raise errors.CheckpointConflict(f"there is a thread under {fork.key}", fork.key, row["head"])
        if row["status"] != "ok":
            raise self._refused(row["status"], None, f"{self.key} has no checkpoint {id or 'at all'}")
        if not history:
            fork._last = row["id"]
        # what it reaches there it need not be sent
        known = _threads.Known.of(self._core)
        known.set((self._agent, target, self._ns), known.get((self._agent, self._full, self._ns)))
        return fork

    async def rollback(self, id: str, *, metadata: Mapping[str, Any] | None = None, token: int | None = None) -> str:
        """Goes back to a checkpoint by a new one with its values, which becomes the latest, and returns the id of that.
        Those between stay. Raises CheckpointMissing, ClaimHeld, StaleToken, AccessDenied (takes read and write)."""
        told = None if metadata is None else encode_json(metadata)
        with self._to(f"roll {self._full} back", "read and write", self._full):
            row = await self._core.call_once(
                lambda c, lane, left: threads.rollback_thread(
                    c, self._full, id, self._ns, told, token, lane.id, lane.turn, self._agent, timeout=left
                ),
                self._agent,
                self._timeout,
            )
        return self._saved(row, f"{self.key} has no checkpoint {id}")

    async def delete(self, *, token: int | None = None) -> bool:
        """Deletes the thread, all namespaces of it; was there one? Who goes on saving to it is refused. Raises
        ClaimHeld, StaleToken, WrongKind, AccessDenied (takes read and write)."""
        with self._to(f"delete {self._full}", "read and write", self._full):
            row = await self._core.call_once(
                lambda c, lane, left: threads.delete_thread(
                    c, self._full, token, lane.id, lane.turn, self._agent, timeout=left
                ),
                self._agent,
                self._timeout,
            )
        if row["status"] in ("ok", "missing"):
            return bool(row["status"] == "ok")
        raise self._refused(row["status"], None, "")

    async def prune(self, keep: int = 1, *, everywhere: bool = False, token: int | None = None) -> int:
        """Removes all but the newest `keep` checkpoints of the namespace, or of each namespace with `everywhere`, and
        returns how many went. Raises InvalidArgument, ClaimHeld, StaleToken, WrongKind, AccessDenied (takes read and
        write)."""
        return await self._prune(keep, None if everywhere else self._ns, token, None)

    async def _prune(self, keep: int, ns: str | None, token: int | None, ids: list[str] | None) -> int:
        with self._to(f"prune {self._full}", "read and write", self._full):
            row = await self._core.call_once(
                lambda c, lane, left: threads.prune_thread(
                    c, self._full, keep, ns, token, lane.id, lane.turn, self._agent, ids, timeout=left
                ),
                self._agent,
                self._timeout,
            )
        if row["status"] in ("ok", "missing"):
            return int(row["removed"] or 0)
        raise self._refused(row["status"], None, "")

    async def put_writes(
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
        if (detection := self._core.guard.detection) is not None:
            for _, value in writes:
                await detection.written(self._full, value)
        typed = [self._serializer.dumps_typed(value) for _, value in writes]
        with self._to(f"put writes to {self._full}", "read and write", self._full):
            await self._core.call(
                lambda c, left: threads.put_writes(
                    c,
                    self._full,
                    checkpoint,
                    task_id,
                    [*range(len(writes))],
                    [channel for channel, _ in writes],
                    [type_ for type_, _ in typed],
                    [self._core.guard.typed(type_, data) for type_, data in typed],
                    self._ns,
                    task_path,
                    replace,
                    self._agent,
                    timeout=left,
                ),
                self._timeout,
            )


def _channels(state: Any) -> Mapping[str, Any]:
    if isinstance(state, Mapping):
        wrong = [name for name in state if not isinstance(name, str)]
        if wrong:
            raise errors.InvalidValue(f"names of channels are strings, not {wrong[0]!r:.80}")
        return state
    if isinstance(state, BaseModel):
        return {name: getattr(state, name) for name in type(state).model_fields}
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    raise errors.InvalidValue(f"a checkpoint is a mapping, a Pydantic model or a dataclass, not {type(state).__name__}")
