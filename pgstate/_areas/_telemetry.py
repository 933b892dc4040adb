"""Spans of runs and steps, where OpenTelemetry is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pgstate._areas._base import said
from pgstate._guard import clean

trace: Any
context: Any
try:
    trace = importlib.import_module("opentelemetry.trace")
    context = importlib.import_module("opentelemetry.context")
except ImportError:
    trace = context = None

# What goes into a span passes through this: secrets are taken out here.
redact: Callable[[str], str] = clean


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[None]:
    """A span around the block, which tells what the block raised; attributes that are None are left out."""
    if trace is None:
        yield
        return
    told = {f"pgstate.{key}": redact(value) if isinstance(value, str) else value for key, value in attributes.items()}
    tracer = trace.get_tracer("pgstate")
    # what an exception says may hold anything: it is told here, redacted, and not by the library
    with tracer.start_as_current_span(
        name,
        attributes={key: value for key, value in told.items() if value is not None},
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(trace.Status(trace.StatusCode.ERROR, redact(said(error))))
            raise


def current() -> Any:
    """The span that this code is in."""
    return None if trace is None else trace.get_current_span()


def enter(span: Any) -> Any:
    """Puts this code into a span that another task or thread has begun, until `leave` gets what is returned."""
    return None if trace is None else context.attach(trace.set_span_in_context(span))


def leave(entered: Any) -> None:
    """Takes this code out of it again."""
    if trace is not None:
        context.detach(entered)


def apart() -> Any:
    """A context in which a span has no parent, whatever its maker is doing."""
    return None if trace is None else trace.set_span_in_context(trace.INVALID_SPAN)
