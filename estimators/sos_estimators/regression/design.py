"""What an estimator is: a design, which every engine fits, and what an engine gives for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.inference.multiplier import in_band, with_band
from sos_estimators.inference.own_effects import OwnEffects, OwnErrors, about_lone
from sos_estimators.inference.results import FTest, ScoreErrors, drop_zero_errors, wald
from sos_estimators.regression.least_squares import CollinearTermsError, Regression
from sos_plugins import Estimate
from sos_plugins.authors.results import tidy_rows, without_std_errors
from sos_plugins.errors import EstimationError


@dataclass(frozen=True)
class JointHypothesis:
    """That some averages are all zero.

    Attributes:
        places: Which of the averages, (q,).
        by: AHT, with CR2 and degrees of freedom of its own, or Wald's test.
        df: Denominator degrees of freedom of Wald's test.
    """

    places: Ints
    by: Literal["AHT", "Wald"]
    df: float


class _Fit(Protocol):
    @property
    def kept(self) -> Bools: ...


AnyFit = TypeVar("AnyFit", bound=_Fit)


@dataclass(frozen=True)
class Design:
    """Effects, covariates, terms, and the averages of their coefficients that are reported.

    Attributes:
        names: Of the averages, J.
        averages: How much the coefficient of each term counts in each average, (p, J).
        vcov: Name of the variance.
        n_clusters: G.
        regress: Makes the regression on cells: effects, k covariates and p terms.
        ask_r: Has the same design fitted by R; called with the name of the engine. R gives, by
            name, ``aliased``, ``lost`` (places of collinear terms from 1), ``kept`` (of covariates,
            perhaps followed by terms), ``estimate``, and some of ``covariance``, ``std_error``,
            ``scores`` (row by row) and ``df``: of the averages if it gives their names, ``term``,
            else of the coefficients.
        not_identified: Says why terms at some places cannot be told from the rest.
        about_left_out: Says which columns were left out as collinear, given which were kept:
            covariates, perhaps followed by terms.
        optional: Terms that are left out where they are collinear, (p,); none if None.
        joint: What is tested jointly, if anything.
        own: Gives what clusters add before it is centred, of coefficients (p', ), what clusters add
            to the averages without small-sample factor (G, J), and which of p terms are kept.
        model: ``logit`` gives the average effect on the treated and the log odds ratio.
        connected: False where effects fall into groups of units and periods that do not hang
            together.
    """

    names: tuple[str, ...]
    averages: Floats
    vcov: str
    n_clusters: int
    regress: Callable[[], Regression]
    ask_r: Callable[[str], Mapping[str, Any]]
    not_identified: Callable[[Sequence[int]], EstimationError]
    about_left_out: Callable[[Bools], tuple[str, ...]]
    optional: Bools | None = None
    joint: JointHypothesis | None = None
    own: Callable[[Floats, Floats, Bools], OwnEffects] | None = None
    model: Literal["linear", "logit"] = "linear"
    connected: bool = True

    @cached_property
    def regression(self) -> Regression:
        """The regression on cells, made once it is needed."""
        return self.regress()

    @property
    def df(self) -> Floats:
        """G - 1 degrees of freedom for each average, (J,)."""
        return np.full(len(self.names), self.n_clusters - 1.0)

    def left_out(self, kept: Bools) -> tuple[str, ...]:
        """Say what was left out, if anything.

        Args:
            kept: Which columns are not collinear: covariates (k,), perhaps followed by terms (p,).
        """
        return () if kept.all() else self.about_left_out(kept)

    def regressed(
        self, regress: Callable[[Regression], AnyFit]
    ) -> tuple[AnyFit, Regression, Floats, tuple[str, ...]]:
        """Fit the regression without the optional terms that are collinear.

        Args:
            regress: Fits a regression.

        Returns:
            The fit, the regression that was fitted, the averages of its coefficients, and what was
            left out, in sentences.

        Raises:
            CollinearTermsError: If a term that is not optional is collinear.
        """
        kept = np.ones(len(self.averages), dtype=bool)
        optional = ~kept if self.optional is None else self.optional
        while True:
            problem = self.regression.with_terms(kept)
            try:
                fit = regress(problem)
            except CollinearTermsError as error:
                places = np.flatnonzero(kept)[list(error.places)]
                if not optional[places].all():
                    raise CollinearTermsError([int(place) for place in places]) from None
                kept[places] = False
            else:
                flags = np.append(fit.kept[: len(problem.covariate_names)], kept)
                return fit, problem, self.averages[kept], self.left_out(flags)

    def wald(self, fitted: Fitted) -> Fitted:
        """Add Wald's test of the joint hypothesis, where there is one and a covariance.

        Args:
            fitted: The averages with their covariance.
        """
        if self.joint is None:
            return fitted
        if self.joint.by == "AHT":
            return replace(
                fitted, joint=FTest(np.nan, self.joint.df), untested="feols has no AHT test"
            )
        if fitted.lacks or fitted.covariance is None:
            return replace(fitted, joint=FTest(np.nan, self.joint.df), untested=fitted.lacks)
        places = self.joint.places
        square = wald(
            fitted.estimates[places], fitted.covariance[np.ix_(places, places)], self.n_clusters
        )
        return replace(fitted, joint=FTest(square, self.joint.df))


@dataclass(frozen=True)
class Fitted:
    """What an engine gives for the J averages of a design, in units of the value.

    Attributes:
        names: ``ATT``; ``overall``, ``event=0``, ...; (J,).
        estimates: (J,).
        std_errors: (J,); missing where an engine gives none.
        df: Degrees of freedom of t tests, one or (J,); infinite for the normal distribution.
        covariance: (J, J), where an engine gives it.
        scores: What each cluster, in sorted order, adds to the estimates, where an engine gives
            it: the cross products are the covariance, (G, J).
        warnings: What was left out, and what the engine warns of.
        lacks: Why there are no errors, as a clause; empty if there are.
        joint: Test of the joint hypothesis of the design, if it has one.
        untested: Why there is no such test; empty if there is.
        iterated: Whether errors are no more exact than an iteration of some six digits.
        own: What clusters add before it is centred, where an engine gives it.
        own_errors: Errors from treated clusters' own effects, where an engine gives them.
    """

    names: tuple[str, ...]
    estimates: Floats
    std_errors: Floats
    df: float | Floats
    covariance: Floats | None = None
    scores: Floats | None = None
    warnings: tuple[str, ...] = ()
    lacks: str = ""
    joint: FTest | None = None
    untested: str = ""
    iterated: bool = False
    own: OwnEffects | None = None
    own_errors: OwnErrors | None = None

    @classmethod
    def of_scores(
        cls,
        names: Sequence[str],
        estimates: Floats,
        scores: Floats,
        df: float | Floats,
        warnings: Sequence[str] = (),
    ) -> Fitted:
        """Take standard errors from what clusters add.

        Args:
            names: Of J averages.
            estimates: (J,).
            scores: (G, J).
            df: Degrees of freedom, one or (J,).
            warnings: Sentences.
        """
        errors = np.sqrt(np.square(scores).sum(axis=0))
        return cls(tuple(names), estimates, errors, df, scores=scores, warnings=tuple(warnings))

    @classmethod
    def of_covariance(
        cls, names: Sequence[str], estimates: Floats, covariance: Floats, df: float | Floats
    ) -> Fitted:
        """Take standard errors from a covariance.

        Args:
            names: Of J averages.
            estimates: (J,).
            covariance: (J, J).
            df: Degrees of freedom, one or (J,).
        """
        errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        return cls(tuple(names), estimates, errors, df, covariance=covariance)

    @property
    def covariance_of_scores(self) -> pd.DataFrame | None:
        """Covariance of the averages, named by them, where there are scores."""
        if self.scores is None:
            return None
        names = list(self.names)
        return pd.DataFrame(self.scores.T @ self.scores, index=names, columns=names)

    def beside(self, other: Fitted) -> Fitted:
        """Put the averages of another fit, of the same clusters, after these.

        Args:
            other: Of the same clusters.
        """
        scores = None
        if self.scores is not None and other.scores is not None:
            scores = np.column_stack([self.scores, other.scores])
        return Fitted(
            (*self.names, *other.names),
            np.append(self.estimates, other.estimates),
            np.append(self.std_errors, other.std_errors),
            np.append(self.df, other.df),
            scores=scores,
            warnings=tuple(dict.fromkeys((*self.warnings, *other.warnings))),
            lacks=self.lacks or other.lacks,
            own=self.own.beside(other.own) if self.own and other.own else None,
            own_errors=(
                self.own_errors.beside(other.own_errors)
                if self.own_errors and other.own_errors
                else None
            ),
        )

    def with_own(self, own: OwnEffects) -> Fitted:
        """Add what clusters contribute before it is centred.

        Args:
            own: Of the J averages.
        """
        return replace(self, own=own, own_errors=own.errors(self.estimates))

    def with_own_errors(self) -> Fitted:
        """Take the errors from treated clusters' own effects; none where an engine lacks them."""
        if self.own_errors is None:
            missing = np.full(len(self.names), np.nan)
            return replace(self, std_errors=missing, covariance=None, scores=None)
        return replace(
            self,
            std_errors=self.own_errors.std_errors,
            df=self.own_errors.df,
            covariance=None,
            scores=self.own_errors.scores,
        )

    def about_lone(self) -> tuple[str, ...]:
        """Say which averages rest on one treated cluster, if some do."""
        if self.own_errors is None:
            return ()
        alone = np.isnan(self.own_errors.df) & (self.estimates != 0)
        return about_lone([name for name, yes in zip(self.names, alone, strict=True) if yes])

    def without_zero_errors(self, design: Design, value: npt.ArrayLike) -> Fitted:
        """Leave out standard errors that are zero but for rounding, and a test that needs them.

        Args:
            design: The design.
            value: The values that were fitted.
        """
        errors, told = drop_zero_errors(
            self.std_errors,
            self.names,
            value,
            lambda: ScoreErrors.of(design.regression, design.averages),
        )
        fitted = replace(self, std_errors=errors, warnings=(*told, *self.warnings))
        if not told or design.joint is None or not np.isnan(errors[design.joint.places]).any():
            return fitted
        df = design.joint.df if self.joint is None else self.joint.df
        untested = self.untested or "some have no standard error"
        return replace(fitted, joint=FTest(np.nan, df), untested=untested)

    def tidy(self, conf_level: float) -> pd.DataFrame:
        """Return one row a term, with t statistics and intervals at a level between 0 and 1.

        Args:
            conf_level: Level of the intervals, between 0 and 1.
        """
        return tidy_rows(
            self.names, self.estimates, self.std_errors, df=self.df, conf_level=conf_level
        )

    def estimate(
        self,
        conf_level: float,
        glance: Mapping[str, Any],
        warnings: Sequence[str],
        *,
        covariance: pd.DataFrame | None = None,
        critical: float | None = None,
        tidy: pd.DataFrame | None = None,
    ) -> Estimate:
        """Make the estimate that users get; the terms have no errors where an engine lacks them.

        Args:
            conf_level: Level of the intervals, between 0 and 1.
            glance: The one-row summary.
            warnings: Sentences.
            covariance: Of the terms that have one, named by them.
            critical: Half width of a simultaneous band in standard errors; no band if none.
            tidy: One row a term, if not just these.
        """
        rows = self.tidy(conf_level) if tidy is None else tidy
        summary = dict(glance)
        if critical is not None:
            rows = with_band(rows, critical, in_band(self.names))
            summary["band_critical"] = critical
        estimate = Estimate(rows, summary, warnings=tuple(warnings), covariance=covariance)
        return without_std_errors(estimate, self.lacks) if self.lacks else estimate
