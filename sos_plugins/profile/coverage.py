"""Whether the pilots have records before and after their embedding windows, and how good ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sos_plugins.contract.types import Pilot
from sos_plugins.profile.record_profile import RecordProfile

COVERAGE_COLUMNS = (
    *("unit", "name", "cohort", "years_before", "years_after", "years_missing"),
    *("share_before", "share_after", "breaks"),
)


def pilot_coverage(
    profile: RecordProfile, pilots: Sequence[Pilot], names: Mapping[str, str]
) -> pd.DataFrame:
    """Return one row a pilot.

    Returns:
        Frame of :data:`COVERAGE_COLUMNS`: covered years with rows before the pilot's first treated
        period and from it on, covered years without; the share of rows at fault before and after;
        breaks in its series.
    """
    rows = [_pilot(profile.cells, pilot, names) for pilot in pilots]
    return pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS))


def _pilot(cells: pd.DataFrame, pilot: Pilot, names: Mapping[str, str]) -> dict[str, Any]:
    own = cells[cells["unit"] == pilot.unit]
    filled = own[own["n"] > 0]
    before = filled[filled["period"] < pilot.cohort]
    after = filled[filled["period"] >= pilot.cohort]
    return {
        "unit": pilot.unit,
        "name": pilot.name or names.get(pilot.unit, ""),
        "cohort": pilot.cohort,
        "years_before": len(before),
        "years_after": len(after),
        "years_missing": len(own) - len(filled),
        "share_before": _share(before),
        "share_after": _share(after),
        "breaks": int(own["breaks"].sum()),
    }


def _share(part: pd.DataFrame) -> float | None:
    n = int(part["n"].sum())
    return float(part["n_faulty"].sum() / n) if n else None
