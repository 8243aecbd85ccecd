"""The time before treatment, tested among the cases not treated yet.

Section 4.4 of Borusyak, Jaravel and Spiess (2024), Review of Economic Studies 91(6), 3253-3285:
the untreated cases alone are regressed on leads, so that the test does not share the errors of
the imputed effects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sos_estimators.arrays import Floats, Ints
from sos_estimators.inference.own_effects import OwnEffects, OwnErrors
from sos_estimators.inference.results import FTest, JointTest, negligible, wald
from sos_estimators.inference.vcov import Convention
from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.design import Fitted
from sos_estimators.regression.engine_r import rows
from sos_estimators.regression.least_squares import (
    CollinearTermsError,
    Regression,
    group_sums,
    least_squares,
)
from sos_estimators.staggered.cohort_cells import CohortCells
from sos_estimators.staggered.saturated import scores_of


@dataclass(frozen=True)
class Leads:
    """Coefficients of the time before treatment, among untreated cases.

    Attributes:
        reference: Event time that the others are compared with; None if no leads are asked for,
            or it is outside the window.
        events: Event times with a coefficient, (q,).
        estimates: (q,).
        scores: What each cluster adds to them; their cross products are the covariance. (G, q).
        warnings: What was left out.
        own: Errors from treated clusters' own leads, where these are asked for.
    """

    reference: int | None
    events: tuple[int, ...]
    estimates: Floats
    scores: Floats
    warnings: tuple[str, ...] = ()
    own: OwnErrors | None = None

    @classmethod
    def none(cls, cells: CohortCells, *warnings: str, reference: int | None = None) -> Leads:
        """Make a result without leads.

        Args:
            cells: All cells.
            warnings: What was left out.
            reference: Event time that others would be compared with.
        """
        return cls(reference, (), np.empty(0), np.empty((cells.n_clusters, 0)), warnings)

    @property
    def covariance(self) -> Floats:
        """Covariance of the leads, (q, q)."""
        return np.asarray(self.scores.T @ self.scores)

    @property
    def std_errors(self) -> Floats:
        """(q,)."""
        return np.asarray(np.sqrt((self.scores**2).sum(axis=0)))

    def before(self, effects: Fitted) -> Fitted:
        """Insert the leads and their reference, which is zero, after the overall effect.

        Args:
            effects: Averages, the overall effect first, (J,).
        """
        reference = () if self.reference is None else (self.reference,)
        zeros = np.zeros((len(self.scores), len(reference)))
        errors = np.append(self.std_errors, zeros[0])
        scores = None
        if effects.scores is not None:
            scores = _second(effects.scores, np.column_stack([self.scores, zeros]))
        return Fitted(
            (
                *effects.names[:1],
                *(f"event={e}" for e in (*self.events, *reference)),
                *effects.names[1:],
            ),
            _second(effects.estimates, np.append(self.estimates, zeros[0])),
            _second(effects.std_errors, errors),
            effects.df,
            scores=scores,
            warnings=(*effects.warnings, *self.warnings),
            lacks=effects.lacks,
            own_errors=self._own_before(effects.own_errors, zeros),
        )

    def _own_before(self, effects: OwnErrors | None, zeros: Floats) -> OwnErrors | None:
        own = self.own
        if own is None and not self.events:
            own = OwnErrors(self.scores, np.empty(0))
        if effects is None or own is None:
            return None
        leads = np.column_stack([own.scores, zeros])
        df = np.append(own.df, np.full(zeros.shape[1], np.nan))
        return OwnErrors(_second(effects.scores, leads), _second(effects.df, df))

    def joint_test(self, cells: CohortCells) -> JointTest:
        """Test that all leads are zero.

        The test is Wald's, F with clusters of untreated cases less one degrees of freedom; with
        errors from own leads Hotelling's, with the degrees of freedom of these.

        Args:
            cells: All cells.
        """
        n_clusters = int(cells.frame.loc[~cells.treated, "cluster"].nunique())
        least = negligible(cells.value)
        if self.own is not None and self.events:
            return self.hotelling(self.own, n_clusters, least)
        statistic = wald(self.estimates, self.covariance, n_clusters)
        if (self.std_errors <= least).any():
            statistic = float("nan")
        return JointTest.of(FTest(statistic, n_clusters - 1), len(self.events), n_clusters)

    def hotelling(self, own: OwnErrors, n_clusters: int, least: float) -> JointTest:
        """Test jointly by Hotelling (1931), Annals of Mathematical Statistics 2(3).

        The covariance counts as if it had the fewest degrees of freedom of a lead.

        Args:
            own: Errors of the leads.
            n_clusters: Clusters of untreated cases.
            least: Size below which a standard error is rounding.
        """
        q, df = len(self.events), float(np.min(own.df))
        left = df - q + 1
        known = own.std_errors > least
        if not known.all():
            test = FTest(np.nan, left)
            return JointTest.of(test, q, n_clusters, "some have no standard error")
        square = wald(self.estimates, own.scores.T @ own.scores, len(own.scores))
        return JointTest.of(FTest(square * left / df if left > 0 else np.nan, left), q, n_clusters)

    def tested(self, test: JointTest) -> dict[str, Any]:
        """Return a joint test as keys of the one-row summary.

        Args:
            test: That all leads are zero.
        """
        there = test.df_num and np.isfinite(test.df_den)
        return {
            "leads_test": "Wald" if self.own is None else "Hotelling",
            "leads_tested": list(self.events),
            "leads_statistic": test.statistic,
            "leads_df_num": test.df_num or None,
            "leads_df_den": test.df_den if there else None,
            "leads_p_value": test.p_value,
        }


def _second(values: Floats, inserted: Floats) -> Floats:
    """Insert values after the first in the last dimension."""
    return np.concatenate([values[..., :1], inserted, values[..., 1:]], axis=-1)


def lead_events(cells: CohortCells, min_event: int | None) -> tuple[tuple[int, ...], int | None]:
    """List the leads to estimate, and the last one, which they are compared with.

    Args:
        cells: All cells.
        min_event: First lead; None: all are.
    """
    table = cells.frame[~cells.treated & (cells.frame["cohort"] > 0)]
    events = sorted({int(e) for e in table["period"] - table["cohort"]})
    reference = events.pop()
    first = -np.inf if min_event is None else min_event
    return tuple(e for e in events if e >= first), reference if reference >= first else None


Regress = Callable[[Regression, Convention], tuple[Floats, Floats]]
"""Gives coefficients (q,) and what each cluster adds to them, (G, q)."""


def in_numpy(problem: Regression, convention: Convention) -> tuple[Floats, Floats]:
    """Regress with numpy.

    Args:
        problem: Whose q terms are leads.
        convention: Small-sample convention of the variance.

    Raises:
        CollinearTermsError: If a lead is collinear.
    """
    fit = least_squares(problem)
    return fit.coefficients, scores_of(fit, convention)


def in_pyfixest(problem: Regression, convention: Convention) -> tuple[Floats, Floats]:
    """Regress with ``feols`` of pyfixest, which does not say what clusters add.

    Args:
        problem: Whose q terms are leads.
        convention: Small-sample convention of the variance.

    Raises:
        CollinearTermsError: If a lead is collinear.
        EngineError: If pyfixest fails.
    """
    coefficients = engine_pyfixest.regress(problem, convention).coefficients
    return coefficients, np.full((problem.n_clusters, len(coefficients)), np.nan)


def fit_leads(
    cells: CohortCells,
    min_event: int | None,
    convention: Convention,
    regress: Regress = in_numpy,
    *,
    own: bool = False,
) -> Leads:
    """Regress the untreated cases on leads beside unit effects, period effects and covariates.

    Leads that are collinear are left out, the earliest last.

    Args:
        cells: All cells, treated ones too.
        min_event: First lead; earlier ones serve as reference too. None: all are leads.
        convention: Small-sample convention of the variance.
        regress: How to regress.
        own: Whether errors are from the treated clusters' own leads.

    Returns:
        The leads, on the clusters of all cells.
    """
    events, reference = lead_events(cells, min_event)
    untreated = cells.where(~cells.treated)
    told: list[str] = []
    while events:
        problem = _regression(untreated, events)
        try:
            estimates, added = regress(problem, convention)
        except CollinearTermsError as error:
            gone = {events[i] for i in error.places}
            told.append(_about_collinear(gone))
            events = tuple(e for e in events if e not in gone)
        else:
            clusters = np.unique(cells.codes("cluster")[~cells.treated])
            errors = _own(problem, regress, cells, clusters) if own else None
            scores = _of_all_clusters(cells, clusters, added)
            return Leads(reference, events, estimates, scores, tuple(told), errors)
    return Leads.none(cells, *told, reference=reference)


def _own(problem: Regression, regress: Regress, cells: CohortCells, clusters: Ints) -> OwnErrors:
    """Measure errors from the leads of each treated cluster."""
    estimates, scores = regress(problem, "CR0")
    weights = problem.terms * problem.weight[:, None]
    shares = group_sums(weights / weights.sum(axis=0), problem.cluster)
    own = OwnEffects(scores + shares * estimates, shares).errors(estimates)
    return OwnErrors(_of_all_clusters(cells, clusters, own.scores), own.df)


def leads_of_r(answer: dict[str, Any], cells: CohortCells, min_event: int | None) -> Leads:
    """Return the leads that ``imputation.R`` gives.

    Args:
        answer: ``lead, lead_estimate`` (q,), ``lead_scores`` (row by row) and ``lead_cluster``
            (numbered from 1), and ``collinear``, which were left out.
        cells: All cells.
        min_event: As in :func:`fit_leads`.
    """
    gone = [int(e) for e in np.atleast_1d(answer.get("collinear", ()))]
    told = (_about_collinear(gone),) if gone else ()
    events = tuple(int(e) for e in answer["lead"])
    reference = lead_events(cells, min_event)[1]
    if not events:
        return Leads.none(cells, *told, reference=reference)
    clusters = np.asarray(answer["lead_cluster"], dtype=int) - 1
    scores = _of_all_clusters(cells, clusters, rows(answer["lead_scores"], len(events)))
    estimates = np.asarray(answer["lead_estimate"], dtype=float)
    return Leads(
        reference, events, estimates, scores, told, own_leads_of_r(answer, cells, clusters)
    )


def own_leads_of_r(
    answer: Mapping[str, Any], cells: CohortCells, clusters: Ints
) -> OwnErrors | None:
    """Return the errors of leads from own effects, where R was asked for them.

    Args:
        answer: What R returned.
        cells: All cells.
        clusters: Which of all clusters the rows of R are, (g,).
    """
    if "lead_own_df" not in answer:
        return None
    df = np.atleast_1d(np.asarray(answer["lead_own_df"], dtype=float))
    scores = rows(answer["lead_own_scores"], len(df))
    return OwnErrors(_of_all_clusters(cells, clusters, scores), df)


def _of_all_clusters(cells: CohortCells, clusters: Ints, added: Floats) -> Floats:
    scores = np.zeros((cells.n_clusters, added.shape[1]))
    scores[clusters] = added
    return scores


def _about_collinear(events: Iterable[int]) -> str:
    return (
        f"The leads {', '.join(map(str, sorted(events)))} cannot be told from the effects of units "
        "and periods and the other leads, and are left out."
    )


def _regression(untreated: CohortCells, events: tuple[int, ...]) -> Regression:
    table = untreated.frame
    event = (table["period"] - table["cohort"]).where(table["cohort"] > 0).to_numpy(float)
    return untreated.regression(
        ("owner", "period"),
        terms=np.asfortranarray((event[:, None] == np.array(events)).astype(float)),
        term_names=tuple(f"event={e}" for e in events),
    )
