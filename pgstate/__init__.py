"""pgstate: the state layer for AI agents, in the Postgres that you already have."""

from pgstate import errors, ops, reducers
from pgstate._areas._typed_watch import TypedWatch
from pgstate._areas._watch import Watch
from pgstate._areas.typed import TypedState
from pgstate._embedding import Embedding
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
    FieldChange,
    Found,
    FoundPage,
    Grant,
    HeldClaim,
    Info,
    Maintained,
    Page,
    Policy,
    PolicySetting,
    Result,
    RolledBack,
    SearchRule,
    Stats,
    Unembedded,
    VectorIndex,
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
    "Embedding",
    "Entry",
    "FieldChange",
    "Found",
    "FoundPage",
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
    "SearchRule",
    "StaleToken",
    "State",
    "Stats",
    "TypedState",
    "TypedWatch",
    "Unembedded",
    "VectorIndex",
    "Version",
    "VersionConflict",
    "Watch",
    "connect",
    "errors",
    "key",
    "ops",
    "reducers",
]
