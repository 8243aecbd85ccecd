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


@dataclass(frozen=True)
class LeadTest:
    """Joint test that all leads are zero.

    Attributes:
        pilot: The pilot whose leads they are, or "" for all pilots together.
        statistic: F statistic, on ``df_num`` and ``df_den`` degrees of freedom.
        status: ``ok``, ``failed`` or ``not applicable``; ``reason`` says why.
    """

    pilot: str
    statistic: float | None
    df_num: int | None
    df_den: float | None
    p_value: float | None
    status: Literal["ok", "failed", "not applicable"] = "ok"
    reason: str = ""


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
    """

    info: OutcomeInfo
    main: Run
    runs: tuple[Run, ...] = ()
    leads: tuple[LeadTest, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    agreements: tuple[Agreement, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reason:
    """Why a rating is what it is: a sentence, and the figure and threshold it rests on.

    ``metric`` is ``data quality``, ``robustness``, ``assumptions``, ``precision`` or a rule's own.
    """

    metric: str
    sentence: str
    figure: float | None = None
    threshold: float | None = None
    met: bool = True


@dataclass(frozen=True)
class Rating:
    """The verdict on one outcome.

    Attributes:
        rule: The plugin that gave it.
        level: ``"low"``, ``"moderate"``, ``"high"``, or the levels of another scheme.
        direction: ``"increase"``, ``"decrease"`` or ``"no clear impact"``.
        sentence: In the seed's manner: "Moderate strength evidence of decreased kinship care".
        reasons: Each with its figure.
        thresholds: The thresholds used, by name.
    """

    rule: str
    level: str
    direction: str
    sentence: str
    reasons: tuple[Reason, ...] = ()
    thresholds: Mapping[str, Any] = field(default_factory=dict)
