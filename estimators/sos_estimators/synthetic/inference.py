"""Standard errors and p values of averages of followed pilots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.inference.own_effects import CITATION, OwnEffects
from sos_estimators.synthetic.followed import Followed, Terms, shares
from sos_plugins.authors.results import t_quantile, t_two_sided

PAPER = "Arkhangelsky et al. (2021), American Economic Review 111(12)"
CITATIONS: Mapping[str, str] = {
    "own-effects": CITATION,
    "placebo": f"{PAPER}, algorithm 4; p values: Abadie, Diamond and Hainmueller (2010), Journal "
    "of the American Statistical Association 105(490)",
    "jackknife": f"{PAPER}, algorithm 3",
}
FEWEST_PLACEBOS = 19
"""With fewer no p value reaches 5%, and there is no interval of 95%."""
ALONE = 1e-9
"""A unit with all of a weight but this much cannot be left out."""


@dataclass(frozen=True)
class Errors:
    """What one method says of K averages.

    Attributes:
        std_errors: (K,), missing where there is none.
        df: Degrees of freedom of t tests, (K,).
        p_values: Two-sided, (K,).
        conf_low: Lower ends of confidence sets, (K,), missing where there is no set or where it is
            all numbers.
        conf_high: Upper ends, (K,), likewise.
        distribution: What statistics are compared with, (K,).
        warnings: What a reader must know.
    """

    std_errors: Floats
    df: Floats
    p_values: Floats
    conf_low: Floats
    conf_high: Floats
    distribution: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of_t(
        cls,
        estimates: Floats,
        std_errors: Floats,
        df: Floats,
        conf_level: float,
    ) -> Errors:
        """Compare with Student's t.

        Args:
            estimates: (K,).
            std_errors: (K,).
            df: (K,).
            conf_level: Of the intervals.
        """
        known = std_errors > 0
        errors = np.where(known, std_errors, np.nan)
        freedom = np.where(known, df, np.nan)
        half = t_quantile((1 + conf_level) / 2, freedom) * errors
        p_values = t_two_sided(estimates / errors, freedom)
        said = tuple(
            "" if np.isnan(f) else f"t with {f:.4g} degrees of freedom" for f in freedom.tolist()
        )
        return cls(errors, freedom, p_values, estimates - half, estimates + half, said)

    def rows(self, method: str, names: tuple[str, ...], estimates: Floats) -> list[dict[str, Any]]:
        """Return one row an average, with the columns of the table of inference.

        Args:
            method: Its name.
            names: Of the averages, (K,).
            estimates: (K,).
        """
        return [
            {
                "term": name,
                "method": method,
                "estimate": estimates[k],
                "std_error": self.std_errors[k],
                "statistic": estimates[k] / self.std_errors[k],
                "df": self.df[k],
                "p_value": self.p_values[k],
                "conf_low": self.conf_low[k],
                "conf_high": self.conf_high[k],
                "distribution": self.distribution[k],
                "citation": CITATIONS[method],
            }
            for k, name in enumerate(names)
        ]


def by_placebos(
    estimates: Floats, others: Floats, *, complete: bool, conf_level: float, least: float
) -> Errors:
    """Compare with the estimates of placebo pilots.

    The observed pilots are one assignment more, so p is (1 + those as large) / (1 + all). Placebos
    are of the pool alone, so that an effect of the programme does not change them: effects that
    are not rejected lie within a quantile of their sizes. With so few placebos that none is
    rejected the set is all numbers: its ends are missing and a warning says so.

    Args:
        estimates: (K,).
        others: Of B placebo assignments, (B, K).
        complete: Whether these are all there are.
        conf_level: Of the confidence sets.
        least: Size below which a spread is rounding error about zero.
    """
    n = len(others)
    size = np.sort(np.abs(others), axis=0)[::-1]
    as_large = (size >= np.abs(estimates) * (1 - ALONE)).sum(axis=0)
    spread = others.std(axis=0)
    known = spread > least
    rank = int(np.floor((1 - conf_level) * (1 + n) * (1 + ALONE)))
    half = np.where(known, size[rank - 1], np.nan) if rank else np.full(len(estimates), np.nan)
    return Errors(
        np.where(known, spread, np.nan),
        np.where(known, np.inf, np.nan),
        np.where(known, (1 + as_large) / (1 + n), np.nan),
        estimates - half,
        estimates + half,
        (f"{'all ' if complete else ''}{n} placebo assignments",) * len(estimates),
        _about_few(n, conf_level, bounded=rank > 0),
    )


def _about_few(n: int, conf_level: float, *, bounded: bool) -> tuple[str, ...]:
    """Say what so few placebos cannot tell."""
    if n >= FEWEST_PLACEBOS and bounded:
        return ()
    level = f"{100 * conf_level:.4g}%"
    none = "" if bounded else f", and there is no interval of {level}: no effect is rejected"
    return (
        f"There are only {n} placebo assignments, so no p value of placebo is below "
        f"{1 / (1 + n):.2g}{none}.",
    )


def own_effects(followed: Followed, terms: Terms, weight: Floats) -> OwnEffects:
    """Return what units add to averages: pilots their own effects, the pool its departures.

    Args:
        followed: With one assignment.
        terms: K averages.
        weight: Of pilots and periods, (1, J, T).
    """
    of_cells = shares(terms, weight)[0]
    n, k = followed.shaped.shape[1], len(terms.names)
    contributions, of_units = np.zeros((n, k)), np.zeros((n, k))
    gaps, adjusted, weights = followed.gaps[0], followed.adjusted(), followed.weights[0]
    for j, unit in enumerate(followed.units[0]):
        of_units[unit] += of_cells[:, j].sum(axis=1)
        contributions[unit] += of_cells[:, j] @ gaps[j]
        series = adjusted[j] @ of_cells[:, j].T
        contributions -= weights[j][:, None] * (series - weights[j] @ series)
    return OwnEffects(contributions, of_units)


def by_errors(
    estimates: Floats, std_errors: Floats, df: Floats, *, conf_level: float, least: float
) -> Errors:
    """Compare with Student's t.

    Args:
        estimates: (K,).
        std_errors: (K,).
        df: (K,), or one for all.
        conf_level: Of the intervals.
        least: Size below which an error is rounding error about zero.
    """
    known = np.where(std_errors > least, std_errors, np.nan)
    return Errors.of_t(estimates, known, np.broadcast_to(df, known.shape), conf_level)


def jackknife(followed: Followed, terms: Terms, weight: Floats) -> Floats:
    """Leave out each unit in turn, weights fixed: those of the rest again add up to one.

    Args:
        followed: With one assignment.
        terms: K averages.
        weight: Of pilots and periods, (1, J, T).

    Returns:
        Standard errors, (K,); missing where an average rests on one pilot.
    """
    chosen = terms.chosen * weight
    gaps, adjusted = followed.gaps[0], followed.adjusted()
    places, weights = followed.units[0], followed.weights[0]
    total = chosen.sum(axis=(1, 2))
    without = []
    for j in range(len(places)):
        rest = np.delete(chosen, j, axis=1)
        size = rest.sum(axis=(1, 2))
        sums = (rest * np.delete(gaps, j, axis=0)).sum(axis=(1, 2))
        without.append(np.divide(sums, size, out=np.full(len(total), np.nan), where=size > 0))
    for unit in np.flatnonzero(followed.allowed[0]):
        kept = 1 - weights[:, unit]
        more = weights[:, unit] / np.where(np.abs(kept) > ALONE, kept, np.nan)
        compared = np.einsum("jg,jgt->jt", weights, adjusted)
        change = more[:, None] * (adjusted[:, unit] - compared)
        without.append((chosen * (gaps + change)).sum(axis=(1, 2)) / total)
    values = np.array(without)
    n = len(values)
    return np.asarray(np.sqrt((n - 1) / n * np.square(values - values.mean(axis=0)).sum(axis=0)))
