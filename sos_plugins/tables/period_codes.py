"""How periods are written: numbers whose differences are distances in time, and codes that are not.

``201415``, ``2014/15`` and ``2014-15`` name the year from April (or September) 2014: they are read
as 2014, the year in which they begin. Other codes, such as ``201004`` for April 2010 or ``20101``
for its first quarter, look like numbers too, but 201101 is not 89 periods after 201012; they are
refused, and the sentence says what to write.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection

from sos_plugins.errors import DataError

SEPARATED = re.compile(r"(\d{4})\s*[/_\u2010-\u2015-]\s*(\d{2}|\d{4})")
TOGETHER = re.compile(r"(\d{4})(\d{2}|\d{4})")
PLAUSIBLE = range(1900, 2200)
"""Calendar years that the data of a programme can be from."""
LONGEST_YEAR = 9999
NUMBER_THEM = (
    "Number the periods 1, 2, 3 ... in their order, in every column and setting that names one"
)


def april_year(day: dt.date) -> int:
    """Return the year whose April began the financial year of a day.

    >>> april_year(dt.date(2009, 3, 31)), april_year(dt.date(2009, 4, 1))
    (2008, 2009)
    """
    return day.year if day.month >= 4 else day.year - 1


def financial_year(text: str) -> int | None:
    """Return the year in which a financial or school year begins, None if the text names none.

    >>> [financial_year(t) for t in ("201415", "2014/15", "2014-15", "2014_15", "20142015")]
    [2014, 2014, 2014, 2014, 2014]
    >>> [financial_year(t) for t in ("1999/00", "2014", "201416", "2014-12", "141500")]
    [1999, None, None, None, None]
    """
    years = SEPARATED.fullmatch(text) or TOGETHER.fullmatch(text)
    if years is None or int(years[1]) not in PLAUSIBLE:
        return None
    first, second = int(years[1]), years[2]
    follows = int(second) == (first + 1 if len(second) == 4 else (first + 1) % 100)
    return first if follows else None


def are_years(periods: Collection[int]) -> bool:
    """Say whether whole numbers are codes of financial years, all of them.

    Raises:
        DataError: If they are codes of another kind, whose differences are no distances in time,
            or are written in several forms; without the place.
    """
    if not periods:
        return False
    if all(financial_year(str(p)) is not None for p in periods):
        return True
    large = [p for p in periods if p > LONGEST_YEAR]
    leads = {_lead(p) for p in large}
    if large and None not in leads:
        if len(large) < len(periods):
            few = min(p for p in periods if p <= LONGEST_YEAR)
            raise DataError(
                f"periods are written in several forms, such as {few} and {min(large)}. Write all "
                "of them in one form, such as 2014"
            )
        if len(leads) > 1:
            odd = next((p for p in sorted(large) if financial_year(str(p)) is None), large[0])
            raise DataError(
                f"{odd} looks like a year with a month, quarter, week or day, and differences of "
                f"such codes are no distances in time (a financial year is 201415 or 2014/15). "
                f"{NUMBER_THEM}"
            )
    if len(periods) > 1 and all(p > 0 and (p // 100 + 1) % 100 == p % 100 for p in periods):
        raise DataError(
            f"{min(periods)} looks like a financial year without its century. Write 2014, 2014/15 "
            "or 201415"
        )
    return False


def _lead(period: int) -> tuple[int, int] | None:
    """Return the year (of a day, year and month) and the length of a code; None if it is none."""
    text = str(period)
    first, rest = int(text[:4]), int(text[4:])
    fits = {
        5: 1 <= rest <= 4,
        6: True,
        7: 1 <= rest <= 366,
        8: 1 <= rest // 100 <= 12 and 1 <= rest % 100 <= 31,
    }
    if first not in PLAUSIBLE or not fits.get(len(text), False):
        return None
    return (first if len(text) < 8 else period // 100, len(text))


def whole_period(given: object) -> object:
    """Read a period of a setting as those of the records are read: for validators of settings.

    >>> [whole_period(given) for given in (2014, "2014/15", 201415, None)]
    [2014, 2014, 2014, None]

    Raises:
        ValueError: If it is a code of another kind.
    """
    if isinstance(given, bool) or not isinstance(given, (int, str)):
        return given
    year = financial_year(str(given).strip())
    if year is not None:
        return year
    text = str(given).strip()
    if text.isdigit() and int(text) > LONGEST_YEAR and _lead(int(text)) is not None:
        raise ValueError(
            f"is {given}, which looks like a year with a month, quarter, week or day. {NUMBER_THEM}"
        )
    return given
