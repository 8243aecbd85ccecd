"""Random assignments of adoption that several outcomes share, and statistics under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sos_plugins.errors import DataError, listing


@dataclass(frozen=True)
class AssignmentDraws:
    """Lots drawn for the authorities of a study, the same for all of its outcomes.

    Attributes:
        units: Codes of all authorities, pilots and pool.
        n: How often lots are drawn.
        seed: Of the lots.
    """

    units: tuple[str, ...]
    n: int
    seed: int

    def orders(self, units: Sequence[str], group: str = "") -> npt.NDArray[np.int64]:
        """Order some authorities by their lots, (n, number of units): places in ``units``.

        Every order is as likely as any other. Outcomes that have the same authorities get the same
        orders; where one lacks some, the others keep theirs.

        Args:
            units: Codes, each once.
            group: The pilot whose matched group this is: each group has lots of its own.

        Raises:
            DataError: If an authority is none of the study.
        """
        place = {unit: n for n, unit in enumerate(self.units, start=1)}
        if unknown := [unit for unit in (*units, *([group] if group else ())) if unit not in place]:
            raise DataError(f"No lots were drawn for the authorities {listing(unknown)}.")
        rng = np.random.default_rng([self.seed, place.get(group, 0)])
        lots = rng.random((self.n, len(self.units)))
        return np.argsort(lots[:, [place[unit] - 1 for unit in units]], axis=1)


@dataclass(frozen=True)
class DrawnStatistics:
    """The t statistic of an effect, and those under assignments of adoption by lot.

    Attributes:
        estimate: The effect, in the units of the value.
        statistic: Its t statistic.
        drawn: Those under the assignments; missing where one cannot give any.
        n_possible: How many assignments there are.
    """

    estimate: float
    statistic: float
    drawn: tuple[float, ...]
    n_possible: int
