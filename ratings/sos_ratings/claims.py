"""What the main estimate says, before it is asked how far it can be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sos_plugins import Evidence, Run
from sos_plugins.authors.results import t_quantile

Direction = Literal["increase", "decrease", "no effect that matters", "cannot tell"]
POWER = 0.8
"""Share of true effects that a study is expected to find: four in five."""


@dataclass(frozen=True)
class Claim:
    """What the main estimate says.

    Attributes:
        direction: ``increase`` or ``decrease`` where it is told from zero, ``no effect that
            matters`` where the interval lies within the smallest effect that matters, else
            ``cannot tell``.
        estimate: The main estimate.
        p_value: Of the hypothesis of no effect, adjusted for the outcomes decided on together.
        n_outcomes: How many these are.
        low, high: The interval of the two one-sided tests, at 1 - 2 * significance.
        smallest: Smallest effect that matters; None when the study does not say.
        detectable: Smallest true effect that such a study finds four times in five.
    """

    direction: Direction
    estimate: float
    p_value: float
    n_outcomes: int
    low: float
    high: float
    smallest: float | None
    detectable: float

    @property
    def is_effect(self) -> bool:
        """Whether an effect is claimed."""
        return self.direction in ("increase", "decrease")


def claim_of(evidence: Evidence, significance: float) -> Claim | None:
    """Return what the main estimate says; None without an estimate and its error.

    A result that lies within the smallest effect that matters is no effect that matters even where
    it is told from zero. Schuirmann, D. J. (1987), A comparison of the two one-sided tests
    procedure and the power approach, Journal of Pharmacokinetics and Biopharmaceutics 15(6),
    657-680.

    Args:
        evidence: All that may be looked at.
        significance: Level of each test, 0 to 1.
    """
    main = evidence.main
    if main.estimate is None or main.std_error is None or main.p_value is None:
        return None
    p_value = evidence.adjusted.p_value if evidence.adjusted else main.p_value
    low, high = equivalence_interval(main, significance)
    smallest = evidence.smallest_effect.value if evidence.smallest_effect else None
    return Claim(
        direction=_direction(main.estimate, p_value < significance, (low, high), smallest),
        estimate=main.estimate,
        p_value=p_value,
        n_outcomes=len(evidence.adjusted.outcomes) if evidence.adjusted else 1,
        low=low,
        high=high,
        smallest=smallest,
        detectable=detectable(main, significance),
    )


def _direction(
    estimate: float, told: bool, interval: tuple[float, float], smallest: float | None
) -> Direction:
    if smallest is not None and -smallest < interval[0] and interval[1] < smallest:
        return "no effect that matters"
    if not told or estimate == 0:
        return "cannot tell"
    return "increase" if estimate > 0 else "decrease"


def quantile(level: float, df: float | None) -> float:
    """Return a quantile of Student's t, or of the normal where no degrees of freedom are known.

    Args:
        level: 0 to 1.
        df: Degrees of freedom, above 0; ``inf`` or None for the normal.
    """
    return float(t_quantile(level, math.inf if df is None else df))


def equivalence_interval(run: Run, significance: float) -> tuple[float, float]:
    """Return the interval that must lie within the smallest effect that matters.

    It holds all effects that two one-sided tests at ``significance`` do not reject.

    Args:
        run: With an estimate and a standard error.
        significance: Level of each test: 0.05 gives the interval at 90%.
    """
    assert run.estimate is not None
    assert run.std_error is not None
    half = quantile(1 - significance, run.df) * run.std_error
    return run.estimate - half, run.estimate + half


def detectable(run: Run, significance: float) -> float:
    """Return the smallest effect that is found four times in five, in the units of the value.

    Bloom, H. S. (1995), Minimum detectable effects: a simple way to report the statistical power
    of experimental designs, Evaluation Review 19(5), 547-556.

    Args:
        run: With a standard error.
        significance: Level of the two-sided test, 0 to 1.
    """
    assert run.std_error is not None
    multiple = quantile(1 - significance / 2, run.df) + quantile(POWER, run.df)
    return multiple * run.std_error
