"""The engines in R: what they are sent, what they decline, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats
from sos_estimators.inference.own_effects import OwnEffects, OwnErrors
from sos_estimators.inference.results import FTest
from sos_estimators.inference.vcov import CONVENTIONS, VARIANCES, warn_no_jackknife
from sos_estimators.regression.design import Design, Fitted
from sos_estimators.regression.least_squares import CollinearTermsError
from sos_estimators.sample.prepare import EFFECT_COLUMNS, Form, RegressionSample
from sos_plugins import Requirement, Tolerance
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.contract.types import Sample
from sos_plugins.errors import EngineError, listing
from sos_plugins.groundwork.text_codes import is_category
from sos_plugins.r import client as r

R_FIXEST = Requirement("r", "fixest", 'in R: install.packages("fixest")')
FIXEST_STOPS = Tolerance(
    1e-5, 1e-7, "fixest takes effects out by alternating projections, which end at a tolerance"
)
FOLDER = Path(__file__).resolve().parent.parent / "r"
MAX_DUMMIES = 2000
"""R's ``lm`` gets a dummy for every effect; beyond this it takes minutes and gigabytes."""
TIMEOUT = 600.0
"""Seconds after which a fit in R is given up."""


MAX_CASES_OF_A_CLUSTER = 2000
"""clubSandwich makes square matrices of the cases of a cluster; beyond this they take gigabytes."""


def limits(sample: Sample, form: Form, vcov: str) -> str | None:
    """Say so when R cannot do what is asked.

    Args:
        sample: The cases.
        form: Which effects.
        vcov: Name of the variance.
    """
    if COMPRESSED[0] in sample.frame:
        return "the R engine needs the cases, and this sample is compressed to cells"
    variance = VARIANCES[vcov]
    if "r" not in variance.engines:
        return f"the R engine has no {vcov}; engines that have it: {listing(variance.engines)}"
    for package in variance.r_needs:
        if missing := package.missing():
            return missing
    return too_many_effects(sample, form)


def too_large_for(sample: Sample, vcov: str) -> str:
    """Say, as a clause, why R has no such variance of these cases; empty where it has.

    Args:
        sample: The cases.
        vcov: Name of the variance.
    """
    if not VARIANCES[vcov].r_needs:
        return ""
    largest = int(sample.frame["cluster"].value_counts().max())
    if largest <= MAX_CASES_OF_A_CLUSTER:
        return ""
    return (
        f"clubSandwich makes a square matrix of the cases of each cluster for {vcov}, and one has "
        f"{largest}, more than {MAX_CASES_OF_A_CLUSTER}"
    )


def too_many_effects(sample: Sample, form: Form) -> str | None:
    """Say so when R would need too many dummy columns.

    Args:
        sample: The cases.
        form: Which effects.
    """
    n = sum(len(sample.frame[list(columns)].drop_duplicates()) for columns in _known(sample, form))
    if n <= MAX_DUMMIES:
        return None
    return (
        f"the R engine gives every authority and period a dummy column, and these are {n}, more "
        f"than {MAX_DUMMIES}"
    )


def _known(sample: Sample, form: Form) -> list[tuple[str, ...]]:
    """Return the effects whose columns the sample has."""
    return [c for c in EFFECT_COLUMNS[form] if set(c) <= set(sample.frame.columns)]


def fixest_lacks(vcov: str) -> str:
    """Say which variance fixest does not have, as a clause; empty if it has.

    Args:
        vcov: Name of the variance.
    """
    if "r-fixest" in VARIANCES[vcov].engines:
        return ""
    if vcov == "CR1S":
        return "fixest counts effects nested in clusters as one intercept"
    return f"fixest has no {vcov}"


def known_to_fixest(vcov: str) -> str:
    """Return a variance that fixest has: this one, or CR1 in its place.

    Args:
        vcov: Name of the variance.
    """
    return "CR1" if fixest_lacks(vcov) else vcov


def needs_cases(sample: Sample) -> str | None:
    """Say so where the rows of a sample are no cases.

    Args:
        sample: The cases.
    """
    if COMPRESSED[0] in sample.frame:
        return "fixest counts cases, and this sample is compressed to cells"
    return None


def call(
    script: str,
    function: str,
    prepared: RegressionSample,
    further: Sequence[str] = (),
    **arguments: object,
) -> dict[str, Any]:
    """Call a fitting function of an R script on a prepared sample.

    Args:
        script: Name of a file in the folder of R scripts.
        function: Name of the function.
        prepared: The sample.
        further: Columns to send besides those every fit needs.
        arguments: Arguments of the function.

    Returns:
        The list that the function returns, and what R warned of.

    Raises:
        EngineError: If R fails.
    """
    frame = prepared.frame
    columns: dict[str, Any] = {
        name: frame[name].to_numpy(float) for name in ("value", "weight", "treated", "post")
    }
    for name in ("unit", "period", "cluster", "group"):
        if name in frame:
            columns[name] = factor(frame[name])
    columns |= {name: covariate(frame[name]) for name in prepared.covariates}
    columns |= {name: frame[name].to_numpy() for name in further}
    given = {**arguments, "covariates": list(prepared.covariates)}
    return r.call(FOLDER / script, function, columns, given, timeout=TIMEOUT)


def fit_terms(
    prepared: RegressionSample,
    form: Form,
    columns: Floats,
    *,
    names: Sequence[str],
    averages: Floats,
    vcov: str,
) -> dict[str, Any]:
    """Have R fit terms that are columns of the cases, and their averages.

    Args:
        prepared: The sample, n cases.
        form: Which effects.
        columns: The terms, (n, p).
        names: Of the averages, J.
        averages: How much each term counts in each average, (p, J).
        vcov: Name of the variance.

    Returns:
        What :attr:`sos_estimators.regression.design.Design.ask_r` gives.

    Raises:
        EngineError: If R fails.
    """
    terms = [f"term{number}" for number in range(1, columns.shape[1] + 1)]
    frame = prepared.frame.assign(**dict(zip(terms, columns.T, strict=True)))
    return call(
        "terms.R",
        "terms_fit",
        replace(prepared, frame=frame),
        terms,
        form=form,
        vcov=vcov,
        terms=terms,
        names=list(names),
        averages=averages.ravel().tolist(),
    )


def factor(values: pd.Series) -> pd.Categorical:
    """Number the levels as the Python engine does: sorted, the first one left out.

    Args:
        values: Of each row.
    """
    codes, levels = pd.factorize(values.astype(str), sort=True)
    return pd.Categorical.from_codes(codes, categories=pd.Index(levels))


def covariate(values: pd.Series) -> Any:
    """Return a covariate as R gets it: numbers, or a factor of text.

    Args:
        values: Of each row.
    """
    return factor(values) if is_category(values) else values.to_numpy(float)


def warnings(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what R warned of, as sentences.

    Args:
        answer: What R returned.
    """
    return tuple(f"R warns: {' '.join(told.split())}." for told in answer["warnings"])


def rows(values: Any, n_columns: int) -> Floats:
    """Return the matrix (rows, n_columns) of what R gives row by row.

    Args:
        values: Numbers of R.
        n_columns: How many make a row.
    """
    return np.asarray(values, dtype=float).reshape(-1, n_columns)


def fit(design: Design, engine: str) -> Fitted:
    """Have R fit a design, without errors where the engine has no such variance.

    Args:
        design: The design.
        engine: ``r`` or ``r-fixest``.

    Raises:
        CollinearTermsError: If a term is collinear.
        EngineError: If R fails, or gives other terms.
    """
    answer = design.ask_r(engine)
    if answer["aliased"][0]:
        raise CollinearTermsError([int(place) - 1 for place in np.atleast_1d(answer["lost"])])
    fitted = _averaged(answer, design)
    told = (*design.left_out(np.atleast_1d(answer["kept"]).astype(bool)), *warnings(answer))
    if engine == "r-fixest":
        return _of_fixest(replace(fitted, warnings=told), design)
    if design.vcov not in CONVENTIONS:
        told += warn_no_jackknife(fitted.std_errors, design.vcov)
    return replace(fitted, warnings=told, joint=_test(answer, design))


def _averaged(answer: Mapping[str, Any], design: Design) -> Fitted:
    """Put the averages of R in order, or take them of the coefficients that R gives."""
    if "term" in answer:
        return in_order(answer, design.names, design.df)
    coefficients = np.atleast_1d(answer["estimate"])
    estimates, n = coefficients @ design.averages, len(coefficients)
    if "scores" in answer:
        scores = rows(answer["scores"], n) @ design.averages
        fitted = Fitted.of_scores(design.names, estimates, scores, design.df)
        if "shares" not in answer:
            return fitted
        own = (rows(answer[part], n) @ design.averages for part in ("contributions", "shares"))
        return fitted.with_own(OwnEffects(*own))
    covariance = design.averages.T @ rows(answer["covariance"], n) @ design.averages
    return Fitted.of_covariance(design.names, estimates, covariance, design.df)


def in_order(answer: Mapping[str, Any], names: Sequence[str], df: float | Floats) -> Fitted:
    """Return the averages that R gives, in the order of their names.

    Args:
        answer: What R returned: ``term``, ``estimate``, ``scores`` (row by row), ``covariance`` or
            ``std_error``, and perhaps ``df``; ``own_scores`` and ``own_df`` where errors are from
            own effects.
        names: Of J averages.
        df: Degrees of freedom, where R gives none.

    Raises:
        EngineError: If R gives other terms.
    """
    fitted = _in_order(answer, names, df)
    if "own_df" not in answer:
        return fitted
    order = order_of(answer["term"], names)
    own = OwnErrors(
        rows(answer["own_scores"], len(order))[:, order],
        np.atleast_1d(np.asarray(answer["own_df"], float))[order],
    )
    return replace(fitted, own_errors=own)


def _in_order(answer: Mapping[str, Any], names: Sequence[str], df: float | Floats) -> Fitted:
    order = order_of(answer["term"], names)
    estimates = np.atleast_1d(np.asarray(answer["estimate"], float))[order]
    if "df" in answer:
        df = np.broadcast_to(np.asarray(answer["df"], float), len(order))[order]
    if "scores" in answer:  # free of the rounding of a variance
        scores = rows(answer["scores"], len(order))[:, order]
        return Fitted.of_scores(names, estimates, scores, df, warnings(answer))
    if "covariance" in answer:
        covariance = rows(answer["covariance"], len(order))[np.ix_(order, order)]
        fitted = Fitted.of_covariance(names, estimates, covariance, df)
        return replace(fitted, warnings=warnings(answer))
    errors = np.atleast_1d(np.asarray(answer["std_error"], float))[order]
    return Fitted(tuple(names), estimates, errors, df, warnings=warnings(answer))


def order_of(terms: Any, names: Sequence[str]) -> list[int]:
    """Return the places of names among the terms of R.

    Args:
        terms: Names that R gives.
        names: Names that are wanted.

    Raises:
        EngineError: If R gives other terms.
    """
    places = {name: place for place, name in enumerate(np.atleast_1d(terms))}
    if set(places) != set(names):
        raise EngineError(f"R gives the terms {listing(places)}, expected {listing(names)}.")
    return [places[name] for name in names]


def _of_fixest(fitted: Fitted, design: Design) -> Fitted:
    lacks = fixest_lacks(design.vcov)
    if lacks:
        missing = np.full((len(design.names),) * 2, np.nan)
        fitted = replace(
            fitted, std_errors=np.diag(missing), covariance=missing, scores=None, lacks=lacks
        )
    return design.wald(fitted)


def _test(answer: Mapping[str, Any], design: Design) -> FTest | None:
    if design.joint is None:
        return None
    statistic, df = (float(number) for number in answer["joint"])
    return FTest(statistic, df if design.joint.by == "AHT" else design.joint.df)
