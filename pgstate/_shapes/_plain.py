"""Types that JSON has itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What a node of a Pydantic core schema may say beside its type and the schemas in it: rules that a value which keeps
# them keeps after JSON too. Not those that change it: "ß" in capitals is longer than it was.
_RULES: dict[str, set[str]] = {
    "none": set(),
    "bool": set(),
    "int": {"gt", "ge", "lt", "le"},
    "float": {"gt", "ge", "lt", "le"},
    "str": {"min_length", "max_length", "pattern"},
    "list": {"min_length", "max_length"},
    "set": {"min_length", "max_length"},
    "frozenset": {"min_length", "max_length"},
    "dict": {"min_length", "max_length"},
    "nullable": set(),
    "default": {"default", "default_factory", "default_factory_takes_data"},
}
_INNER = {"items_schema", "keys_schema", "values_schema", "schema"}


def is_plain(schema: Mapping[str, Any]) -> bool:
    """Whatever is valid by this Pydantic core schema, without settings of a model, is dumped to JSON by it without
    loss, and valid when it is read back."""
    rules = _RULES.get(schema["type"])
    if rules is None or not schema.keys() <= {"type", *_INNER, *rules}:
        return False
    if schema["type"] == "dict" and schema.get("keys_schema", {}).get("type") != "str":
        return False
    return all(is_plain(schema[name]) for name in _INNER & schema.keys())
