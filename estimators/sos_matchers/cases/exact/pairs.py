"""As many cases of comparators as of pilots in each stratum: at random, or the nearest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from sos_matchers.cases.data import design_matrix, tie_order
from sos_matchers.cases.exact.coarsen import is_number
from sos_matchers.cases.exact.sample import NAME, ExactData
from sos_matchers.cases.exact.settings import CoarsenedExactSettings
from sos_matchers.cases.exact.weights import Flags, Floats, Ints
from sos_matchers.nearest import MOST_PAIRS, match_on_distances
from sos_plugins.errors import DesignError

SINGULAR = 1e-8
"""Directions with less than this share of the largest variance do not count."""

Pairs = tuple[Ints, Ints]
"""Rows of pilots' cases and, in the same order, of the comparators' cases paired with them."""


def paired(data: ExactData, kept: Flags, settings: CoarsenedExactSettings) -> Pairs:
    """Pair the cases of pilots and comparators in every stratum; the rest is left out.

    Args:
        data: The cases.
        kept: Whether a row's stratum has both sides, (rows,).
        settings: What is asked for.

    Raises:
        DesignError: If a stratum is too large for a matrix of distances.
    """
    coordinates = None
    if settings.k2k_distance == "mahalanobis":
        coordinates = mahalanobis_coordinates(data)
    pilots, others = [], []
    for mine, theirs in strata_rows(data, kept, settings.seed):
        if coordinates is None:
            n = min(len(mine), len(theirs))
            pilots.append(mine[:n])
            others.append(theirs[:n])
            continue
        refuse_too_many(len(mine), len(theirs))
        found = match_on_distances(
            cdist(coordinates[mine], coordinates[theirs]),
            ratio=1,
            caliper=None,
            replacement=False,
            turn=range(len(mine)),
        )
        pilots.append(mine[found.treated])
        others.append(theirs[found.control])
    return np.concatenate(pilots), np.concatenate(others)


def refuse_too_many(n_pilots: int, n_others: int) -> None:
    """Refuse a stratum with too many pairs.

    Args:
        n_pilots: Its cases of pilots.
        n_others: Its cases of comparators.

    Raises:
        DesignError: With what to do.
    """
    if n_pilots * n_others > MOST_PAIRS:
        raise DesignError(
            f"Matcher '{NAME}': a stratum has {n_pilots * n_others:,} pairs of cases, but a matrix "
            f"of distances may have {MOST_PAIRS:,}. Coarsen less, or set k2k_distance = 'random'."
        )


def strata_rows(data: ExactData, kept: Flags, seed: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield rows of pilots' and of comparators' cases by stratum, in the order that breaks ties.

    Args:
        data: The cases.
        kept: Whether a row's stratum has both sides, (rows,).
        seed: Seed of that order.
    """
    order = tie_order(data.frame, seed)
    order = order[kept[order]]
    order = order[np.argsort(data.pattern[order], kind="stable")]
    ends = np.flatnonzero(np.diff(data.pattern[order])) + 1
    for rows in np.split(order, ends):
        side = data.treated[rows]
        yield rows[side], rows[~side]


def mahalanobis_coordinates(data: ExactData) -> Floats:
    """Return covariates in which Euclidean distances are Mahalanobis distances, (rows, columns).

    The covariance is that of the covariates before coarsening, within strata and sides: that of
    MatchIt, for which strata are covariates like others.
    """
    frame = data.frame[list(data.names)]
    gaps = {c: frame[c].fillna(frame[c].mean()) for c in data.names if is_number(frame[c])}
    design = design_matrix(frame.assign(**gaps))
    centred = _about_means(design, data.stratum)
    side = _about_means(data.treated[:, None].astype(float), data.stratum)
    residual = centred - side @ (side.T @ centred / max(float((side**2).sum()), 1e-300))
    values, vectors = np.linalg.eigh(residual.T @ residual / max(len(design) - 2, 1))
    there = values > SINGULAR * values.max()
    return np.asarray(design @ vectors[:, there] / np.sqrt(values[there]))


def _about_means(columns: Floats, stratum: Ints) -> Floats:
    means = pd.DataFrame(columns).groupby(stratum).transform("mean").to_numpy(float)
    return np.asarray(columns - means)
