"""Evidence and its rating."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sos_plugins.contract.types.cases import OutcomeInfo
from sos_plugins.contract.types.estimate import Agreement


@dataclass(frozen=True)
class Run:
    """One specification of the sensitivity analysis.

    Attributes:
        family: ``main``, ``drop-one-pilot``, ``single-pilot``, ``no-external-support``,
            ``no-covariates``, ``logit``, ``other-engine``, ``other-definition``, ``staggered`` ...
        label: In words, such as "without Bristol".
        estimate: In the units of the value; None when the run failed or does not apply.
        status: ``ok``, ``failed`` or ``not applicable``; ``reason`` says why.
        warnings: Sentences on how its cases came about (matching, derivation) that the outcome's
            own warnings do not have.
        df: Degrees of freedom of the reference distribution; ``inf`` for the normal, None when
            unknown.
        estimand: What the headline term estimates, as the estimator says it in ``glance``; runs
            that estimate something else are shown and do not count.
        error_from: Where the error of a run on one authority is from, which its own cases do not
            tell: "error from 31 placebo pilots of the pool"; empty when it is the estimator's.
        n_placebos: Authorities of the pool that such an error rests on.
    """

    family: str
    label: str
    estimator: str = ""
    engine: str = ""
    estimate: float | None = None
    std_error: float | None = None
    p_value: float | None = None
    conf_low: float | None = None
    conf_high: float | None = None
    n_cases: int | None = None
    n_units: int | None = None
    n_treated_units: int | None = None
    status: Literal["ok", "failed", "not applicable"] = "ok"
    reason: str = ""
    warnings: tuple[str, ...] = ()
    df: float | None = None
    estimand: str = ""
    error_from: str = ""
    n_placebos: int | None = None


@dataclass(frozen=True)
class LeadTest:
    """Joint test that all leads are zero.

    Attributes:
        pilot: The pilot whose leads they are, or "" for all pilots together.
        statistic: F statistic, on ``df_num`` and ``df_den`` degrees of freedom.
        status: ``ok``, ``failed`` or ``not applicable``; ``reason`` says why.
        used_for_matching: Whether comparators were chosen by these very outcomes, so that their
            likeness is no news.
        power: Share of the drifts that would matter which the test would find at 5%, 0 to 1: those
            along a straight line that would feign the whole main estimate (Roth 2022, American
            Economic Review: Insights 4(3)); None when unknown.
        error_from: Where the error of the leads of one pilot is from; empty when it is the
            estimator's.
        n_placebos: Authorities of the pool that such an error rests on.
    """

    pilot: str
    statistic: float | None
    df_num: int | None
    df_den: float | None
    p_value: float | None
    status: Literal["ok", "failed", "not applicable"] = "ok"
    reason: str = ""
    used_for_matching: bool = False
    power: float | None = None
    error_from: str = ""
    n_placebos: int | None = None


@dataclass(frozen=True)
class SmallestEffect:
    """The smallest effect on an outcome that matters to those who decide, and why it does.

    Attributes:
        value: Above 0, in the units of the value: 0.02 is two points of a share.
        reason: A sentence or a clause: "below two points no authority would change its practice".
    """

    value: float
    reason: str


@dataclass(frozen=True)
class AdjustedP:
    """The p value of a main run among those of all confirmatory outcomes of a study.

    Attributes:
        p_value: Adjusted; at least the single one.
        method: ``holm``, ``romano-wolf``, or ``none`` where nothing is adjusted.
        outcomes: Names of the outcomes that were tested together, this one among them.
    """

    p_value: float
    method: str
    outcomes: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """All that a rating rule may look at for one outcome.

    Attributes:
        info: The outcome.
        main: The main run, the headline of the outcome.
        runs: The sensitivity runs.
        leads: Lead tests, overall first and then per pilot.
        quality: Data-quality figures by name, as shares 0 to 1 unless the name says otherwise; see
            :func:`sos_plugins.study.quality.quality_figures`.
        agreements: The cross-checks.
        warnings: What went wrong on the way.
        smallest_effect: The smallest effect that matters; None when the study does not say.
        adjusted: The main run's p value among those of the confirmatory outcomes; None when the
            outcome is not one of them, or has no p value.
    """

    info: OutcomeInfo
    main: Run
    runs: tuple[Run, ...] = ()
    leads: tuple[LeadTest, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    agreements: tuple[Agreement, ...] = ()
    warnings: tuple[str, ...] = ()
    smallest_effect: SmallestEffect | None = None
    adjusted: AdjustedP | None = None


@dataclass(frozen=True)
class Reason:
    """Why a rating is what it is: a sentence, and the figure and threshold it rests on.

    ``metric`` is ``data quality``, ``robustness``, ``assumptions``, ``precision`` or a rule's own.
    ``allows`` is the highest level that this reason allows, empty where it holds none down: a
    check may be met and still be what keeps a rating from the next level.
    """

    metric: str
    sentence: str
    figure: float | None = None
    threshold: float | None = None
    met: bool = True
    allows: str = ""


@dataclass(frozen=True)
class Rating:
    """The verdict on one outcome.

    Attributes:
        rule: The plugin that gave it.
        level: ``"low"``, ``"moderate"``, ``"high"``, or the levels of another scheme.
        direction: One of :data:`DIRECTIONS`.
        sentence: The verdict with its reason: "Cannot tell the effect on kinship care: fewer, but
            the records cannot carry it".
        reasons: Each with its figure.
        thresholds: The thresholds used, by name.
        reason: What of the sentence says why, alone.
    """

    rule: str
    level: str
    direction: str
    sentence: str
    reasons: tuple[Reason, ...] = ()
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


DIRECTIONS: dict[str, str] = {
    "increase": "the value rose because of the programme",
    "decrease": "it fell because of the programme",
    "no effect that matters": "whatever effect there is, it is smaller than the smallest that "
    "matters",
    "cannot tell": "the evidence does not settle it, one way or the other",
    "no clear impact": "as in 2021: no effect was shown, or the evidence is low",
}
"""The directions of a rating, in words. The last is that of the evaluation of 2021."""
