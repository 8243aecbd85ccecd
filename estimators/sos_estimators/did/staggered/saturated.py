"""A regression with one coefficient for every cohort and period, and averages of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sos_estimators.did.least_squares import (
    CollinearTermsError,
    Convention,
    Fit,
    Floats,
    Regression,
    correction,
    least_squares,
)
from sos_estimators.did.staggered.averages import Averages, Effects
from sos_estimators.did.staggered.cells import Cells
from sos_estimators.did.staggered.result import Found
from sos_plugins.errors import EstimationError


def fit_saturated(
    cells: Cells,
    effects: Effects,
    averages: Averages,
    *,
    absorb: tuple[str, str],
    vcov: Convention,
) -> Found:
    """Regress on absorbed effects, covariates and one dummy for each effect; then average.

    The averages are linear in the coefficients, so the delta method is exact.

    Args:
        cells: The cells.
        effects: The effects; a reference gets no dummy.
        averages: What to average.
        absorb: Columns whose effects are taken out: ``owner`` or ``cohort``, and ``period``.
        vcov: Small-sample convention of the clustered variance.

    Raises:
        EstimationError: If an effect cannot be told from the rest.
    """
    estimated = ~effects.reference
    columns, names = cells.covariate_columns()
    problem = Regression(
        value=cells.value,
        weight=cells.weight,
        n_cases=int(cells.table["n_cases"].sum()),
        effects=tuple(cells.codes(column) for column in absorb),
        cluster=cells.codes("cluster"),
        covariates=columns,
        covariate_names=names,
        terms=effects.dummies(estimated),
        term_names=tuple(np.array(effects.names)[estimated]),
    )
    try:
        fit = least_squares(problem)
    except CollinearTermsError as error:
        raise cannot_be_told([problem.term_names[i] for i in error.places]) from None
    shares = averages.shares[:, estimated]
    return Found.of(
        averages.names,
        shares @ fit.coefficients,
        scores_of(fit, vcov) @ shares.T,
        collinear(name for name, kept in zip(names, fit.kept, strict=False) if not kept),
    )


def scores_of(fit: Fit, vcov: Convention) -> Floats:
    """Return what each cluster adds to the coefficients, widened by a convention, (G, p)."""
    return np.asarray(fit.influence * np.sqrt(correction(vcov, fit.counts)))


def cannot_be_told(names: list[str]) -> EstimationError:
    """Say that effects are collinear."""
    return EstimationError(
        f"{', '.join(names)} cannot be told from the effects of units and periods and the "
        "covariates: no unit of the cohort that has cases in the period has any in a period to "
        "compare it with. Leave these cases out, or the covariates."
    )


def collinear(names: Iterable[str]) -> tuple[str, ...]:
    """Name covariates that were left out, as a warning, or nothing."""
    dropped = ", ".join(str(n) for n in names)
    if not dropped:
        return ()
    return (f"Left out because collinear with effects of units and periods: {dropped}.",)
