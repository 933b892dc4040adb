"""SQLAlchemy models of the schema, for reading: every table, and the views, which are what most queries want.

    session.scalars(select(models.Entry).where(models.Entry.matches("research/**")))

They are for SELECT, and join with the application's own tables. All writing goes through the functions of the API,
which check access, number versions and wake watchers: `pgstate.orm` calls them in the same session. The database grants
nobody else INSERT, UPDATE or DELETE, and a flush that would write raises InvalidArgument. Nor do the models create the
schema, which is up to migrations: their MetaData is their own, so that an application's `create_all` and autogenerate
leave pgstate alone. Relationships are viewonly.
A login made by `create_reader` may read the views, and the tables under the first three, as far as its grants reach.

Classes named `…Row` are tables, the others views: `Entry`, `Version` and `Claim` without tombstones, expired entries,
and ended claims; `Task`; `Thread` and `Checkpoint`; `Run` and `Step`; `Activity`, `Audit`, `Agent`, `Grant` and
`Policy`.
"""

from pgstate.models._access import (
    AccessGrantRow,
    AgentRow,
    DelegationRow,
    FormerAgentRow,
    GroupMemberRow,
    LoginRow,
    ReachRow,
    TicketKeyRow,
)
from pgstate.models._audit import Audit, AuditChainRow, AuditLinkRow, AuditPendingRow, AuditRow, DeniedCountRow
from pgstate.models._base import (
    SCHEMA,
    KeyMultirange,
    Model,
    PgSnapshot,
    Xid8,
    agent_id_seq,
    audit_id_seq,
    claim_token_seq,
    metadata,
    run_id_seq,
    search_rule_id_seq,
    signal_no_seq,
    thread_id_seq,
    ticket_key_id_seq,
    usage_id_seq,
    vector_index_id_seq,
    version_floor,
    version_seq,
)
from pgstate.models._credentials import CredentialGrantRow
from pgstate.models._entries import (
    ClaimLogRow,
    ClaimRow,
    EntryRow,
    FeedPointRow,
    InstallRow,
    LaneRow,
    OpRow,
    VersionRow,
    WatcherRow,
)
from pgstate.models._patterns import matching
from pgstate.models._policies import MarkRow, PolicyRow, ReducerRow, ReviewRow, SweepRow, ThinningRow
from pgstate.models._quota import QuotaRow, UsageRow, UsageRunRow, UsageThreadRow
from pgstate.models._runs import Run, RunRow, SignalRow, Step, StepRow
from pgstate.models._search import (
    EmbeddingRow,
    EmbeddingWantedRow,
    SearchBuildRow,
    SearchDocRow,
    SearchRuleRow,
    VectorIndexRow,
)
from pgstate.models._threads import Checkpoint, CheckpointRow, ChunkRow, PendingWriteRow, Thread, ThreadRow
from pgstate.models._views import Activity, Agent, Claim, Entry, Grant, Policy, Task, Version

__all__ = [
    "SCHEMA",
    "AccessGrantRow",
    "Activity",
    "Agent",
    "AgentRow",
    "Audit",
    "AuditChainRow",
    "AuditLinkRow",
    "AuditPendingRow",
    "AuditRow",
    "Checkpoint",
    "CheckpointRow",
    "ChunkRow",
    "Claim",
    "ClaimLogRow",
    "ClaimRow",
    "CredentialGrantRow",
    "DelegationRow",
    "DeniedCountRow",
    "EmbeddingRow",
    "EmbeddingWantedRow",
    "Entry",
    "EntryRow",
    "FeedPointRow",
    "FormerAgentRow",
    "Grant",
    "GroupMemberRow",
    "InstallRow",
    "KeyMultirange",
    "LaneRow",
    "LoginRow",
    "MarkRow",
    "Model",
    "OpRow",
    "PendingWriteRow",
    "PgSnapshot",
    "Policy",
    "PolicyRow",
    "QuotaRow",
    "ReachRow",
    "ReducerRow",
    "ReviewRow",
    "Run",
    "RunRow",
    "SearchBuildRow",
    "SearchDocRow",
    "SearchRuleRow",
    "SignalRow",
    "Step",
    "StepRow",
    "SweepRow",
    "Task",
    "ThinningRow",
    "Thread",
    "ThreadRow",
    "TicketKeyRow",
    "UsageRow",
    "UsageRunRow",
    "UsageThreadRow",
    "VectorIndexRow",
    "Version",
    "VersionRow",
    "WatcherRow",
    "Xid8",
    "agent_id_seq",
    "audit_id_seq",
    "claim_token_seq",
    "matching",
    "metadata",
    "run_id_seq",
    "search_rule_id_seq",
    "signal_no_seq",
    "thread_id_seq",
    "ticket_key_id_seq",
    "usage_id_seq",
    "vector_index_id_seq",
    "version_floor",
    "version_seq",
]
