"""The values of one field: validated and dumped by Pydantic, as the type that they are a field of would have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal

import pydantic
from pydantic.json_schema import models_json_schema
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
        serializers = list(_serializers(schema))
        self._masks = any(getattr(function, "__name__", "") in _MASKING for function in serializers)
        self._has_own_form = any(
            not str(getattr(function, "__module__", "")).startswith("pydantic") for function in serializers
        )

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
        # not all that is no secret comes back as its equal
        if self._masks and _holds_secret(made.value) and not self._comes_back(found, made.value):
            raise InvalidValue(
                f"not a value of {self._name}: Pydantic dumps a secret as asterisks, and it would be lost: give the "
                "field a serializer, or keep the secret elsewhere and its name here"
            )
        return found

    def _comes_back(self, found: Any, value: Any) -> bool:
        try:
            return bool(self._read(encode(found)) == value)
        except Exception:
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
        # a serializer may dump what others would not write
        modes: list[Literal["validation", "serialization"]] = ["validation"]
        if self._has_own_form:
            modes.append("serialization")
        refs, whole = models_json_schema([(self._model, mode) for mode in modes], by_alias=False)
        definitions = whole["$defs"]
        names = dict.fromkeys(refs[self._model, mode]["$ref"].rpartition("/")[2] for mode in modes)
        forms = [definitions.pop(name)["properties"]["value"] for name in names]
        for form in forms:
            form.pop("title", None)
        schema: dict[str, Any] = forms[0] if len(forms) == 1 else {"anyOf": forms}
        if definitions:
            schema["$defs"] = definitions
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


def _holds_secret(value: Any) -> bool:
    """Whether there may be a secret in a value, other than an empty one, which is dumped as it is."""
    if value is None or isinstance(value, str | bytes | int | float):
        return False
    if isinstance(value, pydantic.SecretStr | pydantic.SecretBytes):
        return bool(value.get_secret_value())
    if isinstance(value, Mapping):
        return any(map(_holds_secret, (*value, *value.values())))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_secret, value))
    if isinstance(value, pydantic.BaseModel):
        return any(_holds_secret(inner) for _, inner in value)
    # what cannot be looked into
    return True


def _serializers(node: Any) -> Iterator[Any]:
    """The functions in a core schema that dump values."""
    if isinstance(node, Mapping):
        serialization = node.get("serialization")
        if isinstance(serialization, Mapping) and "function" in serialization:
            yield serialization["function"]
        for inner in node.values():
            yield from _serializers(inner)
    elif isinstance(node, list | tuple):
        for inner in node:
            yield from _serializers(inner)


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
