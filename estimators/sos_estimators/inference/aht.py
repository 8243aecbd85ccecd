"""AHT: a joint test of several coefficients with the bias-reduced variance CR2.

Pustejovsky and Tipton (2018), Journal of Business and Economic Statistics 36(4): Hotelling's T
squared is referred to with degrees of freedom that match the total variance of the CR2 matrix under
the working model (``HTZ`` in R's clubSandwich).
"""

from __future__ import annotations

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.inference.cluster_products import SINGULAR, ClusterProducts
from sos_estimators.inference.cr2 import adjust, total_variance
from sos_estimators.inference.results import FTest


def approximate_hotelling(clusters: ClusterProducts, restrictions: Floats) -> FTest:
    """Test that combinations of the terms are all zero.

    With D the CR2 covariance of the combinations, scaled to a mean of I under the working model,
    eta = q (q + 1) / (summed variances of the entries of D), and F = (eta - q + 1) / (eta q) T
    squared on q and eta - q + 1 degrees of freedom. With q = 1 it is the square of the t test with
    Satterthwaite's degrees of freedom. The statistic is missing (nan) where the covariance, or its
    mean under the model, is singular, or eta - q + 1 is not above zero.

    Args:
        clusters: The regression, p terms.
        restrictions: Combinations of the terms, one a row, (q, p).
    """
    q = len(restrictions)
    adjusted = adjust(clusters, restrictions.T)
    root = inverse_half(adjusted.expected)
    half = inverse_half(adjusted.covariance)
    if root is None or half is None:
        return FTest(float("nan"), float("nan"))
    eta = q * (q + 1) / total_variance(adjusted.combined(root))
    df = float(eta - q + 1)
    t_squared = float(np.square(half @ (restrictions @ clusters.terms)).sum())
    return FTest(float(df / (eta * q) * t_squared) if df > 0 else float("nan"), df)


def inverse_half(covariance: Floats) -> Floats | None:
    """Return A with A'A the inverse of a covariance (q, q); nothing if it is singular.

    Args:
        covariance: (q, q).
    """
    scale = np.sqrt(np.diag(covariance).clip(min=0))
    if not (scale > 0).all():
        return None
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    return np.asarray((vectors / np.sqrt(values)).T / scale) if values[0] > SINGULAR else None
