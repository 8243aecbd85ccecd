"""A regression with one coefficient for every cohort and period, and averages of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from sos_estimators.arrays import Bools, Floats
from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.least_squares import (
    CollinearTermsError,
    Convention,
    Fit,
    Regression,
    correction,
    least_squares,
    side_by_side,
)
from sos_estimators.staggered.adjustment import Adjustment, additive
from sos_estimators.staggered.averages import Averages, Effects
from sos_estimators.staggered.cohort_cells import Cells
from sos_estimators.staggered.result import Found
from sos_plugins.errors import EstimationError


class _Regressed(Protocol):
    @property
    def coefficients(self) -> Floats: ...
    @property
    def kept(self) -> Bools: ...


AnyFit = TypeVar("AnyFit", bound=_Regressed)


def fit_saturated(
    cells: Cells,
    effects: Effects,
    averages: Averages,
    *,
    absorb: tuple[str, str],
    vcov: Convention,
    adjustment: Adjustment | None = None,
) -> Found:
    """Regress on absorbed effects, covariates and one dummy for each effect; then average.

    The averages are linear in the coefficients, so the delta method is exact.

    Args:
        cells: The cells.
        effects: The effects; a reference gets no dummy.
        averages: What to average.
        absorb: Columns whose effects are taken out: ``owner`` or ``cohort``, and ``period``.
        vcov: Small-sample convention of the clustered variance.
        adjustment: How covariates enter; additively if none.

    Raises:
        EstimationError: If an effect cannot be told from the rest.
    """
    adjustment = adjustment or additive(cells)
    fit, weights, told = _fit(cells, effects, averages, absorb, adjustment, least_squares)
    scores = scores_of(fit, vcov) @ weights.T
    return Found.of(averages.names, weights @ fit.coefficients, scores, told)


def fit_in_pyfixest(
    cells: Cells,
    effects: Effects,
    averages: Averages,
    *,
    absorb: tuple[str, str],
    vcov: Convention,
    adjustment: Adjustment | None = None,
) -> Found:
    """Do the same with ``feols`` of pyfixest, which does not say what clusters add.

    Raises:
        EstimationError: As :func:`fit_saturated`.
        EngineError: If pyfixest fails.
    """
    adjustment = adjustment or additive(cells)

    def regress(problem: Regression) -> engine_pyfixest.Regressed:
        return engine_pyfixest.regress(problem, vcov)

    fit, weights, told = _fit(cells, effects, averages, absorb, adjustment, regress)
    variances = np.einsum("jp,pq,jq->j", weights, fit.covariance, weights)
    errors = np.sqrt(np.maximum(variances, 0.0))
    return Found(averages.names, weights @ fit.coefficients, errors, warnings=told)


def _fit(
    cells: Cells,
    effects: Effects,
    averages: Averages,
    absorb: tuple[str, str],
    adjustment: Adjustment,
    regress: Callable[[Regression], AnyFit],
) -> tuple[AnyFit, Floats, tuple[str, ...]]:
    """Fit; also say how averages combine coefficients, (J, p), and what was left out."""
    fit, kept = _with_kept_slopes(cells, effects, absorb, adjustment, regress)
    weights = in_coefficients(averages.shares, effects, adjustment, kept)
    flags = [*fit.kept[: len(adjustment.names)], *kept]
    return fit, weights, collinear(adjustment.dropped(flags, cells, absorb))


def _with_kept_slopes(
    cells: Cells,
    effects: Effects,
    absorb: tuple[str, str],
    adjustment: Adjustment,
    regress: Callable[[Regression], AnyFit],
) -> tuple[AnyFit, Bools]:
    """Fit, and say which slopes are not collinear."""
    dummies = effects.dummies(~effects.reference)
    kept = np.ones(len(adjustment.slopes), dtype=bool)
    while True:
        terms = side_by_side([dummies, adjustment.products[:, kept]], len(dummies))
        problem = Regression(
            value=cells.value,
            weight=cells.weight,
            n_cases=int(cells.frame["n_cases"].sum()),
            effects=tuple(cells.codes(column) for column in absorb),
            cluster=cells.codes("cluster"),
            covariates=adjustment.columns,
            covariate_names=adjustment.names,
            terms=terms,
            term_names=tuple(str(place) for place in range(terms.shape[1])),
        )
        try:
            return regress(problem), kept
        except CollinearTermsError as error:
            places = np.array(error.places) - dummies.shape[1]
            if (places < 0).any():
                names = np.array(effects.names)[~effects.reference]
                raise not_identified(list(names[places[places < 0]])) from None
            kept[np.flatnonzero(kept)[places]] = False


def in_coefficients(
    shares: Floats, effects: Effects, adjustment: Adjustment, kept: Bools
) -> Floats:
    """Write averages as combinations of the effects' dummies and the kept slopes.

    Args:
        shares: How much each effect counts in each average, (J, K).
        effects: The effects, of which references have no dummy.
        adjustment: Which slopes there are.
        kept: Which of them are not collinear.

    Raises:
        EstimationError: If an effect away from the mean of its cases rests on another slope.
    """
    slopes = list(zip(adjustment.slopes, kept, strict=True))
    rest = dict.fromkeys(slope.of for slope, here in slopes if slope.shift and not here)
    if rest:
        raise not_identified(list(rest))
    moved = [slope.shift * shares[:, slope.effect] for slope, here in slopes if here]
    return np.column_stack([shares[:, ~effects.reference], *moved])


def scores_of(fit: Fit, vcov: Convention) -> Floats:
    """Return what each cluster adds to the coefficients, widened by a convention, (G, p)."""
    return np.asarray(fit.influence * np.sqrt(correction(vcov, fit.counts)))


def not_identified(names: list[str]) -> EstimationError:
    """Say that effects are collinear."""
    return EstimationError(
        f"{', '.join(names)} cannot be told from the effects of units and periods and the "
        "covariates: no unit of the cohort that has cases in the period has any in a period to "
        "compare it with. Leave these cases out, or the covariates."
    )


def collinear(dropped: str) -> tuple[str, ...]:
    """Name what was left out, as a warning, or nothing."""
    if not dropped:
        return ()
    return (f"Left out because collinear with effects of units and periods: {dropped}.",)
