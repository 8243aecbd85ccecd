"""Regressions by ``feols`` of the Python package pyfixest.

It gets the cells of a :class:`Regression`, not the cases: coefficients and sandwich errors are the
same. Corrections that count cases count those behind the cells, with the parameters that pyfixest
counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Floats
from sos_estimators.inference.cluster_products import by_cluster, without_each
from sos_estimators.inference.vcov import VARIANCES
from sos_estimators.regression.design import Design, Fitted
from sos_estimators.regression.least_squares import (
    RANK_TOLERANCE,
    Absorber,
    CollinearTermsError,
    Regression,
    absorbed_columns,
    side_by_side,
)
from sos_plugins import Engine, Estimate, Requirement, Sample, Tolerance
from sos_plugins.contract.interfaces import no_limits
from sos_plugins.errors import EngineError

PYFIXEST = Requirement("python", "pyfixest", "pip install 'pyfixest>=0.60'", "0.60")
PROJECTIONS = Tolerance(
    1e-6, 1e-8, "pyfixest takes effects out by alternating projections, which end at a tolerance"
)
STOP = 1e-12
"""Where these projections end."""
ROUNDS = 100_000
"""Projections after which pyfixest gives up."""
MAX_ROWS = 2_000_000
"""Rows of a panel, which cells do not make fewer; beyond this pyfixest takes minutes."""
JACKKNIFE = "CR3"
WIDEST_WEIGHTS = 10_000
"""With weights from 0.0015 to 830 its CR3 is off by 5e-5, against 50 digits (pyfixest 0.60)."""
STOPPED = "the jackknife of pyfixest stops where a column is collinear without a cluster"


@dataclass(frozen=True)
class Regressed:
    """What pyfixest gives.

    Attributes:
        coefficients: Of the terms, (p,).
        covariance: Of them, (p, p); missing where pyfixest has no such variance.
        kept: Which columns, covariates first and then terms, are not collinear, (k + p,).
        lacks: Why the covariance is missing, as a clause; empty if it is not.
    """

    coefficients: Floats
    covariance: Floats
    kept: Bools
    lacks: str = ""


def engine(
    fit: Callable[[Sample, Any], Estimate],
    limits: Callable[[Sample, Any], str | None] = no_limits,
    tolerance: Tolerance = PROJECTIONS,
) -> Engine:
    """Declare the engine ``pyfixest`` of an estimator; it takes cells.

    Args:
        fit: Fits.
        limits: Says what it cannot do.
        tolerance: Of cross-checks.
    """

    def within_reach(sample: Sample, options: Any) -> str | None:
        n_rows = len(sample.frame)
        if sample.is_panel and n_rows > MAX_ROWS:
            return f"pyfixest would iterate over the {n_rows} rows of the panel, over {MAX_ROWS}"
        if getattr(options, "vcov", "") == JACKKNIFE and far_apart(sample.frame["weight"]):
            return (
                "pyfixest's CR3 loses digits where weights differ by more than a factor of "
                f"{WIDEST_WEIGHTS:,}"
            )
        return limits(sample, options)

    return Engine(
        name="pyfixest",
        fit=fit,
        requires=(PYFIXEST,),
        limits=within_reach,
        tolerance_estimate=tolerance,
        tolerance_std_error=tolerance,
        packages=("pyfixest",),
        takes_cells=True,
    )


def far_apart(weights: pd.Series[float]) -> bool:
    """Whether weights differ so much that pyfixest's CR3 loses digits.

    Args:
        weights: Of the cases, (n,); those of 0 do not count.
    """
    used = weights[weights > 0]
    return bool(used.max() > WIDEST_WEIGHTS * used.min())


def lacks(vcov: str, *, separate: bool = False) -> str:
    """Say which variance pyfixest does not have, as a clause; empty if it has.

    Args:
        vcov: Name of the variance.
        separate: Whether effects fall into groups of units and periods that do not hang together.
    """
    if "pyfixest" not in VARIANCES[vcov].engines:
        return f"pyfixest has no {vcov}"
    if vcov == "CR1S" and separate:
        return "pyfixest counts parameters as if units and periods of all groups hung together"
    return ""


def regress(problem: Regression, vcov: str, *, separate: bool = False) -> Regressed:
    """Fit by weighted least squares.

    Args:
        problem: The regression.
        vcov: Name of the variance.
        separate: As for :func:`lacks`.

    Raises:
        CollinearTermsError: If a term is collinear.
        EngineError: If pyfixest fails.
    """
    whole = side_by_side([problem.covariates, problem.terms], len(problem.value))
    _, kept = absorbed_columns(problem, Absorber(problem.effects, problem.weight))
    columns = whole[:, kept]
    lengths = np.linalg.norm(columns * np.sqrt(problem.weight)[:, None], axis=0)
    lengths[lengths == 0] = 1.0
    centre, size = standard(problem.value)
    names = [f"x{j}" for j in range(columns.shape[1])]
    effects = names_of_effects(len(problem.effects))
    table = pd.DataFrame(
        {
            "value": (problem.value - centre) / size,
            "weight": problem.weight,
            "cluster": problem.cluster,
            **dict(zip(effects, problem.effects, strict=True)),
            **dict(zip(names, (columns / lengths).T, strict=True)),
        }
    )
    missing = lacks(vcov, separate=separate)
    if vcov == JACKKNIFE and np.isnan(without_each(by_cluster(problem))).any():
        missing = STOPPED
    formula = f"value ~ {' + '.join(names)} | {' + '.join(effects)}"
    fit, stopped = _feols(formula, table, "CR1" if missing else vcov)
    kept[kept] = ~np.isin(names, fit._collin_vars)
    n_covariates = problem.covariates.shape[1]
    lost = np.flatnonzero(~kept[n_covariates:])
    if len(lost):
        raise CollinearTermsError([int(place) for place in lost])
    terms = slice(int(kept[:n_covariates].sum()), None)
    scale = lengths[len(lengths) - problem.terms.shape[1] :]
    covariance = np.full((len(scale), len(scale)), np.nan)
    if not (missing or stopped):
        widening = _widening(fit, problem, vcov)
        covariance = fit._vcov[terms, terms] / np.outer(scale, scale) * widening * size**2
    return Regressed(fit._beta_hat[terms] / scale * size, covariance, kept, missing or stopped)


def fit(design: Design) -> Fitted:
    """Fit a design, without errors where pyfixest has no such variance.

    Args:
        design: The design.

    Raises:
        CollinearTermsError: If a term is collinear.
        EngineError: If pyfixest fails.
    """
    result, _, averages, told = design.regressed(
        lambda problem: regress(problem, design.vcov, separate=not design.connected)
    )
    covariance = averages.T @ result.covariance @ averages
    estimates = averages.T @ result.coefficients
    fitted = Fitted.of_covariance(design.names, estimates, covariance, design.df)
    return design.wald(replace(fitted, warnings=told, lacks=result.lacks))


def standard(value: Floats) -> tuple[float, float]:
    """Return the mean and standard deviation (1 if zero) of values.

    The tolerances at which pyfixest ends are those of values of the size of one.

    Args:
        value: (m,).
    """
    size = float(value.std())
    return float(value.mean()), size if size > 0 else 1.0


def names_of_effects(n: int) -> list[str]:
    """Name one or two sets of effects so that pyfixest takes them out in the given order.

    It puts the names of a formula into a set, whose order hangs on PYTHONHASHSEED, and projections
    that end at a tolerance hang on the order. A set of two has the order of the list made of it.

    Args:
        n: One or two.
    """
    return list({f"effect{j}" for j in range(n)})


def _feols(formula: str, table: pd.DataFrame, vcov: str) -> tuple[Any, str]:
    """Fit; also say why a jackknife stopped, which it does where a refit has fewer coefficients."""
    import pyfixest

    try:
        with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
            warnings.simplefilter("ignore")
            fit = pyfixest.feols(
                formula,
                table,
                vcov={"CRV1": "cluster"},
                weights="weight",
                ssc=pyfixest.ssc(
                    k_adj=False,
                    k_fixef="full" if vcov == "CR1S" else "nonnested",
                    G_adj=vcov not in ("CR0", "CR3"),
                ),
                fixef_rm="none",
                collin_tol=RANK_TOLERANCE**2,
                demeaner=pyfixest.MapDemeaner(fixef_tol=STOP, fixef_maxiter=ROUNDS),
            )
            if vcov == JACKKNIFE:
                return _jackknife(fit)
            return fit, ""
    except Exception as error:
        raise failed(error) from error


def failed(error: Exception) -> EngineError:
    """Say in a sentence that pyfixest failed.

    Args:
        error: What it raised.
    """
    words = " ".join(str(error).split()) or "without a word"
    return EngineError(f"The package pyfixest failed with {type(error).__name__}: {words}")


def _jackknife(fit: Any) -> tuple[Any, str]:
    try:
        return fit.vcov({"CRV3": "cluster"}), ""
    except ValueError:
        return fit, STOPPED


def _widening(fit: Any, problem: Regression, vcov: str) -> float:
    """The factor that is not in what pyfixest was asked for."""
    if vcov == "CR3":
        return 1 - 1 / problem.n_clusters
    if vcov not in ("CR1S", "fixest"):
        return 1.0
    n, k = problem.n_cases, int(fit._df_k)
    return (n - 1) / (n - k) if n > k else float("nan")
