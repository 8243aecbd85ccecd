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

from sos_sources.simulator.children import Children
from sos_sources.simulator.days import (
    NEVER,
    Flags,
    Ints,
    april_year,
    date_of,
    year_end,
    year_start,
)
from sos_sources.simulator.dirt import Recorded
from sos_sources.simulator.referrals import NEED, Referrals
from sos_sources.simulator.tables import plan_numbers

CIN_PLANS_SINCE = 2022
"""First return (by the year it ends in) whose schema has CINPlanDates."""

SOFTWARE = "sos-plugins simulator"
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
    recorded: Recorded,
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
        recorded: What is written of each referral.
        years: April-years.
        factors: Whether to write the factors identified at assessments.
        advance: Called with 1 after each year.

    Returns:
        The files. An authority without a case in a year has none: a return holds a child at least.
    """
    folder.mkdir(parents=True, exist_ok=True)
    composer = _Composer(children, referrals, recorded, last_year=years[-1], factors=factors)
    files: list[Path] = []
    for year in years:
        for unit, body in composer.bodies(year):
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
        recorded: Recorded,
        *,
        last_year: int,
        factors: bool,
    ) -> None:
        self.factors = factors
        self.children = children
        self.referrals = referrals
        self.recorded = recorded
        self.plan_number = plan_numbers(referrals)
        self.last_return = np.minimum(april_year(referrals.closure), last_year)
        known = [a[a < NEVER] for a in (children.birth, children.expected_birth, recorded.closure)]
        known += [referrals.date, np.array([0, year_end(2045)])]
        self.dates = _Dates(
            min(int(a.min()) for a in known if len(a)), max(int(a.max()) for a in known if len(a))
        )

    def bodies(self, year: int) -> Iterator[tuple[int, memoryview]]:
        """Yield every authority with cases in the year, and the text of its children."""
        start, end = year_start(year), year_end(year)
        rows = np.flatnonzero((self.referrals.date <= end) & (self.referrals.closure >= start))
        if not len(rows):
            return
        # A duplicate stands beside the original, in the last return that holds the case.
        twice = self.recorded.duplicate[rows] & (self.last_return[rows] == year)
        rows = np.repeat(rows, 1 + twice)
        some = self.referrals.where(rows)
        new_child = np.append(True, some.child[1:] != some.child[:-1])
        last_of_child = np.append(new_child[1:], True)
        text = _join(
            _when(new_child, self._child(some.child, end)),
            self._details(rows, some, start, end),
            _when(last_of_child, pa.array(np.full(len(rows), "</Child>", dtype=object))),
        )
        yield from _slices(some.unit, text)

    def _child(self, child: Ints, end: int) -> Text:
        these = self.children
        born = these.birth[child] <= end
        disability = these.disability[child]
        given = pa.array(disability, mask=disability == "")
        return _join(
            "\n<Child><ChildIdentifiers>",
            _element("LAchildID", pa.array(these.identifier[child]).cast(pa.string())),
            _element("PersonBirthDate", self.dates(these.birth[child], born)),
            _element("ExpectedPersonBirthDate", self.dates(these.expected_birth[child], ~born)),
            _element("GenderCurrent", pa.array(np.where(born, these.sex[child], 0).astype(str))),
            "</ChildIdentifiers><ChildCharacteristics>",
            _element("Ethnicity", pa.array(these.ethnicity[child])),
            _element("Disabilities", _element("Disability", given)),
            "</ChildCharacteristics>",
        )

    def _details(self, rows: Ints, some: Referrals, start: int, end: int) -> Text:
        written = self.recorded
        closed = some.closure <= end
        in_year = (some.conference >= start) & (some.conference <= end)
        return _join(
            "<CINdetails>",
            _element("CINreferralDate", self.dates(some.date)),
            _element("ReferralSource", pa.array(some.source)),
            _element("PrimaryNeedCode", pa.array(some.need)),
            _element("CINclosureDate", self.dates(written.closure[rows], closed)),
            _when(
                closed, _element("ReasonForClosure", pa.array(written.reason[rows], pa.string()))
            ),
            _element("DateOfInitialCPC", self.dates(some.conference, some.in_details & in_year)),
            self._assessment(some.assessment_start, some.assessment_end, some, start, end),
            self._assessment(some.again_start, some.again_end, some, start, end),
            self._cin_plan(some, start, end),
            self._enquiry(some, start, end),
            _element("ReferralNFA", _true_false(written.nfa[rows])),
            self._plan(rows, some, start, end),
            "</CINdetails>",
        )

    def _assessment(self, began: Ints, done: Ints, some: Referrals, start: int, end: int) -> Text:
        authorised = (done >= start) & (done <= end)
        unfinished = (began >= start) & (began <= end) & (done > end)
        inside = _join(
            _element("AssessmentActualStartDate", self.dates(began)),
            _element("AssessmentAuthorisationDate", self.dates(done, done <= end)),
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

    def _enquiry(self, some: Referrals, start: int, end: int) -> Text:
        conference = np.where(some.in_enquiry, some.conference, NEVER)
        began = some.enquiry_start
        held = (conference >= start) & (conference <= end)
        without = (began >= start) & (began <= end) & (conference > end)
        inside = _join(
            _element("S47ActualStartDate", self.dates(began)),
            _element("InitialCPCtarget", self.dates(some.enquiry_target)),
            _element("DateOfInitialCPC", self.dates(conference, conference <= end)),
            _element("ICPCnotRequired", _true_false(~some.in_enquiry)),
        )
        return _when(held | without, _element("Section47", inside))

    def _plan(self, rows: Ints, some: Referrals, start: int, end: int) -> Text:
        shown = (some.plan_start <= end) & (some.plan_end >= start)
        inside = _join(
            _element("CPPstartDate", self.dates(some.plan_start)),
            _element("CPPendDate", self.dates(some.plan_end, some.plan_end <= end)),
            _element("InitialCategoryOfAbuse", pa.array(some.category, pa.string())),
            _element("LatestCategoryOfAbuse", pa.array(some.latest_category, pa.string())),
            _element("NumberOfPreviousCPP", pa.array(self.plan_number[rows]).cast(pa.string())),
        )
        return _when(shown, _element("ChildProtectionPlans", inside))


def _true_false(flags: Flags) -> Text:
    return pa.array(np.where(flags, "true", "false").astype(object))


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
