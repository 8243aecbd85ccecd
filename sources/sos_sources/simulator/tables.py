"""The simulated history as relational tables of the record schema."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from sos_plugins.schema import TABLES
from sos_sources.simulator.children import NO_DISABILITY, Children
from sos_sources.simulator.days import (
    NEVER,
    NOTHING,
    Flags,
    Ints,
    Objects,
    april_year,
    year_end,
    year_start,
)
from sos_sources.simulator.dirt import Recorded
from sos_sources.simulator.referrals import NFA, Referrals

SEXES = np.array([None, "male", "female"], dtype=object)
"""Sex by census code; 0 is not recorded."""


def truly_recorded(referrals: Referrals) -> Recorded:
    """Return what flawless returns would say."""
    n = len(referrals)
    return Recorded(
        closure=referrals.closure,
        reason=referrals.reason,
        nfa=referrals.kind == NFA,
        fault=np.full(n, "", dtype=object),
        duplicate=np.zeros(n, dtype=bool),
    )


class TableMaker:
    """Makes record tables of what returns for ``years`` can show."""

    def __init__(self, *, codes: Sequence[str], children: Children, years: range) -> None:
        self.codes = np.array(codes, dtype=object)
        self.children = children
        self.identifiers = children.identifier.astype(str).astype(object)
        self.years = years
        self.start = year_start(years[0])
        self.end = year_end(years[-1])

    def cin(self, referrals: Referrals, recorded: Recorded) -> dict[str, pa.Table]:
        """Return referrals, assessments, section47s and protection_plans."""
        return {
            "referrals": self._referrals(referrals, recorded),
            "assessments": self._assessments(referrals),
            "section47s": self._section47s(referrals),
            "protection_plans": self._plans(referrals),
        }

    def seen(self, days: Ints) -> Flags:
        """Whether a day lies in the years of the returns."""
        return (days >= self.start) & (days <= self.end)

    def _dates(self, days: Ints) -> pa.Array:
        return pa.array(days.astype(np.int32), mask=days == NEVER).cast(pa.date32())

    def _known(self, days: Ints) -> pa.Array:
        """Dates up to the end of the data; what comes later is not known yet."""
        return self._dates(np.where(days > self.end, NEVER, days))

    def _table(self, name: str, columns: dict[str, object]) -> pa.Table:
        schema = TABLES[name]
        arrays = [
            value
            if isinstance(value, pa.Array)
            else pa.array(value, schema.field(key).type, from_pandas=True)
            for key, value in columns.items()
        ]
        return pa.table(dict(zip(columns, arrays, strict=True))).select(schema.names).cast(schema)

    def _keys(self, referrals: Referrals) -> dict[str, object]:
        return {
            "unit": self.codes[referrals.unit],
            "child": self.identifiers[referrals.child],
            "referral_date": self._dates(referrals.date),
        }

    def _referrals(self, referrals: Referrals, recorded: Recorded) -> pa.Table:
        open_still = referrals.closure > self.end
        closure = np.where(open_still, NEVER, recorded.closure)
        in_details = np.where(
            referrals.in_details & self.seen(referrals.conference), referrals.conference, NEVER
        )
        return self._table(
            "referrals",
            {
                **self._keys(referrals),
                "referral_source": referrals.source,
                "primary_need": referrals.need,
                "nfa": recorded.nfa,
                "closure_date": self._dates(closure),
                "closure_reason": np.where(open_still, NOTHING, recorded.reason),
                "icpc_date": self._dates(in_details),
                "return_year": np.minimum(april_year(referrals.closure), self.years[-1]),
            },
        )

    def _assessments(self, referrals: Referrals) -> pa.Table:
        parts = []
        for first, last in (("assessment_start", "assessment_end"), ("again_start", "again_end")):
            start, end = getattr(referrals, first), getattr(referrals, last)
            shown = (start <= self.end) & (self.seen(end) | (self.seen(start) & (end > self.end)))
            some = referrals.where(shown)
            parts.append(
                self._table(
                    "assessments",
                    {
                        **self._keys(some),
                        "start_date": self._dates(start[shown]),
                        "review_date": self._dates(np.full(len(some), NEVER)),
                        "authorised_date": self._known(end[shown]),
                    },
                )
            )
        return pa.concat_tables(parts).sort_by(_order("start_date"))

    def _section47s(self, referrals: Referrals) -> pa.Table:
        conference = np.where(referrals.in_enquiry, referrals.conference, NEVER)
        start = referrals.enquiry_start
        shown = self.seen(conference) | self.seen(start)
        some = referrals.where(shown)
        columns = {
            **self._keys(some),
            "start_date": self._dates(start[shown]),
            "icpc_target_date": self._dates(some.enquiry_target),
            "icpc_date": self._known(conference[shown]),
            "icpc_not_required": ~some.in_enquiry,
        }
        return self._table("section47s", columns).sort_by(_order("start_date"))

    def _plans(self, referrals: Referrals) -> pa.Table:
        number = plan_numbers(referrals)
        shown = (referrals.plan_start <= self.end) & (referrals.plan_end >= self.start)
        some = referrals.where(shown)
        columns = {
            **self._keys(some),
            "start_date": self._dates(some.plan_start),
            "end_date": self._known(some.plan_end),
            "initial_category": some.category,
            "latest_category": some.latest_category,
            "n_previous": number[shown],
        }
        return self._table("protection_plans", columns).sort_by(_order("start_date"))

    def episodes(self, frame: pd.DataFrame) -> pa.Table:
        """Return the episodes of care that the returns show, open ones without end."""
        end = frame["end"].to_numpy()
        gone = end > self.end
        columns = {
            "unit": self.codes[frame["unit"].to_numpy()],
            "child": self.identifiers[frame["child"].to_numpy()],
            "start_date": self._dates(frame["start"].to_numpy()),
            "reason_start": frame["reason_start"].to_numpy(dtype=object),
            "legal_status": frame["legal_status"].to_numpy(dtype=object),
            "cin": frame["cin"].to_numpy(dtype=object),
            "placement": frame["placement"].to_numpy(dtype=object),
            "placement_provider": frame["placement_provider"].to_numpy(dtype=object),
            "end_date": self._known(end),
            "reason_end": np.where(gone, NOTHING, frame["reason_end"].to_numpy(dtype=object)),
            "period_of_care": frame["number"].to_numpy(),
        }
        return self._table("episodes", columns)

    def children_table(self, referrals: Referrals, cared: Ints) -> pa.Table:
        """Return the children with a referral or an episode in the returns.

        A child seen only before birth has an expected date of birth and no sex.
        """
        first = np.full(len(self.children), NEVER, dtype=np.int64)
        np.minimum.at(first, referrals.child, np.maximum(april_year(referrals.date), self.years[0]))
        last = np.full(len(self.children), -1, dtype=np.int64)
        np.maximum.at(
            last, referrals.child, np.minimum(april_year(referrals.closure), self.years[-1])
        )
        in_care = np.zeros(len(self.children), dtype=bool)
        in_care[cared] = True
        chosen = np.flatnonzero((last >= 0) | in_care)
        some = self.children
        birth_year = april_year(some.birth)
        unborn_once = birth_year > first
        born = (birth_year <= last) | in_care
        sex = np.where(born, SEXES[some.sex], NOTHING)
        return self._table(
            "children",
            {
                "unit": self.codes[some.unit[chosen]],
                "child": self.identifiers[chosen],
                "birth_date": self._dates(np.where(born, some.birth, NEVER)[chosen]),
                "expected_birth_date": self._dates(
                    np.where(unborn_once & (first < NEVER), some.expected_birth, NEVER)[chosen]
                ),
                "sex": sex[chosen],
                "ethnicity": some.ethnicity[chosen],
                "disabled": disabled(some.disability[chosen], last[chosen] >= 0),
                "uasc": np.where(in_care, some.uasc.astype(object), NOTHING)[chosen],
            },
        )


def disabled(disability: Objects, in_cin: Flags) -> Objects:
    """Return True, False, or None where no code is recorded."""
    answer = np.asarray([code != NO_DISABILITY for code in disability], dtype=object)
    recorded = in_cin & np.asarray([bool(code) for code in disability], dtype=bool)
    return np.where(recorded, answer, NOTHING)


def plan_numbers(referrals: Referrals) -> Ints:
    """Return, for a referral with a plan, the number of the child's plan: 1 for the first.

    The schemas admit no zero in NumberOfPreviousCPP, so simulated returns count the plan itself.
    """
    planned = referrals.plan_start < NEVER
    counted = pd.Series(planned.astype(np.int64)).groupby(referrals.child).cumsum()
    return np.asarray(counted.to_numpy(), dtype=np.int64)


def _order(column: str) -> list[tuple[str, str]]:
    return [(name, "ascending") for name in ("unit", "child", "referral_date", column)]
