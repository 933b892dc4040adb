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
class Rekeyed:
    """What `State.rekey` has done: how many payloads it has sealed anew under `current`; how many it could not open, of
    another scope or key; and how many there are now under each key, by its id. A key that is not among these may be
    deleted, once no client writes with it."""

    current: str
    rewritten: int
    unopened: int
    keys: dict[str, int]

    @property
    def complete(self) -> bool:
        """Nothing is left under another key."""
        return not self.keys.keys() - {self.current}
