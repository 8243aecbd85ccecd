"""The multiplier bootstrap of estimates that are sums over clusters, and simultaneous bands.

What each cluster adds to an estimate (its influence function, summed) is multiplied by draws of
mean 0 and variance 1: Callaway and Sant'Anna (2021), Journal of Econometrics 225(2), algorithm 1
and remark 10; for the scores of regressions Kline and Santos (2012), Journal of Econometric Methods
1(1), 23-41. A draw costs one multiplication a cluster and term, whatever the number of cases. Bands
that hold all terms at once are from the largest t statistic of each draw (sup-t): Montiel Olea and
Plagborg-Moller (2019), Journal of Applied Econometrics 34(1), 1-17.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field

from sos_estimators.arrays import Bools, Floats
from sos_estimators.inference.distributions import normal_quantile, normal_tail
from sos_estimators.inference.own_effects import DESCRIBED, FEWEST_IN_COHORT
from sos_estimators.inference.wild import auxiliary
from sos_plugins.authors.results import t_quantile
from sos_plugins.contract.settings import Settings

Errors = Literal["auto", "own-effects", "analytic", "bootstrap"]
Multiplier = Literal["rademacher", "mammen", "webb", "gaussian"]
Spread = Literal["iqr", "sd"]

BLOCK = 4096
"""Clusters that are multiplied at a time: the memory of 999 draws of them is 33 MB."""
ROUNDING = 1e-12
"""A term whose draws spread less than this share of its clusters' contributions has no error."""
NORMAL_IQR = 2 * float(normal_quantile(0.75))
GOLDEN = (1 + 5**0.5) / 2


class BootstrapSettings(Settings):
    """Arguments of estimators with standard errors by draws and simultaneous bands."""

    errors: Errors = Field(
        "auto",
        description="standard errors. own-effects: from the treated clusters' own effects, which "
        "keep their size with few; analytic: the formula of the method, which is for many; "
        "bootstrap: from draws of the multiplier bootstrap, likewise for many; auto: own-effects "
        "with fewer treated clusters than few_clusters or fewer than "
        f"{FEWEST_IN_COHORT} in some cohort, else analytic",
    )
    band: bool = Field(
        False,
        description="also give band_low and band_high: at conf_level the band holds all effects at "
        "once, leads included, overall apart",
    )
    multiplier: Multiplier = Field(
        "rademacher",
        description="what clusters are multiplied by: signs, Mammen's two points, Webb's six, or "
        "normal numbers",
    )
    spread: Spread = Field(
        "iqr",
        description="standard errors of draws: their interquartile range over the normal one, as "
        "in the R package did, or their standard deviation",
    )
    draws: int = Field(999, ge=99, description="draws of the bootstrap and of the band")
    seed: int = Field(1, ge=0, description="seed of these draws")

    @property
    def needs_draws(self) -> bool:
        """Whether anything that is asked for needs draws."""
        return self.band or self.errors == "bootstrap"

    def described(self, vcov: str) -> str:
        """Name the standard errors: a convention, or draws of it.

        Args:
            vcov: Name of the variance.
        """
        if self.errors == "own-effects":
            return DESCRIBED
        if self.errors != "bootstrap":
            return vcov
        return f"multiplier bootstrap ({self.multiplier}) of {vcov}"

    @property
    def cannot_draw(self) -> str:
        """Why an engine that does not say what each cluster adds has no errors; empty if it has."""
        if self.errors == "own-effects":
            return (
                "this engine does not say what each cluster adds, which errors = 'own-effects' "
                "rest on; errors = 'analytic' gives its own"
            )
        if self.errors != "bootstrap":
            return ""
        return "this engine does not say what each cluster adds, so there is nothing to draw"

    def decided(self, *, few: bool) -> Self:
        """Return the settings with ``errors`` decided where it is ``auto``.

        Args:
            few: Whether treated clusters are few: see :func:`are_few`.
        """
        if self.errors != "auto":
            return self
        return self.model_copy(update={"errors": "own-effects" if few else "analytic"})


@dataclass(frozen=True)
class Replications:
    """Departures of J terms from their estimates in B draws.

    Attributes:
        departures: (B, J).
        floor: Spread below which a term has none, (J,): the draws of its contributions cancel.
    """

    departures: Floats
    floor: Floats

    def std_errors(self, spread: Spread = "iqr") -> Floats:
        """Return the spread of each term's draws, (J,); nan where they do not vary.

        ``iqr`` is the interquartile range over that of a standard normal number, both quartiles
        being draws (the paper, and R's ``did``): a few wild draws do not sway it. ``sd`` is the
        standard deviation.

        Args:
            spread: ``iqr`` or ``sd``.
        """
        if spread == "sd":
            spreads = self.departures.std(axis=0, ddof=1)
        else:
            low, high = np.quantile(self.departures, [0.25, 0.75], axis=0, method="inverted_cdf")
            spreads = (high - low) / NORMAL_IQR
        return np.where(spreads > self.floor, spreads, np.nan)

    def critical(self, std_errors: Floats, conf_level: float, df: float = np.inf) -> float:
        """Return how many standard errors wide each half of a simultaneous band is.

        The quantile of the largest absolute t statistic over terms, taken from the normal to the t
        distribution with ``df`` degrees of freedom, and no less than that of a single interval.

        Args:
            std_errors: Of the terms, (J,); a term with a missing one is not in the band.
            conf_level: Share of draws in which the band holds all terms.
            df: Degrees of freedom of the intervals of single terms; normal if infinite.

        Returns:
            The factor; missing when no term has a standard error.
        """
        known = (std_errors > 0) & (self.departures != 0).any(axis=0)
        if not known.any():
            return float("nan")
        largest = np.abs(self.departures[:, known] / std_errors[known]).max(axis=1)
        quantile = float(np.quantile(largest, conf_level, method="inverted_cdf"))
        quantile = max(quantile, float(normal_quantile((1 + conf_level) / 2)))
        return quantile if np.isinf(df) else -float(t_quantile(normal_tail(quantile), df))


@dataclass(frozen=True)
class Bootstrapped:
    """What draws give for J terms.

    Attributes:
        std_errors: By ``errors`` of the settings: of the draws, or as they were given; (J,).
        critical: Half width of the simultaneous band in standard errors; nan without one.
    """

    std_errors: Floats
    critical: float


def replicate(
    scores: Floats, *, draws: int = 999, seed: int = 1, multiplier: Multiplier = "rademacher"
) -> Replications:
    """Multiply what clusters add by draws.

    Draws are made and used :data:`BLOCK` clusters at a time, so memory does not grow with clusters.
    Where all sign vectors are no more than ``draws``, signs are these and nothing is drawn.

    Args:
        scores: What each cluster adds to each estimate, (G, J): their cross products are the
            covariance.
        draws: Number of draws, B.
        seed: Seed of the draws.
        multiplier: Distribution of the draws.
    """
    scores = np.asarray(scores, dtype=float)
    n_clusters = len(scores)
    floor = ROUNDING * np.abs(scores).sum(axis=0)
    if multiplier == "rademacher" and n_clusters <= np.log2(draws):
        half = auxiliary(n_clusters, draws, seed, "rademacher").values @ scores
        return Replications(np.concatenate([half, -half]), floor)
    departures = np.zeros((draws, scores.shape[1]))
    for block, values in _blocks(n_clusters, draws, seed, multiplier):
        departures += values @ scores[block]
    return Replications(departures, floor)


def bootstrap(
    scores: Floats,
    analytic: Floats,
    settings: BootstrapSettings,
    *,
    conf_level: float,
    in_band: Bools | None = None,
    df: float = np.inf,
) -> Bootstrapped:
    """Standard errors and the half width of the band that settings ask for.

    Args:
        scores: What each cluster adds to each estimate, (G, J).
        analytic: Standard errors by formula, (J,); a term without one has none of draws either.
        settings: What is asked for.
        conf_level: Level of the band.
        in_band: Which terms the band holds at once, (J,); all if none.
        df: Degrees of freedom of single intervals.
    """
    if not settings.needs_draws:
        return Bootstrapped(analytic, float("nan"))
    made = replicate(
        scores, draws=settings.draws, seed=settings.seed, multiplier=settings.multiplier
    )
    errors = np.asarray(analytic, dtype=float)
    if settings.errors == "bootstrap":
        errors = np.where(errors > 0, made.std_errors(settings.spread), np.nan)
    if not settings.band:
        return Bootstrapped(errors, float("nan"))
    held = errors if in_band is None else np.where(in_band, errors, np.nan)
    return Bootstrapped(errors, made.critical(held, conf_level, df))


def in_band(names: Sequence[str]) -> Bools:
    """Say which terms a band holds at once: all but ``overall``, unless it is alone; (J,).

    Args:
        names: Of J terms.
    """
    overall = np.array([name == "overall" for name in names])
    return np.ones_like(overall) if overall.all() else ~overall


def with_band(tidy: pd.DataFrame, critical: float, in_band: Bools | None = None) -> pd.DataFrame:
    """Add ``band_low`` and ``band_high`` to rows of terms; missing for terms out of the band.

    Args:
        tidy: One row a term, J.
        critical: Half width in standard errors.
        in_band: Which terms the band holds, (J,); all if none.
    """
    half = critical * tidy["std_error"].to_numpy(dtype=float)
    if in_band is not None:
        half = np.where(in_band, half, np.nan)
    return tidy.assign(band_low=tidy["estimate"] - half, band_high=tidy["estimate"] + half)


def _blocks(
    n_clusters: int, draws: int, seed: int, multiplier: Multiplier
) -> Iterator[tuple[slice, Floats]]:
    """Yield clusters and their draws, (B, clusters); the same whatever the number of terms."""
    rng, make = np.random.default_rng(seed), MAKERS[multiplier]
    for start in range(0, n_clusters, BLOCK):
        block = slice(start, min(start + BLOCK, n_clusters))
        yield block, make(rng, (draws, block.stop - start))


def _signs(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    size = shape[0] * shape[1]
    bits = np.unpackbits(np.frombuffer(rng.bytes(-(-size // 8)), np.uint8), count=size)
    return np.asarray(bits.reshape(shape) * 2.0 - 1.0, dtype=float)


def _mammen(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Two points of mean 0, variance 1 and third moment 1 (Mammen 1993, Annals of Statistics)."""
    low = rng.random(shape) < GOLDEN / 5**0.5
    return np.where(low, 1 - GOLDEN, GOLDEN)


def _webb(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    points = np.sqrt([0.5, 1.0, 1.5])
    six: Floats = np.concatenate([-points, points])
    return np.asarray(six[rng.integers(0, 6, shape)], dtype=float)


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.standard_normal(shape)


MAKERS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {
    "rademacher": _signs,
    "mammen": _mammen,
    "webb": _webb,
    "gaussian": _normal,
}
