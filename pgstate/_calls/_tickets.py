"""Tickets: signed words by which a gateway names an agent to the database, in place of the bare name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar


class Ticketed(str):
    """An agent's name to everybody but the database, which gets the ticket of the moment."""

    ticket: str
    used: ClassVar[bool] = False

    def __new__(cls, name: str, ticket: str) -> Ticketed:
        made = super().__new__(cls, name)
        made.ticket = ticket
        cls.used = True
        return made


def agent_of(named: str | None) -> str | None:
    """An agent as a caller names it, who may do so by a ticket alone: no name holds a slash."""
    if named is None or type(named) is Ticketed or "/" not in named:
        return named
    return Ticketed(named.partition("/")[0], named)


def sent(args: Iterable[Any]) -> list[Any]:
    """Arguments as the database gets them."""
    return [
        arg.ticket if type(arg) is Ticketed
        else [item.ticket if type(item) is Ticketed else item for item in arg] if type(arg) is list
        else arg
        for arg in args
    ]  # fmt: skip
