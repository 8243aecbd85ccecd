"""Estimates of completed data sets pooled by Rubin's rules: one estimate of any kind.

An estimator, an engine and a method of inference know nothing of imputation. What they say of each
completed data set is pooled here, term by term:

- estimates and standard errors by Rubin (1987), Multiple Imputation for Nonresponse in Surveys;
- where p values and intervals are those of Student's t, degrees of freedom by Barnard and Rubin
  (1999), Biometrika 86(4), from those that each estimate has itself;
- p values of any other kind (randomisation, bootstrap) on the scale of the normal distribution, by
  Licht (2010), New methods for generating significance levels from multiply-imputed data;
- their intervals by the variance that each end tells of (Zou and Donner 2008, Statistics in
  Medicine 27(10)), to which that between data sets is added;
- joint tests of leads by D1 of Li, Raghunathan and Rubin (1991), Journal of the American
  Statistical Association 86(416), degrees of freedom by Reiter (2007), Biometrika 94(2); without a
  covariance by D2 of Li, Meng, Raghunathan and Rubin (1991), Statistica Sinica 1(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from sos_plugins.authors.results import t_quantile, t_two_sided
from sos_plugins.contract.columns import BAND_COLUMNS, TIDY_COLUMNS
from sos_plugins.contract.types import Estimate
from sos_plugins.errors import EstimationError, listing
from sos_plugins.study.rubin_joint import pooled_leads

Floats = NDArray[np.float64]

SAME = 1e-6
"""Relative difference up to which a p value, or the end of an interval, is that of Student's t."""
ENOUGH_SETS = 20
"""With so many completed data sets their number is not warned of."""
MOST_MC_ERROR = 0.1
"""Share of the standard error that the Monte Carlo error may have with fewer."""
MOST_MISSING = 0.5
"""With a larger share of the variance between data sets the model of the gaps decides more than the
data, and the normal scale of p values without a t statistic is no longer near."""
LEAST_P = 1e-16
"""What a p value of 0 is taken for on the scale of the normal distribution."""
IMPUTATION_COLUMNS: dict[str, str] = {
    "riv": "variance between completed data sets, as a share of that within them",
    "lambda": "the same as a share of the whole variance: what the gaps account for",
    "fmi": "fraction of missing information: lambda in the light of few completed data sets (Rubin "
    "1987), whatever the degrees of freedom without gaps",
    "mc_error": "how uncertain the estimate is because the data sets are no more; a standard error",
    "df_complete": "degrees of freedom there would be without gaps",
}
"""Further columns of ``Estimate.tidy`` where gaps in covariates were imputed, in words."""
INFERENCE = "inference"
"""Key of ``glance`` that holds a table of further methods of inference."""


def barnard_rubin(n_sets: int, share: Floats, complete: Floats) -> Floats:
    """Return the degrees of freedom of pooled estimates.

    Barnard and Rubin (1999), Biometrika 86(4). Where data sets do not differ they are those of
    the observed data, (v + 1) / (v + 3) v; with infinite ``complete`` those of Rubin (1987).

    Args:
        n_sets: Number of completed data sets, m.
        share: Share of the variance that lies between data sets (lambda), (p,).
        complete: Degrees of freedom without gaps, v, (p,); infinite for the normal distribution.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (n_sets - 1) / share**2
        observed = (complete + 1) / (complete + 3) * complete * (1 - share)
        finite = 1 / (1 / between + 1 / observed)
    return np.where(np.isinf(complete), between, finite)


@dataclass(frozen=True)
class Rows:
    """The same terms in every completed data set.

    Attributes:
        estimate: (m, p).
        std_error: (m, p), missing where there is none.
        df: (m, p), missing where the reference is not Student's t.
        p_value: (m, p).
        conf_low: (m, p).
        conf_high: (m, p).
        conf_level: Level of the intervals.
    """

    estimate: Floats
    std_error: Floats
    df: Floats
    p_value: Floats
    conf_low: Floats
    conf_high: Floats
    conf_level: float

    @property
    def n_sets(self) -> int:
        """Number of completed data sets, m."""
        return len(self.estimate)

    @cached_property
    def mean(self) -> Floats:
        """The pooled estimates, (p,)."""
        return np.asarray(self.estimate.mean(axis=0))

    @cached_property
    def between(self) -> Floats:
        """Variance between data sets, with the share that their number adds, (p,)."""
        return np.asarray((1 + 1 / self.n_sets) * self.estimate.var(axis=0, ddof=1))

    @cached_property
    def within(self) -> Floats:
        """Mean variance within data sets, (p,)."""
        return np.asarray((self.std_error**2).mean(axis=0))

    @cached_property
    def by_t(self) -> NDArray[np.bool_]:
        """Terms whose p values and intervals are those of Student's t, (p,)."""
        df = np.where(np.isnan(self.df), np.inf, self.df)
        half = t_quantile((1 + self.conf_level) / 2, df) * self.std_error
        expected = (
            (self.p_value, t_two_sided(self.estimate / self.std_error, df)),
            (self.conf_low, self.estimate - half),
            (self.conf_high, self.estimate + half),
        )
        same = [np.isclose(a, b, rtol=SAME, atol=SAME * self.std_error) for a, b in expected]
        return np.asarray(np.all(same, axis=(0, 1)) & ~np.isnan(self.df).any(axis=0))

    def pooled(self) -> pd.DataFrame:
        """Return the pooled columns of ``tidy`` but ``term``, and those of imputation."""
        with np.errstate(divide="ignore", invalid="ignore"):
            total = self.within + self.between
            share = np.where(total > 0, self.between / total, np.where(np.isnan(total), total, 0))
            riv = self.between / self.within
            error = np.sqrt(total)
            complete = self.df.mean(axis=0)
            df = barnard_rubin(self.n_sets, share, complete)
            half = t_quantile((1 + self.conf_level) / 2, df) * error
            of_t = (t_two_sided(self.mean / error, df), self.mean - half, self.mean + half)
            p_value, low, high = (
                np.where(self.by_t, one, other)
                for one, other in zip(of_t, (self._normal_p(), *self._ends()), strict=True)
            )
            between = (self.n_sets - 1) / share**2
            fmi = (riv + 2 / (between + 3)) / (riv + 1)
            values = {
                "estimate": self.mean,
                "std_error": error,
                "statistic": self.mean / error,
                "p_value": p_value,
                "conf_low": low,
                "conf_high": high,
                "df": np.where(self.by_t, df, np.nan),
                "riv": riv,
                "lambda": share,
                "fmi": fmi,
                "mc_error": np.sqrt(self.between / (self.n_sets + 1)),
                "df_complete": np.where(self.by_t, complete, np.nan),
            }
        return pd.DataFrame(values)

    def _normal_p(self) -> Floats:
        """Pool two-sided p values on the scale of the normal distribution (Licht 2010)."""
        z = np.sign(self.estimate) * -ndtri(np.clip(self.p_value, LEAST_P, 1) / 2)
        riv = (1 + 1 / self.n_sets) * z.var(axis=0, ddof=1)
        df = (self.n_sets - 1) * (1 + 1 / riv) ** 2
        return np.asarray(t_two_sided(z.mean(axis=0) / np.sqrt(1 + riv), df))

    def _ends(self) -> tuple[Floats, Floats]:
        """Pool intervals of any kind, each end by the variance that it tells of."""
        middle = np.where(
            np.isnan(self.estimate), (self.conf_low + self.conf_high) / 2, self.estimate
        )
        between = (1 + 1 / self.n_sets) * middle.var(axis=0, ddof=1)
        low, high = (
            self._reach(np.abs(middle - end), between) for end in (self.conf_low, self.conf_high)
        )
        return middle.mean(axis=0) - low, middle.mean(axis=0) + high

    def _reach(self, halves: Floats, between: Floats) -> Floats:
        """Return how far an end lies from the estimate, (p,)."""
        normal = float(ndtri((1 + self.conf_level) / 2))
        within = (halves**2).mean(axis=0) / normal**2
        df = (self.n_sets - 1) * (1 + within / between) ** 2
        quantile = t_quantile((1 + self.conf_level) / 2, np.where(np.isnan(df), np.inf, df))
        return np.asarray(quantile * np.sqrt(within + between))


def pooled_estimate(estimates: Sequence[Estimate]) -> Estimate:
    """Pool the estimates of completed data sets.

    Args:
        estimates: One for each data set, of the same estimator, engine and settings; two or more.

    Returns:
        One estimate: ``tidy`` has the columns of
        :data:`IMPUTATION_COLUMNS` too, ``glance`` says how many data
        sets there are, and the covariance, where every estimate has one, is the total one.

    Raises:
        EstimationError: If there are fewer than two.
    """
    if len(estimates) < 2:
        raise EstimationError(
            f"Estimates of at least two completed data sets are pooled; there is {len(estimates)}."
        )
    first = estimates[0]
    tables = [estimate.tidy for estimate in estimates]
    tidy = _pooled_table(tables, "term", float(first.glance["conf_level"]))
    glance = _pooled_glance(estimates)
    covariance = pooled_covariance(estimates)
    with_band = _with_band(tidy, glance)
    return Estimate(
        tidy=with_band,
        glance={**glance, **pooled_leads(estimates), "n_imputations": len(estimates)},
        provenance=first.provenance,
        warnings=(*_each_once(estimates), *_warnings(tidy, tables)),
        covariance=covariance,
    )


def pooled_covariance(estimates: Sequence[Estimate]) -> pd.DataFrame | None:
    """Return the total covariance of terms, within and between completed data sets.

    Args:
        estimates: One for each data set, m.

    Returns:
        The covariance of the terms that have one in each of them; None where there are none.
    """
    matrices = [e.covariance for e in estimates if e.covariance is not None]
    if len(matrices) < len(estimates):
        return None
    terms = [t for t in matrices[0].columns if all(t in matrix for matrix in matrices)]
    if not terms:
        return None
    within = np.mean([matrix.loc[terms, terms].to_numpy(float) for matrix in matrices], axis=0)
    values = np.array([e.tidy.set_index("term")["estimate"].loc[terms] for e in estimates], float)
    between = np.atleast_2d(np.cov(values, rowvar=False))
    return pd.DataFrame(within + (1 + 1 / len(estimates)) * between, index=terms, columns=terms)


def _pooled_table(tables: Sequence[pd.DataFrame], key: str, conf_level: float) -> pd.DataFrame:
    """Pool the rows of tables that have ``key`` in common, in the order of the first table."""
    names = list(dict.fromkeys(name for table in tables for name in table[key]))
    aligned = [table.drop_duplicates(key).set_index(key).reindex(names) for table in tables]
    numbers = [c for c in TIDY_COLUMNS if c != "term"]
    stacked = {
        c: np.array([table[c].to_numpy(float, na_value=np.nan) for table in aligned])
        for c in numbers
        if c in aligned[0]
    }
    rows = Rows(**{c: v for c, v in stacked.items() if c != "statistic"}, conf_level=conf_level)
    pooled = rows.pooled().set_axis(pd.Index(names, name=key)).reset_index()
    for column in aligned[0].columns.difference(pooled.columns, sort=False):
        pooled[column] = _in_common([table[column] for table in aligned]).to_numpy()
    order = [c for c in tables[0].columns if c in pooled]
    return pooled[[*order, *IMPUTATION_COLUMNS]]


def _in_common(columns: Sequence[pd.Series]) -> pd.Series:
    """Return the mean of numbers over data sets, of anything else what the first says."""
    if all(pd.api.types.is_numeric_dtype(c) and not _is_bool(c) for c in columns):
        return pd.Series(np.mean([c.to_numpy(float) for c in columns], axis=0))
    return columns[0]


def _is_bool(column: pd.Series) -> bool:
    return bool(pd.api.types.is_bool_dtype(column))


def _pooled_glance(estimates: Sequence[Estimate]) -> dict[str, Any]:
    glances = [dict(estimate.glance) for estimate in estimates]
    pooled = {name: _alike([g.get(name) for g in glances]) for name in glances[0]}
    if tables := [g.get(INFERENCE) for g in glances if g.get(INFERENCE)]:
        frames = [pd.DataFrame(table) for table in tables]
        level = float(glances[0]["conf_level"])
        table = _pooled_table(frames, "method", level)
        pooled[INFERENCE] = table.to_dict("records")
    return pooled


def _alike(values: Sequence[Any]) -> Any:
    """Return what data sets have in common: the mean of numbers, else what the first says."""
    first = values[0]
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return first
    mean = float(np.mean(values))
    return round(mean) if all(isinstance(v, int) for v in values) else mean


def _with_band(tidy: pd.DataFrame, glance: Mapping[str, Any]) -> pd.DataFrame:
    """Widen a simultaneous band like the standard errors: its critical value is a mean."""
    low, high = BAND_COLUMNS
    if low not in tidy or glance.get("band_critical") is None:
        return tidy
    half = (float(glance["band_critical"]) * tidy["std_error"]).where(tidy[low].notna())
    return tidy.assign(**{low: tidy["estimate"] - half, high: tidy["estimate"] + half})


def _each_once(estimates: Sequence[Estimate]) -> tuple[str, ...]:
    """Return the warnings of all data sets; those that differ in figures only are said once."""
    told: dict[str, str] = {}
    for text in (text for estimate in estimates for text in estimate.warnings):
        told.setdefault(re.sub(r"\d[\d,.]*", "#", text), text)
    return tuple(told.values())


def _warnings(tidy: pd.DataFrame, tables: Sequence[pd.DataFrame]) -> Iterable[str]:
    """Yield what a reader must know of the pooled terms."""
    n_sets = len(tables)
    absent = [t for t in tidy["term"] if any(t not in set(table["term"]) for table in tables)]
    if absent:
        yield (
            f"{listing(absent)}: not every completed data set has such a term; it is left missing."
        )
    rough = tidy["mc_error"] > MOST_MC_ERROR * tidy["std_error"]
    if n_sets < ENOUGH_SETS and rough.any():
        worst = float((tidy["mc_error"] / tidy["std_error"])[rough].max())
        yield (
            f"{n_sets} completed data sets are few: their number alone makes "
            f"{listing(tidy.loc[rough, 'term'])} uncertain by up to {worst:.0%} of the standard "
            f"error. Take {ENOUGH_SETS} or more: [imputation] sets."
        )
    missing = tidy["lambda"] > MOST_MISSING
    if missing.any():
        yield (
            f"More than half of the information on {listing(tidy.loc[missing, 'term'])} is "
            "missing: the model of the gaps decides more than the data."
        )
