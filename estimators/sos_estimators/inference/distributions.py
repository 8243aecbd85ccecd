"""Tails of F, and of the normal distribution; Student's t is in :mod:`sos_plugins.authors.results`.

By ``scipy.special``: importing ``scipy.stats`` takes half a second and 45 MB, of a command that
may take one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc, ndtr, ndtri


def f_tail(statistic: float, df_num: float, df_den: float) -> float:
    """Return the share of F above a statistic.

    Args:
        statistic: 0 or more.
        df_num: Numerator degrees of freedom.
        df_den: Denominator degrees of freedom.
    """
    return float(fdtrc(df_num, df_den, statistic))


def normal_quantile(share: ArrayLike) -> Any:
    """Return the value below which a share of the normal distribution lies.

    Args:
        share: Between 0 and 1.
    """
    return ndtri(share)


def normal_tail(value: ArrayLike) -> Any:
    """Return the share of the normal distribution above a value.

    Args:
        value: Of any shape.
    """
    return ndtr(-np.asarray(value, float))
