"""The Typer application: the global options, and the commands in the order in which help shows them."""

from __future__ import annotations

from typing import Any

import typer

from pgstate.cli import (
    _access,
    _audit,
    _claims,
    _credentials,
    _doctor,
    _entries,
    _groups,
    _harden,
    _history,
    _langgraph,
    _migrate,
    _policies,
    _rekey,
    _runs,
    _search,
    _servers,
    _tasks,
    _threads,
    _watch,
)
from pgstate.cli._command import AgentOption, Common, CsvOption, DsnOption, JsonOption, ListenDsnOption
from pgstate.cli._output import ready


class _App(typer.Typer):
    """As a program: it has made its streams ready before anything is said."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        ready()
        return super().__call__(*args, **kwargs)


app = _App(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _options(
    ctx: typer.Context,
    dsn: DsnOption = None,
    agent: AgentOption = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    listen_dsn: ListenDsnOption = None,
) -> None:
    """Shared, versioned state for agents, in the Postgres that you already have.

    Without an address, an embedded PostgreSQL for development is started in .pgstate/ (PGSTATE_HOME says where else).

    Exit codes: 0 ok, 1 failed, 2 usage or invalid input, 3 missing, 4 conflict, 5 denied, 6 unreachable.
    """
    ctx.obj = Common(dsn, agent, json, csv, listen_dsn)


_entries.register(app)
_history.register(app)
_search.register(app)
_threads.register(app)
_watch.register(app)
_claims.register(app)
_tasks.register(app)
_runs.register(app)
_access.register(app)
_groups.register(app)
_harden.register(app)
_audit.register(app)
_credentials.register(app)
_policies.register(app)
_langgraph.register(app)
_migrate.register(app)
_doctor.register(app)
_rekey.register(app)
_servers.register(app)
