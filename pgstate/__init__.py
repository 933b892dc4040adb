"""pgstate: the state layer for AI agents, in the Postgres that you already have."""

from pgstate import errors, ops, reducers
from pgstate._areas._typed_watch import TypedWatch
from pgstate._areas._watch import Watch
from pgstate._areas.typed import TypedState
from pgstate._keys import key
from pgstate.client import BoundState, State, connect
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
    FieldChange,
    Grant,
    HeldClaim,
    Info,
    Maintained,
    Page,
    Policy,
    PolicySetting,
    Result,
    RolledBack,
    Stats,
    Version,
)

__all__ = [
    "UNSET",
    "AccessDenied",
    "Agent",
    "BoundState",
    "Change",
    "ChangePage",
    "Claim",
    "ClaimHeld",
    "CursorExpired",
    "Entry",
    "FieldChange",
    "Grant",
    "HeldClaim",
    "Info",
    "Maintained",
    "Page",
    "PgStateError",
    "Policy",
    "PolicySetting",
    "Result",
    "RolledBack",
    "StaleToken",
    "State",
    "Stats",
    "TypedState",
    "TypedWatch",
    "Version",
    "VersionConflict",
    "Watch",
    "connect",
    "errors",
    "key",
    "ops",
    "reducers",
]
