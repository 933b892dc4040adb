"""Aliases of fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def aliases_are_clear(schema: Any) -> bool:
    """No alias leads to what another field is stored under, in any model of a Pydantic core schema.

    What is stored goes by names. Where aliases are read too, Pydantic looks for those first, and would take the value
    of another field.
    """
    rest = [schema]
    while rest:
        node = rest.pop()
        if isinstance(node, Mapping):
            if node.get("type") in ("model-fields", "typed-dict", "dataclass-args") and not all(_clear(node["fields"])):
                return False
            rest.extend(node.values())
        elif isinstance(node, list | tuple):
            rest.extend(node)
    return True


def _clear(given: Any) -> Iterator[bool]:
    fields = given if isinstance(given, Mapping) else {field["name"]: field for field in given}
    for name, field in fields.items():
        alias = field.get("validation_alias", name)
        for choice in [alias] if isinstance(alias, str) else alias if isinstance(alias[0], list) else [alias]:
            # a path leads into a value, also into that of the field itself
            yield (choice == name or choice not in fields) if isinstance(choice, str) else choice[0] not in fields
