"""Cells: the sufficient statistics of weighted cases, computed by DuckDB (or Spark) through Ibis.

A cell is what cases of one unit, period and pattern of categories have in common. Categories are
keys; numeric covariates enter as sums and cross products, so nothing is binned. Least squares with
effects of unit and period, and variances clustered by unit or coarser, need nothing else (Wong,
Forsell, Lewis, Mao and Wardrop 2021, "You only compress once").
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sos_plugins.backends import duckdb_backend, failures_in_words
from sos_plugins.contract.columns import COMPRESSED_COLUMNS
from sos_plugins.contract.types import Sample
from sos_plugins.errors import DataError, listing
from sos_plugins.tables.csv_text import read_text

if TYPE_CHECKING:
    import ibis

COMPRESSED = COMPRESSED_COLUMNS
"""Columns that only a compressed sample has."""
NO_SPREAD = 1e-14
"""A direction in which numeric covariates vary less within a cell than this share of their variance
in all cases does not vary: it is rounding."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """Sufficient statistics.

    Attributes:
        frame: One row a cell: the keys, ``n_cases``, the sums ``weight``, ``weight_squares``,
            ``value_sums`` (without weights), ``weighted_value`` and ``weighted_value_squares``, and
            for numeric covariates a, b about their centre ``z:a``, ``zy:a`` and ``zz:a:b``, all
            weighted.
        keys: Columns that tell cells apart.
        categories: Covariates among the keys.
        numbers: Numeric covariates.
        centres: What each numeric covariate is measured from: sums of squares keep their digits.
        weighted: Whether cases have weights of their own.
        binary: Whether every value is 0 or 1.
        n_weightless: Cases of weight 0, which are left out.
    """

    frame: pd.DataFrame
    keys: tuple[str, ...]
    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    centres: Mapping[str, float]
    weighted: bool
    binary: bool
    n_weightless: int = 0

    @property
    def n_cases(self) -> int:
        """Cases in all cells."""
        return int(self.frame["n_cases"].sum())

    def __add__(self, other: Cells) -> Cells:
        """Return the cells of both sets of cases together.

        Raises:
            DataError: If they have other keys or covariates.
        """
        if (self.keys, self.numbers) != (other.keys, other.numbers):
            raise DataError(
                "Cells can be added when they have the same keys and covariates. These have "
                f"{listing((*self.keys, *self.numbers))} and "
                f"{listing((*other.keys, *other.numbers))}."
            )
        both = pd.concat([self.frame, other.centred(self.centres).frame], ignore_index=True)
        return replace(
            self,
            frame=both.groupby(list(self.keys), sort=True, as_index=False).sum(),
            weighted=self.weighted or other.weighted,
            binary=self.binary and other.binary,
            n_weightless=self.n_weightless + other.n_weightless,
        )

    def centred(self, centres: Mapping[str, float]) -> Cells:
        """Return the same cells with numeric covariates measured from other centres."""
        frame = self.frame.copy()
        by = {a: self.centres[a] - centres[a] for a in self.numbers}
        for a, b in _pairs(self.numbers):
            frame[f"zz:{a}:{b}"] += (
                by[a] * frame[f"z:{b}"] + by[b] * frame[f"z:{a}"] + by[a] * by[b] * frame["weight"]
            )
        for a in self.numbers:
            frame[f"zy:{a}"] += by[a] * frame["weighted_value"]
            frame[f"z:{a}"] += by[a] * frame["weight"]
        return replace(self, frame=frame, centres=dict(centres))

    def sample(self, *, by_value: bool = False) -> Sample:
        """Return a compressed sample for the estimators ``did`` and ``event-study``.

        A cell becomes a row with its mean value, or, where numeric covariates vary within it, rows
        about its mean that have exactly its weighted sums and cross products. Coefficients and
        variances clustered by unit or coarser are those of the cases.

        Args:
            by_value: Rows of their own for the values 0 and 1, as a logit needs.

        Raises:
            DataError: If a column is missing that a sample needs, or as :meth:`rows`.
        """
        rows = self.rows(by_value=by_value)
        return Sample(rows, (*self.categories, *self.numbers), binary=self.binary)

    def rows(self, *, by_value: bool = False) -> pd.DataFrame:
        """Return the frame of :meth:`sample`: the keys, covariates and sums that rows stand for.

        Raises:
            DataError: If ``by_value`` is asked for with numeric covariates or values other than 0
                and 1.
        """
        if by_value and (self.numbers or not self.binary):
            raise DataError(
                "Cells can be taken apart by value when all values are 0 or 1 and no covariate is "
                "numeric; give the cases themselves."
            )
        return self._by_value() if by_value else _spread_out(self)

    def _by_value(self) -> pd.DataFrame:
        f = self.frame
        ones = f["weighted_value"]
        parts = []
        for value, weight, n in (
            (1.0, ones, f["value_sums"]),
            (0.0, f["weight"] - ones, f["n_cases"] - f["value_sums"]),
        ):
            part = f[list(self.keys)].assign(value=value, weight=weight)
            squares = np.nan if self.weighted else n * (f["weight"] / f["n_cases"]) ** 2
            extra = dict(zip(COMPRESSED, (n, squares, n * value), strict=True))
            parts.append(part.assign(**extra)[n > 0])
        return pd.concat(parts, ignore_index=True)


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(a, b) for i, a in enumerate(names) for b in names[i:]]


def _spread_out(cells: Cells) -> pd.DataFrame:
    """Make rows with the sums and cross products of each cell."""
    f, k = cells.frame, len(cells.numbers)
    weight = f["weight"].to_numpy(float)
    mean = f["weighted_value"].to_numpy(float) / weight
    z = np.column_stack([f[f"z:{a}"] for a in cells.numbers]) if k else np.empty((len(f), 0))
    z = z / weight[:, None]
    steps, rises, n_directions = _directions(cells, z, mean)
    cell, step, rise, share = [np.arange(len(f))[n_directions == 0]], [], [], []
    step.append(np.zeros((len(cell[0]), k)))
    rise.append(np.zeros(len(cell[0])))
    share.append(np.ones(len(cell[0])))
    for j in range(k):
        rows = np.flatnonzero(j < n_directions)
        for sign in (1.0, -1.0):
            far = sign * np.sqrt(n_directions[rows] / weight[rows])
            cell.append(rows)
            step.append(far[:, None] * steps[rows, :, j])
            rise.append(far * rises[rows, j])
            share.append(0.5 / n_directions[rows])
    where, part = np.concatenate(cell), np.concatenate(share)
    out = f[list(cells.keys)].iloc[where].reset_index(drop=True)
    out["value"] = mean[where] + np.concatenate(rise)
    out["weight"] = weight[where] * part
    moved = z[where] + np.concatenate(step)
    for j, a in enumerate(cells.numbers):
        out[a] = cells.centres[a] + moved[:, j]
    n = f["n_cases"].to_numpy(float)[where] * part
    sums = f["value_sums"].to_numpy(float)[where]
    if k:
        sums = np.full(len(out), np.nan) if cells.weighted else n * out["value"].to_numpy(float)
    squares = f["weight_squares"].to_numpy(float)[where] * part
    return out.assign(**dict(zip(COMPRESSED, (n, squares, sums), strict=True)))


def _directions(cells: Cells, z: Floats, mean: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Factor the scatter of the numeric covariates in each cell.

    Returns:
        Steps L (m, k, k) with LL' the scatter of the covariates, rises h (m, k) with Lh their
        scatter with the value, and how many of the directions are there, (m,): the first ones.
    """
    f, k = cells.frame, len(cells.numbers)
    weight = f["weight"].to_numpy(float)
    scatter, with_value = np.zeros((len(f), k, k)), np.zeros((len(f), k))
    for i, a in enumerate(cells.numbers):
        with_value[:, i] = f[f"zy:{a}"] - weight * z[:, i] * mean
        for j, b in enumerate(cells.numbers[i:], start=i):
            both = f[f"zz:{a}:{b}"].to_numpy(float) - weight * z[:, i] * z[:, j]
            scatter[:, i, j] = scatter[:, j, i] = both
    total = np.array([(f[f"zz:{a}:{a}"]).sum() for a in cells.numbers]) / weight.sum()
    scale = np.sqrt(np.where(total > 0, total, 1.0))
    values, vectors = np.linalg.eigh(scatter / np.outer(scale, scale))
    values, vectors = values[:, ::-1], vectors[:, :, ::-1]
    there = (values > NO_SPREAD * weight[:, None]) & (f["n_cases"].to_numpy() > 1)[:, None]
    root = np.sqrt(np.where(there, values, 1.0))
    rises = np.einsum("mij,mi->mj", vectors, with_value / scale) / root
    steps = vectors * root[:, None, :] * scale[:, None]
    return steps, np.where(there, rises, 0.0), there.sum(axis=1)


def cells(
    table: ibis.Table | pd.DataFrame | Path | str,
    *,
    unit: str = "unit",
    period: str = "period",
    value: str = "value",
    weight: str | None = None,
    covariates: Sequence[str] = (),
    keys: Mapping[str, str] | Sequence[str] = (),
    cluster: str | None = None,
) -> Cells:
    """Compress cases to cells.

    Two queries run where the data lie (a path is read by DuckDB, never into memory): one checks the
    columns and finds the means of numeric covariates, one adds up.

    Args:
        table: Ibis table, pandas frame, or path of a Parquet or CSV file.
        unit: Column of the authority.
        period: Column of the period.
        value: Column of the outcome.
        weight: Column of weights; 1 if none.
        covariates: Columns: text and booleans become keys, numbers cross products.
        keys: Further keys of cells: columns, or their names in the cells and the columns. An
            estimator needs ``cohort, treated, post``, and ``group`` with matched groups.
        cluster: Column of clusters; the unit if none.

    Raises:
        DataError: If a column is missing, has missing or infinite values, or a weight is negative,
            or there is too little memory.
    """
    data = _open(table)
    named = dict(keys) if isinstance(keys, Mapping) else {k: k for k in keys}
    of_clusters = {"cluster": cluster} if cluster and cluster != unit else {}
    wanted = {"unit": unit, "period": period, **named, **of_clusters}
    used = [*wanted.values(), value, *([weight] if weight else []), *covariates]
    absent = [c for c in used if c not in data.columns]
    if absent:
        raise DataError(
            f"The table has no columns {listing(absent)}. Columns: {listing(data.columns)}."
        )
    numbers = tuple(c for c in covariates if data[c].type().is_numeric())
    categories = tuple(c for c in covariates if c not in numbers)
    _refuse_clashes((*wanted, *categories), numbers)
    columns = {name: data[column] for name, column in wanted.items()}
    columns |= {n: _text(columns[n]) for n in ("unit", "cluster") if n in columns}
    columns |= {c: data[c] for c in categories}
    measured = {"_value": value, **({"_weight": weight} if weight else {})}
    measured |= {f"_number:{c}": c for c in numbers}
    data = data.select(**columns, **{name: data[c].cast("float64") for name, c in measured.items()})
    with failures_in_words():
        return _compress(data, tuple(columns), categories, measured)


SUMS = (
    *("n_cases", "weight", "weight_squares", "value_sums"),
    *("weighted_value", "weighted_value_squares", "missing", "other_values"),
)


def _refuse_clashes(keys: Sequence[str], numbers: Sequence[str]) -> None:
    """Refuse columns whose names are those of sums.

    Raises:
        DataError: With the name and what to do.
    """
    made = [*(f"{sum_}:{a}" for a in numbers for sum_ in ("z", "zy")), *COMPRESSED, "value", *SUMS]
    made += [*(f"zz:{a}:{b}" for a, b in _pairs(numbers)), "_value", "_weight"]
    names = [*made, *(f"_number:{a}" for a in numbers), *keys]
    twice = {name for name in names if names.count(name) > 1}
    twice |= {a for a in numbers if a in {*keys, *COMPRESSED, "value", "weight"}}
    if twice:
        raise DataError(
            f"Cells have columns of their own named {listing(twice)}: a column of that name cannot "
            "be a key or a covariate beside it. Rename the column in the table."
        )


def _text(column: Any) -> Any:
    return column if column.type().is_string() else column.cast("string")


def _compress(
    data: ibis.Table,
    keys: tuple[str, ...],
    categories: tuple[str, ...],
    measured: Mapping[str, str],
) -> Cells:
    numbers = tuple(c for name, c in measured.items() if name.startswith("_number:"))
    facts = _facts(data, numbers, weighted="_weight" in measured)
    centres = {c: float(facts[f"mean:{c}"]) for c in numbers}
    frame = _add_up(data, keys, centres, weighted="_weight" in measured)
    missing = frame.pop("missing")
    binary = not frame.pop("other_values").any()
    sound = not missing.any() and np.isfinite(frame.drop(columns=list(keys)).to_numpy(float)).all()
    if not sound or frame[list(keys)].isna().to_numpy().any() or not facts["lowest"] >= 0:
        _explain(data, keys, measured)
    if frame.empty:
        raise DataError("The table has no cases of positive weight.")
    if "cluster" not in frame:
        frame.insert(len(keys), "cluster", frame["unit"])
        keys = (*keys, "cluster")
    return Cells(
        frame=frame,
        keys=keys,
        categories=categories,
        numbers=numbers,
        centres=centres,
        weighted=bool(facts["lowest"] != facts["highest"]),
        binary=binary,
        n_weightless=int(facts["weightless"]),
    )


def _open(table: ibis.Table | pd.DataFrame | Path | str) -> ibis.Table:
    if isinstance(table, pd.DataFrame):
        import ibis

        return ibis.memtable(table)
    if not isinstance(table, (Path, str)):
        return table
    path = Path(table)
    if not path.exists():
        raise DataError(f"There is no file {path}.")
    backend = duckdb_backend()
    if path.suffix.lower() in (".csv", ".tsv"):
        read_text(path, used=())  # refuses rows that a quotation mark swallows
    if path.suffix.lower() in (".csv", ".gz", ".tsv"):
        return backend.read_csv(path)
    return backend.read_parquet(path)


def _facts(data: ibis.Table, numbers: Sequence[str], *, weighted: bool) -> Mapping[str, Any]:
    """Find means of numeric covariates and the range of weights."""
    wanted = {f"mean:{c}": data[f"_number:{c}"].mean() for c in numbers}
    facts: dict[str, Any] = {"lowest": 1.0, "highest": 1.0, "weightless": 0}
    if weighted:
        w = data["_weight"]
        wanted |= {"lowest": w.min(), "highest": w.max(), "weightless": (w == 0).sum()}
    if wanted:
        facts |= data.aggregate(**wanted).to_pandas().iloc[0].to_dict()
    return {name: np.nan if pd.isna(fact) else fact for name, fact in facts.items()}


def _explain(data: ibis.Table, keys: tuple[str, ...], measured: Mapping[str, str]) -> None:
    """Say which column cannot be added up.

    Raises:
        DataError: Always.
    """
    flaws = {
        c: (data[name].isnull() | data[name].isnan() | data[name].isinf()).sum()
        for name, c in measured.items()
    }
    flaws |= {k: data[k].isnull().sum() for k in keys}
    row = data.aggregate(n=data.count(), **{f"flaw:{c}": v for c, v in flaws.items()}).to_pandas()
    for column in flaws:
        if n := int(row[f"flaw:{column}"][0]):
            raise DataError(
                f"Column '{column}' has {n} missing or infinite values in {int(row['n'][0])} "
                "cases; fill or drop them before compressing."
            )
    if "_weight" in measured and data["_weight"].min().to_pandas() < 0:
        raise DataError(
            f"Column '{measured['_weight']}' has negative weights; a weight is 0 or more."
        )
    raise DataError("The table has no rows, or numbers too large to be added up.")


def _add_up(
    data: ibis.Table, keys: tuple[str, ...], centres: Mapping[str, float], *, weighted: bool
) -> pd.DataFrame:
    import ibis

    if weighted:  # a missing weight stays, to be found
        data = data.filter((data["_weight"] != 0) | data["_weight"].isnull())
    y = data["_value"]
    w = data["_weight"] if weighted else ibis.literal(1.0)
    z = {c: data[f"_number:{c}"] - centre for c, centre in centres.items()}
    gaps = [v.isnull() for v in (y, *([w] if weighted else []), *z.values())]
    sums = {
        "n_cases": data.count(),
        "weight": w.sum() if weighted else data.count().cast("float64"),
        "weight_squares": (w * w).sum() if weighted else data.count().cast("float64"),
        "value_sums": y.sum(),
        "weighted_value": (w * y).sum() if weighted else y.sum(),
        "weighted_value_squares": (w * y * y).sum() if weighted else (y * y).sum(),
        "missing": reduce(operator.or_, gaps).any(),
        "other_values": (y * y != y).any(),
    }

    def of(v: Any) -> Any:
        return w * v if weighted else v

    sums |= {f"z:{c}": of(v).sum() for c, v in z.items()}
    sums |= {f"zy:{c}": of(v * y).sum() for c, v in z.items()}
    sums |= {f"zz:{a}:{b}": of(z[a] * z[b]).sum() for a, b in _pairs(tuple(centres))}
    frame: pd.DataFrame = data.group_by(list(keys)).aggregate(**sums).to_pandas()
    return frame.sort_values(list(keys), ignore_index=True)
