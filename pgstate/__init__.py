"""pgstate: the state layer for AI agents, in the Postgres that you already have."""

from pgstate import errors, ops
from pgstate._areas._watch import Watch
from pgstate._keys import key
from pgstate.client import State, connect
from pgstate.errors import (
    AccessDenied,
    ClaimHeld,
    CursorExpired,
    PgStateError,
    StaleToken,
    VersionConflict,
)
from pgstate.types import (
    UNSET,
    Agent,
    Change,
    ChangePage,
    Claim,
    Entry,
    Grant,
    HeldClaim,
    Info,
    Page,
    Result,
    Stats,
    Version,
)

__all__ = [
    "UNSET",
    "AccessDenied",
    "Agent",
    "Change",
    "ChangePage",
    "Claim",
    "ClaimHeld",
    "CursorExpired",
    "Entry",
    "Grant",
    "HeldClaim",
    "Info",
    "Page",
    "PgStateError",
    "Result",
    "StaleToken",
    "State",
    "Stats",
    "Version",
    "VersionConflict",
    "Watch",
    "connect",
    "errors",
    "key",
    "ops",
]
