"""The simulated history as relational tables of the record schema."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from sos_plugins.contract.record_tables import TABLES
from sos_simulator.children import NO_DISABILITY, Children
from sos_simulator.dates import (
    NEVER,
    NOTHING,
    Flags,
    Ints,
    Objects,
    april_year,
    year_end,
    year_start,
)
from sos_simulator.fault_log import last_year
from sos_simulator.orders import ORDERS
from sos_simulator.recording import Written, spans
from sos_simulator.referrals import Referrals

SEXES = np.array([None, "male", "female"], dtype=object)
"""Sex by census code; 0 is not recorded."""


class TableMaker:
    """Makes record tables of what returns for ``years`` can show.

    With ``twice``, a referral that stands twice in a return has two rows.
    """

    def __init__(
        self, *, codes: Sequence[str], children: Children, years: range, twice: bool = False
    ) -> None:
        self.twice = twice
        self.codes = np.array(codes, dtype=object)
        self.children = children
        self.identifiers = children.identifier.astype(str).astype(object)
        self.years = years
        self.start = year_start(years[0])
        self.end = year_end(years[-1])

    def cin(self, referrals: Referrals, written: Written) -> dict[str, pa.Table]:
        """Return referrals, assessments, section47s and protection_plans.

        Args:
            referrals: The truth, which decides what the returns show.
            written: What they say of it, row by row.
        """
        kept, said = referrals.where(~written.lost), written.referrals.where(~written.lost)
        return {
            "referrals": self._referrals(kept, said, written),
            "assessments": self._assessments(kept, said),
            "section47s": self._section47s(kept, said),
            "protection_plans": self._plans(kept, said, plan_numbers(referrals)[~written.lost]),
        }

    def seen(self, days: Ints) -> Flags:
        """Whether a day lies in the years of the returns."""
        return (days >= self.start) & (days <= self.end)

    def _dates(self, days: Ints) -> pa.Array:
        return pa.array(days.astype(np.int32), mask=days == NEVER).cast(pa.date32())

    def _known(self, days: Ints, happened: Ints) -> pa.Array:
        """Dates of what happened up to the end of the data; what comes later is not known yet."""
        return self._dates(np.where(happened > self.end, NEVER, days))

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

    def _referrals(self, truth: Referrals, said: Referrals, written: Written) -> pa.Table:
        open_still = truth.closure > self.end
        in_details = said.in_details & self.seen(truth.conference)
        table = self._table(
            "referrals",
            {
                **self._keys(truth),
                "referral_source": said.source,
                "primary_need": said.need,
                "nfa": written.nfa[~written.lost],
                "closure_date": self._dates(np.where(open_still, NEVER, said.closure)),
                "closure_reason": np.where(open_still, NOTHING, said.reason),
                "icpc_date": self._dates(np.where(in_details, said.conference, NEVER)),
                "return_year": last_year(truth.closure, self.years),
            },
        )
        if not self.twice:
            return table
        return table.take(np.repeat(np.arange(len(truth)), 1 + written.duplicate[~written.lost]))

    def _assessments(self, truth: Referrals, said: Referrals) -> pa.Table:
        parts = []
        for first, last in (("assessment_start", "assessment_end"), ("again_start", "again_end")):
            start, end = getattr(truth, first), getattr(truth, last)
            shown = (start <= self.end) & (self.seen(end) | (self.seen(start) & (end > self.end)))
            some = truth.where(shown)
            parts.append(
                self._table(
                    "assessments",
                    {
                        **self._keys(some),
                        "start_date": self._dates(getattr(said, first)[shown]),
                        "review_date": self._dates(np.full(len(some), NEVER)),
                        "authorised_date": self._known(getattr(said, last)[shown], end[shown]),
                    },
                )
            )
        return pa.concat_tables(parts).sort_by(_order("start_date"))

    def _section47s(self, truth: Referrals, said: Referrals) -> pa.Table:
        conference = np.where(truth.in_enquiry, truth.conference, NEVER)
        shown = self.seen(conference) | self.seen(truth.enquiry_start)
        some = truth.where(shown)
        held = np.where(truth.in_enquiry, said.conference, NEVER)[shown]
        columns = {
            **self._keys(some),
            "start_date": self._dates(said.enquiry_start[shown]),
            "icpc_target_date": self._dates(said.enquiry_target[shown]),
            "icpc_date": self._known(held, conference[shown]),
            "icpc_not_required": ~some.in_enquiry,
        }
        return self._table("section47s", columns).sort_by(_order("start_date"))

    def _plans(self, truth: Referrals, said: Referrals, number: Ints) -> pa.Table:
        shown = (truth.plan_start <= self.end) & (truth.plan_end >= self.start)
        some, says = truth.where(shown), said.where(shown)
        columns = {
            **self._keys(some),
            "start_date": self._dates(says.plan_start),
            "end_date": self._known(says.plan_end, some.plan_end),
            "initial_category": says.category,
            "latest_category": says.latest_category,
            "n_previous": number[shown],
        }
        return self._table("protection_plans", columns).sort_by(_order("start_date"))

    def episodes(self, truth: pd.DataFrame, written: Written) -> pa.Table:
        """Return the episodes of care that the returns show, open ones without end."""
        kept, said = truth[~written.lost_episodes], written.episodes[~written.lost_episodes]
        end = kept["end"].to_numpy()
        texts = ("reason_start", "legal_status", "cin", "placement", "placement_provider")
        columns = {
            "unit": self.codes[kept["unit"].to_numpy()],
            "child": self.identifiers[kept["child"].to_numpy()],
            "start_date": self._dates(said["start"].to_numpy()),
            **{name: said[name].to_numpy(dtype=object) for name in texts},
            "end_date": self._known(said["end"].to_numpy(), end),
            "reason_end": np.where(
                end > self.end, NOTHING, said["reason_end"].to_numpy(dtype=object)
            ),
            "period_of_care": kept["number"].to_numpy(),
        }
        return self._table("episodes", columns)

    def orders(self, truth: pd.DataFrame, written: Written) -> pa.Table:
        """Return the orders that the returns show, those in force without end."""
        kept, said = truth[~written.lost_orders], written.orders[~written.lost_orders]
        end = kept["end"].to_numpy()
        columns = {
            "unit": self.codes[kept["unit"].to_numpy()],
            "child": self.identifiers[kept["child"].to_numpy()],
            "start_date": self._dates(said["start"].to_numpy()),
            "end_date": self._known(said["end"].to_numpy(), end),
            "return_year": last_year(end, self.years),
        }
        return self._table(ORDERS, columns)

    def children_table(
        self, referrals: Referrals, episodes: pd.DataFrame, written: Written
    ) -> pa.Table:
        """Return the children with a referral or an episode in the returns.

        A child seen only before birth has an expected date of birth and no sex.
        """
        n = len(self.children)
        first, last = spans(n, referrals.where(~written.lost), self.years)
        in_care = np.zeros(n, dtype=bool)
        in_care[episodes["child"].to_numpy()[~written.lost_episodes]] = True
        chosen = np.flatnonzero((last >= 0) | in_care)
        said = written.children_at_last
        birth_year = april_year(self.children.birth)
        unborn_once = birth_year > first
        born = (birth_year <= last) | in_care
        expected = np.where(unborn_once & (first < NEVER), said.expected_birth, NEVER)
        return self._table(
            "children",
            {
                "unit": self.codes[said.unit[chosen]],
                "child": self.identifiers[chosen],
                "birth_date": self._dates(np.where(born, said.birth, NEVER)[chosen]),
                "expected_birth_date": self._dates(expected[chosen]),
                "sex": np.where(born, SEXES[said.sex], NOTHING)[chosen],
                "ethnicity": said.ethnicity[chosen],
                "disabled": disabled(said.disability[chosen], last[chosen] >= 0),
                "uasc": np.where(in_care, said.uasc.astype(object), NOTHING)[chosen],
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
