"""Standard errors from the treated clusters' own effects: honest where these are few.

An average effect is a sum over clusters: each treated cluster adds its own effect times its share
of the treated cases, the others add noise. The usual errors centre own effects on their average, or
on that of a cohort, as if the average were known, and compare with the normal distribution. With a
handful of treated clusters both are far off: a cohort of one is then its own centre, and its errors
vanish. Here, instead,

- own effects are measured from the average over all treated clusters, however few adopt at a
  time, as in the t test of Ibragimov and Muller (2010), Journal of Business and Economic
  Statistics 28(4);
- each squared departure is divided by what it loses to the average being estimated, so that the
  variance is unbiased where own effects vary alike (Bell and McCaffrey 2002, Survey Methodology
  28(2), as HC2 for a weighted mean);
- what the other clusters add is kept as it is (their part of the influence function), and the two
  parts have the degrees of freedom of Satterthwaite (1946) and Welch (1947): those of the treated
  from their shares, those of the others from their number.

The variance holds that of effects between treated clusters. So the estimate is judged as one of
what the programme does in authorities like these, not in exactly these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Bools, Floats

ALONE = 1e-9
"""A treated cluster with all of the shares but this much has nothing to be measured from."""
ROUNDING = 1e-12
"""What adds less than this share of the largest score adds nothing."""
FEWEST_IN_COHORT = 5
"""Fewer treated clusters than this in a cohort are few: errors centred by cohort lose at least a
fifth of their variance."""
CITATION = (
    "Ibragimov and Muller (2010), Journal of Business and Economic Statistics 28(4); Bell and "
    "McCaffrey (2002), Survey Methodology 28(2)"
)
OWN = "standard errors are from the treated clusters' own effects, which allow for it"
DESCRIBED = "own effects of treated clusters, Satterthwaite degrees of freedom"


@dataclass(frozen=True)
class OwnEffects:
    """What G clusters add to J averages, and how much treated clusters count in them.

    Attributes:
        contributions: In units of the value, each column adding up to the average, (G, J). That of
            a treated cluster is its own effect times its share.
        shares: Of treated clusters, columns adding up to one, (G, J); 0 for the others.
    """

    contributions: Floats
    shares: Floats

    def beside(self, other: OwnEffects) -> OwnEffects:
        """Put the averages of another, of the same clusters, after these.

        Args:
            other: Of the same G clusters.
        """
        return OwnEffects(
            np.column_stack([self.contributions, other.contributions]),
            np.column_stack([self.shares, other.shares]),
        )

    @property
    def treated(self) -> Bools:
        """Which clusters have a share, (G, J)."""
        return np.asarray(self.shares != 0)

    def own(self) -> Floats:
        """Return each treated cluster's own effect, (G, J); nan where it has no share."""
        shares = np.where(self.treated, self.shares, np.nan)
        return np.asarray(self.contributions / shares)

    def errors(self, estimates: Floats) -> OwnErrors:
        """Return what each cluster adds to the errors, and degrees of freedom.

        Args:
            estimates: The averages, (J,).
        """
        scores = (self.contributions - self.shares * estimates) * scale_of(self.shares)
        df = [_degrees_of_freedom(self.shares[:, j], scores[:, j]) for j in range(len(estimates))]
        return OwnErrors(scores, np.array(df, dtype=float))


@dataclass(frozen=True)
class OwnErrors:
    """Errors from own effects.

    Attributes:
        scores: What each cluster adds: the cross products are the covariance, (G, J). Missing for
            an average that rests on one treated cluster.
        df: Degrees of freedom of t tests, (J,); missing likewise.
    """

    scores: Floats
    df: Floats

    @property
    def std_errors(self) -> Floats:
        """(J,), missing for an average that rests on one treated cluster."""
        return np.asarray(np.sqrt(np.square(self.scores).sum(axis=0)))

    def beside(self, other: OwnErrors) -> OwnErrors:
        """Put those of other averages, of the same clusters, after these.

        Args:
            other: Of the same G clusters.
        """
        return OwnErrors(np.column_stack([self.scores, other.scores]), np.append(self.df, other.df))


def scale_of(shares: Floats) -> Floats:
    """Return what departures from averages are multiplied by to be unbiased, (G, J).

    Args:
        shares: Of treated clusters, columns adding up to one, (G, J); 0 for others, which get 1. A
            column in which one cluster has all is missing.
    """
    kept = 1 - 2 * shares + np.square(shares).sum(axis=0)
    treated = shares != 0
    alone = (treated & (kept <= ALONE)).any(axis=0)
    scale = 1 / np.sqrt(np.where(treated & (kept > ALONE), kept, 1.0))
    scale[:, alone] = np.nan
    return np.asarray(scale)


def _degrees_of_freedom(shares: Floats, scores: Floats) -> float:
    """Combine those of the treated clusters and of the others by their parts of the variance."""
    treated = shares != 0
    if np.isnan(scores).any() or not treated.any():
        return float("nan")
    of_treated = float(np.square(scores[treated]).sum())
    of_others = float(np.square(scores[~treated]).sum())
    first = _of_weighted_mean(shares[treated])
    second = max(_number_of_others(scores[~treated]) - 1, 1)
    total = of_treated + of_others
    if total == 0:
        return first
    return float(1 / ((of_treated / total) ** 2 / first + (of_others / total) ** 2 / second))


def _number_of_others(scores: Floats) -> int:
    """Count clusters that add anything but rounding."""
    return int((np.abs(scores) > ROUNDING * np.abs(scores).max(initial=0.0)).sum())


def _of_weighted_mean(shares: Floats) -> float:
    """Return Satterthwaite's degrees of freedom for q own effects that vary alike."""
    scale = scale_of(shares[:, None])
    departures = (np.eye(len(shares)) - shares) * (shares[:, None] * scale)
    products = departures @ departures.T
    return float(np.trace(products) ** 2 / np.square(products).sum())


def about_lone(names: Sequence[str]) -> tuple[str, ...]:
    """Say which averages rest on a single treated cluster, and have no error of their own.

    Args:
        names: Of the averages.
    """
    if not names:
        return ()
    what = "rests" if len(names) == 1 else "rest"
    return (
        f"{', '.join(names)} {what} on one treated cluster, which shows nothing of how effects "
        "differ between clusters: the standard error is left missing. errors = 'analytic' gives "
        "that of the comparison clusters alone.",
    )
