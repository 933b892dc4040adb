"""Threads with their checkpoints, and runs with their steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """A thread: the checkpoint that was saved last and its namespace, how many there are in all, and the bytes that
    were sent for them. `forked_from` is the key that it was forked from, `forked_id` the checkpoint (None: all)."""

    key: str
    checkpoint: str | None
    ns: str | None
    checkpoints: int
    bytes: int
    version: int
    writer: str
    via: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    forked_from: str | None
    forked_id: str | None


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """A checkpoint without its values. `id` rises with time within a namespace; `parent` is the one that it came
    after, `channels` the names of its values, `size` the bytes that were sent for it."""

    key: str
    namespace: str
    id: str
    parent: str | None
    metadata: Any
    channels: list[str]
    size: int
    created_at: datetime
    writer: str
    via: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of a checkpoint, as anybody can read it: `value` where it is JSON (NaN and what else only Python reads
    too), else None and the serializer's `type` (None: the channel has no value). `version` is as the caller counts,
    None where none is told."""

    name: str
    type: str | None
    version: str | None
    value: Any


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """What a task wrote to a channel after a checkpoint, and no later one holds yet."""

    task_id: str
    channel: str
    value: Any
    idx: int
    task_path: str


@dataclass(frozen=True, slots=True)
class Checkpoint(CheckpointInfo):
    """A checkpoint: `state` has its channels, `writes` what tasks wrote after it."""

    state: dict[str, Any]
    writes: list[PendingWrite]


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run. `state` is waiting, running, done, failed or cancelled; `step` the step that was finished last, `steps`
    how many are; `holder` and `lease_until` who works on it. `result` and `input` where they are JSON."""

    key: str
    name: str | None
    state: str
    step: str | None
    steps: int
    holder: str | None
    lease_until: datetime | None
    attempts: int
    priority: int
    ready_at: datetime | None
    deadline: datetime | None
    error: str | None
    result: Any
    input: Any
    code: str | None
    parent: str | None
    forked_from: str | None
    forked_step: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class StepInfo:
    """A step of a run. `kind` is step, map, sleep, signal, child, now or undo, `state` pending, done or failed;
    `position` the how many-eth of the code it is; `attempts` how often who finished it tried; `due_at` until when it
    sleeps, or waits for a signal; `token` that of the worker that recorded it. `result` where it is JSON."""

    step: str
    name: str
    kind: str
    state: str
    position: int | None
    result: Any
    error: str | None
    attempts: int
    started_at: datetime
    finished_at: datetime | None
    due_at: datetime | None
    token: int | None
