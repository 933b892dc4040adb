"""What `State.rekey` tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RekeyProgress:
    """How far `State.rekey` has come: in which round, at what, with how many of all blocks of the tables, and how many
    payloads it has sealed anew."""

    round: int
    stage: str
    done: int
    total: int
    rewritten: int


@dataclass(frozen=True, slots=True)
class Unopened:
    """A payload that `State.rekey` could not open: of another scope, changed, or never sealed by who wrote it.

    `part` is chunk, checkpoint, header, pending_write (of the thread `key`), input, result, step or signal (of the run
    `key`, which is None when it was deleted). `name` says what there: of a chunk its hash, of a checkpoint its id and
    the channel, of a pending write its checkpoint, task and index, of a step its id, of a signal its name and number.
    `sealed_under` is the id of the key that it names.
    """

    part: str
    key: str | None
    name: str | None
    sealed_under: str


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What `State.rekey` has done: how many payloads it has sealed anew under `current`; how many it could not open, of
    another scope or key, and the first thousand of these; and how many there are now under each key, by its id. A key
    that is not among these may be deleted, once no client writes with it. `left` is how many of those under other keys
    were passed over, since others had them locked or were writing them: the next call does them."""

    current: str
    rewritten: int
    unopened: int
    keys: dict[str, int]
    left: int
    unopened_at: tuple[Unopened, ...]

    @property
    def complete(self) -> bool:
        """Nothing is left under another key, be it that it does not open."""
        return not self.keys.keys() - {self.current}
