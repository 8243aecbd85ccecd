"""The methods of inference with few treated authorities, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from sos_estimators.inference import own_effects

CITATIONS: Mapping[str, str] = {
    "own-effects": own_effects.CITATION,
    "t-own": "Ibragimov and Muller (2010), Journal of Business and Economic Statistics 28(4)",
    "sign-flips": "Canay, Romano and Shaikh (2017), Econometrica 85(3)",
    "jackknife": "MacKinnon, Nielsen and Webb (2023), Journal of Applied Econometrics 38(5)",
    "RI-t": "MacKinnon and Webb (2020), Journal of Econometrics 218(2)",
    "RI-beta": "MacKinnon and Webb (2020), Journal of Econometrics 218(2)",
}
"""Papers of the methods."""
if TYPE_CHECKING:
    FewMethod = str
else:
    FewMethod = Literal[tuple(CITATIONS)]


def listed(methods: Sequence[str] = tuple(CITATIONS)) -> str:
    """Name methods, as in the description of a setting.

    Args:
        methods: Their names.
    """
    return ", ".join(methods)
