"""The values of one field: validated and dumped by Pydantic, as the type that they are a field of would have it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import pydantic
from pydantic_core import PydanticSerializationError

from pgstate._json import encode
from pgstate._shapes._aliases import aliases_are_clear
from pgstate._shapes._fields import Field, Structure, nested_structure, structure_of
from pgstate._shapes._plain import is_plain
from pgstate.errors import InvalidArgument, InvalidValue

# how Pydantic serializes SecretStr, SecretBytes, and Secret of anything
_MASKING = ("_serialize_secret_field", "_serialize_secret")


class Part:
    """A field by itself."""

    def __init__(self, owner: Structure, field: Field) -> None:
        self._name = f"{owner.name}.{field.name}"
        self._nested = nested_structure(field.annotation)
        try:
            self._model: Any = pydantic.create_model(
                self._name,
                __config__=owner.config,
                __validators__=field.serializers,
                value=field.declared,
            )
        except pydantic.errors.PydanticUserError as error:
            raise InvalidArgument(f"{self._name}: Pydantic does not take this field: {error}") from error
        schema = self._model.__pydantic_core_schema__
        self._by_alias = aliases_are_clear(schema)
        self._is_plain = _is_plain_field(schema)
        self._masks = _masks(schema)

    def parse(self, text: str) -> Any:
        """The value of stored JSON. Raises InvalidValue."""
        try:
            return self._read(text)
        except Exception as error:
            raise InvalidValue(f"the stored value of {self._name} is invalid: {explain(error, skip=1)}") from error

    def dump(self, value: Any) -> Any:
        """A valid value as JSON types. Raises InvalidValue."""
        return self._dump(self._model.model_construct(value=value))

    def take(self, value: Any) -> Any:
        """Any value that the field's type takes, as JSON types. Raises InvalidValue."""
        try:
            made = self._model.model_validate({"value": value}, by_name=True, by_alias=False)
        except Exception as error:
            raise InvalidValue(f"not a value of {self._name}: {explain(error, skip=1)}") from error
        if self._is_plain:
            # what the rest makes sure of is certain, and takes longer
            return self._dump(made, warnings=False)
        found = self._dump(made)
        # nobody could load the state any more
        try:
            self._read(encode(found))
        except InvalidValue as error:
            raise InvalidValue(f"not a value of {self._name}: {error}") from error
        except Exception as error:
            raise InvalidValue(
                f"not a value of {self._name}: its JSON is not read back as one ({explain(error, skip=1)}): give the "
                "type a serializer and a validator that agree"
            ) from error
        return found

    def _read(self, text: str) -> Any:
        return self._model.model_validate_json(f'{{"value":{text}}}', by_name=True, by_alias=self._by_alias).value

    def _dump(self, made: Any, warnings: Literal["error", False] = "error") -> Any:
        try:
            found = made.model_dump(mode="json", by_alias=False, round_trip=True, warnings=warnings)["value"]
        except PydanticSerializationError as error:
            raise InvalidValue(f"not a value of {self._name}: {error}") from error
        except UnicodeDecodeError as error:
            raise InvalidValue(
                f"not a value of {self._name}: bytes are UTF-8 text in JSON ({error}), unless the model's config has "
                "ser_json_bytes and val_json_bytes of 'base64'"
            ) from error
        if self._masks and not self._comes_back(found, made.value):
            raise InvalidValue(
                f"not a value of {self._name}: Pydantic dumps a secret as asterisks, and it would be lost: give the "
                "field a serializer, or keep the secret elsewhere and its name here"
            )
        return found

    def _comes_back(self, found: Any, value: Any) -> bool:
        try:
            return bool(self._read(encode(found)) == value)
        except pydantic.ValidationError:
            return False

    def take_some(self, value: Any, *, deep: bool) -> Any:
        """As `take`; a document for a nested model or the like may leave fields out."""
        if self._nested is None or not isinstance(value, Mapping):
            return self.take(value)
        parts = parts_of(self._nested)
        unknown = [name for name in value if name not in parts]
        if unknown:
            raise InvalidValue(f"{self._name} has no field {unknown[0]!r}: {', '.join(parts)}")
        return {
            name: parts[name].take_some(item, deep=True) if deep else parts[name].take(item)
            for name, item in value.items()
        }

    def schema(self) -> dict[str, Any]:
        """JSON schema of the field's stored values."""
        whole = self._model.model_json_schema(by_alias=False)
        schema: dict[str, Any] = whole["properties"]["value"]
        schema.pop("title", None)
        if "$defs" in whole:
            schema["$defs"] = whole["$defs"]
        drop_defaults(schema)
        return schema


def _is_plain_field(schema: Any) -> bool:
    """For the model of a field: it has no settings beside its title, and the field is of a type that JSON has."""
    fields = schema.get("schema", {}).get("fields", {})
    return (
        schema["type"] == "model"
        and schema.get("config", {}).keys() <= {"title"}
        and "serialization" not in schema
        and "value" in fields
        and fields["value"].keys() <= {"type", "schema", "metadata"}
        and is_plain(fields["value"]["schema"])
    )


def _masks(node: Any) -> bool:
    """A SecretStr or the like is somewhere in a core schema."""
    if isinstance(node, Mapping):
        if getattr(node.get("function"), "__name__", "") in _MASKING:
            return True
        return any(_masks(inner) for inner in node.values())
    return isinstance(node, list | tuple) and any(_masks(inner) for inner in node)


def drop_defaults(node: Any) -> None:
    """Takes those out of a schema that are no JSON, such as an infinity: they say nothing about what is valid."""
    if isinstance(node, dict):
        for inner in node.values():
            drop_defaults(inner)
        if "default" in node:
            try:
                encode(node["default"])
            except InvalidValue:
                del node["default"]
    elif isinstance(node, list):
        for inner in node:
            drop_defaults(inner)


@lru_cache(maxsize=256)
def parts_of(type_: Any) -> dict[str, Part]:
    """The fields of a type, by name."""
    structure = structure_of(type_)
    return {field.name: Part(structure, field) for field in structure.fields}


def explain(error: Exception, *, skip: int = 0) -> str:
    """What Pydantic found, in a line; or how a validator failed at what it was not written for, which Pydantic lets
    through."""
    if not isinstance(error, pydantic.ValidationError):
        return f"{type(error).__name__}: {error}"
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(step) for step in item["loc"][skip:])
        found.append(f"{place}: {item['msg']}" if place else item["msg"])
    return "; ".join(found)
