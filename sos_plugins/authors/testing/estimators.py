"""What must hold for an estimator, whichever of its engines runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sos_plugins.authors.testing.core import (
    Check,
    CheckFailedError,
    Given,
    NotApplicableError,
    check,
    checks_of,
    demand,
    run_all,
    settings_of,
)
from sos_plugins.authors.testing.engines import (
    assert_engines_agree,
    demand_frame_left_alone,
    first_runnable,
    run_or_error,
)
from sos_plugins.authors.testing.examples import example_sample
from sos_plugins.contract.columns import GLANCE_COLUMNS, TIDY_COLUMNS
from sos_plugins.contract.interfaces import Engine, Estimator
from sos_plugins.contract.types import Estimate, Sample
from sos_plugins.errors import SosError

CLOSE = 1e-6
"""Relative difference that another order of summation, or an iterative solver, may cause."""
FAR = 4.0
"""Standard errors: an unbiased estimate is farther off once in 16,000 samples."""
EFFECT = 1.0
"""Known effect in examples, of cases whose noise has the standard deviation 1."""


def check_estimator(
    estimator: Estimator, settings: Given = None, *, engine: Engine | None = None
) -> None:
    """Check that an estimator keeps its contract, on examples with a known effect.

    Args:
        estimator: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
        engine: The engine to check; the first that can run here unless given.

    Raises:
        CheckFailedError: Naming every check that fails, what must hold and what was found.
    """
    run_all(estimator_checks(estimator, settings, engine=engine))


def estimator_checks(
    estimator: Estimator, settings: Given = None, *, engine: Engine | None = None
) -> list[Check]:
    """Return the checks of an estimator one by one, for ``pytest.mark.parametrize``.

    Args:
        estimator: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
        engine: The engine to check; the first that can run here unless given.
    """
    return checks_of(EstimatorSubject(estimator, settings, engine), CHECKS)


@dataclass
class EstimatorSubject:
    """An estimator under check; engines run when first needed.

    Attributes:
        plugin: The estimator.
        given: The settings that its author gave.
        chosen: The engine to check; the first that can run here unless given.
    """

    plugin: Estimator
    given: Given = None
    chosen: Engine | None = None
    kind: str = "estimator"
    _done: dict[str, Estimate] = field(default_factory=dict)

    @cached_property
    def engine(self) -> Engine:
        """The engine under check."""
        return self.chosen or first_runnable(self.plugin)

    @cached_property
    def settings(self) -> Any:
        """The validated settings."""
        return settings_of(self)

    def sample(self, effect: float = EFFECT, *, binary: bool = False) -> Sample:
        """Make an example of the kind that the estimator takes.

        Args:
            effect: Added to the value of pilots from adoption on; see :func:`example_sample`.
            binary: Whether the value is 0 or 1.
        """
        return example_sample(self.plugin.sample, effect=effect, binary=binary)

    def fit(self, sample: Sample) -> Estimate:
        """Run the engine.

        Args:
            sample: What it is run on.

        Raises:
            CheckFailedError: If it fails on a sample that has an estimate.
        """
        result = run_or_error(self.engine, sample, self.settings)
        if isinstance(result, SosError):
            raise CheckFailedError(f"Engine '{self.engine.name}' gives no estimate: {result}")
        demand(isinstance(result, Estimate), f"It returned a {type(result).__name__}.")
        return result  # type: ignore[no-any-return]

    @property
    def estimate(self) -> Estimate:
        """The estimate on the example, computed once."""
        if "example" not in self._done:
            self._done["example"] = self.fit(self.sample())
        return self._done["example"]

    def headline(self, estimate: Estimate) -> dict[str, Any]:
        """Return the row of the headline term: a value for each column of ``tidy``.

        Args:
            estimate: An estimate of this estimator.

        Raises:
            DataError: If it has no such term.
        """
        return dict(estimate.term(self.plugin.headline(self.settings)))


def _demand_an_effect(subject: EstimatorSubject) -> None:
    if not subject.plugin.estimates_effect:
        raise NotApplicableError("its headline term is no effect of the programme")


@check
def declares_its_engines(subject: EstimatorSubject) -> None:
    """Every requirement of an engine says how to install it; every tolerance gives its reason."""
    for engine in subject.plugin.engines:
        for need in engine.requires:
            demand(bool(need.mend), f"Engine '{engine.name}': what installs {need.name}?")
        for tolerance in (engine.tolerance_estimate, engine.tolerance_std_error):
            demand(bool(tolerance.reason), f"Engine '{engine.name}': a tolerance lacks its reason.")


@check
def gives_the_headline_term(subject: EstimatorSubject) -> None:
    """The term that headline() names is in tidy, with a finite estimate and standard error."""
    terms = list(subject.estimate.tidy["term"])
    name = subject.plugin.headline(subject.settings)
    demand(name in terms, f"headline() is '{name}', but the terms are {terms[:12]}.")
    row = subject.headline(subject.estimate)
    for column in ("estimate", "std_error"):
        demand(bool(np.isfinite(row[column])), f"The {column} of '{name}' is {row[column]}.")
    demand(row["std_error"] > 0, f"The std_error of '{name}' is {row['std_error']}.")


@check
def keeps_the_glossary_of_tidy(subject: EstimatorSubject) -> None:
    """Tidy has the columns of the glossary: one row a term, numbers that fit together."""
    tidy = subject.estimate.tidy
    absent = [c for c in TIDY_COLUMNS if c not in tidy]
    demand(not absent, f"tidy lacks {', '.join(absent)}.")
    demand(not tidy["term"].duplicated().any(), "A term stands twice in tidy.")
    known = tidy.dropna(subset=["std_error"])
    known = known[known["std_error"] > 0].astype({c: float for c in TIDY_COLUMNS if c != "term"})
    ratio = known["estimate"] / known["std_error"]
    demand(
        bool(np.allclose(known["statistic"], ratio, rtol=CLOSE)),
        "statistic is not estimate / std_error.",
    )
    demand(bool(known["p_value"].between(0, 1).all()), "A p value lies outside 0 to 1.")
    inside = known["estimate"].between(known["conf_low"], known["conf_high"])
    demand(bool(inside.all()), "An estimate lies outside its confidence interval.")
    demand(bool((known["df"] > 0).all()), "Degrees of freedom must be positive, inf for normal.")


@check
def keeps_the_glossary_of_glance(subject: EstimatorSubject) -> None:
    """Glance has the keys of the glossary and counts what the sample holds."""
    glance, frame = subject.estimate.glance, subject.sample().frame
    absent = [key for key in GLANCE_COLUMNS if key not in glance]
    demand(not absent, f"glance lacks {', '.join(absent)}.")
    counts = {
        "n_units": frame["unit"].nunique(),
        "n_treated_units": frame.loc[frame["treated"] == 1, "unit"].nunique(),
        "n_clusters": frame["cluster"].nunique(),
    }
    for key, expected in counts.items():
        demand(glance[key] == expected, f"glance['{key}'] is {glance[key]}, expected {expected}.")
    demand(
        0 < glance["n_cases"] <= len(frame),
        f"glance['n_cases'] is {glance['n_cases']} of {len(frame)} cases.",
    )
    demand(bool(glance["estimand"]), "glance['estimand'] is empty: say what is estimated.")
    demand(0 < glance["conf_level"] < 1, f"glance['conf_level'] is {glance['conf_level']}.")


@check
def finds_no_effect_where_there_is_none(subject: EstimatorSubject) -> None:
    """Without an effect the headline is within four standard errors of zero."""
    row = subject.headline(subject.fit(subject.sample(0.0)))
    demand(
        abs(row["estimate"]) < FAR * row["std_error"],
        f"Without an effect it finds {row['estimate']:.3g} (SE {row['std_error']:.2g}).",
    )


@check
def finds_a_known_effect(subject: EstimatorSubject) -> None:
    """A known effect is found, within four standard errors and told apart from zero."""
    _demand_an_effect(subject)
    row = subject.headline(subject.estimate)
    told = f"it finds {row['estimate']:.3g} (SE {row['std_error']:.2g})"
    demand(
        abs(row["estimate"] - EFFECT) < FAR * row["std_error"],
        f"Of an effect of {EFFECT:g} {told}.",
    )
    demand(
        row["estimate"] > FAR * row["std_error"],
        f"The effect of {EFFECT:g} is plain to see, but {told}.",
    )


@check
def finds_a_known_difference_of_shares(subject: EstimatorSubject) -> None:
    """With a binary value the headline is a difference of probabilities."""
    _demand_an_effect(subject)
    row = subject.headline(subject.fit(subject.sample(0.3, binary=True)))
    demand(
        abs(row["estimate"] - 0.3) < FAR * row["std_error"],
        f"Of an effect of 0.3 it finds {row['estimate']:.3g} (SE {row['std_error']:.2g}).",
    )


@check
def repeats_itself(subject: EstimatorSubject) -> None:
    """The same sample and settings give the same figures."""
    _demand_same(subject.estimate, subject.fit(subject.sample()), "a second run", relative=0)


@check
def ignores_the_order_of_rows(subject: EstimatorSubject) -> None:
    """A sample in another order gives the same figures."""
    sample = subject.sample()
    shuffled = sample.frame.sample(frac=1, random_state=1, ignore_index=True)
    other = subject.fit(replace(sample, frame=shuffled))
    _demand_same(subject.estimate, other, "the rows in another order")


@check
def takes_codes_as_names(subject: EstimatorSubject) -> None:
    """The code of an authority is a name: others, that sort otherwise, give the same figures."""
    sample = subject.sample()
    units = sorted(set(sample.frame["unit"]))
    new = dict(zip(units, [f"Z{n:03d}" for n in range(len(units), 0, -1)], strict=True))
    columns = [c for c in ("unit", "cluster", "group") if c in sample.frame]
    frame = sample.frame.assign(**{c: sample.frame[c].map(new) for c in columns})
    _demand_same(subject.estimate, subject.fit(replace(sample, frame=frame)), "other codes")


@check
def takes_any_unit_of_measurement(subject: EstimatorSubject) -> None:
    """Values ten times as large give estimates and standard errors ten times as large."""
    _demand_an_effect(subject)
    sample = subject.sample()
    frame = sample.frame.assign(value=10 * sample.frame["value"])
    estimate = subject.fit(replace(sample, frame=frame))
    columns = ["estimate", "std_error", "conf_low", "conf_high"]
    tidy = estimate.tidy.assign(**{c: estimate.tidy[c].astype(float) / 10 for c in columns})
    _demand_same(subject.estimate, replace(estimate, tidy=tidy), "values ten times as large")


@check
def takes_weights_as_relative(subject: EstimatorSubject) -> None:
    """Weights of one half for every case change nothing."""
    sample = subject.sample()
    frame = sample.frame.assign(weight=0.5)
    other = subject.fit(replace(sample, frame=frame))
    _demand_same(subject.estimate, other, "every weight halved")


@check
def counts_a_case_of_weight_two_twice(subject: EstimatorSubject) -> None:
    """Estimates are the same whether a case has weight 2 or stands twice."""
    sample = subject.sample()
    heavy = np.arange(len(sample.frame)) % 3 == 0
    weighted = sample.frame.assign(weight=np.where(heavy, 2.0, 1.0))
    doubled = pd.concat([sample.frame, sample.frame[heavy]], ignore_index=True)
    once = subject.headline(subject.fit(replace(sample, frame=weighted)))
    twice = subject.headline(subject.fit(replace(sample, frame=doubled)))
    demand(
        bool(np.isclose(once["estimate"], twice["estimate"], rtol=CLOSE)),
        f"With weights it finds {once['estimate']:.8g}, with the cases repeated "
        f"{twice['estimate']:.8g}.",
    )


@check
def leaves_the_sample_alone(subject: EstimatorSubject) -> None:
    """Estimating changes nothing in the sample."""
    demand_frame_left_alone(subject.engine, subject.sample(), subject.settings)


@check
def refuses_what_has_no_estimate(subject: EstimatorSubject) -> None:
    """No cases, nobody treated, no comparators or one value only: an error in a sentence."""
    _demand_an_effect(subject)
    sample = subject.sample()
    frame = sample.frame
    treated = frame["treated"] == 1
    one_cohort = frame["cohort"] == frame.loc[treated, "cohort"].min()  # nobody not yet treated
    degenerate = {
        "no cases": frame.iloc[:0],
        "nobody treated": frame[~treated],
        "no comparators": frame[treated & one_cohort],
        "the same value everywhere": frame.assign(value=1.0),
    }
    for situation, cases in degenerate.items():
        thin = replace(sample, frame=cases.reset_index(drop=True))
        result = run_or_error(subject.engine, thin, subject.settings)
        if isinstance(result, Estimate):
            estimate = subject.headline(result)["estimate"]
            demand(
                not np.isfinite(estimate),
                f"With {situation} it gives {estimate:.3g}. Raise EstimationError with a sentence.",
            )


@check
def warns_of_a_single_cluster(subject: EstimatorSubject) -> None:
    """One treated cluster, or one cluster in all, is an error or a warning beside the figures."""
    _demand_an_effect(subject)
    sample = subject.sample()
    frame = sample.frame
    pilots = sorted(frame.loc[frame["treated"] == 1, "unit"].unique())
    thin = {
        "one treated authority": frame[~frame["unit"].isin(pilots[1:])],
        "one cluster": frame.assign(cluster="all"),
    }
    for situation, cases in thin.items():
        result = run_or_error(
            subject.engine, replace(sample, frame=cases.reset_index(drop=True)), subject.settings
        )
        if isinstance(result, Estimate):
            unknown = not np.isfinite(subject.headline(result)["std_error"])
            demand(
                unknown or bool(result.warnings),
                f"With {situation} it gives a standard error without a warning.",
            )


@check
def has_engines_that_agree(subject: EstimatorSubject) -> None:
    """Every engine that can run here agrees with the first, within its tolerance."""
    engines = list(subject.plugin.engines)
    if subject.chosen is not None and subject.chosen not in engines:
        engines.append(subject.chosen)
    if len(engines) < 2:
        raise NotApplicableError("It has one engine.")
    assert_engines_agree(subject.plugin, subject.sample(), subject.settings, engines=engines)


def _demand_same(
    mine: Estimate, other: Estimate, situation: str, *, relative: float = CLOSE
) -> None:
    columns = ["estimate", "std_error"]
    joined = mine.tidy.merge(other.tidy, on="term", how="outer", suffixes=("", "_other"))
    for column in columns:
        a, b = joined[column].astype(float), joined[f"{column}_other"].astype(float)
        scale = float(a.abs().max())
        same = np.isclose(a, b, rtol=relative, atol=relative * scale, equal_nan=True)
        if not same.all():
            row = joined[~same].iloc[0]
            raise CheckFailedError(
                f"The {column} of '{row['term']}' is {row[column]:.12g}, but "
                f"{row[f'{column}_other']:.12g} with {situation}."
            )


CHECKS: tuple[Callable[[Any], None], ...] = (
    declares_its_engines,
    gives_the_headline_term,
    keeps_the_glossary_of_tidy,
    keeps_the_glossary_of_glance,
    finds_no_effect_where_there_is_none,
    finds_a_known_effect,
    finds_a_known_difference_of_shares,
    repeats_itself,
    ignores_the_order_of_rows,
    takes_codes_as_names,
    takes_any_unit_of_measurement,
    takes_weights_as_relative,
    counts_a_case_of_weight_two_twice,
    leaves_the_sample_alone,
    refuses_what_has_no_estimate,
    warns_of_a_single_cluster,
    has_engines_that_agree,
)
