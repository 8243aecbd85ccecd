"""Exact matching of a table in a database: millions of cases are added up where they lie.

Every case becomes whole numbers, one for each column that makes strata, each bin and each level;
cases that have the same are added up by DuckDB or Spark, and only these sums come here. The weight
of every case is an expression on the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd

from sos_matchers.cases.data import WITHIN
from sos_matchers.cases.exact.bins import Cuts, Numbers, significant
from sos_matchers.cases.exact.coarsen import (
    LARGEST_KEY,
    MISSING,
    Coarsened,
    CutNumber,
    GroupedLevels,
    coarsened_category,
    coarsened_number,
    combined,
    unheard,
)
from sos_matchers.cases.exact.moments import CellWeights, centre_of
from sos_matchers.cases.exact.report import (
    ExactFound,
    effective_sizes,
    imbalance,
    left_out,
    match_warnings,
    refuse_no_match,
    sentence,
    strata_table,
    unmatched_table,
)
from sos_matchers.cases.exact.sample import NAME, ExactData
from sos_matchers.cases.exact.settings import CoarsenedExactSettings
from sos_matchers.cases.exact.weights import Floats, Ints, matched_weights, on_both_sides
from sos_matchers.summaries import plural
from sos_plugins.backends import duckdb_backend, failures_in_words
from sos_plugins.contract.interfaces import BALANCE_COLUMNS, distribution_version
from sos_plugins.errors import DataError, DesignError, SettingsError, listing

FEW = 32
"""Cut points up to which a bin is counted as the cut points below a value."""
EXACT_SUM = "decimal(38, 18)"
"""What weights are added up as: no order of rows and no number of threads changes a digit."""
FACTOR = "_factor"


@dataclass(frozen=True)
class TableMatch:
    """What exact matching of a table gives.

    Attributes:
        table: The matched cases, all columns of the table and ``weight``: an expression that runs
            where the table lies.
        balance: Frame of :data:`sos_plugins.contract.interfaces.BALANCE_COLUMNS`.
        n_dropped: How many cases are left out.
        sentence: What was done, as a manuscript would say it.
        warnings: Sentences that a reader must see.
        tables: ``imbalance``, ``effective``, ``unmatched`` and ``strata``, as of a sample.
    """

    table: ibis.Table
    balance: pd.DataFrame
    n_dropped: int
    sentence: str
    warnings: tuple[str, ...]
    tables: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Digit:
    """One of the whole numbers that a case becomes: 0 to ``size`` - 1."""

    name: str
    value: Any
    size: int


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are for."""

    within: tuple[str, ...]
    covariates: tuple[str, ...]
    treated: str
    weight: str | None


def match_table(
    table: ibis.Table | Path | str,
    settings: CoarsenedExactSettings,
    *,
    covariates: Sequence[str] = (),
    treated: str = "treated",
    weight: str | None = None,
) -> TableMatch:
    """Match the cases of a table exactly on coarsened covariates.

    Args:
        table: Ibis table on DuckDB or Spark, or the path of a Parquet file.
        settings: As of the matcher ``coarsened-exact``; ``k2k`` and ``weights = "composite"`` need
            the cases of a sample.
        covariates: Columns to match on, where ``settings`` does not name them.
        treated: Column of 1 for pilots' cases and 0 for comparators'.
        weight: Column of what a case starts with; 1 if none.

    Returns:
        The match; its table gives the weight of every matched case.

    Raises:
        DataError: If a column is missing or has gaps where none may be, or a weight is negative.
        DesignError: If a side is absent, nothing varies, or no case is matched.
        SettingsError: If settings do not fit the table.
    """
    data = _opened(table)
    columns = _columns(data, settings, tuple(covariates), treated, weight)
    with failures_in_words():
        coarsened, notes, warnings = _coarsened(data, columns, settings)
        within = [_levels(data, name) for name in columns.within]
        digits = _digits(data, columns, within, coarsened)
        cells = _added_up(data, columns, digits, coarsened)
    exact = _exact_data(cells, columns, within, coarsened)
    kept = exact.present & _matched_patterns(exact)[exact.pattern]
    if not kept.any():
        side = exact.treated
        refuse_no_match(round(exact.counts[side].sum()), round(exact.counts[~side].sum()))
    start = np.where(kept, exact.weight, 0.0)
    new = matched_weights(exact.pattern, exact.treated, start, exact.n_patterns)
    software = f"{data.get_backend().name}, numpy {distribution_version('numpy')}"
    found = ExactFound(kept, new, software)
    gaps, whole = _gaps(exact, cells)
    exact = replace(exact, notes=(*notes, *gaps), warnings=(*whole, *warnings))
    tables = {
        "imbalance": imbalance(exact, found, settings),
        "effective": effective_sizes(exact, found, cells["squares"].to_numpy(float)),
        "unmatched": unmatched_table(exact, found),
        "strata": strata_table(exact, found),
    }
    dropped = round(exact.counts[~kept].sum())
    return TableMatch(
        table=_weighted(data, columns, digits, cells, exact, found),
        balance=_balance(cells, exact, found),
        n_dropped=dropped,
        sentence=f"{sentence(exact, found, settings, tables)} {left_out(dropped)}",
        warnings=(*exact.warnings, *match_warnings(exact, settings, tables)),
        tables=tables,
    )


def _opened(table: ibis.Table | Path | str) -> ibis.Table:
    if not isinstance(table, (Path, str)):
        return table
    if not Path(table).exists():
        raise DataError(f"There is no file {table}.")
    return duckdb_backend().read_parquet(table)


def _columns(
    data: ibis.Table,
    settings: CoarsenedExactSettings,
    covariates: tuple[str, ...],
    treated: str,
    weight: str | None,
) -> Columns:
    if settings.k2k or settings.weights == "composite":
        what = "k2k" if settings.k2k else 'weights = "composite"'
        raise SettingsError(
            f"Matcher '{NAME}': {what} needs the cases of a sample, not a table; leave it out, or "
            "give what a case starts with as the column 'weight'."
        )
    names = settings.covariates or covariates
    if not names:
        raise SettingsError(f"Matcher '{NAME}': name the covariates of the table to match on.")
    within = settings.within
    if within is None:
        within = tuple(c for c in WITHIN if c in data.columns)
    wanted = [*within, *names, treated, *([weight] if weight else [])]
    if absent := [c for c in wanted if c not in data.columns]:
        raise DataError(
            f"The table has no columns {listing(absent)}. Columns: {listing(data.columns)}."
        )
    return Columns(within, names, treated, weight)


# ---- covariates ----------------------------------------------------------------------------------


def _coarsened(
    data: ibis.Table, columns: Columns, settings: CoarsenedExactSettings
) -> tuple[tuple[Coarsened, ...], tuple[str, ...], tuple[str, ...]]:
    """Coarsen the covariates that vary; return them, notes on the others, and warnings."""
    made: list[Coarsened] = []
    notes, warnings = [], []
    facts = _facts(data, [c for c in columns.covariates if data[c].type().is_numeric()])
    for name in columns.covariates:
        if name in facts:
            known, n_missing, numbers = facts[name]
            varies = numbers.high > numbers.low or (known and n_missing > 0)
        else:
            levels = _levels(data, name, fill=MISSING)
            known, varies = levels != (MISSING,), len(levels) > 1
        if not known:
            warnings.append(f"Covariate {name} is missing in all cases and was left out.")
        elif not varies:
            notes.append(f"The covariate {name} does not vary and was left out.")
        elif name in facts:
            distinct = _distinct(data, name)
            made.append(coarsened_number(name, settings, numbers, distinct))
        else:
            made.append(coarsened_category(name, settings, levels))
    if not made:
        raise DesignError(
            f"Matcher '{NAME}': none of the covariates {listing(columns.covariates)} varies among "
            "the cases, so all are matched alike."
        )
    told = {c.name: c.levels for c in made if isinstance(c, GroupedLevels)}
    return tuple(made), tuple(notes), (*warnings, *unheard(settings, columns.covariates, told))


def _facts(data: ibis.Table, names: Sequence[str]) -> dict[str, tuple[int, int, Numbers]]:
    """Return how many values each number has and lacks, and what the rules need of them."""
    if not names:
        return {}
    wanted = {}
    for n, name in enumerate(names):
        x = _number(data[name])
        wanted |= {
            f"known{n}": x.count(),
            f"missing{n}": x.isnull().sum(),
            f"low{n}": x.min(),
            f"high{n}": x.max(),
            f"sd{n}": x.std(how="sample"),
        }
    row = data.aggregate(**wanted).to_pandas().iloc[0].fillna(0.0)
    return {
        name: (
            int(row[f"known{n}"]),
            int(row[f"missing{n}"]),
            Numbers(
                int(row[f"known{n}"]),
                float(row[f"low{n}"]),
                float(row[f"high{n}"]),
                float(row[f"sd{n}"]),
                _quantiles(data, name),
            ),
        )
        for n, name in enumerate(names)
    }


def _number(column: Any) -> Any:
    """Return a number with gaps alone where it is none."""
    if column.type().is_floating():
        return column.cast("float64").nullif(float("nan"))
    return column.cast("float64")


def _quantiles(data: ibis.Table, name: str) -> Any:
    """Give quantiles of type 7 from the values, each once with how often it occurs."""

    def of(shares: Sequence[float]) -> Floats:
        x = _number(data[name])
        counted = data.filter(x.notnull()).group_by(x=x).aggregate(n=lambda t: t.count())
        frame = counted.order_by("x").to_pandas()
        ends = frame["n"].cumsum().to_numpy()
        values = significant(frame["x"].to_numpy(float))
        place = (ends[-1] - 1) * np.asarray(shares)
        low, high = (values[np.searchsorted(ends, edge(place), "right")] for edge in _EDGES)
        return np.asarray(low + (high - low) * (place - np.floor(place)))

    return of


_EDGES = (np.floor, np.ceil)


def _distinct(data: ibis.Table, name: str) -> Any:
    def of() -> Sequence[float]:
        x = _number(data[name])
        return list(data.select(x=x).distinct().to_pandas()["x"].dropna())

    return of


def _levels(data: ibis.Table, name: str, fill: str | None = None) -> tuple[str, ...]:
    """Return the levels of a column as text, sorted."""
    found = data.select(level=data[name].cast("string")).distinct().to_pandas()["level"]
    if fill is not None:
        found = found.fillna(fill)
    if found.isna().any():
        raise DataError(f"Column '{name}' has gaps; cases cannot be compared within it.")
    return tuple(sorted(set(found)))


# ---- cells ---------------------------------------------------------------------------------------


def _digits(
    data: ibis.Table,
    columns: Columns,
    within: Sequence[Sequence[str]],
    coarsened: Sequence[Coarsened],
) -> list[Digit]:
    """Return the whole numbers of a case: of the strata, then of each covariate, then the side."""
    made = [
        Digit(name, _place(data[name], levels), len(levels))
        for name, levels in zip(columns.within, within, strict=True)
    ]
    for c in coarsened:
        if isinstance(c, GroupedLevels):
            made.append(Digit(c.name, _place(data[c.name], c.levels), len(c.levels)))
            continue
        x = _number(data[c.name])
        made.append(Digit(c.name, _bin(x, c.cuts), len(c.labels)))
        made.append(Digit(f"fine {c.name}", _bin(x, c.fine), c.n_fine))
    side = data[columns.treated].cast("int64")
    return [*made, Digit("side", side, 2)]


def _place(column: Any, levels: Sequence[str]) -> Any:
    """Return the place of a level among levels; what is not known is at "Missing"."""
    place = ibis.array(list(levels)).index(column.cast("string")).cast("int64")
    return place.fill_null(levels.index(MISSING)) if MISSING in levels else place


def _bin(x: Any, cuts: Cuts) -> Any:
    """Return the bin that :meth:`Cuts.bins_of` returns."""
    n = len(cuts.points)
    if cuts.start is None or n <= FEW:
        found = reduce(
            lambda total, point: total + (x >= float(point)).cast("int64"),
            cuts.points,
            ibis.literal(0).cast("int64"),
        )
    else:
        found = _equal_bin(x, cuts, n)
    return ibis.ifelse(x.isnull(), n + 1, found).cast("int64")


def _equal_bin(x: Any, cuts: Cuts, last: int) -> Any:
    """Return the bin of equal width, where division may be out by one at the edges."""
    assert cuts.start is not None

    def edge(k: Any) -> Any:
        return k.cast("float64") * cuts.step + cuts.start

    near = ((x - cuts.start) / cuts.step).floor().cast("int64")
    near = near - (x < edge(near)).cast("int64") + (x >= edge(near + 1)).cast("int64")
    return near.clip(0, last)


def _packed(digits: Sequence[Digit]) -> Iterator[list[Digit]]:
    """Yield digits together as far as one whole number holds them."""
    part: list[Digit] = []
    size = 1
    for digit in digits:
        if part and size * digit.size > LARGEST_KEY:
            yield part
            part, size = [], 1
        part.append(digit)
        size *= digit.size
    yield part


def _keys(digits: Sequence[Digit]) -> dict[str, Any]:
    """Return the whole numbers that hold digits."""
    return {
        f"_key{n}": reduce(lambda key, d: key * d.size + d.value, part[1:], part[0].value)
        for n, part in enumerate(_packed(digits))
    }


def _added_up(
    data: ibis.Table, columns: Columns, digits: Sequence[Digit], coarsened: Sequence[Coarsened]
) -> pd.DataFrame:
    """Return a row a cell: its digits, ``n``, ``weight``, ``squares`` and sums of numbers.

    Raises:
        DataError: If a side is neither 0 nor 1, or a weight is negative or missing.
    """
    numbers = [c for c in coarsened if isinstance(c, CutNumber)]
    side = data[columns.treated].cast("int64")
    flaws = {"sides": (~side.isin([0, 1])).fill_null(True).sum()}
    keyed = {**_keys(digits)}
    if columns.weight:
        w = data[columns.weight].cast("float64")
        flaws["weights"] = (~(w >= 0)).fill_null(True).sum()
        keyed["_w"] = w
    flawed = data.aggregate(**flaws).to_pandas().iloc[0]
    for what, column in (("sides", columns.treated), ("weights", columns.weight)):
        if flawed.get(what, 0):
            fits = "0 or 1" if what == "sides" else "0 or more"
            raise DataError(
                f"Column '{column}' has {int(flawed[what])} values that are not {fits}."
            )
    keyed |= {f"_z{n}": _number(data[c.name]) - centre_of(c.fine) for n, c in enumerate(numbers)}
    t = data.select(**keyed)
    sums = {"n": t.count()}
    w = t["_w"] if columns.weight else ibis.literal(1.0)
    if columns.weight:
        sums |= {name: _exact(v) for name, v in (("weight", w), ("squares", w * w))}
    for n in range(len(numbers)):
        z = t[f"_z{n}"].fill_null(0.0)
        sums |= {f"z{n}": (w * z).sum(), f"zz{n}": (w * z * z).sum()}
    names = [name for name in t.columns if name.startswith("_key")]
    frame: pd.DataFrame = t.group_by(names).aggregate(**sums).to_pandas()
    frame = frame.sort_values(names, ignore_index=True)
    if not columns.weight:
        frame = frame.assign(weight=frame["n"].astype(float), squares=frame["n"].astype(float))
    return _unpacked(frame, digits)


def _exact(values: Any) -> Any:
    return values.cast(EXACT_SUM).sum().cast("float64")


def _unpacked(frame: pd.DataFrame, digits: Sequence[Digit]) -> pd.DataFrame:
    columns: dict[str, Ints] = {}
    for n, part in enumerate(_packed(digits)):
        rest = frame[f"_key{n}"].to_numpy(np.int64)
        for digit in reversed(part):
            rest, columns[digit.name] = np.divmod(rest, digit.size)
    sums = [c for c in frame if not str(c).startswith("_key")]
    return pd.concat([pd.DataFrame(columns), frame[sums]], axis=1)


def _exact_data(
    cells: pd.DataFrame,
    columns: Columns,
    within: Sequence[Sequence[str]],
    coarsened: tuple[Coarsened, ...],
) -> ExactData:
    """Make of cells what :func:`sos_matchers.cases.exact.sample.exact_data` makes of cases."""
    treated = cells["side"].to_numpy() == 1
    if treated.all() or not treated.any():
        raise DesignError(
            f"Matcher '{NAME}': the table has cases of one side alone, so there is nothing to match."
        )
    stratum, strata = np.zeros(len(cells), dtype=np.int64), ("all cases",)
    frame = pd.DataFrame(
        {
            name: pd.Categorical.from_codes(cells[name], list(levels))
            for name, levels in zip(columns.within, within, strict=True)
        },
        index=cells.index,
    )
    if columns.within:
        digits = [cells[name].to_numpy() for name in columns.within]
        stratum, n = combined(digits, [len(levels) for levels in within])
        first = _first(stratum, n)
        parts = [
            [f"{name} {levels[d]}" for d in digit[first]]
            for name, levels, digit in zip(columns.within, within, digits, strict=True)
        ]
        strata = tuple(", ".join(words) for words in zip(*parts, strict=True))
    match = [_matched_digit(c, cells[c.name].to_numpy()) for c in coarsened]
    fine = [cells[_fine_name(c)].to_numpy() for c in coarsened]
    sizes = [len(c.labels) for c in coarsened]
    pattern, n_patterns = combined([stratum, *match], [len(strata), *sizes])
    cell, _ = combined([stratum, *fine], [len(strata), *(c.n_fine for c in coarsened)])
    first = _first(pattern, n_patterns)
    return ExactData(
        frame=frame.assign(unit=pd.Categorical.from_codes(stratum, list(strata))),
        coarsened=coarsened,
        treated=treated,
        weight=cells["weight"].to_numpy(float),
        counts=cells["n"].to_numpy(float),
        stratum=stratum,
        strata=strata,
        within=columns.within,
        pattern=pattern,
        n_patterns=n_patterns,
        codes=tuple(codes[first] for codes in match),
        first=first,
        cell=cell,
        occasion=np.arange(len(cells)),
    )


def _gaps(exact: ExactData, cells: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Count what is missing; warn of strata in which nothing is known of a covariate."""
    notes, warnings = [], []
    n_strata = len(exact.strata)
    n = np.bincount(exact.stratum, exact.counts, minlength=n_strata)
    for c in exact.coarsened:
        levels = c.levels if isinstance(c, GroupedLevels) else c.labels
        missing = np.asarray(levels)[cells[c.name]] == MISSING
        if not missing.any():
            continue
        lost = np.bincount(exact.stratum, np.where(missing, exact.counts, 0.0), minlength=n_strata)
        notes.append(
            f"{c.name} is missing in {lost.sum():,.0f} of {plural(round(n.sum()), 'case')}, a level "
            "of its own."
        )
        for s in np.flatnonzero((lost == n) & (n > 0)):
            warnings.append(
                f"Covariate {c.name} is missing in all {n[s]:,.0f} cases of {exact.strata[s]}."
            )
    return notes, warnings


def _first(key: Ints, n: int) -> Ints:
    first = np.zeros(n, dtype=np.int64)
    first[key] = np.arange(len(key))
    return first


def _matched_digit(covariate: Coarsened, digit: Ints) -> Ints:
    return covariate.group[digit] if isinstance(covariate, GroupedLevels) else digit


def _fine_name(covariate: Coarsened) -> str:
    fine = isinstance(covariate, CutNumber)
    return f"fine {covariate.name}" if fine else covariate.name


def _matched_patterns(exact: ExactData) -> np.ndarray:
    return on_both_sides(exact.pattern, exact.treated, exact.present, exact.n_patterns)


# ---- what comes back -----------------------------------------------------------------------------


def _weighted(
    data: ibis.Table,
    columns: Columns,
    digits: Sequence[Digit],
    cells: pd.DataFrame,
    exact: ExactData,
    found: ExactFound,
) -> ibis.Table:
    """Join what cases are multiplied with to the table; cases that are not matched are gone."""
    coarse = [d for d in digits if not d.name.startswith("fine ")]
    parts = list(_packed(coarse))
    keys: dict[str, Any] = {}
    for n, part in enumerate(parts):
        key = cells[part[0].name].to_numpy()
        for digit in part[1:]:
            key = key * digit.size + cells[digit.name].to_numpy()
        keys[f"_key{n}"] = key
    factor = found.weight[found.kept] / exact.weight[found.kept]
    frame = pd.DataFrame({name: key[found.kept] for name, key in keys.items()})
    frame = frame.assign(**{FACTOR: factor}).drop_duplicates(list(keys), ignore_index=True)
    start = data[columns.weight].cast("float64") if columns.weight else ibis.literal(1.0)
    keyed = data.mutate(**_keys(coarse), _start=start)
    joined = keyed.inner_join(ibis.memtable(frame), list(keys))
    joined = joined.filter(joined["_start"] > 0)
    return joined.mutate(weight=joined["_start"] * joined[FACTOR]).drop(*keys, FACTOR, "_start")


def _balance(cells: pd.DataFrame, exact: ExactData, found: ExactFound) -> pd.DataFrame:
    """Return the balance of covariates from sums over cells."""
    ratio = found.weight / np.where(exact.weight > 0, exact.weight, 1.0)
    weights = CellWeights(exact.treated, exact.weight, cells["squares"].to_numpy(float), ratio)
    rows, n_number = [], 0
    for c in exact.coarsened:
        digit = cells[c.name].to_numpy()
        if isinstance(c, GroupedLevels):
            for place, level in enumerate(c.levels):
                rows.append(weights.of_share(f"{c.name}={level}", digit == place))
            continue
        gap = digit == len(c.labels) - 1
        sums = [cells[f"{what}{n_number}"].to_numpy(float) for what in ("z", "zz")]
        rows.append(weights.of_number(c.name, sums[0], sums[1], ~gap, centre_of(c.fine)))
        if gap.any():
            rows.append(weights.of_share(f"{c.name}={MISSING}", gap))
        n_number += 1
    return pd.DataFrame(rows, columns=list(BALANCE_COLUMNS))
