"""Settings validated, with a sentence for every mistake, and described."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sos_plugins.errors import SettingsError
from sos_plugins.groundwork.type_names import type_name
from sos_plugins.host.settings_errors import sentences

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
    placed = {name: _placed(value, base) for name, value in settings}
    changed = {name: value for name, value in placed.items() if value != getattr(settings, name)}
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


def field_marked(model: type[BaseModel], mark: Mapping[str, Any]) -> str | None:
    """Return the name of the field that has this ``json_schema_extra``, None if there is none.

    Args:
        model: Settings of a plugin.
        mark: The mark, such as :data:`sos_plugins.contract.settings.BRIDGES_EMPTY_PERIODS`.
    """
    fields = model.model_fields.items()
    return next((name for name, field in fields if field.json_schema_extra == mark), None)
