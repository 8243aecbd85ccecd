"""Several methods of inference with few treated authorities, side by side, for every average."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any, Protocol

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.inference.inference_table import COLUMNS, disagreement
from sos_estimators.inference.own_effects import OwnEffects
from sos_estimators.inference.sign_flips import OwnTest, sign_test, t_test
from sos_estimators.reassignment.averages import Evaluate, Reassigned
from sos_estimators.reassignment.methods import CITATIONS, FewMethod
from sos_estimators.reassignment.randomise import Randomised, randomise
from sos_plugins import Engine, Estimate
from sos_plugins.authors.results import t_quantile, t_two_sided
from sos_plugins.errors import EstimationError
from sos_plugins.groundwork.plain import plain

FEWEST_OWN = 2
FEWEST_SIGNS = 6
"""With fewer own effects no p value of sign vectors reaches 5%."""
FEWEST_ASSIGNMENTS = 20
"""With fewer assignments no p value reaches 5%."""
REPRODUCED = 1e-6
"""Share of an estimate that the same sums in another order may differ by."""
OF_SPREAD = 1e4
"""Likewise a millionth of the spread of the values, which is so many times what is negligible."""


class Options(Protocol):
    """What of the settings of an estimator is used."""

    @property
    def conf_level(self) -> float:
        """Level of confidence sets."""

    @property
    def draws(self) -> int:
        """Assignments, unless fewer are all there are."""

    @property
    def seed(self) -> int:
        """Of the draws."""

    @property
    def inference(self) -> tuple[FewMethod, ...]:
        """Methods that are asked for."""


@dataclass(frozen=True)
class InferenceTable:
    """Several methods on the J averages of an estimator.

    Attributes:
        table: One row an average and method: ``term`` and the columns of the table of ``did``.
        warnings: Where the methods disagree on the headline, and what cannot be trusted.
    """

    table: pd.DataFrame
    warnings: tuple[str, ...]


def tabulate(evaluate: Evaluate, cohort: Any, options: Options) -> InferenceTable:
    """Test all averages of an estimator by several methods.

    Args:
        evaluate: Gives the averages under an assignment of dates.
        cohort: First treated period of each unit, 0 = never, (G,).
        options: Which methods, how many draws.
    """
    averages = evaluate(cohort)
    own = OwnEffects(averages.contributions[..., 0], averages.shares)
    given = _Given(evaluate, np.asarray(cohort), own, averages.estimates[:, 0], options)
    rows: list[Mapping[str, Any]] = []
    told: list[str] = []
    for method in dict.fromkeys(options.inference):
        made, warnings = METHODS[method](given)
        fixed = {"method": method, "citation": CITATIONS[method]}
        rows += [
            {"term": name, "estimate": float(estimate), **fixed, **row}
            for name, estimate, row in zip(evaluate.names, given.estimates, made, strict=True)
        ]
        told += warnings
    table = pd.DataFrame(rows, columns=["term", *COLUMNS])
    told += _about_missing(table, given)
    headline = table[table["term"] == evaluate.names[0]]
    return InferenceTable(table, (*disagreement(headline, 1 - options.conf_level), *told))


def with_inference_table(
    estimate: Estimate, options: Options, make: Callable[[], tuple[Evaluate, Any]]
) -> Estimate:
    """Add the table to an estimate, or say why there is none.

    Args:
        estimate: Of engine ``python``.
        options: Which methods, how many draws.
        make: Gives the averages under an assignment, and the observed one.
    """
    if not options.inference:
        return estimate
    try:
        evaluate, cohort = make()
        made = tabulate(reproduced(evaluate, cohort, estimate), cohort, options)
    except EstimationError as error:
        told = f"There is no table of inference: {error}."
        return replace(estimate, warnings=(*estimate.warnings, told))
    return replace(
        estimate,
        glance={**estimate.glance, "inference": plain(made.table)},
        warnings=tuple(dict.fromkeys((*estimate.warnings, *made.warnings))),
    )


def tables_by_python(*engines: Engine) -> tuple[Engine, ...]:
    """Have every engine but ``python``, which makes the table, say that it makes none.

    Args:
        engines: Of an estimator with the setting ``inference``.
    """
    return tuple(e if e.name == "python" else replace(e, fit=_told(e)) for e in engines)


def _told(engine: Engine) -> Callable[[Any, Any], Estimate]:
    @wraps(engine.fit)
    def fit(sample: Any, options: Any) -> Estimate:
        estimate: Estimate = engine.fit(sample, options)
        if not options.inference:
            return estimate
        methods = ", ".join(dict.fromkeys(options.inference))
        told = (
            f"Engine {engine.name} makes no table of inference ({methods}): engine python alone "
            "does."
        )
        return replace(estimate, warnings=(*estimate.warnings, told))

    return fit


@dataclass(frozen=True)
class Chosen:
    """Some of the averages of an evaluator.

    Attributes:
        evaluate: The evaluator.
        places: Which averages, (J,).
    """

    evaluate: Evaluate
    places: Ints

    @property
    def names(self) -> tuple[str, ...]:
        """Of the averages."""
        return tuple(self.evaluate.names[place] for place in self.places)

    @property
    def least(self) -> float:
        """See :class:`sos_estimators.reassignment.averages.Evaluate`."""
        return self.evaluate.least

    def without(self, unit: int) -> Chosen:
        """Leave out a unit: see :class:`sos_estimators.reassignment.averages.Evaluate`."""
        return Chosen(self.evaluate.without(unit), self.places)

    def __call__(self, cohort: Ints) -> Reassigned:
        """Evaluate an assignment: see :class:`sos_estimators.reassignment.averages.Evaluate`."""
        all_of = self.evaluate(cohort)
        return Reassigned(
            all_of.estimates[self.places],
            all_of.contributions[:, self.places],
            all_of.shares[:, self.places],
        )


def reproduced(evaluate: Evaluate, cohort: Ints, estimate: Estimate) -> Chosen:
    """Choose the averages that an estimate has, and see that they come out the same.

    Args:
        evaluate: Gives the averages under an assignment.
        cohort: The observed one, (G,).
        estimate: What is to be reproduced.

    Raises:
        EstimationError: If an average is another one than in the estimate.
    """
    known = estimate.tidy.dropna(subset="estimate").set_index("term")["estimate"]
    places = [j for j, name in enumerate(evaluate.names) if name in known.index]
    chosen = Chosen(evaluate, np.array(places, dtype=np.int64))
    found, wanted = chosen(cohort).estimates[:, 0], known[list(chosen.names)].to_numpy(float)
    allowed = REPRODUCED * np.abs(wanted) + OF_SPREAD * evaluate.least
    if not len(places) or not (np.abs(found - wanted) <= allowed).all():
        raise EstimationError(
            "sums over authorities and periods, which new assignments are computed from, give "
            "another estimate here, as they may where authorities have no cases in some periods, "
            "or weights are very unlike; compare periods in which every authority has cases"
        )
    return chosen


@dataclass(frozen=True)
class _Given:
    """What every method works on."""

    evaluate: Evaluate
    cohort: Any
    own: OwnEffects
    estimates: Floats
    options: Options

    @cached_property
    def randomised(self) -> Randomised:
        """Randomisation of the dates, made once for both of its methods."""
        return randomise(
            self.evaluate,
            self.cohort,
            draws=self.options.draws,
            seed=self.options.seed,
            conf_level=self.options.conf_level,
            least=self.evaluate.least,
        )

    def own_of(self, j: int) -> Floats:
        """Own effects of the treated units that an average is over, (q,)."""
        values = self.own.own()[:, j]
        return np.asarray(values[~np.isnan(values)])


Rows = list[dict[str, Any]]
NOTHING: dict[str, Any] = {"distribution": ""}
Made = tuple[Rows, list[str]]


def _about_missing(table: pd.DataFrame, given: _Given) -> list[str]:
    """Say which averages have an estimate, yet no figures of some methods, and why."""
    lone = given.own.treated.sum(axis=0) < FEWEST_OWN
    alone = {name for name, one in zip(given.evaluate.names, lone, strict=True) if one}
    none = table["p_value"].isna() & (table["estimate"].abs() > given.evaluate.least)
    told = []
    for method, rows in table[none & (table["method"] != "jackknife")].groupby(
        "method", sort=False
    ):
        terms = [str(term) for term in rows["term"]]
        if few := [term for term in terms if term in alone]:
            told.append(
                f"{method} needs two treated authorities: one shows nothing of how effects differ. "
                f"There is none of {', '.join(few)}."
            )
        if exact := [term for term in terms if term not in alone]:
            told.append(
                f"There is no {method} of {', '.join(exact)}: own effects are alike but for "
                "rounding, and a standard error of zero is left missing."
            )
    return told


def _t_rows(given: _Given, errors: Floats, df: Floats) -> Rows:
    level, rows = given.options.conf_level, []
    each = zip(given.estimates.tolist(), errors.tolist(), df.tolist(), strict=True)
    for estimate, error, freedom in each:
        if not error > given.evaluate.least or np.isnan(freedom):
            rows.append(NOTHING)
            continue
        half = float(t_quantile((1 + level) / 2, freedom)) * error
        rows.append(
            {
                "std_error": error,
                "statistic": estimate / error,
                "df": freedom,
                "p_value": float(t_two_sided(estimate / error, freedom)),
                "conf_low": estimate - half,
                "conf_high": estimate + half,
                "distribution": f"t with {freedom:.4g} degrees of freedom",
            }
        )
    return rows


def _of_own_effects(given: _Given) -> Made:
    errors = given.own.errors(given.estimates)
    return _t_rows(given, errors.std_errors, errors.df), []


def _jackknife(given: _Given) -> Made:
    """Leave out each unit in turn: the whole estimator is computed without it."""
    without = np.array(
        [
            given.evaluate.without(u)(np.delete(given.cohort, u)).estimates[:, 0]
            for u in range(len(given.cohort))
        ]
    )
    n = len(without)
    squares = np.square(without - given.estimates)
    lost: Bools = np.asarray(np.isnan(squares).any(axis=0))
    errors = np.sqrt((n - 1) / n * np.where(lost, np.nan, squares.sum(axis=0)))
    names = [name for name, gone in zip(given.evaluate.names, lost, strict=True) if gone]
    told = []
    if names:
        told.append(
            f"There is no jackknife of {', '.join(names)}: without some authority there is no such "
            "average."
        )
    return _t_rows(given, errors, given.own.errors(given.estimates).df), told


def _of_test(test: Callable[[Floats, float], OwnTest]) -> Callable[[_Given], Made]:
    def made(given: _Given) -> Made:
        rows: Rows = []
        for j in range(len(given.estimates)):
            own = given.own_of(j)
            if len(own) < FEWEST_OWN or np.ptp(own) <= given.evaluate.least:
                rows.append(NOTHING)
                continue
            tested = test(own, given.options.conf_level)
            rows.append(
                {
                    "estimate": tested.mean,
                    "std_error": tested.std_error,
                    "statistic": tested.statistic,
                    "df": tested.df,
                    "p_value": tested.p_value,
                    "conf_low": tested.conf_low,
                    "conf_high": tested.conf_high,
                    "distribution": tested.distribution,
                }
            )
        return rows, []

    return made


def _sign_flips(given: _Given) -> Made:
    rows, told = _of_test(lambda own, level: sign_test(own, level, seed=given.options.seed))(given)
    q = len(given.own_of(0))
    if FEWEST_OWN <= q < FEWEST_SIGNS:
        told.append(
            f"{q} own effects have {2**q} sign vectors, so no p value of sign-flips is below "
            f"{2 / 2**q:.2g}."
        )
    return rows, told


def _of_randomised(method: str) -> Callable[[_Given], Made]:
    def made(given: _Given) -> Made:
        done = given.randomised
        rows: Rows = []
        for j, n in enumerate(_compared(done, method)):
            number = f"all {n}" if done.complete else f"{n}"
            row: dict[str, Any] = {"distribution": f"{number} assignments of dates"}
            if not n or (method == "RI-t" and not done.std_errors[j] > given.evaluate.least):
                row = NOTHING
            elif method == "RI-beta":
                row |= {"statistic": done.estimates[j], "p_value": done.p_beta[j]}
            else:
                row |= {
                    "std_error": done.std_errors[j],
                    "statistic": done.estimates[j] / done.std_errors[j],
                    "p_value": done.p_t[j],
                    "conf_low": done.conf_low[j],
                    "conf_high": done.conf_high[j],
                }
            rows.append(row)
        return rows, _about_assignments(done, method)

    return made


def _compared(done: Randomised, method: str) -> Ints:
    return done.assignments_beta if method == "RI-beta" else done.assignments


def _about_assignments(done: Randomised, method: str) -> list[str]:
    told, n = [], int(_compared(done, method)[0])
    if 0 < n < FEWEST_ASSIGNMENTS:
        told.append(
            f"There are only {n} assignments to compare with, so no p value of "
            f"{method} is below {done.smallest(n):.2g}."
        )
    if method == "RI-beta":
        told.append(
            "RI-beta finds too many effects where treated authorities have fewer cases than the "
            "others: RI-t allows for that."
        )
    return told


METHODS: Mapping[str, Callable[[_Given], Made]] = {
    "own-effects": _of_own_effects,
    "t-own": _of_test(t_test),
    "sign-flips": _sign_flips,
    "jackknife": _jackknife,
    "RI-t": _of_randomised("RI-t"),
    "RI-beta": _of_randomised("RI-beta"),
}
