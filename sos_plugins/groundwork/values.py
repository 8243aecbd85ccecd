"""Values that no setting can have: days beyond the calendar, and numbers that are none."""

from __future__ import annotations

import datetime as dt
import typing
from typing import Any

from pydantic_core import PydanticCustomError

from sos_plugins.groundwork.type_names import is_list, members, type_name

YEARS = (1900, 2199)
"""Years in which dates of settings lie."""
MOST_DAYS = 73_050
"""Two hundred years."""


def possible_days(value: Any, name: str) -> Any:
    """Return a value unless it is a date outside of :data:`YEARS`, or too many days.

    Args:
        value: Value of a setting, of any type.
        name: The setting; one with the word ``days`` counts days.

    Raises:
        ValueError: If it is.
    """
    first, last = YEARS
    if isinstance(value, dt.date) and not first <= value.year <= last:
        raise ValueError(f"expected a date from {first}-01-01 to {last}-12-31; found {value}")
    if type(value) is int and "days" in name.split("_") and abs(value) > MOST_DAYS:
        raise ValueError(f"expected at most {MOST_DAYS} days, two hundred years; found {value}")
    return value


def refuse_other_than_number(annotation: Any, value: Any) -> None:
    """Refuse what pydantic would turn into a number: ``true``, text, and 2.0 for 2.

    Args:
        annotation: Type of the setting.
        value: What was given.

    Raises:
        PydanticCustomError: If it is such, in the setting or in a list of it.
    """
    kinds = members(annotation)
    if isinstance(value, (list, tuple)):
        for kind in kinds:
            if is_list(kind):
                for item in value:
                    refuse_other_than_number(typing.get_args(kind)[0], item)
        return
    if not kinds or not {*kinds} <= {int, float, type(None)}:
        return
    if isinstance(value, (bool, str)) or (isinstance(value, float) and float not in kinds):
        raise PydanticCustomError("number", f"expected {type_name(annotation)}")
