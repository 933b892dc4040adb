"""pgstate: the state layer for AI agents, in the Postgres that you already have."""

from pgstate import errors, ops, reducers
from pgstate._areas._held import Lock, Task
from pgstate._areas._typed_watch import TypedWatch
from pgstate._areas._watch import Watch
from pgstate._areas.typed import TypedState
from pgstate._keys import key
from pgstate.client import State, connect
from pgstate.errors import (
    AccessDenied,
    ClaimHeld,
    CursorExpired,
    LeaseLost,
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
    Failed,
    FieldChange,
    ForcedRelease,
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
    TaskState,
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
    "Failed",
    "FieldChange",
    "ForcedRelease",
    "Grant",
    "HeldClaim",
    "Info",
    "LeaseLost",
    "Lock",
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
    "Task",
    "TaskState",
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
