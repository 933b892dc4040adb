"""What the client returns. Rows are wrapped, not copied: a value is decoded when it is first looked at, so that listing
a thousand entries costs what fetching them costs."""

from pgstate.types._access import AccessReason, Effective, Group
from pgstate.types._audit import AuditCheck, AuditRecord
from pgstate.types._claims import Claim, Failed, ForcedRelease, HeldClaim, TaskState
from pgstate.types._durable import Channel, Checkpoint, CheckpointInfo, PendingWrite, RunInfo, StepInfo, ThreadInfo
from pgstate.types._search import Found, FoundPage, SearchRule, Unembedded, VectorIndex
from pgstate.types._state import (
    UNSET,
    Agent,
    AsOf,
    Change,
    ChangePage,
    Entry,
    FieldChange,
    Grant,
    Info,
    Maintained,
    Page,
    Policy,
    PolicySetting,
    Result,
    RolledBack,
    Row,
    Seconds,
    Stats,
    Version,
)
from pgstate.types._state import _Unset as _Unset

__all__ = [
    "UNSET",
    "AccessReason",
    "Agent",
    "AsOf",
    "AuditCheck",
    "AuditRecord",
    "Change",
    "ChangePage",
    "Channel",
    "Checkpoint",
    "CheckpointInfo",
    "Claim",
    "Effective",
    "Entry",
    "Failed",
    "FieldChange",
    "ForcedRelease",
    "Found",
    "FoundPage",
    "Grant",
    "Group",
    "HeldClaim",
    "Info",
    "Maintained",
    "Page",
    "PendingWrite",
    "Policy",
    "PolicySetting",
    "Result",
    "RolledBack",
    "Row",
    "RunInfo",
    "SearchRule",
    "Seconds",
    "Stats",
    "StepInfo",
    "TaskState",
    "ThreadInfo",
    "Unembedded",
    "VectorIndex",
    "Version",
]
