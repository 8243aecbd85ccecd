"""Settings of plugins: declared as data, validated with a sentence for every mistake."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sos_plugins.errors import SettingsError, did_you_mean, listing


class Settings(BaseModel):
    """Base of every plugin's settings: immutable, and no unknown name passes.

    Declare one field a setting, with a type, a default and, through ``pydantic.Field``, a
    description that ``sos-plugins show PLUGIN`` prints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=BaseModel)


def validate(model: type[S], values: Mapping[str, Any], *, where: str) -> S:
    """Make ``values`` into ``model``.

    Args:
        model: The settings class of a plugin.
        values: Names and values as they came from TOML, the command line or Python.
        where: What the sentence starts with, such as ``"[[outcomes]] 2 (kinship-care)"``.

    Raises:
        SettingsError: One sentence a mistake, each naming the setting and what fits.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        sentences = [_sentence(model, item, where) for item in error.errors()]
        raise SettingsError(" ".join(sentences)) from None


def validate_some(model: type[BaseModel], values: Mapping[str, Any], *, where: str) -> None:
    """Check values that are not all that ``model`` needs: defaults to which others are added.

    Raises:
        SettingsError: One sentence a mistake; a setting that is missing is none.
    """
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        wrong = [item for item in error.errors() if item["type"] != "missing"]
        if wrong:
            sentences = [_sentence(model, item, where) for item in wrong]
            raise SettingsError(" ".join(sentences)) from None


def _sentence(model: type[BaseModel], item: Any, where: str) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden" and len(item["loc"]) == 1:
        known = [field.alias or name for name, field in model.model_fields.items()]
        return (
            f"{where}: unknown setting '{path}'.{did_you_mean(path, known)} "
            f"Known settings: {listing(known)}."
        )
    if item["type"] == "missing":
        return f"{where}: the setting '{path}' is missing."
    shown = "" if item["type"] == "value_error" else f" {item['input']!r} was given."
    message = item["msg"].removeprefix("Value error, ").rstrip(".")
    message = message[:1].lower() + message[1:]
    return f"{where}: setting '{path}': {message}.{shown}"


def describe(model: type[BaseModel]) -> list[dict[str, str]]:
    """Return one row a setting: its name, the values that fit, its default and description."""
    rows = []
    for name, field in model.model_fields.items():
        default = (
            "required"
            if field.is_required()
            else repr(field.get_default(call_default_factory=True))
        )
        rows.append(
            {
                "setting": field.alias or name,
                "values": type_name(field.annotation),
                "default": default,
                "description": field.description or "",
            }
        )
    return rows


def type_name(annotation: Any) -> str:
    """Write a type as a reader would: ``Literal["a", "b"]`` becomes ``a | b``.

    >>> type_name(Literal["dr", "reg"])
    'dr | reg'
    >>> type_name(tuple[str, ...])
    'list of text'
    """
    plain = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true | false",
        type(None): "none",
    }
    if annotation in plain:
        return plain[annotation]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(str(arg) for arg in args)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(arg) for arg in args)
    if origin is typing.Annotated:
        return type_name(args[0])
    if origin in (list, tuple, set, frozenset):
        return f"list of {type_name(args[0])}" if args else "list"
    if origin in (dict, Mapping):
        return "table"
    return getattr(annotation, "__name__", str(annotation))
