"""Linked children: one identifier in every table, and what that changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sos_plugins.cache.codec import travels
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract.columns import COMPRESSED_COLUMNS
from sos_plugins.contract.record_tables import RECORD_TABLES
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Link, Records
from sos_plugins.errors import DataError

if TYPE_CHECKING:
    import ibis

CHILD = ("unit", "child")
PERSON = "person"
SAME = pa.schema([(name, pa.string()) for name in (*CHILD, PERSON)])
NOBODY = SAME.empty_table()
"""Links of no children: all stay alone."""
GAP_DAYS = 1
"""Days between two episodes of a linked child that are one period of care all the same."""
_EFFECT = (
    *("outcome", "cases_without", "cases_with"),
    *("mean_without", "mean_with", "cells_changed", "reason"),
)


@travels
@dataclass(frozen=True)
class Linked:
    """A link as it is kept: :class:`sos_plugins.contract.types.Link` with its table in memory."""

    same: pd.DataFrame
    figures: pd.DataFrame
    weights: pd.DataFrame
    sentence: str
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, link: Link, linker: str) -> Linked:
        """Bring a link into memory.

        Args:
            link: What a linker found.
            linker: Its name.

        Raises:
            DataError: If it names a child twice or lacks a name.
        """
        same = link.same.select(*SAME.names).to_pandas().sort_values(list(CHILD))
        twice = int(same.duplicated(list(CHILD)).sum())
        if twice or same.isna().to_numpy().any():
            raise DataError(
                f"The linker '{linker}' names {twice} children twice, or leaves names empty: its "
                "table 'same' must have one row a child. This is a fault of the linker."
            )
        return cls(same, link.figures, link.weights, link.sentence, link.warnings)

    @property
    def table(self) -> pa.Table:
        """The linked children."""
        return pa.Table.from_pandas(self.same, schema=SAME, preserve_index=False)


@dataclass(frozen=True)
class LinkResult:
    """What a study tells of its link.

    Attributes:
        plugin: Name of the linker.
        label: The linker in words.
        sentence: What was done.
        figures: :data:`sos_plugins.contract.types.FIGURE_COLUMNS`.
        weights: :data:`sos_plugins.contract.types.WEIGHT_COLUMNS`, or empty.
        merged: Frame ``table, n_before, n_merged, n_after``: rows that were the same thing once
            their children were one.
        effect: Frame ``outcome, cases_without, cases_with, mean_without, mean_with,
            cells_changed, reason``: each outcome with children as the sources identify them, and
            linked; ``cells_changed`` counts authorities' periods whose cases or mean differ.
    """

    plugin: str
    label: str
    sentence: str
    figures: pd.DataFrame
    weights: pd.DataFrame = field(default_factory=pd.DataFrame)
    merged: pd.DataFrame = field(default_factory=pd.DataFrame)
    effect: pd.DataFrame = field(default_factory=pd.DataFrame)


def with_one_identifier(
    records: Records, same: pa.Table, session: Session
) -> tuple[Records, pd.DataFrame]:
    """Give children that are one the same identifier, which no other child has anywhere.

    The authority of a row stays as it is. Of rows that are the same thing once children are one,
    the latest stands; columns of a child are taken from the first identifier that has a value.

    Args:
        records: The records; they are left as they are.
        same: Linked children, columns of :data:`SAME`.
        session: Where the tables are put.

    Returns:
        The records, and the frame ``table, n_before, n_merged, n_after`` of rows merged.
    """
    who = session.table(same, "linked")
    tables, rows = dict(records.tables), []
    for name, table in records.tables.items():
        if not set(CHILD) <= set(table.columns):
            continue
        renamed = _renamed(table, who)
        if not same.num_rows:
            tables[name] = renamed.drop("_own", "_linked")
            continue
        one = session.table(_once(name, renamed, session), name)
        before, after = (int(t.count().to_pyarrow().as_py()) for t in (table, one))
        rows.append(
            {"table": name, "n_before": before, "n_merged": before - after, "n_after": after}
        )
        tables[name] = one
    merged = pd.DataFrame(rows, columns=["table", "n_before", "n_merged", "n_after"])
    return replace(records, tables=tables, linked=True), merged


def _renamed(table: ibis.Table, who: ibis.Table) -> ibis.Table:
    """Add ``_own``, the identifier of the source, and ``_linked``; ``child`` is new."""
    import ibis

    other = who.select(_unit="unit", _child="child", _person=PERSON)
    same = [table["unit"] == other["_unit"], table["child"] == other["_child"]]
    joined = table.left_join(other, same).drop("_unit", "_child")
    linked = joined["_person"].notnull()
    # A slash tells persons and children alone apart: neither can be the other.
    alone = joined["unit"] + "/" + joined["child"]
    named = ibis.ifelse(linked, ibis.literal("linked/") + joined["_person"], alone)
    return joined.mutate(_own=joined["child"], _linked=linked, child=named).drop("_person")


def _once(name: str, table: ibis.Table, session: Session) -> ibis.Table:
    """Keep one row of what is the same thing now that children are one."""
    import ibis

    about = RECORD_TABLES.get(name)
    if about is None or not about.unique:
        return table.drop("_own", "_linked")
    alone = table.filter(~table["_linked"]).drop("_own", "_linked")
    linked = session.table(table.filter(table["_linked"]).drop("_linked"), f"{name}_linked")
    values = [c for c in alone.columns if c not in about.key]
    if name == "children":
        first = linked.group_by(list(about.key)).aggregate(
            **{c: linked[c].argmin(linked["_own"], where=linked[c].notnull()) for c in values}
        )
    else:
        latest = [ibis.desc(linked[about.version].fill_null(0))] if about.version else []
        order = [*latest, linked["_own"]]
        rank = ibis.row_number().over(ibis.window(group_by=list(about.key), order_by=order))
        first = linked.mutate(_rank=rank)
        first = first.filter(first["_rank"] == 0).drop("_rank")
        if "period_of_care" in values:
            first = _periods(first)
    return ibis.union(alone, first.select(*alone.columns))


def _periods(episodes: ibis.Table) -> ibis.Table:
    """Number periods of care anew where a child had several identifiers in an authority.

    A child's episodes there start on different days: those of one day are one.
    """
    import ibis

    child = list(CHILD)
    whole = ibis.window(group_by=child)
    so_far = ibis.cumulative_window(group_by=child, order_by=episodes["start_date"])
    end = episodes["end_date"].fill_null(ibis.date(9999, 12, 31))
    marked = episodes.mutate(
        _several=episodes["_own"].min().over(whole) != episodes["_own"].max().over(whole),
        _until=end.max().over(so_far),
        _period=episodes["_own"] + "/" + episodes["period_of_care"].cast("string"),
    )
    in_order = ibis.window(group_by=child, order_by=marked["start_date"])
    marked = marked.mutate(
        _before=marked["_until"].lag().over(in_order),
        _period_before=marked["_period"].lag().over(in_order),
    )
    apart = marked["start_date"].delta(marked["_before"], unit="day") > GAP_DAYS
    begins = ((marked["_period"] != marked["_period_before"]) & apart).fill_null(True)
    marked = marked.mutate(_begins=begins.cast("int64"))
    so_far = ibis.cumulative_window(group_by=child, order_by=marked["start_date"])
    number = marked["_begins"].sum().over(so_far)
    return marked.mutate(
        period_of_care=ibis.ifelse(marked["_several"], number, marked["period_of_care"])
    )


def effect_of(outcome: str, without: CollectedCases | str, linked: CollectedCases | str) -> Any:
    """Return a row of :attr:`LinkResult.effect`.

    Args:
        outcome: Its name in the study.
        without: Its cases with children as the sources identify them, or why there are none.
        linked: Its cases with linked children, or why there are none.
    """
    missing = [str(cases) for cases in (without, linked) if isinstance(cases, str)]
    if isinstance(without, str) or isinstance(linked, str):
        return {**dict.fromkeys(_EFFECT), "outcome": outcome, "reason": " ".join(missing)}
    before, after = _cells(without), _cells(linked)
    both = before.add_suffix("_without").join(after.add_suffix("_with"), how="outer").fillna(0)
    same = reduce(
        and_, (np.isclose(both[f"{c}_without"], both[f"{c}_with"]) for c in ("cases", "sum"))
    )
    sums = both.sum()
    return {
        "outcome": outcome,
        "cases_without": int(sums["cases_without"]),
        "cases_with": int(sums["cases_with"]),
        "mean_without": sums["sum_without"] / sums["cases_without"],
        "mean_with": sums["sum_with"] / sums["cases_with"],
        "cells_changed": int((~same).sum()),
        "reason": "",
    }


def _cells(cases: CollectedCases) -> pd.DataFrame:
    """Count cases and add their values up by authority and period."""
    frame = cases.frame
    number, _, sums = COMPRESSED_COLUMNS
    there = number in frame
    rows = pd.DataFrame(
        {
            "unit": frame["unit"],
            "period": frame["period"],
            "cases": frame[number] if there else frame["value"].notna().astype(int),
            "sum": frame[sums] if there else frame["value"],
        }
    )
    return rows.groupby(["unit", "period"])[["cases", "sum"]].sum()


def effects_of(rows: Iterable[Any]) -> pd.DataFrame:
    """Make the frame of effects from rows of :func:`effect_of`."""
    return pd.DataFrame(list(rows), columns=list(_EFFECT))
