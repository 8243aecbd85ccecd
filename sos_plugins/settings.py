"""Settings of plugins: declared as data, validated with a sentence for every mistake."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from sos_plugins.annotations import is_list, members, type_name
from sos_plugins.errors import SettingsError
from sos_plugins.mistakes import sentences


class Settings(BaseModel):
    """Base of every plugin's settings: immutable, and no unknown name passes.

    Declare one field a setting, with a type, a default and, through ``pydantic.Field``, a
    description that ``sos-plugins show PLUGIN`` prints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _only_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what pydantic would turn into a number: ``true``, text, and 2.0 for 2."""
        field = cls.model_fields.get(info.field_name or "")
        if field is not None:
            _refuse_other_than_number(field.annotation, value)
        return value


S = TypeVar("S", bound=BaseModel)


def validate(
    model: type[S], values: Mapping[str, Any], *, where: str, beside: Iterable[str] = ()
) -> S:
    """Make ``values`` into ``model``.

    Args:
        model: The settings class of a plugin.
        values: Names and values as they came from TOML, the command line or Python.
        where: What the sentence starts with, such as ``"[[outcomes]] 2 (kinship-care)"``.
        beside: Further keys that may stand in the same table, for the sentence on an unknown one.

    Raises:
        SettingsError: One sentence a mistake, each naming the setting and what fits.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise SettingsError(" ".join(sentences(model, error.errors(), where, beside))) from None


def with_paths(settings: S, base: Path) -> S:
    """Return settings whose paths, fields of type :class:`~pathlib.Path`, start at a folder."""
    found = {name: _placed(value, base) for name, value in settings}
    changed = {name: value for name, value in found.items() if value != getattr(settings, name)}
    return settings.model_copy(update=changed) if changed else settings


def _placed(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return base / value.expanduser()
    if isinstance(value, BaseModel):
        return with_paths(value, base)
    if isinstance(value, Mapping):
        return {key: _placed(part, base) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_placed(part, base) for part in value)
    return value


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
            raise SettingsError(" ".join(sentences(model, wrong, where))) from None


def _refuse_other_than_number(annotation: Any, value: Any) -> None:
    kinds = members(annotation)
    if isinstance(value, (list, tuple)):
        for kind in kinds:
            if is_list(kind):
                for item in value:
                    _refuse_other_than_number(typing.get_args(kind)[0], item)
        return
    if not kinds or not {*kinds} <= {int, float, type(None)}:
        return
    if isinstance(value, (bool, str)) or (isinstance(value, float) and float not in kinds):
        raise PydanticCustomError("number", f"expected {type_name(annotation)}")


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


__all__ = ["Settings", "describe", "type_name", "validate", "validate_some", "with_paths"]
