"""What can go wrong, one exception for each cause, with the SQLSTATE that the database reports it by.

PgStateError
 ├─ InvalidKey            PS001   not a key
 ├─ InvalidPattern        PS002   not a pattern, or not a subtree that can be granted
 ├─ InvalidValue          PS003   JSON cannot hold it (NaN, U+0000, a lone surrogate, an unknown type)
 ├─ ValueTooLarge         PS004   over the installation's limit
 ├─ UnknownReducer        PS005
 ├─ ReducerMismatch       PS006   the operand does not fit the current value
 ├─ InvalidArgument       PS007   a limit, lease, ttl, name or guard out of range
 ├─ SchemaViolation       PS008   the value does not fit the JSON Schema that a policy sets for the key
 ├─ SecretRefused         PS009   the key or the value holds what looks like a secret
 ├─ AccessDenied          PS010   outside the acting agent's grants, whether or not anything is there
 ├─ CursorInvalid         PS020   not a cursor, or ahead of what the transaction can see
 ├─ CursorExpired         PS021   of another history of the database, or older than what is kept: list again
 ├─ FeedUnavailable       PS022   a standby, or a restored database that nothing was written to yet
 ├─ NotRecorded           PS023   as of a time before the database recorded any
 ├─ OpIdReused            PS030   the idempotency key was used for another request
 ├─ LaneOutOfStep         PS031   the retry protection of a client was given wrong turns
 ├─ WrongKind             PS040   the key holds another kind of entry
 ├─ VectorsUnavailable    PS050   pgvector is not installed in this database, or may not be used
 ├─ QuotaExceeded         PS060   the agent may not keep more, or not write more often
 ├─ Conflict                      the outcome of a write that was not made
 │   ├─ VersionConflict           the entry is not at the expected version or value: .current has it
 │   ├─ ClaimHeld                 somebody else holds the claim
 │   ├─ StaleToken                the token is not the current claim's, or its lease has ended
 │   ├─ LeaseLost                 a claim that renews itself was lost: its body was cancelled
 │   ├─ RunHeld                   another worker has the run
 │   ├─ RunMissing                there is no run under the key
 │   ├─ RunEnded                  the run has ended: it takes no signal any more, and does nothing new
 │   ├─ CheckpointConflict        another checkpoint is the latest of the thread: .head
 │   └─ CheckpointMissing         the checkpoint that was to be gone on from is not there any more
 ├─ RunError                      what ends a run, or a step of one
 │   ├─ StepFailed                a step has failed for good: .step, .error
 │   ├─ StepMismatch              the code does other steps than the run has recorded
 │   ├─ SignalTimeout             no signal came in time
 │   ├─ RunCancelled              somebody cancelled the run
 │   └─ RunTimeout                the run took longer than it may
 ├─ SchemaError                   the database's schema does not fit this client
 │   ├─ SchemaMissing             pgstate is not installed there
 │   ├─ SchemaTooOld              pgstate migrate brings it up to date
 │   ├─ SchemaTooNew              this client needs an upgrade
 │   ├─ SchemaBusy                a migration gave up waiting for sessions that use the tables
 │   └─ DataLoss                  a downgrade would lose something, and was not told to
 ├─ Unreachable                   no connection to the server
 ├─ Timeout                       no answer in time; a write may have happened
 ├─ EmbeddedMissing               no address was given, and the embedded server is not installed
 ├─ Closed                        the client was closed
 ├─ ValueRefused                  the detector of connect(detector=…) refuses a value: .rule
 ├─ InTransaction                 what a state that is bound to a transaction of the caller's cannot do
 └─ DatabaseError                 anything else that PostgreSQL reports
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pgstate.types import Entry


class PgStateError(Exception):
    """Base of all errors of pgstate. `sqlstate` is PostgreSQL's five-character code where there is one."""

    sqlstate: ClassVar[str | None] = None


class InvalidKey(PgStateError):
    """Not a key: 1 to 512 bytes, segments of A-Z a-z 0-9 . _ ~ : @ = + , % - joined by /. `pgstate.key` quotes text."""

    sqlstate = "PS001"


class InvalidPattern(PgStateError):
    """Not a pattern (for reading), or not a key or subtree (for granting)."""

    sqlstate = "PS002"


class InvalidValue(PgStateError):
    """JSON cannot hold the value, or Python not the stored one, whose JSON is in `text` then."""

    sqlstate = "PS003"
    text: str | None = None


class ValueTooLarge(PgStateError):
    """The value is over the installation's limit (`Info.value_limit`, bytes), or a checkpoint larger than 512 MB."""

    sqlstate = "PS004"


class UnknownReducer(PgStateError):
    """No reducer has this name, or does what the annotated function of a typed state's field does."""

    sqlstate = "PS005"


class ReducerMismatch(PgStateError):
    """The operand does not fit the current value, such as add on a list; or the reducer a typed state's field."""

    sqlstate = "PS006"


class InvalidArgument(PgStateError):
    """An argument is out of range; the message says which and what is allowed."""

    sqlstate = "PS007"


class SchemaViolation(PgStateError):
    """The value does not fit the JSON Schema that a policy sets for the key (`State.explain_policy` shows it)."""

    sqlstate = "PS008"


class SecretRefused(PgStateError):
    """The key or the value holds what looks like a secret; the message names the rule and never what was found. Store a
    handle, or have a policy set `guard` to redact or off."""

    sqlstate = "PS009"


class AccessDenied(PgStateError):
    """The acting agent has no such right there. The same whether or not anything is there: what the message names is
    what was asked."""

    sqlstate = "PS010"


class CursorInvalid(PgStateError):
    """Not a cursor, or ahead of what this transaction can see."""

    sqlstate = "PS020"


class CursorExpired(PgStateError):
    """The cursor belongs to another history of the database, or is older than the history that policies keep. List
    again, and go on from the new cursor."""

    sqlstate = "PS021"


class FeedUnavailable(PgStateError):
    """The change feed cannot be served here and now (a standby, or just restored)."""

    sqlstate = "PS022"


class NotRecorded(PgStateError):
    """As of a time before anything was recorded: older than the installation, or than what is kept."""

    sqlstate = "PS023"


class OpIdReused(PgStateError):
    """The op_id was used for another request before."""

    sqlstate = "PS030"


class LaneOutOfStep(PgStateError):
    """A lane was used with an older turn, or by another agent."""

    sqlstate = "PS031"


class WrongKind(PgStateError):
    """The key holds another kind of entry: values, threads and runs have functions of their own."""

    sqlstate = "PS040"


class VectorsUnavailable(PgStateError):
    """Search by vectors needs pgvector in this database; the message says what an administrator has to do."""

    sqlstate = "PS050"


class QuotaExceeded(PgStateError):
    """The agent may not keep more entries or bytes, or not write more often in this minute (`State.quotas`). Nothing of
    the statement was written."""

    sqlstate = "PS060"


class Conflict(PgStateError):
    """Base of the outcomes of a write that was not made because of what others did. `key` is the entry."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key

    def __reduce__(self) -> tuple[type[Conflict], tuple[Any, ...]]:
        # to another process
        return type(self), (str(self), self.key)


class VersionConflict(Conflict):
    """The entry is not at the expected version or value.

    `version` is the current version, 0 when the key does not exist. `current` is the entry as it was found (None when
    it does not exist): only its key, version and value are known.
    """

    def __init__(self, message: str, key: str, version: int, current: Entry[Any] | None) -> None:
        super().__init__(message, key)
        self.version = version
        self.current = current

    def __reduce__(self) -> tuple[type[Conflict], tuple[Any, ...]]:
        return type(self), (str(self), self.key, self.version, self.current)


class ClaimHeld(Conflict):
    """Somebody else holds the entry's claim."""


class StaleToken(Conflict):
    """The token is not that of the entry's current claim, or the lease has ended. Nothing was written."""


class LeaseLost(Conflict):
    """A claim that was to renew itself was lost: its lease ended, somebody released it by force, or the entry is gone.
    The body under it was cancelled; what it writes with its token is refused."""


class RunHeld(Conflict):
    """Another worker has the run, or failed with it and it is not to be tried yet."""


class RunMissing(Conflict):
    """There is no run under the key, or it has no such step."""


class RunEnded(Conflict):
    """The run has ended."""


class CheckpointConflict(Conflict):
    """Another checkpoint is the latest than the one that was expected, or there is a thread already. `head` is the
    latest, None if there is none."""

    def __init__(self, message: str, key: str, head: str | None) -> None:
        super().__init__(message, key)
        self.head = head

    def __reduce__(self) -> tuple[type[Conflict], tuple[Any, ...]]:
        return type(self), (str(self), self.key, self.head)


class CheckpointMissing(Conflict):
    """The checkpoint that was to be gone on from is not there: the thread was deleted, or never was. Nothing was
    saved."""


class RunError(PgStateError):
    """Base of what ends a run, or a step of one. `key` is the run, `step` the step, None for the run itself."""

    def __init__(self, message: str, key: str, step: str | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.step = step

    def __reduce__(self) -> tuple[type[RunError], tuple[Any, ...]]:
        return type(self), (str(self), self.key, self.step)


class StepFailed(RunError):
    """A step has failed for good. `error` says with what, as it is recorded: a replay raises the same. When it was this
    process that did the step, `__cause__` is what its function raised."""

    def __init__(self, message: str, key: str, step: str | None = None, error: str = "") -> None:
        super().__init__(message, key, step)
        self.error = error

    def __reduce__(self) -> tuple[type[StepFailed], tuple[Any, ...]]:
        return type(self), (str(self), self.key, self.step, self.error)


class StepMismatch(RunError):
    """The code does other steps, or in another order, than the run has recorded. Nothing was done. Go on with the code
    that began it, or give another `version` if the change is meant: then steps are known by their names alone."""


class SignalTimeout(RunError):
    """No signal came in time. This is recorded: a replay raises it too."""


class RunCancelled(RunError):
    """Somebody cancelled the run."""


class RunTimeout(RunError):
    """The run took longer than its timeout."""


class SchemaError(PgStateError):
    """Base of the errors about the schema's revision."""


class SchemaMissing(SchemaError):
    """pgstate is not installed in the database: `pgstate migrate` does that."""


class SchemaTooOld(SchemaError):
    """The schema is older than this client: `pgstate migrate` brings it up to date."""


class SchemaTooNew(SchemaError):
    """The schema is newer than this client, and serves it no more: upgrade the Python package."""


class SchemaBusy(SchemaError):
    """A migration waited in vain for sessions that use the tables; the message names them. Nothing was changed."""


class DataLoss(SchemaError):
    """A downgrade would lose what the message names; `data_loss=True` goes back all the same. Nothing was changed."""


class Unreachable(PgStateError):
    """The server cannot be reached."""


class Timeout(PgStateError):
    """No answer in time. A write may have happened or not; with an op_id, asking again tells."""


class EmbeddedMissing(PgStateError):
    """No address was given and the embedded server is not installed (pip install 'pgstate[embedded]')."""


class Closed(PgStateError):
    """The client was closed."""


class ValueRefused(PgStateError):
    """The application's detector refuses to have the value written, or read. `rule` says why; the value is nowhere in
    it."""

    def __init__(self, message: str, key: str, rule: str) -> None:
        super().__init__(message)
        self.key = key
        self.rule = rule

    def __reduce__(self) -> tuple[type[ValueRefused], tuple[str, str, str]]:
        return type(self), (str(self), self.key, self.rule)


class InTransaction(PgStateError):
    """Not inside a transaction of the caller's, which would not see what it waits for: use the state that was bound."""


class DatabaseError(PgStateError):
    """Anything else that PostgreSQL reports; `code` is its SQLSTATE."""

    def __init__(self, message: str, code: str | None) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[DatabaseError], tuple[str, str | None]]:
        return type(self), (str(self), self.code)


BY_SQLSTATE: dict[str, type[PgStateError]] = {
    error.sqlstate: error for error in PgStateError.__subclasses__() if error.sqlstate is not None
}
