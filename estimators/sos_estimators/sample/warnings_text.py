"""What a reader must know beside the figures, and why an effect cannot be told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sos_estimators.arrays import Bools, Floats
from sos_estimators.inference.vcov import VARIANCES
from sos_estimators.sample.prepare import EFFECT_COLUMNS, FORMS, STRUCTURE, Form, RegressionSample
from sos_plugins.errors import EstimationError, listing

FEWEST_DF = 4.0
"""Below this Satterthwaite's approximation is rough: Tipton (2015), Psychological Methods 20(3)."""
REDUCED = tuple(name for name, row in VARIANCES.items() if row.satterthwaite)
"""Variances with degrees of freedom of their own, which fewer treated clusters make smaller."""


def few_df(
    names: Sequence[str], df: Floats | None, vcov: str, errors: Floats | None = None
) -> tuple[str, ...]:
    """Warn of degrees of freedom too few for Satterthwaite's approximation.

    Terms whose standard error is missing have no p value to be rough.

    Args:
        names: Of p terms.
        df: Their degrees of freedom, (p,); None where the variance has none of its own.
        vcov: Name of the variance.
        errors: Standard errors, (p,).
    """
    if vcov not in REDUCED or df is None:
        return ()
    known = np.ones(len(names), dtype=bool) if errors is None else ~np.isnan(errors)
    rough = [
        f"{name} ({value:.2f})"
        for name, value, there in zip(names, df, known, strict=True)
        if there and round(float(value), 2) < FEWEST_DF
    ]
    if not rough:
        return ()
    return (
        f"{vcov} has fewer than {FEWEST_DF:g} degrees of freedom for {', '.join(rough)}: too few "
        "treated clusters, so the p values there are rough.",
    )


def weak_test(n_leads: int, df: float) -> tuple[str, ...]:
    """Warn of a joint test of leads that has too few degrees of freedom to find much.

    Args:
        n_leads: How many leads are tested.
        df: Degrees of freedom of the denominator.
    """
    if not round(df, 1) < FEWEST_DF:
        return ()
    return (
        f"The joint test of {n_leads} leads has {df:.1f} degrees of freedom: too few treated "
        "clusters to find any but gross departures from parallel trends. Fewer leads find more: "
        "min_event counts earlier ones as one.",
    )


def few_clusters(prepared: RegressionSample, threshold: int, *vcov: str) -> tuple[str, ...]:
    """Warn of too few treated clusters for the cluster-robust standard errors that are asked for.

    The degrees of freedom of CR2 allow for few; see :func:`few_df`.

    Args:
        prepared: The checked sample.
        threshold: Fewer treated clusters than this are few.
        vcov: Names of the variances.
    """
    clusters = prepared.treated_clusters
    too_small = [name for name in vcov if name not in REDUCED]
    if vcov and len(clusters) == 1:
        return (
            f"Only one cluster is treated ({clusters[0]}): nothing shows how effects differ "
            "between treated clusters, so the standard error is far too small.",
        )
    if too_small and len(clusters) < threshold:
        return (
            f"Only {len(clusters)} clusters are treated (fewer than {threshold}): cluster-robust "
            f"standard errors ({', '.join(too_small)}) tend to be too small.",
        )
    return ()


def collinear_covariates(names: Sequence[str], kept: Bools, form: Form) -> tuple[str, ...]:
    """Name the covariates that were left out, as a warning, or nothing.

    Args:
        names: Of k covariates.
        kept: Which of the columns, covariates first, are not collinear.
        form: Which effects are absorbed.
    """
    dropped = [
        name
        for name, keep in zip(names, kept, strict=False)
        if not keep and name not in STRUCTURE[form]
    ]
    return left_out(dropped, form)


def left_out(dropped: Sequence[str], form: Form) -> tuple[str, ...]:
    """Name collinear covariates, as a warning, or nothing.

    Args:
        dropped: Names of collinear covariates.
        form: Which effects are absorbed.
    """
    if not dropped:
        return ()
    return (
        f"Left out because collinear with {FORMS[form]} and the covariates before them: "
        f"{', '.join(dropped)}.",
    )


def not_identified(prepared: RegressionSample, form: Form) -> EstimationError:
    """Say why the treatment is collinear with effects and covariates.

    Args:
        prepared: The checked sample.
        form: Which effects are absorbed.
    """
    frame = prepared.frame
    treated = frame[frame["treated"] == 1]
    compared = frame[frame["treated"] == 0]
    keys = [c for c in EFFECT_COLUMNS[form][-1] if c in frame]
    times = {tuple(row) for row in compared[keys].drop_duplicates().to_numpy().tolist()}
    shared = [tuple(row) in times for row in treated[keys].to_numpy().tolist()]
    both_sides = treated[shared].groupby("unit")["post"].nunique().eq(2).any()
    if compared.empty:
        why = "every unit is treated, and no two of them at different times that their periods show"
    elif not both_sides:
        why = "no pilot has cases both before and after in periods in which comparators have any"
    elif form == "pilot-post" and compared["post"].nunique() < 2:
        why = "comparators have no cases on both sides of the window"
    elif prepared.covariates:
        why = f"it does not vary apart from them and the covariates {listing(prepared.covariates)}"
    else:
        why = "it does not vary apart from them"
    told = " ".join(["", *prepared.warnings]) if compared.empty else ""
    return EstimationError(f"The effect cannot be told from {FORMS[form]}, because {why}.{told}")


def one_sided_pilots(prepared: RegressionSample, form: Form) -> tuple[str, ...]:
    """Warn of pilots without a case after adoption: with authority effects they are comparators.

    Of those without a case before it :mod:`sos_estimators.sample.adoption` tells.

    Args:
        prepared: The checked sample.
        form: Which effects are absorbed.
    """
    if form == "pilot-post":
        return ()
    frame, unit = prepared.frame, prepared.coded("unit")
    treated = frame["treated"].to_numpy() == 1
    after = unit.have(treated & (frame["post"].to_numpy() == 1))
    units = unit.texts(treated & ~after)
    if not units:
        return ()
    return (
        f"Treated units without a case after adoption: {listing(units)}; they show no effect and "
        "serve for comparison only.",
    )
