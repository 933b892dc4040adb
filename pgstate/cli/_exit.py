"""Exit codes, and the one sentence that an error becomes."""

from __future__ import annotations

from pgstate import errors

OK = 0
FAILED = 1
USAGE = 2
MISSING = 3
CONFLICT = 4
DENIED = 5
UNREACHABLE = 6
INTERRUPTED = 130  # what shells report for a process that Ctrl-C ended

_CODES: tuple[tuple[type[Exception], int], ...] = (
    (errors.InvalidKey, USAGE),
    (errors.InvalidPattern, USAGE),
    (errors.InvalidValue, USAGE),
    (errors.ValueTooLarge, USAGE),
    (errors.UnknownReducer, USAGE),
    (errors.ReducerMismatch, USAGE),
    (errors.InvalidArgument, USAGE),
    (errors.SchemaViolation, USAGE),
    (errors.SecretRefused, USAGE),
    (errors.ValueRefused, USAGE),
    (errors.CursorInvalid, USAGE),
    (errors.NotRecorded, USAGE),
    (errors.OpIdReused, USAGE),
    (errors.WrongKind, USAGE),
    (errors.RunMissing, MISSING),
    (errors.CheckpointMissing, MISSING),
    (errors.Conflict, CONFLICT),
    (errors.AccessDenied, DENIED),
    (errors.QuotaExceeded, DENIED),
    (errors.Unreachable, UNREACHABLE),
    (errors.Timeout, UNREACHABLE),
    (errors.EmbeddedMissing, UNREACHABLE),
    # of an address or a revision that is none
    (ValueError, USAGE),
)


def code_of(error: Exception) -> int:
    """The exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def sentence(error: Exception) -> str:
    """What to say about an error, on one line."""
    original = getattr(error, "orig", None)  # SQLAlchemy wraps the driver's error in pages of its own
    if isinstance(original, Exception):
        error = original
    # and what was done by then
    said = " ".join(" ".join((str(error), *getattr(error, "__notes__", ()))).split())
    if isinstance(error, (errors.PgStateError, ValueError)) and said:
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
