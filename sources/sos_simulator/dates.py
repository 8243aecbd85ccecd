"""Days as whole numbers (since 1970-01-01), April-years, and English working days."""

from __future__ import annotations

import datetime as dt
import zlib
from functools import cache
from typing import Any, TypeAlias

import holidays
import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Objects: TypeAlias = npt.NDArray[np.object_]

NEVER = 1_000_000
"""The day of what does not happen: later than every real day, so that comparisons just work."""

NOTHING = np.array(None, dtype=object)
"""What ``np.where`` puts where there is no text."""

YEAR = 365.25


def day(date: dt.date) -> int:
    """Return a date as a day number.

    >>> day(dt.date(1970, 1, 2))
    1
    """
    return (date - dt.date(1970, 1, 1)).days


def date_of(number: int) -> dt.date:
    """Return a day number as a date."""
    return dt.date(1970, 1, 1) + dt.timedelta(days=int(number))


def year_start(april_year: int) -> int:
    """Return the day number of 1 April of an April-year."""
    return day(dt.date(april_year, 4, 1))


def year_end(april_year: int) -> int:
    """Return the day number of 31 March that ends an April-year."""
    return year_start(april_year + 1) - 1


def april_year(days: Ints) -> Ints:
    """Return the April-year of days: 2008 is April 2008 to March 2009."""
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return (months - 3) // 12 + 1970


@cache
def working_days() -> np.busdaycalendar:
    """Return the calendar of Monday to Friday less bank holidays in England, 1990-2045."""
    bank = holidays.country_holidays("GB", subdiv="ENG", years=range(1990, 2046))
    return np.busdaycalendar(holidays=np.array(sorted(bank), dtype="datetime64[D]"))


def add_working_days(days: Ints, number: Ints | int) -> Ints:
    """Move to the next working day if needed, then ``number`` working days on."""
    moved = np.busday_offset(
        days.astype("datetime64[D]"), number, roll="forward", busdaycal=working_days()
    )
    return moved.astype(np.int64)


def before_weekend(days: Ints) -> Ints:
    """Move Saturdays and Sundays to the Friday before."""
    return days - np.maximum((days + 3) % 7 - 4, 0)


def after_weekend(days: Ints) -> Ints:
    """Move Saturdays and Sundays to the Monday after."""
    weekday = (days + 3) % 7
    return days + np.where(weekday > 4, 7 - weekday, 0)


def generator(seed: int, stream: str) -> np.random.Generator:
    """Return the random numbers of one part of the simulation.

    Each part draws from a stream of its own, so that changing one (the dirt, say) leaves the
    others as they were.
    """
    return np.random.default_rng([seed, zlib.crc32(stream.encode())])


def between(rng: np.random.Generator, low: Any, high: Any) -> Ints:
    """Draw whole numbers from ``low`` to ``high``, both included, element by element."""
    return np.asarray(rng.integers(low, np.asarray(high) + 1), dtype=np.int64)
