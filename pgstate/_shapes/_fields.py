"""The fields of a TypedDict, a dataclass or a Pydantic model."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, Required, get_origin

import pydantic
import typing_extensions
from pydantic.fields import FieldInfo

from pgstate._shapes._hints import core_of, hints_of, name_of, unqualified
from pgstate.errors import InvalidArgument

# not by its name: mypy takes a call of that for a definition
_make_typed_dict: Any = vars(typing_extensions)["TypedDict"]

_field_serializer: Any = pydantic.field_serializer

_VALIDATORS: dict[str, Any] = {
    "before": pydantic.BeforeValidator,
    "after": pydantic.AfterValidator,
    "wrap": pydantic.WrapValidator,
    "plain": pydantic.PlainValidator,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `annotation` has the metadata; `default` makes the default, None where there is none."""

    name: str
    annotation: Any
    required: bool
    default: Callable[[], Any] | None
    # what a Pydantic model of this field alone is made of
    declared: tuple[Any, Any]
    serializers: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Structure:
    """A type with its fields. `validated` is the type as Pydantic takes it, `config` what Pydantic is configured by."""

    name: str
    fields: tuple[Field, ...]
    validated: Any
    config: Any
    is_mapping: bool


def structure_of(type_: Any) -> Structure:
    """Reads a type. Raises InvalidArgument for one that is none of the three, or that cannot be stored."""
    cls = get_origin(type_) or type_
    if typing_extensions.is_typeddict(cls):
        found = _typed_dict(type_, cls)
    elif not is_structured(type_):
        raise InvalidArgument(f"a typed state is a TypedDict, a dataclass or a Pydantic model, not {name_of(type_)}")
    elif dataclasses.is_dataclass(cls):
        found = _dataclass(type_, cls)
    else:
        try:
            cls.model_rebuild()
        except (pydantic.errors.PydanticUserError, NameError) as error:
            raise InvalidArgument(f"{name_of(type_)} is not fully defined: {error}") from error
        found = Structure(name_of(type_), _infos(cls, cls.model_fields), type_, cls.model_config, False)
    if not found.fields:
        raise InvalidArgument(f"{found.name} has no fields, so there is nothing to keep")
    return found


def is_structured(type_: Any) -> bool:
    """It is one of the three."""
    cls = get_origin(type_) or type_
    if not isinstance(cls, type):
        return False
    model = issubclass(cls, pydantic.BaseModel) and not issubclass(cls, pydantic.RootModel)
    return model or dataclasses.is_dataclass(cls) or typing_extensions.is_typeddict(cls)


def nested_structure(annotation: Any) -> Any:
    """The type of a field that is such a type itself, or None beside it; else None."""
    core = core_of(annotation)
    return core[0] if len(core) == 1 and is_structured(core[0]) else None


def _typed_dict(type_: Any, cls: Any) -> Structure:
    fields = []
    for name, hint in hints_of(type_).items():
        annotation, required = unqualified(hint)
        if required is None:
            # where the annotations are text, __required_keys__ has not seen the NotRequired in them
            required = name in cls.__required_keys__
        fields.append(Field(name, annotation, required, None, (annotation, ...), {}))
    # Pydantic refuses typing.TypedDict before Python 3.12, and generic ones of either module are resolved by now
    twin = _make_typed_dict(
        cls.__name__,
        {f.name: (Required if f.required else NotRequired)[f.annotation] for f in fields},
    )
    config = getattr(cls, "__pydantic_config__", None)
    if config is not None:
        twin.__pydantic_config__ = config
    return Structure(name_of(type_), tuple(fields), twin, config, True)


def _dataclass(type_: Any, cls: Any) -> Structure:
    infos = cls.__dict__.get("__pydantic_fields__")
    config = getattr(cls, "__pydantic_config__", None)
    hints = hints_of(type_)
    for name, hint in hints.items():
        if isinstance(hint, dataclasses.InitVar) and not hasattr(cls, name):
            raise InvalidArgument(f"{name_of(type_)}.{name} is an InitVar without default, which is not stored")
    if infos is not None and get_origin(type_) is None:
        stored = {name: info for name, info in infos.items() if info.init is not False}
        return Structure(name_of(type_), _infos(cls, stored), type_, config, False)
    fields = []
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        annotation, _ = unqualified(hints[field.name])
        default: Callable[[], Any] | None = None
        value: Any = ...
        if isinstance(field.default, FieldInfo):
            value = field.default
            annotation = Annotated[(annotation, *value.metadata)] if value.metadata else annotation
            default = _default_of(value)
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory
        elif field.default is not dataclasses.MISSING:
            default = Constant(field.default)
        fields.append(Field(field.name, annotation, default is None, default, (annotation, value), {}))
    return Structure(name_of(type_), tuple(fields), type_, config, False)


def _infos(cls: Any, infos: dict[str, FieldInfo]) -> tuple[Field, ...]:
    """Fields of a Pydantic model or dataclass, each with the validators and serializers that the class has for it."""
    decorators = cls.__pydantic_decorators__
    fields = []
    for name, info in infos.items():
        if info.exclude:
            if info.is_required():
                raise InvalidArgument(f"{name_of(cls)}.{name} is excluded from dumps and has no default: it is lost")
            continue
        validators = [
            _VALIDATORS[decorator.info.mode](decorator.func)
            for decorator in decorators.field_validators.values()
            if name in decorator.info.fields or "*" in decorator.info.fields
        ]
        serializers = {
            f"serialize_{number}": _field_serializer(
                "value",
                mode=decorator.info.mode,
                return_type=decorator.info.return_type,
                when_used=decorator.info.when_used,
            )(decorator.func)
            for number, decorator in enumerate(decorators.field_serializers.values())
            if name in decorator.info.fields or "*" in decorator.info.fields
        }
        # validators of the class come after those of the annotation
        alone = copy.copy(info)
        alone.metadata = [*info.metadata, *validators]
        annotation = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        declared = (info.annotation, alone)
        fields.append(Field(name, annotation, info.is_required(), _default_of(info), declared, serializers))
    return tuple(fields)


def _default_of(info: FieldInfo) -> Callable[[], Any] | None:
    if info.is_required() or info.default_factory_takes_validated_data:
        return None
    if info.default_factory is not None:
        return info.default_factory  # type: ignore[return-value]
    return Constant(info.default)


class Constant:
    """Makes a default that is the same each time."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __call__(self) -> Any:
        # a function that merges may change what it is given
        return copy.deepcopy(self._value)
