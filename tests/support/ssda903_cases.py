"""Rows that break each check of the return on children looked after, and rows at the boundary.

What each check means was read in its published wording; every case says how many rows break it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from outcome_helpers import END as LAST_DAY
from outcome_helpers import day
from rule_helpers import Rows

START, MOVE, END = day("2015-06-01"), day("2015-09-01"), day("2015-12-01")
ONE_DAY = dt.timedelta(days=1)
BORN = day("2010-01-01")
FIRST: dict[str, Any] = {
    "start_date": START,
    "end_date": MOVE,
    "reason_start": "S",
    "reason_end": "X1",
    "legal_status": "C2",
    "cin": "N1",
    "placement": "U1",
    "placement_provider": "PR1",
}
"""Care starts; the child moves on the day on which the episode ends."""
SECOND: dict[str, Any] = {
    **FIRST,
    "start_date": MOVE,
    "end_date": END,
    "reason_start": "P",
    "reason_end": "E4A",
    "placement": "U4",
}
"""The child is in another placement and goes home."""
LEFT: dict[str, Any] = {**FIRST, "reason_end": "E4A"}
"""The child leaves care at the end of the first episode."""


def care(*episodes: dict[str, Any], born: dt.date | None = BORN, **child: Any) -> Rows:
    """Episodes of a child."""
    return {"episodes": episodes, "children": [{"birth_date": born, **child}]}


def changed(first: dict[str, Any] | None = None, **second: Any) -> Rows:
    """The two episodes, with changes."""
    return care({**FIRST, **(first or {})}, {**SECOND, **second})


def alone(*, born: dt.date | None = BORN, **values: Any) -> Rows:
    """The first episode, after which the child goes home, with changes."""
    return care({**LEFT, **values}, born=born)


def lasting(days: int, **values: Any) -> Rows:
    """One episode of so many days."""
    return alone(end_date=START + dt.timedelta(days=days), **values)


def orders(
    *spans: tuple[str | None, str | None], stay: Rows | None = None, year: int = 2026
) -> Rows:
    """Orders that deprive a child of liberty, of a child in a children's home all the year."""
    rows = [
        {"start_date": start and day(start), "end_date": end and day(end), "return_year": year}
        for start, end in spans
    ]
    return {**(stay or HOME), "deprivation_orders": rows}


def in_home(*places: tuple[str, str, str | None], born: dt.date | None = BORN) -> Rows:
    """One period of care: placements with their days."""
    return care(
        *(
            {
                **FIRST,
                "start_date": day(start),
                "end_date": end and day(end),
                "placement": place,
                "reason_start": "P" if n else "S",
                "reason_end": None if end is None else "X1" if n + 1 < len(places) else "E4A",
                "period_of_care": 1,
            }
            for n, (place, start, end) in enumerate(places)
        ),
        born=born,
    )


def holidays(*dates: str) -> Rows:
    """Temporary placements during holidays of carers, of one day from each of these on."""
    return care(
        *(
            {**FIRST, "placement": "T3", "start_date": start, "end_date": start + ONE_DAY}
            for start in map(day, dates)
        )
    )


def year_of_breaks(*days: int, status: str = "V3") -> Rows:
    """Short breaks of so many days, each a period of care, a month apart."""
    starts = [day(f"2015-{month:02d}-01") for month in range(4, 4 + len(days))]
    return care(
        *(
            {
                **LEFT,
                "start_date": start,
                "end_date": start + dt.timedelta(days=n),
                "legal_status": status,
                "placement": "U6",
            }
            for start, n in zip(starts, days, strict=True)
        )
    )


def of_status(status: str, *days: int) -> Rows:
    """Episodes of one legal status that follow each other, of so many days."""
    rows, start = [], START
    for n in days:
        end = start + dt.timedelta(days=n)
        row = {**FIRST, "legal_status": status, "start_date": start, "end_date": end}
        rows.append({**row, "reason_start": "P" if rows else "S"})
        start = end
    rows[-1]["reason_end"] = "E4A"
    return care(*rows)


def birthday(years: int, age_on: dt.date = START) -> dt.date:
    """The birth date of a child that completes so many years on a day."""
    return age_on.replace(year=age_on.year - years)


HOME = in_home(("K2", "2026-04-01", None))
"""A child in a children's home from April 2026 on."""


def away(**third: Any) -> Rows:
    """A foster child goes to hospital (T1) and moves on, with changes of where."""
    second = {**SECOND, "placement": "T1", "placement_provider": None, "reason_end": "X1"}
    return care(
        {**FIRST, "placement": "U4"},
        second,
        {**SECOND, "start_date": END, "end_date": day("2016-02-01"), **third},
    )


def both_breaks(second: str) -> Rows:
    """A short break under V3 on 1 June 2015, and one under V4."""
    return care(
        {**LEFT, "legal_status": "V3", "end_date": START + ONE_DAY},
        {
            **LEFT,
            "legal_status": "V4",
            "start_date": day(second),
            "end_date": day(second) + ONE_DAY,
        },
    )


def under(place: str, *, until: str = "2026-05-20", end: str | None = "2026-06-01") -> Rows:
    """An order from 1 May 2026 on, of a child who moves to a children's home on a day."""
    return orders(
        ("2026-05-01", end), stay=in_home((place, "2026-04-01", until), ("K2", until, None))
    )


CASES: dict[str, dict[str, tuple[int, Rows]]] = {
    "ssda903:142": {
        "no end": (1, changed({"end_date": None, "reason_end": None})),
        "no reason": (1, changed({"reason_end": None})),
        "no date": (1, changed({"end_date": None})),
        "the last is open": (0, changed(end_date=None, reason_end=None)),
        "both ended": (0, changed()),
        "the only one is open": (0, care({**FIRST, "end_date": None, "reason_end": None})),
    },
    "ssda903:148": {
        "no reason": (1, changed(reason_end=None)),
        "no date": (1, changed(end_date=None)),
        "neither": (0, changed(end_date=None, reason_end=None)),
        "both": (0, changed()),
    },
    "ssda903:356": {
        "the day before": (1, changed(end_date=MOVE - ONE_DAY)),
        "the day": (0, changed(end_date=MOVE)),
        "open": (0, changed(end_date=None)),
    },
    "ssda903:380": {
        "starts in one": (1, changed({"placement": "T0"})),
        "moves to one": (0, changed(placement="T4")),
        "moves to one, status too": (0, changed(placement="T4", reason_start="B")),
        "status alone": (1, changed({"placement": "T1"}, placement="T1", reason_start="P")),
        "no reason": (1, changed(placement="T3", reason_start=None)),
        "another placement": (0, changed({"placement": "T5"})),
    },
    "ssda903:381": {
        "ends in one": (1, changed(placement="T2")),
        "goes on from one": (0, changed({"placement": "T2"})),
        "still there": (0, changed(placement="T2", end_date=None, reason_end=None)),
        "another placement": (0, changed(placement="P1")),
    },
    "ssda903:388": {
        "no episode follows": (1, care(FIRST)),
        "one follows a day late": (1, changed(start_date=MOVE + ONE_DAY)),
        "one follows": (0, changed()),
        "one follows, and it says otherwise": (1, changed({"reason_end": "E4A"})),
        "the child left, and came back": (0, changed(LEFT, start_date=MOVE + ONE_DAY)),
        "no reason": (0, changed({"reason_end": None})),
        "no end": (0, changed({"end_date": None})),
    },
    "ssda903:431": {
        "on the day": (1, changed(LEFT, reason_start="S")),
        "the day before": (1, changed(LEFT, reason_start="S", start_date=MOVE - ONE_DAY)),
        "the day after": (0, changed(LEFT, reason_start="S", start_date=MOVE + ONE_DAY)),
        "another reason": (0, changed()),
        "the last is open": (0, changed({"end_date": None}, reason_start="S")),
    },
    "ssda903:432": {
        "goes on": (1, changed(LEFT, start_date=MOVE + ONE_DAY)),
        "no reason": (1, changed(LEFT, start_date=MOVE + ONE_DAY, reason_start=None)),
        "starts": (0, changed(LEFT, start_date=MOVE + ONE_DAY, reason_start="S")),
        "had not left": (0, changed()),
        "no reason for the end": (0, changed({"reason_end": None})),
    },
    "ssda903:433": {
        "a day late": (1, changed(start_date=MOVE + ONE_DAY)),
        "a day early": (1, changed(start_date=MOVE - ONE_DAY)),
        "on the day": (0, changed()),
        "after one without an end": (1, changed({"end_date": None, "reason_end": None})),
        "starts": (0, changed(start_date=MOVE + ONE_DAY, reason_start="S")),
        "no episode before": (0, care(SECOND)),
    },
    "ssda903:434": {
        "the same status": (1, changed(reason_start="L", placement="U1")),
        "another status": (0, changed(reason_start="L", placement="U1", legal_status="V2")),
        "another placement too": (1, changed(reason_start="L", legal_status="V2")),
        "another provider too": (
            1,
            changed(
                reason_start="L", placement="U1", legal_status="V2", placement_provider="PR4"
            ),
        ),
        "no status before, none now": (
            0,
            changed({"legal_status": None}, reason_start="L", placement="U1", legal_status=None),
        ),
        "no episode before": (0, care({**SECOND, "reason_start": "L"})),
    },
    "ssda903:435": {
        "another status": (1, changed(legal_status="V2")),
        "another status, another carer": (1, changed(reason_start="T", legal_status="V2")),
        "the same": (0, changed()),
        "no status before, none now": (0, changed({"legal_status": None}, legal_status=None)),
        "no status now": (1, changed(legal_status=None)),
    },
    "ssda903:436": {
        "the same status": (1, changed(reason_start="B")),
        "the same status, another carer": (1, changed(reason_start="U")),
        "another status": (0, changed(reason_start="B", legal_status="V2")),
        "only the placement": (0, changed()),
    },
    "ssda903:102": {
        "no birth date": (1, alone(born=None)),
        "a birth date": (0, alone()),
    },
    "ssda903:146": {
        "Q1 after its time": (1, alone(placement="Q1")),
        "Q1 in its time": (
            0,
            alone(placement="Q1", start_date=day("2015-03-31")),
        ),
        "U1 before its time": (
            1,
            alone(start_date=day("2015-01-01"), end_date=day("2015-03-31")),
        ),
        "U1 on its first day": (
            0,
            alone(start_date=day("2015-01-01"), end_date=day("2015-04-01")),
        ),
        "K3 in the return of 2024-25": (
            0,
            alone(placement="K3", start_date=day("2024-06-01"), end_date=day("2024-09-01")),
        ),
        "K3 in 2022": (
            1,
            alone(placement="K3", start_date=day("2022-06-01"), end_date=day("2023-03-31")),
        ),
        "H5 on its last day": (
            0,
            alone(placement="H5", start_date=day("2025-03-31"), end_date=day("2025-05-01")),
        ),
        "H5, P2 and Z1 a day later": (
            3,
            care(
                *(
                    {
                        **LEFT,
                        "placement": place,
                        "start_date": day(f"2025-0{month}-01"),
                        "end_date": day(f"2025-0{month}-20"),
                    }
                    for place, month in (("H5", 4), ("P2", 5), ("Z1", 6))
                )
            ),
        ),
        "Z12 before and since": (
            1,
            care(
                {
                    **LEFT,
                    "placement": "Z12",
                    "start_date": day("2025-02-01"),
                    "end_date": day("2025-03-31"),
                },
                {
                    **LEFT,
                    "placement": "Z12",
                    "start_date": day("2025-04-01"),
                    "end_date": day("2025-05-31"),
                },
            ),
        ),
    },
    "ssda903:199": {
        "after adoption": (1, changed({"reason_end": "E12"}, start_date=MOVE + ONE_DAY)),
        "adopted last": (0, changed(reason_end="E11", placement="A3")),
    },
    "ssda903:213": {
        "temporary": (1, changed(placement="T1")),
        "another kind": (1, alone(placement="Z13")),
        "temporary, none named": (0, changed(placement="T1", placement_provider=None)),
        "a home": (0, alone(placement="K2")),
    },
    "ssda903:217": {
        "moved": (1, changed(placement="A3")),
        "the carer alone": (0, changed(placement="A5", reason_start="T")),
        "no reason": (1, changed(placement="A5", reason_start=None)),
        "before April 2015": (
            0,
            alone(placement="A3", reason_start="P", start_date=day("2015-03-31")),
        ),
        "on 1 April 2015": (
            1,
            alone(placement="A3", reason_start="P", start_date=day("2015-04-01")),
        ),
    },
    "ssda903:231": {
        "ten on 31 March": (1, care(LEFT, born=day("2005-04-01"), uasc=True)),
        "eleven on 31 March": (0, care(LEFT, born=day("2005-03-31"), uasc=True)),
        "not alone": (0, care(LEFT, born=day("2005-04-01"), uasc=False)),
    },
    "ssda903:301": {
        "born after the end": (1, care(LEFT, born=LAST_DAY + ONE_DAY)),
        "on the last day": (0, care(LEFT, born=LAST_DAY)),
    },
    "ssda903:302": {
        "the day before birth": (1, alone(born=START + ONE_DAY)),
        "on the day": (0, alone(born=START)),
    },
    "ssda903:336": {
        "from a home": (1, changed({"placement": "K2"}, placement="A4")),
        "from foster carers": (0, changed(placement="A4")),
        "from foster carers of old": (0, changed({"placement": "Q2"}, placement="A3")),
        "first of all": (0, alone(placement="A4")),
    },
    "ssda903:351": {
        "25 on 31 March": (1, alone(born=day("1990-03-31"))),
        "25 on 1 April": (0, alone(born=day("1990-04-01"))),
    },
    "ssda903:352": {
        "on the birthday": (1, alone(born=birthday(18))),
        "the day before": (0, alone(born=birthday(18) + ONE_DAY)),
        "care goes on": (0, alone(born=birthday(18), reason_start="P")),
    },
    "ssda903:353": {
        "13 October 1991": (1, alone(start_date=day("1991-10-13"))),
        "14 October 1991": (0, alone(start_date=day("1991-10-14"))),
    },
    "ssda903:354": {
        "after the end": (
            1,
            alone(start_date=LAST_DAY + ONE_DAY, end_date=None, reason_end=None),
        ),
        "on the last day": (0, alone(start_date=LAST_DAY, end_date=None, reason_end=None)),
    },
    "ssda903:355": {
        "the same day": (1, lasting(0)),
        "the next": (0, lasting(1)),
    },
    "ssda903:357": {
        "moves first": (1, alone(reason_start="P")),
        "no reason": (1, alone(reason_start=None)),
        "starts": (0, changed()),
        "was there before": (0, alone(reason_start="P", start_date=day("2010-03-31"))),
        "on the first day": (1, alone(reason_start="P", start_date=day("2010-04-01"))),
    },
    "ssda903:358": {
        "the day before ten": (1, alone(legal_status="J2", born=birthday(10) + ONE_DAY)),
        "ten": (0, alone(legal_status="J2", born=birthday(10))),
        "another status": (0, alone(legal_status="C2", born=birthday(2))),
    },
    "ssda903:359": {
        "18 before the end": (
            1,
            alone(end_date=None, reason_end=None, born=birthday(18, LAST_DAY) - ONE_DAY),
        ),
        "18 on the last day": (
            0,
            alone(end_date=None, reason_end=None, born=birthday(18, LAST_DAY)),
        ),
        "in a home by agreement": (
            0,
            alone(
                end_date=None,
                reason_end=None,
                born=birthday(20, LAST_DAY),
                legal_status="V2",
                placement="K2",
            ),
        ),
        "left": (0, alone(born=birthday(20, LAST_DAY))),
    },
    "ssda903:361": {
        "four days": (1, of_status("L1", 4)),
        "three days": (0, of_status("L1", 3)),
        "two and two": (2, of_status("L1", 2, 2)),
        "one and two": (0, of_status("L1", 1, 2)),
        "two twice, apart": (
            0,
            care(
                {**LEFT, "legal_status": "L1", "end_date": START + 2 * ONE_DAY},
                {
                    **LEFT,
                    "legal_status": "L1",
                    "start_date": MOVE,
                    "end_date": MOVE + 2 * ONE_DAY,
                },
            ),
        ),
    },
    "ssda903:362": {
        "22 days": (1, of_status("L2", 22)),
        "21 days": (0, of_status("L2", 21)),
    },
    "ssda903:363": {
        "eight days": (2, of_status("L3", 4, 4)),
        "seven days": (0, of_status("L3", 3, 4)),
    },
    "ssda903:364": {
        "22 days": (1, of_status("J2", 22)),
        "21 days": (0, of_status("J2", 21)),
    },
    "ssda903:365": {
        "18 days": (1, lasting(18, legal_status="V3")),
        "17 days": (0, lasting(17, legal_status="V3")),
        "goes on": (1, alone(legal_status="V3", end_date=None, reason_end=None)),
    },
    "ssda903:366": {
        "moved": (1, changed(legal_status="V3")),
        "no reason": (1, alone(legal_status="V3", reason_start=None)),
        "starts": (0, alone(legal_status="V3")),
    },
    "ssda903:367": {
        "76 days": (6, year_of_breaks(15, 15, 15, 15, 15, 1)),
        "75 days": (0, year_of_breaks(15, 15, 15, 15, 15)),
        "of another kind": (0, year_of_breaks(15, 15, 15, 15, 15, 15, status="V4")),
    },
    "ssda903:370": {
        "the day before 16": (1, alone(placement="P2", born=birthday(16) + ONE_DAY)),
        "16": (0, alone(placement="P2", born=birthday(16))),
    },
    "ssda903:371": {
        "the day before 16": (
            2,
            care(
                {**LEFT, "placement": "H5"},
                {**LEFT, "placement": "K3", "start_date": MOVE + ONE_DAY, "end_date": END},
                born=birthday(15),
            ),
        ),
        "16": (0, alone(placement="H5", born=birthday(16))),
    },
    "ssda903:372": {
        "the day before ten": (1, alone(placement="R5", born=birthday(10) + ONE_DAY)),
        "ten": (0, alone(placement="R5", born=birthday(10))),
    },
    "ssda903:373": {
        "the day before four": (1, alone(placement="S1", born=birthday(4) + ONE_DAY)),
        "four": (0, alone(placement="S1", born=birthday(4))),
    },
    "ssda903:374": {
        "the day before 14": (1, alone(placement="P3", born=birthday(14) + ONE_DAY)),
        "14": (0, alone(placement="P3", born=birthday(14))),
    },
    "ssda903:375": {
        "43 days": (1, lasting(43, placement="T1")),
        "42 days": (0, lasting(42, placement="T1")),
        "goes on": (0, alone(placement="T1", end_date=None, reason_end=None)),
    },
    "ssda903:376": {
        "22 days": (1, lasting(22, placement="T3")),
        "21 days": (0, lasting(21, placement="T3")),
    },
    "ssda903:377": {
        "three in a year": (
            1,
            holidays("2015-04-01", "2015-08-01", "2016-03-31"),
        ),
        "three in a year and a day": (
            0,
            holidays("2015-04-01", "2015-08-01", "2016-04-01"),
        ),
    },
    "ssda903:378": {
        "by agreement": (1, alone(placement="P1", legal_status="V2")),
        "under an order": (0, alone(placement="P1", legal_status="C2")),
        "elsewhere": (0, alone(placement="U6", legal_status="V2")),
    },
    "ssda903:379": {
        "eight days": (1, lasting(8, placement="T4")),
        "seven days": (0, lasting(7, placement="T4")),
    },
    "ssda903:382": {
        "a short break": (1, alone(placement="T2", legal_status="V4")),
        "no break": (0, alone(placement="T2", legal_status="V2")),
    },
    "ssda903:383": {
        "another placement": (1, away(placement="U5")),
        "back": (0, away(placement="U4")),
        "back, for another reason": (1, away(placement="U4", reason_start="L")),
        "nothing before": (0, changed({"placement": "T1"})),
    },
    "ssda903:384": {
        "long-term": (1, alone(placement="U4", legal_status="V3")),
        "not long-term": (0, alone(placement="U6", legal_status="V3")),
    },
    "ssda903:385": {
        "after the end": (1, alone(end_date=LAST_DAY + ONE_DAY)),
        "on the last day": (0, alone(end_date=LAST_DAY)),
    },
    "ssda903:386": {
        "on the birthday": (1, alone(reason_end="E11", born=birthday(18, MOVE))),
        "the day before": (0, alone(reason_end="E12", born=birthday(18, MOVE) + ONE_DAY)),
    },
    "ssda903:387": {
        "the day before 14": (1, alone(reason_end="E5", born=birthday(14, MOVE) + ONE_DAY)),
        "14": (0, alone(reason_end="E6", born=birthday(14, MOVE))),
    },
    "ssda903:389": {
        "the day before 16": (1, alone(reason_end="E7", born=birthday(16, MOVE) + ONE_DAY)),
        "16": (0, alone(reason_end="E7", born=birthday(16, MOVE))),
    },
    "ssda903:390": {
        "from foster carers": (1, alone(reason_end="E12")),
        "from nowhere": (1, alone(reason_end="E11", placement=None)),
        "placed for adoption": (0, alone(reason_end="E12", placement="A4")),
    },
    "ssda903:407": {
        "the day after the birthday": (
            1,
            alone(reason_end="E47", born=birthday(18, MOVE) - ONE_DAY),
        ),
        "on the birthday": (0, alone(reason_end="E45", born=birthday(18, MOVE))),
    },
    "ssda903:408": {
        "without an order": (1, alone(placement="A6")),
        "no status": (1, alone(placement="A5", legal_status=None)),
        "under an order": (0, alone(placement="A6", legal_status="E1")),
    },
    "ssda903:426": {
        "both in a year": (2, both_breaks("2016-03-31")),
        "in two years": (0, both_breaks("2016-04-01")),
    },
    "ssda903:437": {
        "died": (1, changed({"reason_end": "E2"}, start_date=MOVE + ONE_DAY)),
        "came of age": (1, changed({"reason_end": "E15"}, start_date=MOVE + ONE_DAY)),
        "last": (0, changed(reason_end="E2")),
    },
    "ssda903:446": {
        "30 November 2005": (1, alone(legal_status="E1", start_date=day("2005-11-30"))),
        "1 December 2005": (0, alone(legal_status="E1", start_date=day("2005-12-01"))),
    },
    "ssda903:460": {
        "the day before 18": (1, alone(reason_end="E17", born=birthday(18, MOVE) + ONE_DAY)),
        "18": (0, alone(reason_end="E17", born=birthday(18, MOVE))),
    },
    "ssda903:501": {
        "the day before": (1, changed(start_date=MOVE - ONE_DAY)),
        "on the day": (0, changed()),
        "the last is open": (0, changed({"end_date": None, "reason_end": None})),
    },
    "ssda903:504": {
        "another need": (1, changed(cin="N2")),
        "no need": (1, changed(cin=None)),
        "the same": (0, changed()),
        "a new period": (0, changed(LEFT, start_date=MOVE + ONE_DAY, cin="N2")),
    },
    "ssda903:516": {
        "from a home": (1, alone(reason_end="E45", placement="K2")),
        "from foster carers": (0, alone(reason_end="E46", placement="U6")),
        "from foster carers of old": (0, alone(reason_end="E45", placement="Q1")),
        "to others": (0, alone(reason_end="E47", placement="K2")),
    },
    "ssda903:526": {
        "none named": (1, changed(placement_provider=None)),
        "temporary": (0, changed(placement="T1", placement_provider=None)),
        "before they were asked": (
            0,
            changed({"placement_provider": None, "start_date": day("2014-03-31")}),
        ),
        "an authority that names none": (
            0,
            care({**LEFT, "placement_provider": None, "unit": "332"}),
        ),
    },
    "ssda903:527": {
        "with parents": (1, alone(placement="P1")),
        "in a home": (0, alone(placement="K2")),
    },
    "ssda903:528": {
        "in custody": (1, alone(placement="R5", placement_provider="PR2")),
        "in a home": (0, alone(placement="K2", placement_provider="PR2")),
    },
    "ssda903:529": {
        "in a home": (1, alone(placement="K2", placement_provider="PR3")),
        "in custody": (0, alone(placement="R5", placement_provider="PR3")),
    },
    "ssda903:530": {
        "with parents": (1, alone(placement="P1", placement_provider="PR4")),
        "in a home": (0, alone(placement="K2", placement_provider="PR4")),
    },
    "ssda903:531": {
        "with parents": (1, alone(placement="P1", placement_provider="PR5")),
        "in a home": (0, alone(placement="K2", placement_provider="PR5")),
    },
    "ssda903:550": {
        "in a home": (1, alone(placement="K2", placement_provider="PR0")),
        "nowhere": (1, alone(placement=None, placement_provider="PR0")),
        "with parents": (0, alone(placement="P1", placement_provider="PR0")),
    },
    "ssda903:700": {
        "no start": (1, orders((None, "2026-06-01"))),
        "a start": (0, orders(("2026-05-01", "2026-06-01"))),
    },
    "ssda903:702": {
        "the day before": (1, orders(("2026-05-02", "2026-05-01"))),
        "the same day": (1, orders(("2026-05-02", "2026-05-02"))),
        "the next day": (0, orders(("2026-05-02", "2026-05-03"))),
        "in force": (0, orders(("2026-05-02", None))),
    },
    "ssda903:703": {
        "after the end": (1, orders((str(LAST_DAY + ONE_DAY), None))),
        "on the last day": (0, orders((str(LAST_DAY), None))),
    },
    "ssda903:704": {
        "the year before": (1, orders(("2026-03-01", "2026-03-31"))),
        "in the year": (0, orders(("2026-03-01", "2026-04-01"))),
        "the last day": (0, orders(("2026-05-01", "2027-03-31"))),
        "the year after": (1, orders(("2026-05-01", "2027-04-01"))),
        "in force": (0, orders(("2026-05-01", None))),
    },
    "ssda903:705": {
        "overlapping": (1, orders(("2026-05-01", "2026-06-02"), ("2026-06-01", "2026-07-01"))),
        "the last in force": (1, orders(("2026-05-01", None), ("2026-06-01", "2026-07-01"))),
        "one after the other": (
            0,
            orders(("2026-05-01", "2026-06-01"), ("2026-06-01", None)),
        ),
    },
    "ssda903:706": {
        "forgotten": (
            1,
            orders(
                ("2026-05-01", None),
                stay=in_home(("K2", "2026-04-01", "2027-04-01"), ("K2", "2027-04-01", None)),
            ),
        ),
        "told again": (
            0,
            orders(
                ("2026-05-01", None),
                stay=in_home(("K2", "2026-04-01", "2027-04-01"), ("K2", "2027-04-01", None)),
                year=2027,
            ),
        ),
        "ended": (
            0,
            orders(
                ("2026-05-01", "2026-06-01"),
                stay=in_home(("K2", "2026-04-01", "2027-04-01"), ("K2", "2027-04-01", None)),
            ),
        ),
    },
    "ssda903:707": {
        "care ended, the order goes on": (
            1,
            orders(("2026-05-01", None), stay=in_home(("K2", "2026-04-01", "2026-06-01"))),
        ),
        "the order ends later": (
            1,
            orders(("2026-05-01", "2026-06-02"), stay=in_home(("K2", "2026-04-01", "2026-06-01"))),
        ),
        "it ends with care": (
            0,
            orders(("2026-05-01", "2026-06-01"), stay=in_home(("K2", "2026-04-01", "2026-06-01"))),
        ),
        "it ends before care": (1, orders(("2026-03-01", "2026-03-31"))),
        "in force, before care": (1, orders(("2026-03-31", None))),
        "both go on": (0, orders(("2026-05-01", None))),
        "never in care": (0, orders(("2026-05-01", None), stay={"episodes": []})),
    },
    "ssda903:708": {
        "on the day of birth": (1, orders((str(BORN), None))),
        "the next day": (0, orders((str(BORN + ONE_DAY), None))),
    },
    "ssda903:709": {
        "with foster carers": (1, under("U6")),
        "in a children's home": (0, under("K2")),
        "in another placement": (0, under("Z12")),
        "moved in that day": (0, under("U6", until="2026-05-01")),
        "moved in the next day": (1, under("U6", until="2026-05-02")),
        "in force": (0, under("U6", end=None)),
    },
    "ssda903:710": {
        "in a secure home": (1, under("K1")),
        "with parents": (1, under("P1")),
        "in custody": (1, under("R5")),
        "in supported accommodation": (1, under("K3")),
        "with foster carers": (0, under("U6")),
    },
}  # fmt: skip
