"""From a sample to the rows that are used and the comparisons that can be made.

All engines start here, so what is dropped, and the sentence that says so, is the same for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_estimators.arrays import Ints
from sos_estimators.callaway_santanna.comparisons_2x2 import Cell, planned_cells, with_rows
from sos_estimators.callaway_santanna.design import Design, build_design
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.inference.results import negligible
from sos_estimators.sample.adoption import (
    about_late,
    about_without_base,
    late_cohorts,
    nobody_adopts,
    numbers,
    without_base,
)
from sos_estimators.sample.prepare import count_cases, refuse_unusable
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.contract.types import Sample
from sos_plugins.errors import DataError, EstimationError

UNITS = "_units"
"""Column of an outline: how many units a row stands for."""


@dataclass(frozen=True)
class Prepared:
    """Rows and comparisons.

    Attributes:
        frame: Rows used, with the columns ``period, cohort, value, weight``, the covariates, and
            whole numbers from 0: ``_key`` (the panel's unit of observation, within its matched
            group; else the row), ``_owner`` (case or panel id) and ``cluster`` (what the standard
            errors take as independent). A balanced panel is sorted by period and key.
        design: Covariates as numbers.
        balanced: Whether the rows are a balanced panel; else they count as repeated cross-sections.
        panel: Whether rows carry an id.
        covariates: Covariate columns of ``frame`` that vary.
        cells: Comparisons to make, by cohort and period.
        warnings: What a reader must know.
        counts: Counts for the one-row summary.
        negligible: Size below which a standard error is rounding.
        one_against_one: Whether some cohort of a single cluster is compared with a single one.
    """

    frame: pd.DataFrame
    design: Design
    balanced: bool
    panel: bool
    covariates: tuple[str, ...]
    cells: tuple[Cell, ...]
    warnings: tuple[str, ...]
    counts: dict[str, int]
    negligible: float = 0.0
    one_against_one: bool = False

    def rests_on_scores(self, options: CallawaySantAnnaSettings) -> bool:
        """Whether standard errors depend on the setting ``scores``."""
        return options.method == "dr" and not self.balanced and bool(self.design.names)

    @property
    def periods(self) -> Ints:
        """Periods with rows, ascending."""
        return np.unique(self.frame["period"].to_numpy())

    @property
    def cohorts(self) -> Ints:
        """Cohorts with an effect, ascending."""
        return np.unique(np.array([cell.cohort for cell in self.cells], dtype=np.int64))


def prepare(sample: Sample, options: CallawaySantAnnaSettings) -> Prepared:
    """Check a sample, drop what the method cannot use, and list the comparisons.

    Raises:
        DataError: If the sample contradicts itself.
        EstimationError: If no effect can be estimated; the sentence says why.
    """
    warnings: list[str] = []
    frame = _columns(sample)
    frame = _drop_weightless(frame, warnings)
    _check(frame, sample)
    frame, latest = _usable(frame, options, warnings)
    frame, balanced = _balance(frame, sample.is_panel, warnings)
    frame = _code(frame, options.cluster)
    cells = _cells(frame, options, latest, balanced, warnings)
    design = build_design(frame, sample.covariates)
    warnings.extend(design.warnings)
    if options.cluster == "unit-of-observation":
        _shared_comparators(frame, warnings)
    else:
        _cluster_warnings(_clusters_of(frame), options, cells, warnings)
    clusters = _clusters_of(frame)
    return Prepared(
        frame=frame,
        design=design,
        balanced=balanced,
        panel=sample.is_panel,
        covariates=design.covariates,
        cells=cells,
        warnings=tuple(warnings),
        counts=_counts(frame),
        negligible=negligible(frame["value"]),
        one_against_one=clusters.one_against_one(options),
    )


@dataclass(frozen=True)
class Plan:
    """What can be made of rows.

    Attributes:
        cells: Comparisons to make, by cohort and period.
        warnings: What a reader must know.
        counts: Counts for the one-row summary, clusters apart.
        cohorts: Cohorts of the rows that are used, 0 for all that count as never treated.
        periods: Their periods.
        late: Cohorts after this one count as never treated.
        negligible: Size below which a standard error is rounding.
        one_against_one: Whether some cohort of a single cluster is compared with a single one.
    """

    cells: tuple[Cell, ...]
    warnings: list[str]
    counts: dict[str, int]
    cohorts: Ints
    periods: Ints
    late: int
    negligible: float = 0.0
    one_against_one: bool = False


def plan_of_outline(outline: pd.DataFrame, options: CallawaySantAnnaSettings) -> Plan:
    """Plan for a balanced panel, given one row for each cohort and period.

    Args:
        outline: ``cohort, period``, the number of cases, and :data:`UNITS`, which is the number of
            units of the cohort in its first period and 0 later.
        options: As in :func:`prepare`.

    Raises:
        EstimationError: As :func:`prepare`.
    """
    warnings: list[str] = []
    late = int(outline["period"].max()) + options.anticipation
    frame, latest = _usable(outline, options, warnings)
    cells = _cells(frame, options, latest, True, warnings)
    numbers = _counts(frame.assign(cluster=0))
    cohorts, periods = (np.unique(frame[name].to_numpy()) for name in ("cohort", "period"))
    return Plan(cells, warnings, numbers, cohorts, periods, late)


def add_cluster_warnings(
    plan: Plan, clusters: ClusterCounts, options: CallawaySantAnnaSettings
) -> None:
    """Add to a plan what a reader must know of few clusters."""
    if options.cluster == "cluster":
        _cluster_warnings(clusters, options, plan.cells, plan.warnings)


def _usable(
    frame: pd.DataFrame, options: CallawaySantAnnaSettings, warnings: list[str]
) -> tuple[pd.DataFrame, int | None]:
    """Return the rows that some comparison can use, and the cohort that only is compared with."""
    frame = _late_cohorts(frame, options.anticipation, warnings)
    frame, latest = _require_controls(frame, options, warnings)
    return _drop_without_base(frame, options.anticipation, warnings), latest


def _columns(sample: Sample) -> pd.DataFrame:
    names = ["unit", "period", "cohort", "value", "weight", "cluster", *sample.covariates]
    names += [name for name in ("id", "group", COMPRESSED[0]) if name in sample.frame]
    frame = sample.frame[list(dict.fromkeys(names))].reset_index(drop=True)
    for name in names:
        bad = frame[name].isna()
        if pd.api.types.is_float_dtype(frame[name]):
            bad |= ~np.isfinite(frame[name])
        if bad.any():
            raise DataError(
                f"The column '{name}' has {bad.sum()} missing or infinite values in {len(frame)} "
                "cases; fill or drop them before estimating."
            )
    return frame.astype({"period": int, "cohort": int, "value": float, "weight": float})


def _drop_weightless(frame: pd.DataFrame, warnings: list[str]) -> pd.DataFrame:
    if (frame["weight"] < 0).any():
        raise DataError("Weights must not be negative; the column 'weight' has negative values.")
    kept = frame["weight"] > 0
    if not kept.all():
        warnings.append(f"{count_cases(frame[~kept])} cases of weight 0 are left out.")
    return frame[kept]


def _check(frame: pd.DataFrame, sample: Sample) -> None:
    refuse_unusable(
        frame, sample.covariates, finer="a finer cluster or cluster=unit-of-observation"
    )
    _check_constant(frame, "cohort", "unit")
    if sample.is_panel:
        _check_panel(frame)


def _check_constant(frame: pd.DataFrame, column: str, within: str) -> None:
    distinct = frame.groupby(within, sort=False)[column].nunique()
    if (distinct > 1).any():
        raise DataError(
            f"The column '{column}' changes within the {within} '{distinct.idxmax()}'; it must be "
            f"the same in all its rows."
        )


def _check_panel(frame: pd.DataFrame) -> None:
    _check_constant(frame, "cohort", "id")
    _check_constant(frame, "cluster", "id")
    twice = frame.duplicated([*_keys(frame), "period"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise DataError(
            f"The id '{row['id']}' occurs more than once in period {row['period']}; "
            "a panel has one row an id and period. Without the column 'id' the cases count as "
            "repeated cross-sections."
        )


def _keys(frame: pd.DataFrame) -> list[str]:
    return ["id", "group"] if "group" in frame else ["id"]


def _late_cohorts(frame: pd.DataFrame, anticipation: int, warnings: list[str]) -> pd.DataFrame:
    """Cohorts treated too late to be affected in the data serve as never treated."""
    late = late_cohorts(frame, anticipation)
    if not late.any():
        return frame
    warnings.append(about_late(frame, late))
    return frame.assign(cohort=frame["cohort"].where(~late, 0))


def _require_controls(
    frame: pd.DataFrame, options: CallawaySantAnnaSettings, warnings: list[str]
) -> tuple[pd.DataFrame, int | None]:
    """Return the rows with comparison cases, and the cohort that only serves for comparison."""
    if (frame["cohort"] == 0).any():
        return frame, None
    if options.control == "nevertreated":
        raise EstimationError(
            "There is no never-treated unit to compare with (cohort 0). "
            "Set control=notyettreated to compare with units that are not treated yet."
        )
    latest = int(frame["cohort"].max())
    kept = frame["period"] < latest - options.anticipation
    if not kept.any() or frame["cohort"].nunique() == 1:
        raise EstimationError(
            f"There is no never-treated unit, and before cohort {latest}, the last to be treated, "
            "no period is left in which another cohort could be compared with it."
        )
    warnings.append(
        f"There is no never-treated unit: cohort {latest}, the last to be treated, serves for "
        f"comparison only, and {count_cases(frame[~kept])} cases of the periods "
        f"{numbers(frame.loc[~kept, 'period'])} are left out, for they have no comparison."
    )
    return frame[kept], latest


def _drop_without_base(frame: pd.DataFrame, anticipation: int, warnings: list[str]) -> pd.DataFrame:
    affected = (frame["cohort"] > 0) & (frame["period"] >= frame["cohort"] - anticipation)
    early = without_base(frame, affected.to_numpy(), "cohort")
    if not early.any():
        return frame
    gone = frame[early]
    warnings.append(
        about_without_base(
            _count_units(gone), count_cases(gone), gone["cohort"], anticipation=anticipation
        )
    )
    kept: pd.DataFrame = frame[~early]
    if not (kept["cohort"] > 0).any():
        raise nobody_adopts(frame["period"].min(), anticipation)
    return kept


def _balance(frame: pd.DataFrame, panel: bool, warnings: list[str]) -> tuple[pd.DataFrame, bool]:
    """Give rows their keys; sort a balanced panel by period and key."""
    if not panel:
        return frame.assign(_key=np.arange(len(frame))), False
    keys = frame.groupby(_keys(frame)).ngroup()
    frame = frame.assign(_key=keys).sort_values(["period", "_key"], kind="stable")
    n_periods = frame["period"].nunique()
    n_seen = frame.groupby("_key").size()
    if (n_seen == n_periods).all():
        return frame, True
    warnings.append(
        f"The panel is unbalanced: {(n_seen < n_periods).sum()} of {len(n_seen)} ids lack some of "
        f"the {n_periods} periods. Its rows count as repeated cross-sections, and standard errors "
        "allow for the rows of an id going together."
    )
    return frame, False


def _code(frame: pd.DataFrame, cluster: str) -> pd.DataFrame:
    owner = pd.factorize(frame["id"])[0] if "id" in frame else np.arange(len(frame))
    coded = owner if cluster == "unit-of-observation" else pd.factorize(frame["cluster"])[0]
    return frame.assign(_owner=owner, cluster=coded).reset_index(drop=True)


def _cells(
    frame: pd.DataFrame,
    options: CallawaySantAnnaSettings,
    latest: int | None,
    balanced: bool,
    warnings: list[str],
) -> tuple[Cell, ...]:
    periods = [int(p) for p in np.unique(frame["period"])]
    cohorts = [int(g) for g in np.unique(frame["cohort"]) if g > 0 and g != latest]
    planned = [
        cell
        for g in cohorts
        for cell in planned_cells(g, periods, options.base, options.anticipation)
    ]
    if not balanced:
        planned = with_rows(frame, planned, options, warnings)
    if not any(cell.is_post for cell in planned):
        raise EstimationError(
            "No effect after treatment can be estimated: no cohort has treated and comparison "
            "cases both before its treatment and in a period after it began."
        )
    return tuple(planned)


@dataclass(frozen=True)
class ClusterCounts:
    """How many clusters there are of treated and never-treated rows, and of each cohort."""

    treated: int
    never: int
    by_cohort: Mapping[int, int]

    def one_against_one(self, options: CallawaySantAnnaSettings) -> bool:
        """Whether some cohort of a single cluster is compared with a single one."""
        for cohort, n in self.by_cohort.items():
            later = sum(m for g, m in self.by_cohort.items() if g > cohort)
            compared = self.never + (later if options.control == "notyettreated" else 0)
            if cohort > 0 and n == 1 and compared == 1:
                return True
        return False


def _clusters_of(frame: pd.DataFrame) -> ClusterCounts:
    by_cohort = frame.groupby("cohort")["cluster"].nunique()
    return ClusterCounts(
        treated=int(frame.loc[frame["cohort"] > 0, "cluster"].nunique()),
        never=int(frame.loc[frame["cohort"] == 0, "cluster"].nunique()),
        by_cohort={int(str(g)): int(n) for g, n in by_cohort.items()},
    )


def _shared_comparators(frame: pd.DataFrame, warnings: list[str]) -> None:
    if "group" in frame and "id" not in frame:
        warnings.append(
            "Cases of comparators that serve several matched groups count as different cases: "
            "standard errors by case are then too small. Use cluster=cluster."
        )


def _cluster_warnings(
    clusters: ClusterCounts,
    options: CallawaySantAnnaSettings,
    cells: tuple[Cell, ...],
    warnings: list[str],
) -> None:
    sides = [(clusters.treated, "treated")]
    if options.control == "nevertreated":
        sides.append((clusters.never, "never-treated"))
    for n, who in sides:
        if n < options.few_clusters:
            warnings.append(
                f"There are few {who} clusters ({n}, fewer than {options.few_clusters}): standard "
                "errors and p values from the normal distribution are then too small."
            )
    of_cells = sorted({cell.cohort for cell in cells})
    single = [g for g in of_cells if clusters.by_cohort.get(g, 0) == 1]
    if single:
        warnings.append(
            f"The cohorts {numbers(single)} are one cluster each: the standard errors of their "
            "effects hold the variation of the comparison clusters only."
        )


def _count_units(frame: pd.DataFrame) -> int:
    return int(frame[UNITS].sum() if UNITS in frame else frame["unit"].nunique())


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    return {
        "n_cases": count_cases(frame),
        "n_units": _count_units(frame),
        "n_treated_units": _count_units(frame[frame["cohort"] > 0]),
        "n_clusters": int(frame["cluster"].nunique()),
        "n_periods": int(frame["period"].nunique()),
    }
