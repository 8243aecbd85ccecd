"""Settings of plugins: declared as data, validated with a sentence for every mistake."""

from __future__ import annotations

import datetime as dt
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sos_plugins.contract.settings_errors import sentences
from sos_plugins.contract.type_names import is_list, members, type_name
from sos_plugins.errors import SettingsError

NAMES_COLUMNS: dict[str, Any] = {"names_columns": True}
"""``json_schema_extra`` of a field that names columns of a sample, as text or a tuple of texts: an
engine sees covariates under other names (:mod:`sos_plugins.contract.column_aliases`), in this field
as well."""
BRIDGES_EMPTY_PERIODS: dict[str, Any] = {"bridges_empty_periods": True}
"""``json_schema_extra`` of a field of an estimator that says how many periods before the first
treated one are not used. Where embedding windows leave periods without cases and nobody set the
field, a study sets it to how many these are, with a warning that says so."""
YEARS = (1900, 2199)
"""Years in which dates of settings lie."""
MOST_DAYS = 73_050
"""Two hundred years."""
AprilYear = Annotated[int, Field(ge=YEARS[0], le=YEARS[1])]
"""A year that a setting names, by the April in which it begins."""


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

    @field_validator("*")
    @classmethod
    def _possible_days(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse dates and numbers of days with which no calendar can count."""
        return possible_days(value, info.field_name or "")

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        """Refuse days covered of which the last is before the first."""
        start, end = getattr(self, "start", None), getattr(self, "end", None)
        if isinstance(start, dt.date) and isinstance(end, dt.date) and start > end:
            raise ValueError(f"'start' ({start}) is after 'end' ({end})")
        return self


def field_marked(model: type[BaseModel], mark: Mapping[str, Any]) -> str | None:
    """Return the name of the field that has this ``json_schema_extra``, None if there is none."""
    fields = model.model_fields.items()
    return next((name for name, field in fields if field.json_schema_extra == mark), None)


def possible_days(value: Any, name: str) -> Any:
    """Return a value unless it is a date outside of :data:`YEARS`, or too many days.

    Raises:
        ValueError: If it is.
    """
    first, last = YEARS
    if isinstance(value, dt.date) and not first <= value.year <= last:
        raise ValueError(f"expected a date from {first}-01-01 to {last}-12-31; found {value}")
    if type(value) is int and "days" in name.split("_") and abs(value) > MOST_DAYS:
        raise ValueError(f"expected at most {MOST_DAYS} days, two hundred years; found {value}")
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
