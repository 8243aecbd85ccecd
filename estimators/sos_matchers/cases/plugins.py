"""Matchers of cases: exact on coarsened covariates, nearest on the propensity score, its weights.

All work within strata, by default matched group x before/after the embedding window, as the
matching of children did in the 2021 analysis.
"""

from __future__ import annotations

from typing import Any

from sos_matchers.cases.exact.plugin import CoarsenedExact
from sos_matchers.cases.pairs import PropensityCases
from sos_matchers.cases.weights import InverseWeights
from sos_plugins import hookimpl


@hookimpl
def register_matchers(register: Any) -> None:
    """Offer the matchers of cases."""
    register(CoarsenedExact())
    register(PropensityCases())
    register(InverseWeights())
