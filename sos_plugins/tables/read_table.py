"""A tidy table of a user's own as a sample for an estimator.

Every error names the file, the line (the row in other files than CSV), the column and what was
expected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sos_plugins.contract.columns import RESERVED_COLUMNS
from sos_plugins.contract.types import Sample
from sos_plugins.errors import DataError
from sos_plugins.groundwork.text_codes import Codes
from sos_plugins.tables.file_columns import SHOWN, Columns, read_columns, refuse_no_table
from sos_plugins.tables.frames import frame_columns
from sos_plugins.tables.names_alike import warn_of_names_alike
from sos_plugins.tables.period_columns import Periods, read_cohorts, read_periods

FACTOR = re.compile(r"factor\(\s*(.*?)\s*\)")
"""How a covariate is written whose numbers are categories."""


@dataclass(frozen=True)
class TidySample:
    """A sample read from a tidy table, and what a reader should know about the reading.

    ``notes`` are sentences: cells read as missing, rows left out and why. The sample carries them
    to the warnings of every estimate.
    """

    sample: Sample
    notes: tuple[str, ...] = ()


def read_sample(
    data: Path | Any,
    *,
    unit: str,
    period: str,
    cohort: str,
    value: str,
    id: str | None = None,
    covariates: Sequence[str] = (),
    weights: str | None = None,
    cluster: str | None = None,
    missing: Sequence[str] = (),
    sheet: str | None = None,
) -> TidySample:
    """Read a tidy table as a sample: one row a case, or a unit and period of a panel.

    Args:
        data: A file (:data:`sos_plugins.tables.file_columns.KINDS`), or a table in memory that
            :func:`sos_plugins.tables.frames.frame_columns` takes.
        unit: Column of the unit that is treated.
        period: Column of the period, a whole number or a financial year such as 2014/15.
        cohort: Column of the first treated period of the row's unit, in the same form; 0, empty,
            NaN and infinite mean never. Where a period is 0 or less, 0 is refused.
        value: Column of the outcome.
        id: Column that identifies the observed unit of a panel; None for repeated cross-sections.
        covariates: Columns of covariates, numbers or text. ``factor(x)`` makes the numbers of
            the column ``x`` categories.
        weights: Column of weights, not negative; None for weights of 1.
        cluster: Column that standard errors are clustered by; None for the unit.
        missing: Texts that stand for a missing value, besides empty cells, R's NA without
            quotation marks and, among numbers, those of :data:`MISSING`.
        sheet: Sheet of a workbook; the only one with cells if none is named.

    Returns:
        The sample. ``post`` is 1 from the cohort's first period on. Never-treated units are
        "post" from the one adoption period on if there is exactly one, otherwise nowhere.

    Raises:
        DataError: For every fault that would change a result: a column that is not there, text
            where numbers are expected, a cohort that changes within a unit, two rows of an ``id``
            in one period, a negative weight, a covariate that has another role in the analysis or
            the name of a column that it makes.
    """
    roles = {"value": value, "cohort": cohort, "period": period, "unit": unit, "id": id}
    named_in_factors = [factor[1] for text in covariates if (factor := FACTOR.fullmatch(text))]
    used = [*roles.values(), weights, cluster, *covariates, *named_in_factors]
    columns = _columns(data, {*filter(None, roles.values())}, {*filter(None, used)}, missing, sheet)
    chosen = _covariates(columns, covariates)
    _refuse_roles(columns, chosen, {**roles, "weight": weights, "cluster": cluster})
    named = dict.fromkeys((unit, cluster or unit, *([id] if id is not None else [])))
    texts = {name: _required_text(columns, name) for name in named}
    periods = _required_periods(columns, period)
    frame = pd.DataFrame(
        {
            "unit": texts[unit],
            "period": periods.values.astype(np.int64),
            "cohort": read_cohorts(columns, cohort, periods),
            "value": columns.numbers(value),
            "weight": np.ones(columns.n_rows) if weights is None else columns.weights(weights),
            "cluster": texts[cluster or unit],
        },
        copy=False,
    )
    codes = {name: columns.codes(name, texts[name]) for name in dict.fromkeys((unit, id or unit))}
    if id is not None:
        frame["id"] = texts[id]
        _refuse_repeats(columns, frame, codes[id], id=id, period=period)
    for name, is_factor in chosen.items():
        frame[name] = columns.factor(name) if is_factor else columns.covariate(name)
    _refuse_changing_cohorts(columns, frame, codes[unit], unit=unit, cohort=cohort)
    for sentence in warn_of_names_alike(texts[unit].unique()):
        columns.note("units alike", sentence)
    return _labelled(columns, frame, tuple(chosen), value)


def _columns(
    data: Path | Any, needed: set[str], used: set[str], missing: Sequence[str], sheet: str | None
) -> Columns:
    """Open a file, or the table in memory."""
    if not isinstance(data, Path):
        return frame_columns(data, used=used, missing=missing)
    refuse_no_table(data, needed)
    return read_columns(data, used=used, missing=missing, sheet=sheet)


def _covariates(columns: Columns, covariates: Sequence[str]) -> dict[str, bool]:
    """Return the columns of the covariates, and whether each is asked for as categories."""
    chosen: dict[str, bool] = {}
    for text in covariates:
        factor = None if text in columns.names else FACTOR.fullmatch(text)
        name = factor[1] if factor else text
        if chosen.setdefault(name, bool(factor)) != bool(factor):
            raise DataError(
                f"The covariate '{name}' is asked for as numbers and as factor({name}); give one."
            )
    return chosen


def _refuse_roles(
    columns: Columns, covariates: Mapping[str, bool], roles: Mapping[str, str | None]
) -> None:
    for name in covariates:
        taken = [role for role, column in roles.items() if column == name]
        if taken:
            raise DataError(
                f"{columns.path}: column '{name}' is the {' and '.join(taken)} column and cannot "
                "be a covariate as well; leave it out of the covariates."
            )
        if name in RESERVED_COLUMNS:
            columns.raw(name)
            raise DataError(
                f"{columns.path}: a covariate cannot be named '{name}', since the analysis makes "
                f"a column of that name; rename the column '{name}' in the file."
            )


def _required_text(columns: Columns, name: str) -> pd.Series:
    text = columns.texts(name)
    if text.null_count:
        columns.refuse(name, text.is_null().to_numpy(zero_copy_only=False), "no cell may be empty")
    return pd.Series(text.to_pandas())


def _required_periods(columns: Columns, name: str) -> Periods:
    periods = read_periods(columns, name)
    if np.isnan(periods.values).any():
        columns.refuse(name, np.isnan(periods.values), "no cell may be empty")
    return periods


def _refuse_repeats(
    columns: Columns, frame: pd.DataFrame, codes: Codes, *, id: str, period: str
) -> None:
    repeated = _repeated(codes, frame["period"].to_numpy())
    if not repeated.any():
        return
    key = frame.loc[repeated, ["id", "period"]].iloc[0]
    same = (frame["id"] == key["id"]) & (frame["period"] == key["period"])
    rows = [int(row) for row in np.flatnonzero(same)]
    raise DataError(
        f"{columns.path}: {id} '{key['id']}' stands {len(rows)} times in {period} {key['period']} "
        f"({', '.join(columns.places(rows[:SHOWN]))}). A panel has one row an id and period; leave "
        "the id out for repeated cross-sections."
    )


def _repeated(codes: Codes, periods: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Say of each row whether others have its code and period; (n,)."""
    same = codes[1:] == codes[:-1]
    if (codes[1:] >= codes[:-1]).all() and (periods[1:][same] > periods[:-1][same]).all():
        return np.zeros(len(codes), dtype=bool)  # by code, and by period within each
    pairs = pd.DataFrame({"code": codes, "period": periods})
    return pairs.duplicated(keep=False).to_numpy()


def _refuse_changing_cohorts(
    columns: Columns, frame: pd.DataFrame, codes: Codes, *, unit: str, cohort: str
) -> None:
    cohorts = frame["cohort"].to_numpy()
    last = np.empty(codes.max() + 1, dtype=np.int64)
    last[codes] = cohorts
    changes = last[codes] != cohorts
    if not changes.any():
        return
    changing = sorted(frame.loc[changes, "unit"].unique())
    first = str(changing[0])
    values = sorted(frame.loc[frame["unit"] == first, "cohort"].unique())
    raise DataError(
        f"{columns.path}, column '{cohort}': {unit} '{first}' has the first treated periods "
        f"{', '.join(map(str, values))} ({len(changing)} such units). A unit has one, or 0 for "
        "never."
    )


def _labelled(
    columns: Columns, frame: pd.DataFrame, covariates: tuple[str, ...], value: str
) -> TidySample:
    notes = list(columns.notes())
    for name, label in (("value", value), *((c, c) for c in covariates)):
        n = int(frame[name].isna().sum())
        if n:
            notes.append(f"{n} {'row' if n == 1 else 'rows'} without '{label}' left out.")
            frame = frame.dropna(subset=[name])
    frame = frame.reset_index(drop=True)
    if frame.empty:
        raise DataError(f"{columns.path}: no row has a value and every covariate.")
    adoption = sorted(int(g) for g in frame["cohort"].unique() if g)
    start = frame["cohort"].where(
        frame["cohort"] > 0, adoption[0] if len(adoption) == 1 else np.inf
    )
    frame["treated"] = (frame["cohort"] > 0).astype(np.int64)
    frame["post"] = (frame["period"] >= start).astype(np.int64)
    value_of = frame["value"].to_numpy()
    binary = bool(((value_of == 0) | (value_of == 1)).all())
    sample = Sample(frame, covariates=covariates, binary=binary, notes=tuple(notes))
    return TidySample(sample, tuple(notes))
