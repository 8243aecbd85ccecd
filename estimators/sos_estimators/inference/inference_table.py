"""Several methods of inference on one estimate, side by side, and where they disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats
from sos_estimators.inference.cluster_products import influence
from sos_estimators.inference.randomisation import (
    Randomised,
    randomise,
    statistics_by_lot,
    treatments,
)
from sos_estimators.inference.results import ScoreErrors, drop_zero_errors
from sos_estimators.inference.vcov import VARIANCES, FittedRegression
from sos_estimators.inference.wild import (
    Weights,
    auxiliary,
    wild_bootstrap,
)
from sos_estimators.regression.design_matrix import regression, treatment
from sos_estimators.regression.least_squares import (
    CollinearTermsError,
    Regression,
    least_squares,
)
from sos_estimators.sample.adoption import AlwaysTreated
from sos_estimators.sample.prepare import Form, RegressionSample, prepare
from sos_estimators.sample.warnings_text import few_clusters, few_df, not_identified
from sos_plugins.authors.results import t_quantile, t_two_sided
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics, Sample
from sos_plugins.errors import EstimationError

_WILD = (
    "Cameron, Gelbach and Miller (2008), Review of Economics and Statistics 90(3); MacKinnon, "
    "Nielsen and Webb (2023), Journal of Applied Econometrics 38(5)"
)
_RANDOMISATION = "MacKinnon and Webb (2020), Journal of Econometrics 218(2)"
CITATIONS: Mapping[str, str] = {
    **{name: row.citation for name, row in VARIANCES.items()},
    "WCR": _WILD,
    "WCU": _WILD,
    "RI-beta": _RANDOMISATION,
    "RI-t": _RANDOMISATION,
}
"""Papers of all methods: the variances, the wild bootstrap and randomisation."""
if TYPE_CHECKING:
    Method = str
else:
    Method = Literal[tuple(CITATIONS)]
WITHOUT_ERRORS = ("RI-beta",)
"""Methods that rest on no standard error."""
COLUMNS: Mapping[str, str] = {
    "method": "name of the method",
    "estimate": "the coefficient, the same in every row",
    "std_error": "standard error; that of CR1 for WCR, WCU and RI-t, whose t statistics need one",
    "statistic": "estimate / std_error; the estimate for RI-beta",
    "df": "degrees of freedom of Student's t; missing for a bootstrap or randomisation",
    "p_value": "two-sided, that the effect is zero",
    "conf_low": "lower end of the confidence set; missing for randomisation",
    "conf_high": "upper end of the confidence set",
    "distribution": "what the statistic is compared with",
    "citation": "the paper of the method",
}
"""Glossary of the table of inference."""


class Options(Protocol):
    """What of the settings of ``did`` is used."""

    @property
    def form(self) -> Form:
        """Which effects."""

    @property
    def always_treated(self) -> AlwaysTreated:
        """What becomes of units without a case before treatment."""

    @property
    def conf_level(self) -> float:
        """Level of confidence sets."""

    @property
    def few_clusters(self) -> int:
        """Fewer treated clusters than this are few."""

    @property
    def wild_weights(self) -> Weights:
        """Auxiliary variable of the wild bootstrap."""


@dataclass(frozen=True)
class Inference:
    """Several methods on one coefficient.

    Attributes:
        table: One row a method, with :data:`COLUMNS`.
        warnings: Where the methods disagree about significance, and which one not to trust.
        clusters: One row a cluster: ``cluster``, ``estimate_without`` it, ``leverage`` and
            ``partial_leverage``.
        effective_clusters: Effective number of clusters.
    """

    table: pd.DataFrame
    warnings: tuple[str, ...]
    clusters: pd.DataFrame
    effective_clusters: float


@dataclass(frozen=True)
class _Given:
    """What every method works on."""

    fitted: FittedRegression
    cells: pd.DataFrame
    prepared: RegressionSample
    options: Options
    seed: int
    draws: int

    @property
    def estimate(self) -> float:
        """The coefficient."""
        return float(self.fitted.fit.coefficients[0])


def inference(
    sample: Sample,
    options: Options,
    methods: Sequence[Method] = tuple(CITATIONS),
    *,
    seed: int = 1,
    draws: int = 9999,
) -> Inference:
    """Test the effect of the classic design by several methods.

    Args:
        sample: The cases, or a compressed sample of :class:`sos_plugins.cells.build.Cells`.
        options: Settings of ``did``; the model is linear.
        methods: Which.
        seed: Of the bootstrap and of randomisation.
        draws: Replications and assignments, unless fewer are all there are.

    Raises:
        EstimationError: If there is no estimate.
    """
    prepared = prepare(sample, options.form, options.always_treated)
    try:
        return table_in_python(prepared, options, methods, seed=seed, draws=draws)
    except CollinearTermsError:
        raise not_identified(prepared, options.form) from None


def table_in_python(
    prepared: RegressionSample,
    options: Options,
    methods: Sequence[Method],
    *,
    seed: int,
    draws: int,
) -> Inference:
    """Test the effect by several methods, on a checked sample.

    Args:
        prepared: The sample.
        options: Settings of ``did``; the model is linear.
        methods: Which.
        seed: Of the bootstrap and of randomisation.
        draws: Replications and assignments, unless fewer are all there are.

    Raises:
        CollinearTermsError: If the effect cannot be told.
    """
    problem, cells = _problem(prepared, options.form)
    fitted = FittedRegression(problem, least_squares(problem))
    given = _Given(fitted, cells, prepared, options, seed, draws)
    plain = np.sqrt(np.square(fitted.fit.influence).sum(axis=0))
    _, none = drop_zero_errors(plain, ("ATT",), problem.value, lambda: ScoreErrors.of(problem))
    alone = [method for method in methods if none and method not in WITHOUT_ERRORS]
    rows, warnings = _rows(given, methods, alone)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    weight = influence(fitted.clusters)
    names = cells.groupby(problem.cluster)["cluster"].first().astype(str)
    return Inference(
        table=table,
        warnings=(*disagreement(table, 1 - options.conf_level), *none, *warnings),
        clusters=pd.DataFrame(
            {
                "cluster": names.to_numpy(),
                "estimate_without": weight.without,
                "leverage": weight.leverage,
                "partial_leverage": weight.partial_leverage,
            }
        ),
        effective_clusters=weight.effective,
    )


def _problem(prepared: RegressionSample, form: Form) -> tuple[Regression, pd.DataFrame]:
    """Return the regression of a form, and the cells that it is of."""
    kept: list[pd.DataFrame] = []

    def term(cells: pd.DataFrame) -> tuple[Floats, tuple[str, ...]]:
        kept.append(cells)
        return treatment(cells)

    known = ("D", "unit", "period", "cohort", "treated", "post", "group", "cluster")
    by = [column for column in known if column in prepared.frame]
    return regression(prepared, form, by, term), kept[0]


def by_lot(prepared: RegressionSample, form: Form, draws: AssignmentDraws) -> DrawnStatistics:
    """Return the t statistic of the effect by CR1, and those under assignments by common lots.

    Args:
        prepared: The sample.
        form: Which effects.
        draws: The lots.

    Raises:
        EstimationError: If adoption cannot be assigned anew.
    """
    _demand_terms_of_periods(form)
    return statistics_by_lot(*_problem(prepared, form), draws)


def _demand_terms_of_periods(form: Form) -> None:
    if form == "pilot-post":
        raise EstimationError(
            "form = 'pilot-post' has a term for pilots that a new assignment would change too; "
            "use form = 'twfe' or 'stacked'"
        )


def _rows(
    given: _Given, methods: Sequence[Method], alone: Sequence[Method]
) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
    """Return one row a method, those ``alone`` with the estimate only, and what to warn of."""
    rows: list[Mapping[str, Any]] = []
    told: list[str] = []
    at_random: Randomised | None = None
    for method in dict.fromkeys(methods):
        row: dict[str, Any] = {}
        warnings: tuple[str, ...] = ()
        if method in alone:
            row = {"distribution": ""}
        elif method in ("WCR", "WCU"):
            row, warnings = _wild(given, method)
        elif method in VARIANCES:
            row, warnings = _analytical(given, method)
        else:
            try:
                at_random = at_random or _randomised(given)
                row, warnings = _of_randomised(given, at_random, method)
            except EstimationError as error:
                warnings = (f"There is no {method}: {error}.",)
        fixed = {"method": method, "estimate": given.estimate, "citation": CITATIONS[method]}
        rows.append({**fixed, **row})
        told += warnings
    clustered = [name for name in dict.fromkeys(methods) if name in VARIANCES and name not in alone]
    told += few_clusters(given.prepared, given.options.few_clusters, *clustered)
    return rows, tuple(dict.fromkeys(told))


def _analytical(given: _Given, method: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    variance = VARIANCES[method].compute(given.fitted, np.eye(1))
    estimate, df = given.estimate, float(variance.df[0])
    error = float(np.sqrt(variance.matrix[0, 0]))
    half = float(t_quantile((1 + given.options.conf_level) / 2, df)) * error
    warnings = (*variance.warnings, *few_df(("ATT",), variance.df, method))
    row = {
        "std_error": error,
        "statistic": estimate / error,
        "df": df,
        "p_value": float(t_two_sided(estimate / error, df)),
        "conf_low": estimate - half,
        "conf_high": estimate + half,
        "distribution": f"t with {df:.4g} degrees of freedom",
    }
    return row, warnings


def _wild(given: _Given, method: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    draws = auxiliary(
        given.fitted.clusters.n_clusters, given.draws, given.seed, given.options.wild_weights
    )
    wild = wild_bootstrap(
        given.fitted.clusters,
        draws,
        restricted=method == "WCR",
        conf_level=given.options.conf_level,
    )
    number = f"all {wild.draws}" if wild.complete else f"{wild.draws}"
    treated, few = len(given.prepared.treated_clusters), given.options.few_clusters
    warnings: tuple[str, ...] = ()
    if treated < few:
        tends = "rarely" if method == "WCR" else "often"
        warnings = (
            f"With {treated} treated clusters {method} tends to reject too {tends} (MacKinnon and "
            "Webb 2017, Journal of Applied Econometrics 32(2)).",
        )
    row = {
        "std_error": given.estimate / wild.statistic,
        "statistic": wild.statistic,
        "p_value": wild.p_value,
        "conf_low": wild.conf_low,
        "conf_high": wild.conf_high,
        "distribution": f"{number} draws ({wild.distribution})",
    }
    return row, warnings


def _randomised(given: _Given) -> Randomised:
    _demand_terms_of_periods(given.options.form)
    return randomise(
        given.fitted.regression, treatments(given.cells, draws=given.draws, seed=given.seed)
    )


def _of_randomised(
    given: _Given, randomised: Randomised, method: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    number = f"all {randomised.assignments}" if randomised.complete else f"{randomised.assignments}"
    row: dict[str, Any] = {
        "statistic": randomised.estimate,
        "p_value": randomised.p_estimate,
        "distribution": f"{number} assignments",
    }
    if method == "RI-t":
        row |= {
            "std_error": randomised.estimate / randomised.statistic,
            "statistic": randomised.statistic,
            "p_value": randomised.p_statistic,
        }
    smallest = 1 / (randomised.assignments + (not randomised.complete))
    if smallest <= 1 - given.options.conf_level:
        return row, ()
    return row, (
        f"There are only {randomised.assignments} assignments to compare with, so no p value of "
        f"{method} is below {smallest:.2g}.",
    )


def disagreement(table: pd.DataFrame, level: float) -> tuple[str, ...]:
    """Say which methods call the effect significant and which do not, if some do.

    Args:
        table: With ``method`` and ``p_value``.
        level: Of significance, such as 0.05.
    """
    known = table[table["p_value"].notna()]
    below = known["p_value"] < level
    if below.all() or not below.any():
        return ()

    def listed(rows: pd.DataFrame) -> str:
        pairs = zip(rows["method"], rows["p_value"], strict=True)
        return ", ".join(f"{method} (p = {p:.2g})" for method, p in pairs)

    return (
        f"The methods disagree at {level:.2g}: significant by {listed(known[below])}; not by "
        f"{listed(known[~below])}.",
    )
