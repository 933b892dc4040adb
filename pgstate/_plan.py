"""What a migration would do, and what a removal would take away."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A revision that is applied, or undone: its number, what it brings in a few words, and what that does; and what is
    lost by undoing it, with how many there are (for the role that installed, others are not told)."""

    revision: str
    title: str
    details: str
    losses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The way from where a database is (`current`, None without pgstate) to `target`; `steps` in order, none if it is
    there."""

    current: str | None
    target: str
    down: bool
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an installation holds, tables in bytes (`size`).

    `logins` were made or registered for agents and stay, `dependents` are your own objects that go because they use it,
    `roles` are pgstate's; those of them in `shared_roles` serve other databases of the cluster and stay.
    """

    revision: str
    agents: int
    entries: int
    versions: int
    size: int
    logins: list[str]
    dependents: list[str]
    roles: list[str]
    shared_roles: list[str]
