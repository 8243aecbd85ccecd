"""The engine on numpy: least squares and logit with absorbed effects, on cells."""

from __future__ import annotations

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.inference.aht import approximate_hotelling
from sos_estimators.inference.own_effects import OwnEffects
from sos_estimators.inference.results import FTest, wald
from sos_estimators.inference.vcov import VARIANCES, Covariance, FittedRegression, factor_of
from sos_estimators.regression.design import Design, Fitted
from sos_estimators.regression.logit import logit


def fit(design: Design) -> Fitted:
    """Fit a design.

    Args:
        design: The design.

    Raises:
        CollinearTermsError: If a term is collinear.
        EstimationError: If a logit does not converge, or cells do not hold what a variance needs.
    """
    if design.model == "logit":
        return _logit(design)
    vcov = VARIANCES[design.vcov]
    solved, problem, averages, told = design.regressed(vcov.regress)
    fitted = FittedRegression(problem, solved)
    variance = vcov.compute(fitted, averages)
    if variance.scores is None:
        errors = np.sqrt(np.diag(variance.matrix))
    else:
        errors = np.sqrt(np.square(variance.scores).sum(axis=0))
    done = Fitted(
        design.names,
        averages.T @ fitted.coefficients,
        errors,
        variance.df,
        covariance=variance.matrix,
        scores=variance.scores,
        warnings=(*told, *variance.warnings),
        joint=_test(design, fitted, averages, variance),
    )
    own = _own(design, fitted, averages)
    return done if own is None else done.with_own(own)


def _own(design: Design, fitted: FittedRegression, averages: Floats) -> OwnEffects | None:
    if design.own is None:
        return None
    kept = np.isin(design.regression.term_names, fitted.regression.term_names)
    return design.own(fitted.coefficients, fitted.influence @ averages, kept)


def _test(
    design: Design, fitted: FittedRegression, averages: Floats, variance: Covariance
) -> FTest | None:
    if design.joint is None:
        return None
    places = design.joint.places
    if not len(places):
        return FTest(np.nan, np.nan)
    if design.joint.by == "AHT":
        return approximate_hotelling(fitted.clusters, averages.T[places])
    estimates = averages.T[places] @ fitted.coefficients
    square = wald(estimates, variance.matrix[np.ix_(places, places)], design.n_clusters)
    return FTest(square, design.joint.df)


def _logit(design: Design) -> Fitted:
    """Return the average effect on the treated and the log odds ratio."""
    solved = logit(design.regression)
    return Fitted.of_scores(
        design.names,
        np.array([solved.effect, solved.log_odds]),
        solved.influence * np.sqrt(factor_of(design.vcov)(solved.counts)),
        design.df,
        design.left_out(solved.kept),
    )
