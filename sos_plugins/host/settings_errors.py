"""Sentences about settings that do not fit, out of pydantic's errors."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from sos_plugins.errors import did_you_mean, listing
from sos_plugins.groundwork.type_names import is_list, members, type_name
from sos_plugins.system.secrets import HIDDEN, is_secret_key, masked

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]*$"
"""The pattern of settings that are names; what does not fit it is told in words."""
WRONG_KIND = ("_type", "_parsing", "_from_float", "literal_error")
"""Endings of pydantic's errors that say no more than that a value is of another kind."""


@dataclass(frozen=True)
class _Mistake:
    """One error, with the path of keys that a reader knows.

    Attributes:
        path: Keys and numbers of rows, without pydantic's names of the members of a union.
        table: The model that the last key stands in.
        union: Path of the first value that may be of several kinds, None without one.
        kinds: The type of that value.
    """

    item: Mapping[str, Any]
    path: tuple[Any, ...]
    table: type[BaseModel]
    union: tuple[Any, ...] | None
    kinds: Any

    @property
    def is_inside(self) -> bool:
        """Whether the error is about a part of the value of several kinds."""
        return self.union is not None and len(self.path) > len(self.union)

    @property
    def is_of_another_kind(self) -> bool:
        """Whether the error says no more than that the value is of another kind."""
        return str(self.item["type"]).endswith(WRONG_KIND)


def sentences(
    model: type[BaseModel],
    errors: Iterable[Mapping[str, Any]],
    where: str,
    beside: Iterable[str] = (),
) -> list[str]:
    """Return one sentence for each value that does not fit.

    Args:
        model: The settings that were validated.
        errors: What ``ValidationError.errors()`` gives.
        where: What each sentence starts with.
        beside: Further keys that may stand in the outermost table.
    """
    mistakes = [_located(model, item) for item in errors]
    further = tuple(beside)
    return [_sentence(m, where, further) for m in _merged(mistakes)]


def _located(model: type[BaseModel], item: Mapping[str, Any]) -> _Mistake:
    current: Any = model
    path: list[Any] = []
    table, union, kinds = model, None, None
    for part in item["loc"]:
        options = [m for m in members(current) if m is not type(None)]
        if len(options) > 1 and isinstance(part, str):
            if union is None:
                union, kinds = tuple(path), current
            current = next((m for m in options if _is_branch(m, part)), Any)
            continue
        current = options[0] if options else Any
        path.append(part)
        if isinstance(current, type) and issubclass(current, BaseModel):
            table, current = current, _field_type(current, str(part))
        else:
            args = typing.get_args(current)
            current = (args[0] if is_list(current) else args[-1]) if args else Any
    return _Mistake(item, tuple(path), table, union, kinds)


def _is_branch(member: Any, part: str) -> bool:
    origin = typing.get_origin(member)
    if origin is Literal:
        return part.startswith("literal[")
    name = str(getattr(origin or member, "__name__", "")).lower()
    return part.lower() == name or part.lower().startswith((f"{name}[", f"constrained-{name}"))


def _field_type(model: type[BaseModel], key: str) -> Any:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return field.annotation
    return Any


def _merged(mistakes: Sequence[_Mistake]) -> Iterator[_Mistake]:
    """Leave of the errors of one value those that tell most, and of follow-ups none."""
    told: set[tuple[Any, ...]] = set()
    for mistake in mistakes:
        if mistake.union is None:
            if not _follows(mistake, mistakes):
                yield mistake
            continue
        if mistake.union in told:
            continue
        told.add(mistake.union)
        group = [m for m in mistakes if m.union == mistake.union]
        inside = [m for m in group if m.is_inside]
        telling = [m for m in group if not m.is_of_another_kind]
        yield from inside or telling[:1] or group[:1]


def _follows(mistake: _Mistake, others: Sequence[_Mistake]) -> bool:
    """Whether a list is "too short" only because a row of it was refused."""
    n = len(mistake.path)
    return mistake.item["type"] == "too_short" and any(
        len(m.path) > n and m.path[:n] == mistake.path for m in others
    )


def _sentence(mistake: _Mistake, where: str, beside: tuple[str, ...]) -> str:
    item, kind = mistake.item, mistake.item["type"]
    path = ".".join(str(part) for part in mistake.path)
    if kind == "extra_forbidden":
        return _unknown(mistake, path, where, beside if len(mistake.path) == 1 else ())
    if kind == "missing":
        return f"{where}: the setting '{path}' is missing."
    given = HIDDEN if any(is_secret_key(str(part)) for part in mistake.path) else item["input"]
    shown = "" if kind == "value_error" else f" {masked(repr(given))} was given."
    start = f"{where}: setting '{path}': " if path else f"{where}: "
    return f"{start}{_expected(mistake)}.{shown}"


def _unknown(mistake: _Mistake, path: str, where: str, beside: tuple[str, ...]) -> str:
    known = [*beside]
    known += [field.alias or name for name, field in mistake.table.model_fields.items()]
    parent = ".".join(str(part) for part in mistake.path[:-1])
    of = f" of '{parent}'" if parent else ""
    return (
        f"{where}: unknown setting '{path}'.{did_you_mean(str(mistake.path[-1]), known)} "
        f"Known settings{of}: {listing(known)}."
    )


def _expected(mistake: _Mistake) -> str:
    kind = mistake.item["type"]
    if mistake.union is not None and not mistake.is_inside and mistake.is_of_another_kind:
        return f"expected {type_name(mistake.kinds)}"
    if kind.startswith("date_"):
        return "expected a date as yyyy-mm-dd, such as 2015-03-31"
    if kind in ("tuple_type", "list_type"):
        return 'expected a list in square brackets, such as ["a", "b"]'
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "expected a table, such as { key = 1 }"
    if kind == "string_pattern_mismatch" and mistake.item["ctx"]["pattern"] == NAME_PATTERN:
        return f"a name is lower-case words joined by hyphens, such as '{_as_name(mistake)}'"
    message = str(mistake.item["msg"]).removeprefix("Value error, ").rstrip(".")
    message = message.replace("valid tuple", "list").replace("Tuple should", "list should")
    return message[:1].lower() + message[1:]


def _as_name(mistake: _Mistake) -> str:
    """Make a name of what was given, or give an example where nothing of it can stand in one."""
    given = re.sub(r"[^a-z0-9]+", "-", str(mistake.item["input"]).lower()).strip("-")
    return given or "my-study"
