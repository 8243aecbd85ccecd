"""Dates that are written as text: one form for a whole column, and none is guessed.

``03/04/2019`` is 3 April in the United Kingdom and 4 March in the United States. A column is read
day first where one of its cells can be nothing else and none contradicts it. Where no cell tells,
or some say month first, whoever knows the file must say so.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa

DateOrder = Literal["auto", "day-first", "month-first", "excel"]
"""How dates are written: ``auto`` as the column shows; ``excel`` counts days as workbooks do."""
DATE_ORDERS: tuple[DateOrder, ...] = get_args(DateOrder)
DATES_HELP = (
    'How dates in text are written, where they do not show it: "day-first" (31/12/2019), '
    '"month-first" (12/31/2019), or "excel", the number of days that a workbook has for a date '
    '(43830). "auto": as the column shows; one that may be read in two ways is an error.'
)
"""What a setting of this type says of itself."""
EXPECTED = "a date such as 2015-03-31 or 31/03/2015 was expected"

_TIME = r"(?:[T ]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?)?"
_YEAR_FIRST = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_TIME}")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}){_TIME}")
_NAMED = re.compile(rf"(\d{{1,2}})[- ]?([A-Za-z]{{3,9}})[- ]?(\d{{4}}){_TIME}")
_SHORT_YEAR = re.compile(rf"\d{{1,2}}([-/. ])(?:\d{{1,2}}|[A-Za-z]{{3,9}})\1\d{{2}}{_TIME}")
_NUMBER = re.compile(r"(\d{4,6})(\.\d+)?")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
EXCEL_DAY_0 = dt.date(1899, 12, 30)
"""Day 0 of the count of Excel from March 1900 on: it takes 1900 for a leap year."""
EXCEL_FIRST = 61
"""1 March 1900, before which that count is a day out."""
EXCEL_LAST = 2_958_465
"""31 December 9999."""

_SHAPES = {
    "year-first": "year first (2019-12-31)",
    "day-first": "day first (31/12/2019)",
    "month-first": "month first (12/31/2019)",
    "either": "day or month first (03/04/2019)",
    "named": "with the name of the month (31 Dec 2019)",
    "excel": "as a number of days (43830)",
}


class UnclearDatesError(ValueError):
    """Texts are no dates, or cannot be read in one way.

    Attributes:
        expected: What was expected, and what to do.
        texts: Those that are at fault, or of a mixture one of each form.
        mixed: Whether it is a mixture.
    """

    def __init__(self, expected: str, texts: Iterable[str], *, mixed: bool = False) -> None:
        super().__init__(expected)
        self.expected = expected
        self.texts = tuple(texts)
        self.mixed = mixed


@dataclass(frozen=True)
class WrittenDates:
    """Dates by the texts that they were read from.

    Attributes:
        days: Day of each text.
        form: Key of the form that all have; empty without any text.
    """

    days: Mapping[str, dt.date]
    form: str

    @property
    def told(self) -> str:
        """How they were read, in words; empty where no other way is thought of."""
        return "" if self.form in ("", "year-first", "named") else _SHAPES[self.form]


def read_dates(
    texts: Collection[str], order: DateOrder = "auto", earlier: str = ""
) -> WrittenDates:
    """Read the texts of one column.

    Args:
        texts: Its different texts, trimmed; none is empty.
        order: What the user says of the column.
        earlier: ``form`` of other rows of the same column.

    Raises:
        UnclearDatesError: If a text is no date, they have several forms, or day and month cannot be
            told apart.

    >>> read_dates(["03/04/2019", "31/12/2019 00:00"]).days["03/04/2019"].isoformat()
    '2019-04-03'
    """
    forms = {text: _form(text, order) for text in texts}
    _refuse_no_dates(forms)
    form = _one_form(forms, order, earlier)
    days = {text: _day(text, form) for text in texts}
    if wrong := [text for text, day in days.items() if day is None]:
        raise UnclearDatesError(f"{EXPECTED}, on a day that there is", wrong)
    return WrittenDates({text: day for text, day in days.items() if day is not None}, form)


def as_days(text: pa.Array, read: WrittenDates) -> pa.Array:
    """Return the days of an array of texts; null where it is."""
    coded = text.dictionary_encode()
    days = [None if cell is None else read.days[cell] for cell in coded.dictionary.to_pylist()]
    return pa.array(days, pa.date32()).take(coded.indices)


def _form(text: str, order: DateOrder) -> str:
    if _YEAR_FIRST.fullmatch(text):
        return "year-first"
    if found := _YEAR_LAST.fullmatch(text):
        first, second = int(found[1]), int(found[3])
        if first > 12:
            return "day-first"
        if second > 12:
            return "month-first"
        return "same" if first == second else "either"
    if (found := _NAMED.fullmatch(text)) and _month(found[2]):
        return "named"
    if order == "excel" and _NUMBER.fullmatch(text):
        return "excel"
    return ""


def _refuse_no_dates(forms: Mapping[str, str]) -> None:
    wrong = [text for text, form in forms.items() if not form]
    if not wrong:
        return
    hint = ""
    if any(_SHORT_YEAR.fullmatch(text) for text in wrong):
        hint = ", with all four digits of the year"
    elif all(_NUMBER.fullmatch(text) for text in wrong):
        hint = '; where the numbers are Excel\'s count of days, say dates = "excel"'
    raise UnclearDatesError(f"{EXPECTED}{hint}", wrong)


def _one_form(forms: Mapping[str, str], order: DateOrder, earlier: str) -> str:
    """Return the one form of a column."""
    by_form: dict[str, str] = {}
    for text, form in forms.items():
        by_form.setdefault(form, text)
    kinds = {_kind(form) for form in by_form}
    if not kinds:
        return earlier
    if len(kinds) > 1:
        raise UnclearDatesError(_mixed(by_form), by_form.values(), mixed=True)
    if earlier and _kind(earlier) not in kinds:
        raise UnclearDatesError(_mixed({**by_form, earlier: ""}), by_form.values(), mixed=True)
    if kinds != {"numbers"}:
        return next(iter(by_form))
    return _order(forms, by_form, order, earlier)


def _kind(form: str) -> str:
    return "numbers" if form in ("day-first", "month-first", "either", "same") else form


def _order(
    forms: Mapping[str, str], by_form: Mapping[str, str], order: DateOrder, earlier: str
) -> str:
    """Return whether the day or the month stands first."""
    if order in ("day-first", "month-first"):
        other = "month-first" if order == "day-first" else "day-first"
        if wrong := [text for text, form in forms.items() if form == other]:
            raise UnclearDatesError(
                f"a date with the {order.removesuffix('-first')} first was expected", wrong
            )
        return order
    if {"day-first", "month-first"} <= {*by_form, *([earlier] if earlier else [])}:
        shown = [t for f, t in by_form.items() if f in ("day-first", "month-first")]
        raise UnclearDatesError(_mixed(by_form), shown, mixed=True)
    if "month-first" in by_form:
        raise UnclearDatesError(
            "no date has its day first and some have the month there; if all have, say dates = "
            '"month-first", else mend them',
            [text for text, form in forms.items() if form == "month-first"],
        )
    if "day-first" in by_form or earlier == "day-first" or "either" not in by_form:
        return "day-first"
    raise UnclearDatesError(
        "dates can be read day first and month first, and no cell tells which: say dates = "
        '"day-first" or "month-first", or write them as 2019-12-31',
        [text for text, form in forms.items() if form == "either"],
    )


def _mixed(by_form: Iterable[str]) -> str:
    shapes = sorted({_SHAPES[form] for form in by_form if form in _SHAPES and form != "either"})
    if len(shapes) < 2:
        shapes = sorted({_SHAPES[form] for form in by_form if form in _SHAPES})
    return f"dates written in one way were expected, not {' and '.join(shapes)}; write all alike"


def _day(text: str, form: str) -> dt.date | None:
    try:
        return _parts(text, form)
    except (ValueError, OverflowError):
        return None


def _parts(text: str, form: str) -> dt.date | None:
    if form == "excel":
        number = int(text.partition(".")[0])
        counted = EXCEL_FIRST <= number <= EXCEL_LAST
        return EXCEL_DAY_0 + dt.timedelta(days=number) if counted else None
    if form == "year-first" and (found := _YEAR_FIRST.fullmatch(text)):
        return dt.date(int(found[1]), int(found[3]), int(found[4]))
    if form == "named" and (found := _NAMED.fullmatch(text)):
        return dt.date(int(found[3]), _month(found[2]), int(found[1]))
    found = _YEAR_LAST.fullmatch(text)
    assert found is not None
    first, second, year = int(found[1]), int(found[3]), int(found[4])
    return dt.date(year, second, first) if form == "day-first" else dt.date(year, first, second)


def _month(name: str) -> int:
    """Return the number of a month by its name or its first three letters (Sept too), else 0."""
    word = name.lower()
    for number, month in enumerate(_MONTHS, 1):
        if word in (month, month[:3]) or (word == "sept" and month[:4] == word):
            return number
    return 0
