"""Conditions on the columns of a record table, as a study file writes them."""

from __future__ import annotations

import datetime as dt
import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import ibis
import pyarrow as pa
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from sos_outcomes.declared.columns import refuse_column, schema
from sos_plugins import Settings

Day = Annotated[dt.date, Strict()]
Value = StrictBool | StrictInt | StrictFloat | Day | StrictStr
Bound = StrictInt | StrictFloat | Day


def _as_list(given: Any) -> Any:
    return given if given is None or isinstance(given, (list, tuple)) else (given,)


Values = Annotated[tuple[Value, ...], Field(min_length=1), BeforeValidator(_as_list)]


class Comparison(Settings):
    """What must hold of one column; of several keys all must."""

    model_config = ConfigDict(populate_by_name=True)

    one_of: Values | None = Field(
        None, alias="is", description="The value is this, or one of these; missing is none."
    )
    none_of: Values | None = Field(
        None, alias="not", description="The value is not this, or none of these, or is missing."
    )
    has: Values | None = Field(
        None, description="Of codes with commas between them, one is this, or one of these."
    )
    missing: bool | None = Field(
        None, description="true: nothing is recorded; false: something is recorded."
    )
    above: Bound | None = Field(None, description="A number or date above this.")
    below: Bound | None = Field(None, description="A number or date below this.")
    at_least: Bound | None = Field(None, description="A number or date, this or above.")
    at_most: Bound | None = Field(None, description="A number or date, this or below.")

    @model_validator(mode="after")
    def _says_something(self) -> Comparison:
        if not self.given:
            known = [field.alias or name for name, field in type(self).model_fields.items()]
            raise ValueError(f"expected a value, a list of values, or one of {', '.join(known)}")
        return self

    @property
    def given(self) -> dict[str, Any]:
        """The keys that are given, with their values."""
        return {name: value for name, value in self if value is not None}

    def holds(self, column: Any) -> Any:
        """Return the condition on a column; it is never null.

        Args:
            column: Expression of the column.
        """
        parts = [_TESTS[name](column, value) for name, value in self.given.items()]
        return functools.reduce(operator.and_, parts)


_TESTS: dict[str, Callable[[Any, Any], Any]] = {
    "one_of": lambda column, values: column.isin(values).fill_null(False),
    "none_of": lambda column, values: ~column.isin(values).fill_null(False),
    "has": lambda column, codes: _has(column, codes),
    "missing": lambda column, yes: column.isnull() if yes else column.notnull(),
    "above": lambda column, bound: (column > bound).fill_null(False),
    "below": lambda column, bound: (column < bound).fill_null(False),
    "at_least": lambda column, bound: (column >= bound).fill_null(False),
    "at_most": lambda column, bound: (column <= bound).fill_null(False),
}


def _has(column: Any, codes: Sequence[Any]) -> Any:
    """Return whether one of the codes is among those that a text has between commas."""
    among = (ibis.literal(",") + column.replace(" ", "") + ",").fill_null("")
    return functools.reduce(operator.or_, [among.contains(f",{code},") for code in codes])


def _written_out(given: Any) -> Any:
    """Write a table as a list of one, and a value or a list of values as ``is``."""
    tables = (given,) if isinstance(given, Mapping) else given
    if not isinstance(tables, (list, tuple)) or not all(
        isinstance(table, Mapping) and table for table in tables
    ):
        raise ValueError(
            'expected conditions on columns, such as { closure_reason = ["RC8"] }, or a list of '
            f"such tables; {given!r} was given"
        )
    return tuple(
        {c: v if isinstance(v, (Mapping, Comparison)) else {"is": v} for c, v in table.items()}
        for table in tables
    )


Conditions = Annotated[tuple[Mapping[str, Comparison], ...], BeforeValidator(_written_out)]
"""Any of these tables holds; a table holds where all of its columns do."""


def columns_in(conditions: Conditions) -> list[str]:
    """Return the columns that conditions name, each once."""
    return list(dict.fromkeys(column for table in conditions for column in table))


def holds(conditions: Conditions, column: Callable[[str], Any]) -> Any:
    """Return conditions as one expression, true where there are none; it is never null.

    Args:
        conditions: The conditions.
        column: Gives the expression of a column by its name.
    """
    if not conditions:
        return ibis.literal(True)
    tables: Iterable[Any] = (
        functools.reduce(operator.and_, [c.holds(column(name)) for name, c in table.items()])
        for table in conditions
    )
    return functools.reduce(operator.or_, tables)


_KINDS: tuple[tuple[Callable[[pa.DataType], bool], tuple[type, ...], str], ...] = (
    (pa.types.is_boolean, (bool,), "true or false"),
    (pa.types.is_date, (dt.date,), "dates, such as 2015-03-31 without quotes"),
    (pa.types.is_string, (str,), 'text, such as "RC8"'),
    (pa.types.is_integer, (int, float), "numbers"),
)
_ORDERED = ("above", "below", "at_least", "at_most")


def refuse_unfit(table: str, conditions: Conditions, key: str) -> None:
    """Refuse conditions on columns that a table cannot have, or on values of another kind.

    Args:
        table: Name of the table.
        conditions: The conditions.
        key: Where they stand in the declaration.

    Raises:
        ValueError: That names the column and what fits.
    """
    columns = {field.name: field.type for field in schema(table)}
    for one in conditions:
        for name, comparison in one.items():
            refuse_column(table, name)
            _refuse_other_kind(f"{key}.{name}", columns.get(name, pa.string()), comparison)


def _refuse_other_kind(key: str, kind: pa.DataType, comparison: Comparison) -> None:
    types, words = next((types, words) for fits, types, words in _KINDS if fits(kind))
    given = comparison.given
    if "has" in given and str not in types:
        raise ValueError(f"{key}: 'has' is for text, and the column holds {words}")
    if (str in types or bool in types) and (wrong := [n for n in _ORDERED if n in given]):
        raise ValueError(
            f"{key}: '{wrong[0]}' is for numbers and dates, and the column holds {words}. Use "
            "'is', 'not', 'has' or 'missing'"
        )
    for name, value in given.items():
        for one in () if name == "missing" else value if isinstance(value, tuple) else (value,):
            if not isinstance(one, types) or (isinstance(one, bool) and bool not in types):
                raise ValueError(f"{key}: the column holds {words}; {one!r} was given")
