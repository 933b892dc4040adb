"""Times by a cron expression; cronsim parses it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from pgstate import errors


def next_time(cron: str, timezone: str, after: datetime | None = None) -> datetime:
    """The first time after a time (now), by the clock of a time zone: summer time is minded. Raises InvalidArgument."""
    try:
        from cronsim import CronSim, CronSimError
    except ImportError as error:
        raise errors.InvalidArgument("cron expressions need cronsim: pip install 'pgstate[cron]'") from error
    try:
        zone = ZoneInfo(timezone)
        found = next(CronSim(cron, (after or datetime.now(UTC)).astimezone(zone)))
    except (CronSimError, StopIteration, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise errors.InvalidArgument(f"not a cron expression or time zone: {cron!r} in {timezone!r}") from error
    return found.astimezone(UTC)
