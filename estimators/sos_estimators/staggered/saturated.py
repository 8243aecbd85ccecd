"""A regression with one coefficient for every cohort and period, and averages of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sos_estimators.arrays import Bools, Floats
from sos_estimators.inference.own_effects import OwnEffects
from sos_estimators.inference.vcov import factor_of
from sos_estimators.regression.design import Design
from sos_estimators.regression.fit import fit_design
from sos_estimators.regression.least_squares import Fit, Regression, group_sums, side_by_side
from sos_estimators.staggered.adjustment import Adjustment, additive
from sos_estimators.staggered.averages import Averages, Effects
from sos_estimators.staggered.cohort_cells import CohortCells
from sos_estimators.staggered.result import build_estimate
from sos_estimators.staggered.settings import CommonSettings
from sos_plugins import Estimate
from sos_plugins.errors import EstimationError


def saturated(
    cells: CohortCells,
    effects: Effects,
    averages: Averages,
    *,
    absorb: tuple[str, str],
    vcov: str,
    ask_r: Callable[[str], Mapping[str, Any]],
    adjustment: Adjustment | None = None,
) -> Design:
    """Design a regression on absorbed effects, covariates and one dummy for each effect.

    The averages are linear in the coefficients, so the delta method is exact. A slope that is
    collinear is left out, unless an effect away from the mean of its cases rests on it.

    Args:
        cells: The cells.
        effects: The K effects; a reference gets no dummy.
        averages: The J averages.
        absorb: Columns whose effects are taken out: ``owner`` or ``cohort``, and ``period``.
        vcov: Small-sample convention of the clustered variance.
        ask_r: Has R fit the same.
        adjustment: How covariates enter; additively if none.
    """
    chosen = adjustment or additive(cells)
    names = np.array(effects.names)[~effects.reference]
    n, k, slopes = len(names), len(chosen.names), chosen.slopes
    moved = [slope.shift * averages.shares[:, slope.effect] for slope in slopes]
    single = np.eye(len(effects.names))
    each = [single[:, ~effects.reference], *(s.shift * single[:, s.effect] for s in slopes)]
    of_terms = np.column_stack(each)

    def regress() -> Regression:
        dummies = effects.dummies(~effects.reference)
        terms = side_by_side([dummies, chosen.products], len(dummies))
        term_names = tuple(str(place) for place in range(terms.shape[1]))
        return cells.regression(absorb, terms=terms, term_names=term_names)

    def error(places: Sequence[int]) -> EstimationError:
        lost = [str(names[place]) for place in places if place < n]
        rest = [slopes[place - n] for place in places if place >= n]
        return not_identified(lost or list(dict.fromkeys(s.of for s in rest if s.shift)))

    def left_out(kept: Bools) -> tuple[str, ...]:
        return collinear(chosen.dropped(np.append(kept[:k], kept[k + n :]), cells, absorb))

    def own(coefficients: Floats, scores: Floats, kept: Bools) -> OwnEffects:
        att = np.append(of_terms[:, kept] @ coefficients, 0.0)
        weights, cluster = averages.cell_weights(effects, cells), cells.codes("cluster")
        levels = group_sums(weights * att[effects.of_cell][:, None], cluster)
        return OwnEffects(scores + levels, group_sums(weights, cluster))

    return Design(
        names=averages.names,
        averages=np.column_stack([averages.shares[:, ~effects.reference], *moved]).T,
        vcov=vcov,
        n_clusters=cells.n_clusters,
        regress=regress,
        ask_r=ask_r,
        not_identified=error,
        about_left_out=left_out,
        own=own,
        optional=np.array([False] * n + [slope.shift == 0 for slope in slopes]),
    )


def fit_on_cells(
    designs: Sequence[Design],
    engine: str,
    cells: CohortCells,
    options: CommonSettings,
    *,
    further: Mapping[str, Any] | None = None,
) -> Estimate:
    """Fit designs by an engine and make one estimate of their averages.

    Args:
        designs: One or more, of the same clusters.
        engine: Its name.
        cells: The cells.
        options: Settings.
        further: What is particular to the estimator, for the one-row summary.

    Raises:
        EstimationError: If an effect cannot be told from the rest.
        EngineError: If the package or R fails.
    """
    options = cells.decided(options)
    fitted, *rest = (fit_design(design, engine) for design in designs)
    for other in rest:
        fitted = fitted.beside(other)
    return build_estimate(fitted, cells, options, vcov=designs[0].vcov, further=further)


def scores_of(fit: Fit, vcov: str) -> Floats:
    """Return what each cluster adds to the coefficients, widened by a convention, (G, p).

    Args:
        fit: Of p terms and G clusters.
        vcov: A convention of the sandwich.
    """
    return np.asarray(fit.influence * np.sqrt(factor_of(vcov)(fit.counts)))


def not_identified(names: list[str]) -> EstimationError:
    """Say that effects are collinear.

    Args:
        names: Of the effects.
    """
    return EstimationError(
        f"{', '.join(names)} cannot be told from the effects of units and periods and the "
        "covariates: no unit of the cohort that has cases in the period has any in a period to "
        "compare it with. Leave these cases out, or the covariates."
    )


def collinear(dropped: str) -> tuple[str, ...]:
    """Name what was left out, as a warning, or nothing.

    Args:
        dropped: Names, or nothing.
    """
    if not dropped:
        return ()
    return (f"Left out because collinear with effects of units and periods: {dropped}.",)
