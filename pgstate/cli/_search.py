"""search, and what is indexed for it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pgstate.cli._command import Cli, command, group
from pgstate.cli._exit import USAGE
from pgstate.cli._input import json_value
from pgstate.cli._output import Json
from pgstate.cli._policies import SubtreeArgument
from pgstate.types import Found

_PANEL = "Search"
_FOUND = ("key", "score", "value", "writer", "updated_at")
_LISTED = ("key", "version", "value", "writer", "updated_at")


def _row(found: Found) -> dict[str, Any]:
    return {
        "key": found.key,
        "version": found.version,
        "value": Json.of(found),
        "score": None if found.score is None else round(found.score, 6),
        "text_rank": found.text_rank,
        "kind": found.kind,
        "writer": found.writer,
        "via": found.via,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "expires_at": found.expires_at,
    }


async def find(
    cli: Cli,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="'memory/**', or '' for everything readable.")],
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help='Words, "a phrase", or, -not; entries in key order without.')
    ] = None,
    filter: Annotated[
        str | None, typer.Option(metavar="JSON", help='What values must be like: \'{"tries": {"$gt": 3}}\'.')
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="At most this many.")] = 10,
    after: Annotated[str | None, typer.Option(metavar="PLACE", help="Continue behind a page.")] = None,
    offset: Annotated[int, typer.Option(min=0, max=1_000_000, metavar="N", help="Pass over as many.")] = 0,
    order: Annotated[
        str | None,
        typer.Option(metavar="newest", help="Those written last first; without QUERY, and pages go on by --offset."),
    ] = None,
) -> None:
    """Finds entries by their words, by a filter on their values, or both, best first.

    Operators of a filter: $eq $ne $gt $gte $lt $lte $in $nin $exists $contains $not, and $and $or $not of filters.

    pgstate search 'memory/**' 'lease expiry' --filter '{"author.name": "ana"}'
    """
    fits = None if filter is None else json_value(filter, what="--filter")
    if fits is not None and not isinstance(fits, dict):
        raise cli.fail(USAGE, '--filter takes an object, such as {"status": "open"}')
    async with cli.connect() as state:
        page = await state.search(
            pattern,
            query,
            filter=fits,
            limit=limit,
            after=after,
            offset=offset,
            order=order,  # type: ignore[arg-type]
        )
    shown = _LISTED if query is None else _FOUND
    cli.out.table((_row(found) for found in page), shown, empty=f"nothing is found in {pattern or 'anything readable'}")
    if page.after is not None:
        cli.out.note(f"perhaps more: continue with --after '{page.after}'")
    elif order is not None and len(page) == limit:
        cli.out.note(f"perhaps more: continue with --offset {offset + limit}")


async def list_(cli: Cli) -> None:
    """Lists what is indexed for search; subcommands change it. Search finds the rest too, slower."""
    async with cli.connect() as state:
        rules = await state.searches()
    rows = [
        {
            "subtree": rule.subtree,
            "fields": rule.fields,
            "config": rule.config,
            "vectors": rule.vectors,
            "vector_fields": rule.vector_fields,
            "ready": rule.ready,
            "set_by": rule.set_by,
            "set_at": rule.set_at,
        }
        for rule in rules
    ]
    cli.out.table(rows, ("subtree", "fields", "config", "vectors", "ready"), empty="nothing is indexed for search")


async def set_(
    cli: Cli,
    subtree: SubtreeArgument,
    field: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="A part of the value, as author.name; all unless given.")
    ] = None,
    config: Annotated[str, typer.Option(metavar="NAME", help="Text search configuration.")] = "english",
    vectors: Annotated[str | None, typer.Option(metavar="NAME", help="Vector index to embed entries for.")] = None,
    vector_field: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="What is embedded; all of the value unless given.")
    ] = None,
) -> None:
    """Has a key or subtree indexed for search.

    pgstate index set 'memory/**' --field title --field text
    """
    async with cli.connect() as state:
        await state.set_search(
            subtree, fields=field or ["$"], config=config, vectors=vectors, vector_fields=vector_field or None
        )
    cli.out.outcome({"subtree": subtree}, ("subtree",), f"{subtree} is indexed for search from now on")


async def remove(cli: Cli, subtree: SubtreeArgument) -> None:
    """Ends the indexing of a key or subtree."""
    async with cli.connect() as state:
        await state.drop_search(subtree)
    cli.out.outcome({"subtree": subtree}, ("subtree",), f"{subtree} is not indexed any more")


async def vectors(cli: Cli) -> None:
    """Lists vector indexes."""
    async with cli.connect() as state:
        found = await state.vectors()
    rows = [
        {
            "name": index.name,
            "model": index.model,
            "dims": index.dims,
            "distance": index.distance,
            "method": index.method,
            "type": index.type,
            "created_by": index.created_by,
            "created_at": index.created_at,
        }
        for index in found
    ]
    cli.out.table(rows, ("name", "model", "dims", "distance", "method", "type"), empty="no vector indexes")


async def create_vectors(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What 'index set --vectors' calls it.")],
    dims: Annotated[int, typer.Argument(metavar="DIMS", help="Dimensions of the model's vectors.")],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")],
    distance: Annotated[str, typer.Option(metavar="NAME", help="cosine, l2 or inner_product.")] = "cosine",
    method: Annotated[str, typer.Option(metavar="NAME", help="hnsw, ivfflat or exact.")] = "hnsw",
    type: Annotated[
        str | None, typer.Option(metavar="NAME", help="vector (to 2,000 dimensions) or halfvec (4,000).")
    ] = None,
) -> None:
    """Makes a vector index. Needs pgvector in the database, and says what is missing."""
    async with cli.connect() as state:
        await state.create_vectors(
            name,
            dims,
            model=model,
            distance=distance,  # type: ignore[arg-type] # the database says what it takes
            method=method,  # type: ignore[arg-type]
            type=type,  # type: ignore[arg-type]
        )
    cli.out.outcome({"name": name}, ("name",), f"vector index {name} is there")


async def drop_vectors(
    cli: Cli, name: Annotated[str, typer.Argument(metavar="NAME", help="The vector index.")]
) -> None:
    """Removes a vector index with its vectors."""
    async with cli.connect() as state:
        await state.drop_vectors(name)
    cli.out.outcome({"name": name}, ("name",), f"vector index {name} is gone")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "search", panel=_PANEL)(find)
    index, alone = group(app, "index", panel=_PANEL)
    alone(list_)
    command(index, "ls")(list_)
    command(index, "set")(set_)
    command(index, "rm")(remove)
    command(index, "vectors")(vectors)
    command(index, "create-vectors")(create_vectors)
    command(index, "drop-vectors")(drop_vectors)
