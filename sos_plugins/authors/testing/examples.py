"""Small made-up data for the kits: enough to see whether a plugin keeps its contract.

Nothing here resembles real authorities or children; the figures mean nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from sos_plugins.contract.interfaces import UnitTask
from sos_plugins.contract.record_tables import PUPIL_NUMBERS, TABLES
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import (
    Agreement,
    Evidence,
    ImputationTask,
    LeadTest,
    OutcomeInfo,
    Pilot,
    PilotEffects,
    Records,
    Run,
    Sample,
    Tolerance,
)
from sos_plugins.groundwork.pupil_numbers import pupil_number

FIRST_DAY, LAST_DAY = dt.date(2010, 4, 1), dt.date(2018, 3, 31)
UNITS = tuple(f"9{n:02d}" for n in range(1, 9))
PERIODS = range(2010, 2018)
Row = dict[str, Any]


# Effects ---------------------------------------------------------------------------------------


def example_effects(spread: float = 1.0) -> PilotEffects:
    """Make up the effects of six pilots with errors of different size.

    Args:
        spread: How many standard errors the true effects lie apart, roughly; 0 for alike.
    """
    errors = np.array([0.02, 0.03, 0.05, 0.04, 0.025, 0.06])
    values = -0.05 + spread * np.array([0.08, -0.05, 0.02, -0.09, 0.05, -0.01])
    units = UNITS[: len(values)]
    frame = pd.DataFrame(
        {"unit": units, "name": [f"Authority {unit}" for unit in units], "estimate": values}
    )
    return PilotEffects(
        frame.assign(std_error=errors, conf_low=values - 2 * errors, conf_high=values + 2 * errors)
    )


# Gaps -------------------------------------------------------------------------------------------


def example_imputation_task(n: int = 600, seed: int = 11) -> ImputationTask:
    """Make up cases of twelve authorities, three of them pilots, with gaps in three covariates.

    A number (``age``), a flag (``disabled``) and a category (``ethnic_group``) depend on each
    other, on the outcome and on the authority; a fifth, a seventh and a tenth of their cells are
    missing.

    Args:
        n: Cases.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    place, period = rng.integers(0, 12, n), rng.integers(2005, 2012, n)
    treated = (place < 3).astype(int)
    group = rng.choice(["Asian", "Black", "Mixed", "White"], n, p=[0.1, 0.15, 0.15, 0.6])
    age = 8 + 1.5 * (group == "Black") + 0.1 * place + rng.normal(0, 3, n)
    odds = np.exp(-1 + 0.15 * age + 0.7 * (group == "Mixed") - 0.1 * place)
    disabled = rng.random(n) < odds / (1 + odds)
    post = treated * (period >= 2009)
    value = 0.3 * age + disabled + 0.5 * post + rng.normal(0, 2, n)
    frame = pd.DataFrame(
        {
            "unit": [f"{901 + p}" for p in place],
            "period": period,
            "value": value,
            "treated": treated,
            "post": post,
            "during": treated * (period == 2008),
            "age": age,
            "disabled": np.where(disabled, "yes", "no"),
            "ethnic_group": group,
        }
    )
    for name, share in (("age", 1 / 5), ("disabled", 1 / 7), ("ethnic_group", 1 / 10)):
        frame[name] = frame[name].mask(rng.random(n) < share)
    return ImputationTask(frame, ("age", "disabled", "ethnic_group"), seed=3)


# Records ------------------------------------------------------------------------------------------


def example_records(
    session: Session,
    *,
    n_children: int = 30,
    measures: Sequence[str] = ("example-rate",),
    seed: int = 1,
) -> Records:
    """Make up records of eight authorities, April 2010 to March 2018, with every table.

    They hold what returns hold: open and closed referrals, referrals closed with no further
    action, unborn children, missing sex and ethnicity, conferences recorded in either place,
    repeated protection plans, and periods of care of several episodes.

    Args:
        session: The tables are put on its backend.
        n_children: Children in each authority.
        measures: Measures of the table ``published``.
        seed: The same seed makes the same records.
    """
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Row]] = {name: [] for name in TABLES}
    for unit in UNITS:
        for number in range(n_children):
            _Childhood(rng, rows, unit, f"C{number:04d}").live()
    rows["published"] = _published(rng, measures)
    rows["neighbours"] = [
        {"unit": u, "neighbour": v, "rank": rank, "closeness": "close"}
        for u in UNITS
        for rank, v in enumerate([v for v in UNITS if v != u], 1)
    ]
    rows["cases"] = [
        {"unit": u, "period": p, "value": float(rng.normal())} for u in UNITS for p in PERIODS
    ]
    return records_of(session, rows, start=FIRST_DAY, end=LAST_DAY)


def example_moved_children(session: Session, n_children: int = 300, seed: int = 1) -> Records:
    """Make up children with pupil numbers, a quarter of whom moved to another authority.

    A sixth of those has no pupil number there. The table ``children`` has the columns of
    :data:`sos_plugins.contract.record_tables.PUPIL_NUMBERS` and ``true``, who a child is.

    Args:
        session: The tables are put on its backend.
        n_children: Children.
        seed: The same seed makes the same records.
    """
    rng = np.random.default_rng(seed)
    rows = [
        {
            "unit": str(rng.choice(UNITS[:4])),
            "child": f"C{number:04d}",
            "birth_date": FIRST_DAY - dt.timedelta(days=int(rng.integers(0, 6000))),
            "sex": str(rng.choice(["male", "female"])),
            "ethnicity": str(rng.choice(["WBRI", "MWBC", "APKN", "BAFR"])),
            PUPIL_NUMBERS[0]: pupil_number(f"901{number:09d}"),
            "true": str(number),
        }
        for number in range(n_children)
    ]
    rows += [
        {
            **row,
            "unit": UNITS[4],
            "child": f"M{number:04d}",
            PUPIL_NUMBERS[0]: row[PUPIL_NUMBERS[0]] if number % 6 else None,
        }
        for number, row in enumerate(rows[: n_children // 4])
    ]
    schema = TABLES["children"]
    for name in (*PUPIL_NUMBERS, "true"):
        schema = schema.append(pa.field(name, pa.string()))
    children = session.table(pa.Table.from_pylist(rows, schema=schema), "children")
    return Records({"children": children}, simulated=True)


def records_of(
    session: Session,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    start: dt.date | None = FIRST_DAY,
    end: dt.date | None = LAST_DAY,
) -> Records:
    """Make records of rows by table; what a row leaves out is null.

    Args:
        session: The tables are put on its backend.
        rows: Rows by table, names as in :data:`sos_plugins.contract.record_tables.TABLES`.
        start: First day that the records cover.
        end: Last day that the records cover.
    """
    tables = {
        name: session.table(
            pa.Table.from_pylist([dict(row) for row in part], schema=TABLES[name]), name
        )
        for name, part in rows.items()
    }
    return Records(tables=tables, start=start, end=end, data_hash="example", simulated=True)


class _Childhood:
    """Makes up what the records say of one child."""

    def __init__(
        self, rng: np.random.Generator, rows: dict[str, list[Row]], unit: str, child: str
    ) -> None:
        self.rng = rng
        self.rows = rows
        self.key = {"unit": unit, "child": child}
        self.periods_of_care = 0

    def add(self, table: str, **values: Any) -> None:
        self.rows[table].append({**self.key, **values})

    def pick(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def later(self, date: dt.date, low: int, high: int) -> dt.date:
        return date + dt.timedelta(days=int(self.rng.integers(low, high)))

    @staticmethod
    def known(date: dt.date | None) -> dt.date | None:
        """A date beyond the end of the data is not known yet."""
        return date if date is None or date <= LAST_DAY else None

    def live(self) -> None:
        first = self.later(FIRST_DAY, 0, 2200)
        unborn = self.chance(0.05)
        born = self.later(first, 20, 200) if unborn else self.later(first, -6000, -30)
        self.add(
            "children",
            birth_date=None if unborn else born,
            expected_birth_date=born if unborn else None,
            sex=self.pick("male", "female", "male", "female", None),
            ethnicity=self.pick("WBRI", "WBRI", "MWBC", "APKN", "BAFR", "NOBT", None),
            disabled=self.pick(False, False, True, None),
            uasc=False,
        )
        date = first
        for _ in range(int(self.rng.integers(1, 4))):
            if date > LAST_DAY:
                return
            self.refer(date)
            date = self.later(date, 100, 700)

    def refer(self, date: dt.date) -> None:
        nfa = self.chance(0.2)
        closed = date if nfa else self.later(date, 20, 300)
        in_referral = self.later(date, 15, 120) if not nfa and self.chance(0.1) else None
        self.add(
            "referrals",
            referral_date=date,
            referral_source="1A",
            primary_need=self.pick("N1", "N2", "N5"),
            nfa=nfa,
            closure_date=self.known(closed),
            closure_reason=self.pick("RC1", "RC3", "RC7", "RC8", "RC9")
            if self.known(closed)
            else None,
            icpc_date=self.known(in_referral),
            return_year=(min(closed, LAST_DAY) - dt.timedelta(days=90)).year,
        )
        if not nfa:
            self.assess(date)
            self.enquire(date)
            self.care(date)

    def assess(self, referred: dt.date) -> None:
        start = self.later(referred, 0, 10)
        if start <= LAST_DAY:
            authorised = self.known(self.later(start, 5, 75))
            self.add(
                "assessments",
                referral_date=referred,
                start_date=start,
                review_date=None,
                authorised_date=authorised,
            )

    def enquire(self, referred: dt.date) -> None:
        start = self.known(self.later(referred, 2, 40))
        if start is None or self.chance(0.5):
            return
        held = self.known(self.later(start, 5, 20)) if self.chance(0.7) else None
        self.add(
            "section47s",
            referral_date=referred,
            start_date=start,
            icpc_target_date=start + dt.timedelta(days=15),
            icpc_date=held,
            icpc_not_required=held is None,
        )
        if held is not None:
            self.plan(referred, held, previous=0)

    def plan(self, referred: dt.date, start: dt.date, *, previous: int) -> None:
        end = self.later(start, 60, 400)
        self.add(
            "protection_plans",
            referral_date=referred,
            start_date=start,
            end_date=self.known(end),
            initial_category=self.pick("NEG", "EMO"),
            latest_category=self.pick("NEG", "EMO"),
            n_previous=previous,
        )
        again = self.later(end, 30, 1000)
        if previous < 2 and self.chance(0.4) and again <= LAST_DAY:
            self.plan(referred, again, previous=previous + 1)

    def care(self, referred: dt.date) -> None:
        start = self.known(self.later(referred, 10, 200))
        if start is None or self.chance(0.6):
            return
        self.periods_of_care += 1
        status = self.pick("C1", "C2", "V2")
        for number in range(int(self.rng.integers(1, 4))):
            end = self.later(start, 30, 250)
            last = number == 2 or self.chance(0.4)
            left = self.known(end)
            self.add(
                "episodes",
                start_date=start,
                reason_start="S" if number == 0 else "P",
                legal_status=status,
                cin="N1",
                placement=self.pick("U1", "U3", "U6", "K2"),
                placement_provider="PR1",
                end_date=left,
                reason_end=None if left is None else self.pick("E45", "E4A") if last else "X1",
                period_of_care=self.periods_of_care,
            )
            if last or left is None:
                return
            start = end


def _published(rng: np.random.Generator, measures: Sequence[str]) -> list[Row]:
    return [
        {
            "unit": unit,
            "unit_name": f"Authority {unit}",
            "period": period,
            "measure": measure,
            "value": float(rng.normal(20, 3)),
            "denominator": 1000.0,
        }
        for measure in measures
        for unit in UNITS
        for period in PERIODS
    ]


# Samples ------------------------------------------------------------------------------------------


def example_sample(
    kind: Literal["stacked", "calendar"] = "stacked",
    *,
    effect: float = 0.0,
    binary: bool = False,
    n_cases: int = 20,
    seed: int = 1,
) -> Sample:
    """Make up a labelled sample with a known, constant effect.

    Six pilots adopt in 2013, 2014 or 2015, each with two comparators of its own; periods run from
    2010 to 2017. The value is an authority effect plus a common trend plus what two covariates
    (``age``, a number, and ``sex``, text) do, plus the effect, plus noise of standard deviation 1;
    with ``binary`` it is 1 with probability 0.4 plus these, on a smaller scale.

    Args:
        kind: ``stacked`` has matched groups (columns ``group``, ``event``); ``calendar`` has none.
        effect: Added to the value of pilots from adoption on; a difference of probabilities with
            ``binary``.
        binary: Whether the value is 0 or 1.
        n_cases: Cases of an authority in a period.
        seed: The same seed makes the same sample, and the same noise whatever the effect.

    Returns:
        A sample of 18 authorities x 8 periods x ``n_cases`` rows.
    """
    rng = np.random.default_rng(seed)
    frame = _authorities().merge(pd.DataFrame({"period": list(PERIODS)}), how="cross")
    frame = frame.loc[frame.index.repeat(n_cases)].reset_index(drop=True)
    n = len(frame)
    age = rng.integers(0, 18, n)
    sex = np.where(rng.random(n) < 0.5, "female", "male")
    noise, draw = rng.normal(size=n), rng.random(n)
    frame["post"] = (frame["period"] >= frame["start"]).astype("int64")
    shift = 0.1 * (frame["period"] - 2010) + 0.05 * (age - 9) + 0.2 * (sex == "male")
    reached = effect * frame["treated"] * frame["post"]
    if binary:
        chance = 0.4 + 0.05 * (frame["authority"] + shift) + reached
        frame["value"] = (draw < chance).astype(float)
    else:
        frame["value"] = frame["authority"] + shift + reached + noise
    frame = frame.assign(weight=1.0, cluster=frame["unit"], age=age.astype(float), sex=sex)
    columns = ["unit", "period", "cohort", "value", "weight", "cluster", "treated", "post"]
    if kind == "stacked":
        frame["event"] = frame["period"] - frame["start"]
        columns += ["group", "event"]
    else:
        frame["post"] = frame["post"] * frame["treated"]
    return Sample(frame[[*columns, "age", "sex"]], ("age", "sex"), binary)


def _authorities() -> pd.DataFrame:
    """Six pilots with two comparators each; authority effects add up to no difference."""
    rows = []
    for number in range(6):
        start = 2013 + number % 3
        pilot = f"P{number + 1}"
        rows.append((pilot, pilot, start, start, 1, 0.3 * (number % 2)))
        rows.append((f"Q{number + 1}", pilot, start, 0, 0, 0.3 * (number % 2) - 0.2))
        rows.append((f"R{number + 1}", pilot, start, 0, 0, 0.3 * (number % 2) + 0.2))
    columns = ["unit", "group", "start", "cohort", "treated", "authority"]
    return pd.DataFrame(rows, columns=columns)


def example_panel(*, effect: float = 0.0, seed: int = 1) -> Sample:
    """Make up a panel: one row an authority and period, with ``id``, without covariates.

    Args:
        effect: Added to the value of pilots from adoption on.
        seed: The same seed makes the same panel, and the same noise whatever the effect.

    Returns:
        A calendar sample of 18 authorities x 8 periods, the means of :func:`example_sample`.
    """
    sample = example_sample("calendar", effect=effect, seed=seed)
    keys = ["unit", "period", "cohort", "cluster", "treated", "post"]
    frame = sample.frame.groupby(keys, as_index=False)["value"].mean()
    return Sample(frame.assign(weight=1.0, id=frame["unit"]))


# Tasks of matchers --------------------------------------------------------------------------------


def example_unit_task(*, n_pilots: int = 4, n_pool: int = 16, seed: int = 1) -> UnitTask:
    """Make up pilots and a pool with features of the kind that a study gives.

    Args:
        n_pilots: How many pilots: P1, P2 ...
        n_pool: How many authorities that may serve as comparators: Q01, Q02 ...
        seed: The same seed makes the same task.

    Returns:
        A task with the features ``outcome_pre_2010`` to ``outcome_pre_2012``, ``outcome_pre_mean``,
        ``age``, ``n_cases`` and ``x_density``; every unit has its statistical neighbours.
    """
    rng = np.random.default_rng(seed)
    pilots = tuple(
        Pilot(f"P{n + 1}", dt.date(2013, 4, 1), dt.date(2014, 3, 31), 2014, f"Pilot {n + 1}")
        for n in range(n_pilots)
    )
    units = [*(p.unit for p in pilots), *(f"Q{n + 1:02d}" for n in range(n_pool))]
    level = rng.normal(size=len(units)) + 0.5 * (np.arange(len(units)) < n_pilots)
    features = pd.DataFrame(index=pd.Index(units, name="unit"))
    for period in (2010, 2011, 2012):
        features[f"outcome_pre_{period}"] = level + 0.2 * rng.normal(size=len(units))
    features["outcome_pre_mean"] = features.mean(axis=1)
    features["age"] = rng.normal(8, 1, len(units))
    features["n_cases"] = rng.integers(200, 2000, len(units)).astype(float)
    features["x_density"] = rng.lognormal(2, 1, len(units))
    others = {
        u: tuple(str(v) for v in rng.permutation([v for v in units if v != u])) for u in units
    }
    return UnitTask(pilots, features, others, seed=seed)


# Evidence -----------------------------------------------------------------------------------------


def example_evidence(
    strength: Literal["strong", "weak", "none"] = "strong",
    *,
    effect: float = -0.1,
    binary: bool = True,
) -> Evidence:
    """Make up the evidence on one outcome.

    Args:
        strength: ``strong``: complete data, every run significant with the same effect, parallel
            trends, engines agree. ``weak``: a third of the records usable, runs of both signs, few
            of them significant, trends that are not parallel, engines that disagree. ``none``: the
            main run failed and nothing else ran.
        effect: The main estimate.
        binary: Whether the value is 0 or 1.
    """
    info = OutcomeInfo(
        "example", "Example", "examples", "Is there an impact?", binary, "proportion"
    )
    if strength == "none":
        failed = Run("main", "main specification", status="failed", reason="There are no cases.")
        return Evidence(info, failed)
    strong = strength == "strong"
    main = example_run("main", effect, 0.01 if strong else 0.45 * abs(effect))
    families = ["drop-one-pilot"] * 4 + ["no-covariates", "other-definition", "staggered"]
    runs = tuple(
        example_run(family, effect * (1 if strong else (-1) ** n * 0.5), 0.01 if strong else 0.1)
        for n, family in enumerate(families)
    )
    leads = tuple(
        LeadTest(pilot, 1.0 if strong else 9.0, 3, 20.0, 0.4 if strong else 0.001)
        for pilot in ("", "P1", "P2", "P3", "P4", "P5", "P6")
    )
    share = 1.0 if strong else 0.33
    quality = {
        "usable_share": share,
        "usable_share_pilots": share,
        "usable_share_comparators": share,
        "usable_share_worst": share if strong else 0.05,
        "usable_shift": 0.0 if strong else 0.3,
        "sparse_share": 0.0 if strong else 0.6,
    }
    return Evidence(info, main, (main, *runs), leads, quality, (_agreement(strong),))


def example_run(family: str, estimate: float, std_error: float) -> Run:
    """Make up one run: 24 authorities, 6 of them pilots; the normal gives its p value.

    Args:
        family: Family of the run, such as ``main`` or ``no-covariates``.
        estimate: In the units of the value.
        std_error: In the same units, above 0.
    """
    from scipy.stats import norm

    z = estimate / std_error
    half = float(norm.ppf(0.975)) * std_error
    return Run(
        family,
        f"example of {family}",
        "example",
        "python",
        estimate,
        std_error,
        float(2 * norm.sf(abs(z))),
        estimate - half,
        estimate + half,
        n_cases=5000,
        n_units=24,
        n_treated_units=6,
        df=float("inf"),
        estimand="an example of an average",
    )


def _agreement(agree: bool) -> Agreement:
    tolerance = Tolerance(1e-6, 1e-9, "an example")
    return Agreement(
        outcome="example",
        estimator="example",
        engine="r",
        reference="python",
        verdict="agree" if agree else "disagree",
        max_difference_estimate=0.0 if agree else 0.5,
        max_difference_std_error=0.0,
        worst_term="ATT",
        tolerance_estimate=tolerance,
        tolerance_std_error=tolerance,
    )
