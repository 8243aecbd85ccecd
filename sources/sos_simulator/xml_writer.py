"""Children in need census returns as XML, one file an authority and year.

The text of all returns of one year is put together column by column in Arrow: every element is a
text column, null where the element is left out, and the rows of a file lie next to each other in
one buffer, which is written as it is.

What a return shows follows the census's own validation rules: cases open at any time in the year;
closures, conferences, authorised assessments and ends of plans only when they fall in the year;
assessments and enquiries not finished by its end in the year they started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sos_simulator.children import LETTERS, Children
from sos_simulator.dates import (
    NEVER,
    Flags,
    Ints,
    april_year,
    date_of,
    year_end,
    year_start,
)
from sos_simulator.recording import Written
from sos_simulator.referrals import NEED, Referrals
from sos_simulator.tables import plan_numbers

CIN_PLANS_SINCE = 2022
"""First return (by the year it ends in) whose schema has CINPlanDates."""

SEX_SINCE = 2025
"""First return whose schema has Sex (M, F, U) in place of GenderCurrent, and 1 and 0 alone for
flags."""

SOFTWARE = "sos-plugins simulator"
STRAY = "see the notes"
UNKNOWN = "<LocalNote>simulated</LocalNote>"
_CIN_PLAN_AFTER = 5
_FACTORS = np.array(["3B", "4B", "1B", "2B", "16A", "17A", "5B", "20"], dtype=object)
_NO_FACTOR = "21"

Text = Any  # a pyarrow array of strings; Arrow has no types that mypy knows


def write_returns(
    folder: Path,
    *,
    codes: Sequence[str],
    children: Children,
    referrals: Referrals,
    written: Written,
    years: range,
    factors: bool = False,
    advance: Callable[[int], Any] = lambda _: None,
) -> list[Path]:
    """Write ``<code>_<year>.xml``, where ``year`` is the one the return ends in.

    Args:
        folder: Where the files go; made if needed.
        codes: Codes of the authorities.
        children: All children.
        referrals: Referrals in the order of unit, child and date.
        written: What is written of them, row by row.
        years: April-years.
        factors: Whether to write the factors identified at assessments.
        advance: Called with 1 after each year.

    Returns:
        The files. An authority without a case in a year has none: a return holds a child at least.
    """
    folder.mkdir(parents=True, exist_ok=True)
    composer = _Composer(children, referrals, written, last_year=years[-1], factors=factors)
    files: list[Path] = []
    for year in years:
        for unit, body in composer.bodies(year):
            if written.no_cin[unit, year - years[0]]:
                continue
            path = folder / f"{codes[unit]}_{year + 1}.xml"
            with path.open("wb") as file:
                file.write(_head(codes[unit], year))
                file.write(body)
                file.write(b"\n</Children></Message>\n")
            files.append(path)
        advance(1)
    return files


def _head(code: str, april_year: int) -> bytes:
    year = april_year + 1
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Message><Header><CollectionDetails>'
        f"<Collection>CIN</Collection><Year>{year}</Year><ReferenceDate>{year}-03-31</ReferenceDate>"
        f"</CollectionDetails><Source><SourceLevel>L</SourceLevel><LEA>{code}</LEA>"
        f"<SoftwareCode>{SOFTWARE}</SoftwareCode><Release>1</Release><SerialNo>001</SerialNo>"
        f"<DateTime>{year}-07-31T12:00:00</DateTime></Source></Header><Children>"
    ).encode()


class _Dates:
    """Days as ISO text, looked up in a table."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.texts = pa.array([date_of(d).isoformat() for d in range(first, last + 1)])

    def __call__(self, days: Ints, shown: Flags | None = None) -> Text:
        hidden = days == NEVER if shown is None else ~shown | (days == NEVER)
        return self.texts.take(pa.array(np.where(hidden, 0, days - self.first), mask=hidden))


def _element(name: str, text: Text) -> Text:
    """Wrap texts in an element; null stays null."""
    return pc.binary_join_element_wise(f"<{name}>", text, f"</{name}>", "")


def _join(*parts: Text | str) -> Text:
    """Concatenate; a null part counts as empty."""
    return pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="")


def _when(shown: Flags, text: Text) -> Text:
    return pc.if_else(pa.array(shown), text, pa.scalar(None, pa.string()))


class _Composer:
    """Puts together the returns of one year after the other."""

    def __init__(
        self,
        children: Children,
        referrals: Referrals,
        written: Written,
        *,
        last_year: int,
        factors: bool,
    ) -> None:
        self.factors = factors
        self.children = children
        self.referrals = referrals
        self.written = written
        self.plan_number = plan_numbers(referrals)
        self.last_return = np.minimum(april_year(referrals.closure), last_year)
        self.dates = _Dates(*_outermost(children, referrals, written))

    def bodies(self, year: int) -> Iterator[tuple[int, memoryview]]:
        """Yield every authority with cases in the year, and the text of its children."""
        start, end = year_start(year), year_end(year)
        open_ = (self.referrals.date <= end) & (self.referrals.closure >= start)
        rows = np.flatnonzero(open_ & ~self.written.dropped)
        if not len(rows):
            return
        # A duplicate stands beside the original, in the last return that holds the case.
        twice = self.written.duplicate[rows] & (self.last_return[rows] == year)
        rows = np.repeat(rows, 1 + twice)
        some = self.referrals.where(rows)
        new_child = np.append(True, some.child[1:] != some.child[:-1])
        last_of_child = np.append(new_child[1:], True)
        text = _join(
            _when(new_child, self._child(some.child, year)),
            self._details(rows, some, year),
            _when(last_of_child, pa.array(np.full(len(rows), "</Child>", dtype=object))),
        )
        yield from _slices(some.unit, text)

    def _child(self, child: Ints, year: int) -> Text:
        usual, late = self.written.children, self.written.children_at_last
        at_last = self.written.last_seen[child] == year

        def said(column: str) -> Any:
            return np.where(at_last, getattr(late, column)[child], getattr(usual, column)[child])

        born = self.children.birth[child] <= year_end(year)
        disability = said("disability")
        given = pa.array(disability, mask=disability == "")
        number = self.children.number[child]
        return _join(
            "\n<Child><ChildIdentifiers>",
            _element("LAchildID", pa.array(usual.identifier[child]).cast(pa.string())),
            _element("UPN", pa.array(number, pa.string(), mask=number == "")),
            _element("PersonBirthDate", self.dates(said("birth"), born)),
            _element("ExpectedPersonBirthDate", self.dates(usual.expected_birth[child], ~born)),
            _sex(np.where(born, said("sex"), 0), year),
            "</ChildIdentifiers><ChildCharacteristics>",
            _element("Ethnicity", pa.array(said("ethnicity"), pa.string())),
            _element("Disabilities", _element("Disability", given)),
            "</ChildCharacteristics>",
        )

    def _details(self, rows: Ints, some: Referrals, year: int) -> Text:
        start, end = year_start(year), year_end(year)
        says = self.written.referrals.where(rows)
        closed = some.closure <= end
        in_year = (some.conference >= start) & (some.conference <= end)
        last = self.last_return[rows] == year
        source = np.where(self.written.conflict[rows] & ~last, some.source, says.source)
        return _join(
            "<CINdetails>",
            _when(self.written.marks["stray-text"][rows] & last, STRAY),
            _element("CINreferralDate", self.dates(some.date)),
            _element("ReferralSource", pa.array(source, pa.string())),
            _element("PrimaryNeedCode", pa.array(says.need, pa.string())),
            _element("CINclosureDate", self.dates(says.closure, closed)),
            _when(closed, _element("ReasonForClosure", pa.array(says.reason, pa.string()))),
            _element("DateOfInitialCPC", self.dates(says.conference, says.in_details & in_year)),
            self._assessment("assessment", some, says, year),
            self._assessment("again", some, says, year),
            self._cin_plan(some, start, end),
            self._enquiry(some, says, year),
            _element("ReferralNFA", _yes_no(self.written.nfa[rows], year)),
            self._plan(rows, some, says, start, end),
            _when(self.written.marks["unknown-element"][rows] & last, UNKNOWN),
            "</CINdetails>",
        )

    def _assessment(self, which: str, some: Referrals, says: Referrals, year: int) -> Text:
        start, end = year_start(year), year_end(year)
        began, done = getattr(some, f"{which}_start"), getattr(some, f"{which}_end")
        authorised = (done >= start) & (done <= end)
        unfinished = (began >= start) & (began <= end) & (done > end)
        inside = _join(
            _element("AssessmentActualStartDate", self.dates(getattr(says, f"{which}_start"))),
            _element(
                "AssessmentAuthorisationDate",
                self.dates(getattr(says, f"{which}_end"), done <= end),
            ),
            self._factors(some, began, authorised) if self.factors else "",
        )
        return _when(authorised | unfinished, _element("Assessments", inside))

    def _factors(self, some: Referrals, began: Ints, authorised: Flags) -> Text:
        factor = _FACTORS[(some.child + began) % len(_FACTORS)]
        factor = np.where(some.kind == NEED, factor, _NO_FACTOR)
        inside = _element("AssessmentFactors", pa.array(factor.astype(object)))
        return _when(authorised, _element("FactorsIdentifiedAtAssessment", inside))

    def _cin_plan(self, some: Referrals, start: int, end: int) -> Text:
        """Add the plan of a child in need without protection plan, where the schema knows it."""
        began = np.where(some.kind == NEED, some.assessment_end + _CIN_PLAN_AFTER, NEVER)
        planned = (some.plan_start == NEVER) & (began <= end) & (some.closure > began)
        shown = planned & (april_year(np.array([end]))[0] + 1 >= CIN_PLANS_SINCE)
        inside = _join(
            _element("CINPlanStartDate", self.dates(began)),
            _element("CINPlanEndDate", self.dates(some.closure, some.closure <= end)),
        )
        return _when(shown & (some.closure >= start), _element("CINPlanDates", inside))

    def _enquiry(self, some: Referrals, says: Referrals, year: int) -> Text:
        start, end = year_start(year), year_end(year)
        conference = np.where(some.in_enquiry, some.conference, NEVER)
        began = some.enquiry_start
        held = (conference >= start) & (conference <= end)
        without = (began >= start) & (began <= end) & (conference > end)
        inside = _join(
            _element("S47ActualStartDate", self.dates(says.enquiry_start)),
            _element("InitialCPCtarget", self.dates(says.enquiry_target)),
            _element("DateOfInitialCPC", self.dates(says.conference, conference <= end)),
            _element("ICPCnotRequired", _yes_no(~some.in_enquiry, year)),
        )
        return _when(held | without, _element("Section47", inside))

    def _plan(self, rows: Ints, some: Referrals, says: Referrals, start: int, end: int) -> Text:
        shown = (some.plan_start <= end) & (some.plan_end >= start)
        inside = _join(
            _element("CPPstartDate", self.dates(says.plan_start)),
            _element("CPPendDate", self.dates(says.plan_end, some.plan_end <= end)),
            _element("InitialCategoryOfAbuse", pa.array(says.category, pa.string())),
            _element("LatestCategoryOfAbuse", pa.array(says.latest_category, pa.string())),
            _element("NumberOfPreviousCPP", pa.array(self.plan_number[rows]).cast(pa.string())),
        )
        return _when(shown, _element("ChildProtectionPlans", inside))


def _outermost(children: Children, referrals: Referrals, written: Written) -> tuple[int, int]:
    """Return the first and last day that may be written."""
    days = [referrals.date, np.array([0, year_end(2045)])]
    for kids in (children, written.children_at_last):
        days += [kids.birth, kids.expected_birth]
    for name in ("closure", "assessment_start", "assessment_end", "conference", "plan_start"):
        days += [getattr(referrals, name), getattr(written.referrals, name)]
    known = [d[d < NEVER] for d in days]
    return (
        min(int(d.min()) for d in known if len(d)),
        max(int(d.max()) for d in known if len(d)),
    )


def _yes_no(flags: Flags, april_year: int) -> Text:
    yes, no = ("1", "0") if april_year + 1 >= SEX_SINCE else ("true", "false")
    return pa.array(np.where(flags, yes, no).astype(object))


def _sex(codes: Ints, april_year: int) -> Text:
    if april_year + 1 >= SEX_SINCE:
        return _element("Sex", pa.array(LETTERS[codes], pa.string()))
    return _element("GenderCurrent", pa.array(codes.astype(str)))


def _slices(unit: Ints, text: Text) -> Iterator[tuple[int, memoryview]]:
    """Cut the contiguous buffer of a text column where the authority changes."""
    if isinstance(text, pa.ChunkedArray):
        text = text.combine_chunks()
    buffers = text.buffers()
    offsets = np.frombuffer(buffers[1], dtype=np.int32)[text.offset : text.offset + len(text) + 1]
    data = memoryview(buffers[2])
    edges = np.flatnonzero(np.append(True, unit[1:] != unit[:-1]))
    for first, beyond in zip(edges, np.append(edges[1:], len(unit)), strict=True):
        yield int(unit[first]), data[offsets[first] : offsets[beyond]]
