"""Imputer new-imputer: values of other cases of the same authority.

A working example to change: each gap takes the value of a case that is drawn from those of the
authority, or of all where none of its cases has one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from pydantic import Field

from sos_plugins import Engine, ImputationTask, Imputed, Imputer, Settings, hookimpl
from sos_plugins.errors import DataError

STILL_THE_EXAMPLE = "values of the same authority"  # take this line out when it is yours


class NewImputerSettings(Settings):
    """How many data sets are completed."""

    sets: int = Field(20, ge=2, description="completed data sets")


def fit(task: ImputationTask, settings: NewImputerSettings) -> Imputed:
    """Draw a known value of the authority for each gap, set by set."""
    frame = task.frame.sort_values(list(task.frame.columns), kind="stable")
    values = {}
    for name in task.targets:
        if frame[name].isna().all():
            raise DataError(f"All values of the covariate '{name}' are missing.")
        values[name] = _drawn(frame, name, settings.sets, task.seed)
    return Imputed(values, settings.sets, f"Gaps were filled {settings.sets} times.")


def _drawn(frame: pd.DataFrame, name: str, sets: int, seed: int) -> pd.DataFrame:
    rng, known = np.random.default_rng(seed), frame[frame[name].notna()]
    gaps = frame[frame[name].isna()]
    parts = []
    for unit, rows in gaps.groupby("unit"):
        own = known.loc[known["unit"] == unit, name]
        donors = (own if len(own) else known[name]).to_numpy()
        parts.append(pd.DataFrame(rng.choice(donors, (len(rows), sets)), index=rows.index))
    return pd.concat(parts).sort_index()


class NewImputer(Imputer):
    """Known values of the same authority, drawn at random."""

    name = "new-imputer"
    label = "New imputer"
    Settings = NewImputerSettings
    citation = ""
    engines = (Engine("python", fit),)


@hookimpl
def register_imputers(register: Callable[[Imputer], None]) -> None:
    """Register the imputer."""
    register(NewImputer())
