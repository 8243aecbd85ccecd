"""The same thing in several rows: duplicates, and rows of one thing that contradict each other."""

from __future__ import annotations

from typing import Any

import ibis
import pandas as pd

from sos_plugins.contract.record_tables import RECORD_TABLES
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Records
from sos_plugins.profile.counts import FAULT_COLUMNS, empty_faults
from sos_plugins.profile.looked_for import LOOKED_FOR
from sos_plugins.profile.rule_checks import PERIOD, with_period

DUPLICATE = "duplicate"


def count_repeats(records: Records, name: str, session: Session) -> pd.DataFrame:
    """Count rows beyond the first of each key, and keys whose rows contradict each other.

    Rows of one key that come from several returns are no duplicates; where they differ in what is
    told once, they contradict each other.

    Returns:
        Frame of :data:`sos_plugins.profile.counts.FAULT_COLUMNS`; ``n`` is left to the caller.
    """
    about = RECORD_TABLES[name]
    if not about.key:
        return empty_faults()
    table = records.table(name)
    rows = table.group_by(list(about.key)).aggregate(_rows=table.count())
    repeated = session.table(rows.filter(rows["_rows"] > 1), "repeated")
    if not repeated.count().to_pyarrow().as_py():
        return empty_faults()
    frame: pd.DataFrame = _by_unit(records, name, repeated).to_pandas()
    frame["period"] = frame["period"].astype("Int64")
    frame = frame.sort_values(["unit", "period"], ignore_index=True)
    kinds = [(DUPLICATE, about.key[-1], "extra")]
    kinds += [
        (fault, column, f"differ_{column}") for column, fault in LOOKED_FOR[name].conflicts.items()
    ]
    parts = [_part(frame, *kind, name) for kind in kinds]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else empty_faults()


def _by_unit(records: Records, name: str, repeated: ibis.Table) -> ibis.Table:
    """Count the rows beyond the first, and the keys whose rows differ, by unit and year."""
    about, conflicts = RECORD_TABLES[name], LOOKED_FOR[name].conflicts
    table = with_period(records, name)
    same = [table[column].identical_to(repeated[column]) for column in about.key]
    rows = table.semi_join(repeated, same)
    of_key: dict[str, Any] = {"_rows": rows.count()}
    of_key["_returns"] = rows[about.version].nunique() if about.version else ibis.literal(1)
    for column in conflicts:
        value = rows[column].cast("int64") if rows[column].type().is_boolean() else rows[column]
        of_key[f"_differ_{column}"] = (value.min() != value.max()).fill_null(False)
    keys = rows.group_by([*about.key, PERIOD]).aggregate(**of_key)
    extra = keys["_rows"] - ibis.greatest(keys["_returns"], 1)
    counts: dict[str, Any] = {"extra": extra.sum()}
    for column in conflicts:
        counts[f"differ_{column}"] = keys[f"_differ_{column}"].cast("int64").sum()
    return keys.group_by(unit=keys["unit"], period=keys[PERIOD]).aggregate(**counts)


def _part(frame: pd.DataFrame, fault: str, column: str, counted: str, name: str) -> pd.DataFrame:
    flags = frame[["unit", "period"]].assign(
        fault=fault, table=name, column=column, n=0, n_flagged=frame[counted].astype("int64")
    )
    return flags.loc[flags["n_flagged"] > 0, list(FAULT_COLUMNS)]
