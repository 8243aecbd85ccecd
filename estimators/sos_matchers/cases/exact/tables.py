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
from numpy.typing import NDArray

from sos_matchers.cases.common import left_out_words
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
    row_of_each,
    setting_warnings,
)
from sos_matchers.cases.exact.moments import CellWeights, centre_of
from sos_matchers.cases.exact.report import (
    ExactMatches,
    match_tables,
    match_warnings,
    refuse_no_match,
    sentence,
)
from sos_matchers.cases.exact.sample import NAME, ExactData, HistogramParts, missing_words
from sos_matchers.cases.exact.settings import CoarsenedExactSettings
from sos_matchers.cases.exact.weights import Floats, Ints, matched_weights
from sos_matchers.cases.weighted import quantile
from sos_plugins.backends import duckdb_backend, failures_in_words
from sos_plugins.contract.interfaces import BALANCE_COLUMNS
from sos_plugins.errors import DataError, DesignError, SettingsError, listing
from sos_plugins.groundwork.installed import distribution_version

FEW = 32
"""Cut points up to which a bin is counted as the cut points below a value."""
EXACT_SUM = "decimal(38, 18)"
"""What weights are added up as: no order of rows and no number of threads changes a digit."""
FACTOR = "_factor"
FLAWED_SIDES, FLAWED_WEIGHTS = "sides", "weights"
FINE = "fine "
"""Beginning of the names of digits that matter for imbalance alone."""
VALUE = "value "
"""Beginning of the names of digits that are a number's values."""
MOST_VALUES, MOST_TOGETHER = 2**10, 2**20
"""Whole numbers of no more values are counted value by value, as long as there are no more
combinations of them; bins and sums then follow from the values, without a look at the cases."""
LARGEST_TABLE = 2**25
"""Combinations up to which sums are kept in a table of all that may be, a quarter of a gigabyte."""


@dataclass(frozen=True)
class TableMatch:
    """What exact matching of a table gives.

    Attributes:
        table: The matched cases, all columns of the table and ``weight``: an expression that runs
            where the table lies.
        balance: Frame of :data:`sos_plugins.contract.interfaces.BALANCE_COLUMNS`; distances of the
            distributions of numbers are missing, since sums do not tell them.
        n_dropped: How many cases are left out.
        sentence: What was done, as a manuscript would say it.
        warnings: Sentences that a reader must see.
        tables: ``imbalance``, ``effective``, ``unmatched`` and ``strata``, as of a sample.
        weight: The weight of every case in the order of the table, 0 for the unmatched, where
            DuckDB hands cases without weights over; else None.
    """

    table: ibis.Table
    balance: pd.DataFrame
    n_dropped: int
    sentence: str
    warnings: tuple[str, ...]
    tables: Mapping[str, pd.DataFrame]
    weight: Floats | None = None


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
        DataError: If a column is missing or has gaps where none may be, a side is neither 0 nor 1,
            or a weight is negative or infinite.
        DesignError: If a side is absent, nothing varies, or no case is matched.
        SettingsError: If settings do not fit the table.
    """
    data = _opened(table)
    columns = _columns(data, settings, tuple(covariates), treated, weight)
    with failures_in_words():
        facts = _facts(data, columns)
        with_nan = {name: _number(data[name]) for name, fact in facts.items() if fact.has_nan}
        data = data.mutate(**with_nan) if with_nan else data
        coarsened, notes, warnings = _coarsened(data, columns, settings, facts)
        within = [_levels(data, name) for name in columns.within]
        wholes = _whole_numbers(coarsened, facts)
        digits = _digits(data, columns, within, coarsened, wholes)
        cells = _added_up(data, columns, digits, coarsened)
    exact = _exact_data(cells, columns, within, coarsened)
    kept = exact.matched
    if not kept.any():
        refuse_no_match(exact)
    start = np.where(kept, exact.weight, 0.0)
    new = matched_weights(exact.pattern, exact.treated, start, exact.n_patterns)
    software = f"{data.get_backend().name}, numpy {distribution_version('numpy')}"
    found = ExactMatches(kept, new, software)
    gaps, whole = _gaps(exact, cells)
    exact = replace(exact, notes=(*notes, *gaps), warnings=(*whole, *warnings))
    tables = match_tables(exact, found, settings, cells.squares)
    dropped = round(exact.counts[~kept].sum())
    return TableMatch(
        table=_weighted(data, columns, digits, cells, exact, found),
        balance=_balance(cells, exact, found),
        n_dropped=dropped,
        sentence=f"{sentence(exact, found, settings, tables)} {left_out_words(dropped)}",
        warnings=(*exact.warnings, *match_warnings(exact, settings, tables)),
        tables=tables,
        weight=_weights_of_cases(cells, exact, found),
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


def _flaws(data: ibis.Table, columns: Columns) -> dict[str, Any]:
    """Count sides that are neither 0 nor 1, and weights that are no weights, in expressions."""
    side = data[columns.treated].cast("float64")
    flaws = {FLAWED_SIDES: (~side.isin([0.0, 1.0])).fill_null(True).sum()}
    if columns.weight:
        weight = data[columns.weight].cast("float64")
        # Databases have NaN above infinity.
        usable = (weight >= 0) & (weight < _double(np.inf))
        flaws[FLAWED_WEIGHTS] = (~usable).fill_null(True).sum()
    return flaws


def _refuse_flaws(found: pd.Series, columns: Columns) -> None:
    for flaw, column, fits in (
        (FLAWED_SIDES, columns.treated, "0 or 1"),
        (FLAWED_WEIGHTS, columns.weight, "0 or more"),
    ):
        if column is not None and found[flaw]:
            raise DataError(f"Column '{column}' has {int(found[flaw])} values that are not {fits}.")


# ---- covariates ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class NumberFacts:
    """What is known of a number among the covariates.

    Attributes:
        n_missing: How many cases lack it.
        numbers: What rules of cut points need; none, if no case has it.
        whole: Whether it is whole in every case that has it.
        has_nan: Whether gaps are written as NaN.
    """

    n_missing: int
    numbers: Numbers
    whole: bool
    has_nan: bool


def _coarsened(
    data: ibis.Table,
    columns: Columns,
    settings: CoarsenedExactSettings,
    facts: Mapping[str, NumberFacts],
) -> tuple[tuple[Coarsened, ...], tuple[str, ...], tuple[str, ...]]:
    """Coarsen the covariates that vary; return them, notes on the others, and warnings."""
    made: list[Coarsened] = []
    notes, warnings = [], []
    for name in columns.covariates:
        if name in facts:
            numbers = facts[name].numbers
            known = numbers.n > 0
            varies = numbers.high > numbers.low or (known and facts[name].n_missing > 0)
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
    return (
        tuple(made),
        tuple(notes),
        (*warnings, *setting_warnings(settings, columns.covariates, told)),
    )


def _facts(data: ibis.Table, columns: Columns) -> dict[str, NumberFacts]:
    """Look once at every case: at the numbers among the covariates, the side and the weight.

    Raises:
        DataError: If a side is neither 0 nor 1, or a weight is negative, infinite or missing.
    """
    names = [c for c in columns.covariates if data[c].type().is_numeric()]
    wanted = _flaws(data, columns)
    for n, name in enumerate(names):
        x, nan = _number(data[name]), data[name].cast("float64").isnan()
        wanted |= {
            f"known{n}": x.count(),
            f"missing{n}": x.isnull().sum(),
            f"low{n}": x.min(),
            f"high{n}": x.max(),
            f"sd{n}": x.std(how="sample"),
            f"whole{n}": (x == x.floor().cast("float64")).all(),
            f"nan{n}": nan.any() if data[name].type().is_floating() else ibis.literal(value=False),
        }
    row = data.aggregate(**wanted).to_pandas().iloc[0].fillna(0.0)
    _refuse_flaws(row, columns)
    return {
        name: NumberFacts(
            n_missing=int(row[f"missing{n}"]),
            numbers=Numbers(
                int(row[f"known{n}"]),
                float(row[f"low{n}"]),
                float(row[f"high{n}"]),
                float(row[f"sd{n}"]),
                _quantiles(data, name),
            ),
            whole=bool(row[f"whole{n}"]),
            has_nan=bool(row[f"nan{n}"]),
        )
        for n, name in enumerate(names)
    }


def _number(column: Any) -> Any:
    """Return a number as a double, with a gap where it is none (NaN)."""
    double = column.cast("float64")
    return double.nullif(float("nan")) if column.type().is_floating() else double


def _quantiles(data: ibis.Table, name: str) -> Any:
    """Give quantiles of type 7 from the values, each once with how often it occurs."""

    def of(shares: Sequence[float]) -> Floats:
        x = _number(data[name])
        counted = data.filter(x.notnull()).group_by(x=x).aggregate(n=lambda t: t.count())
        frame = counted.to_pandas()
        values, n = significant(frame["x"].to_numpy(float)), frame["n"].to_numpy()
        return np.array([quantile(values, n, share) for share in shares])

    return of


def _distinct(data: ibis.Table, name: str) -> Any:
    def of() -> Sequence[float]:
        x = data[name].cast("float64")
        return list(data.select(x=x).distinct().to_pandas()["x"].dropna())

    return of


def _levels(data: ibis.Table, name: str, fill: str | None = None) -> tuple[str, ...]:
    """Return the levels of a column as text, sorted."""
    found = data.select(level=data[name]).distinct().to_pandas()["level"]
    if found.isna().any() and fill is None:
        raise DataError(f"Column '{name}' has gaps; cases cannot be compared within it.")
    known = found.dropna()
    if data[name].type().is_boolean():  # as the database writes them
        known = known.map({True: "true", False: "false"})
    elif data[name].type().is_integer():
        known = known.astype("int64")
    texts = {str(level) for level in known}
    return tuple(sorted({*texts, fill} if found.isna().any() and fill is not None else texts))


# ---- cells ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WholeNumber:
    """A covariate of few whole numbers.

    Attributes:
        covariate: Its bins.
        values: What it may be, then NaN for what is not known, (values,).
    """

    covariate: CutNumber
    values: Floats

    @property
    def digit(self) -> str:
        """What the place of a case's value is called."""
        return f"{VALUE}{self.covariate.name}"

    def place(self, x: Any) -> Any:
        """Return the place of a number among the values, an expression."""
        return (x - _double(self.values[0])).cast("int64").fill_null(len(self.values) - 1)

    @property
    def centred(self) -> Floats:
        """The values less their centre, 0 for what is not known, (values,)."""
        return np.nan_to_num(self.values - centre_of(self.covariate.fine))

    def bins(self, place: Ints) -> tuple[Ints, Ints]:
        """Return the bins of the matching and of the histogram, by places of values, (n,) each."""
        coarse, fine = self.covariate.codes(pd.Series(self.values))
        return coarse[place], fine[place]


def _whole_numbers(
    coarsened: Sequence[Coarsened], facts: Mapping[str, NumberFacts]
) -> tuple[WholeNumber, ...]:
    """Return the covariates that are few whole numbers, as many as are counted together."""
    found, size = [], 1
    for c in coarsened:
        if not isinstance(c, CutNumber) or not facts[c.name].whole:
            continue
        low, high = facts[c.name].numbers.low, facts[c.name].numbers.high
        n = high - low + 2
        if n <= MOST_VALUES and size * n <= MOST_TOGETHER:
            size *= int(n)
            found.append(WholeNumber(c, np.append(np.arange(low, high + 1), np.nan)))
    return tuple(found)


@dataclass(frozen=True)
class Digits:
    """The whole numbers of a case.

    Attributes:
        base: Of the strata and of categories, which match and imbalance share.
        whole: Of the bins of ``wholes``.
        bins: Of the bins of other numbers that are matched on, and of the side.
        values: Of the values of ``wholes``.
        fine: Of the bins of other numbers that imbalance is measured in.
        wholes: Covariates that are counted value by value.
    """

    base: tuple[Digit, ...]
    whole: tuple[Digit, ...]
    bins: tuple[Digit, ...]
    values: tuple[Digit, ...]
    fine: tuple[Digit, ...]
    wholes: tuple[WholeNumber, ...]

    @property
    def coarse(self) -> tuple[Digit, ...]:
        """What decides the weight of a case."""
        return (*self.base, *self.whole, *self.bins)

    @property
    def counted(self) -> tuple[Digit, ...]:
        """What cases are added up by; imbalance first, so that its cells lie together."""
        return (*self.base, *self.values, *self.fine, *self.bins)

    def with_bins(self, unpacked: Mapping[str, Ints]) -> dict[str, Ints]:
        """Add the digits that follow from values."""
        found = dict(unpacked)
        for whole in self.wholes:
            name = whole.covariate.name
            found[name], found[f"{FINE}{name}"] = whole.bins(unpacked[whole.digit])
        return found

    @property
    def histogram(self) -> tuple[Digit, ...]:
        """What makes the cells that imbalance is measured in, those of ``wholes`` included."""
        wholes = [Digit(f"{FINE}{w.covariate.name}", None, w.covariate.n_fine) for w in self.wholes]
        return (*self.base, *wholes, *self.fine)


def _digits(
    data: ibis.Table,
    columns: Columns,
    within: Sequence[Sequence[str]],
    coarsened: Sequence[Coarsened],
    wholes: tuple[WholeNumber, ...],
) -> Digits:
    backend = data.get_backend().name
    base = [
        Digit(name, _place(data[name], levels, backend), len(levels))
        for name, levels in zip(columns.within, within, strict=True)
    ]
    counted = {w.covariate.name: w for w in wholes}
    whole, bins, values, fine = [], [], [], []
    for c in coarsened:
        column = data[c.name]
        if isinstance(c, GroupedLevels):
            base.append(Digit(c.name, _place(column, c.levels, backend), len(c.levels)))
            continue
        x = column.cast("float64")
        of_bin = Digit(c.name, _bin(x, c.cuts), len(c.labels))
        if number := counted.get(c.name):
            whole.append(of_bin)
            values.append(Digit(number.digit, number.place(x), len(number.values)))
        else:
            bins.append(of_bin)
            fine.append(Digit(_fine_name(c), _bin(x, c.fine), c.n_fine))
    bins.append(Digit("side", data[columns.treated].cast("int64"), 2))
    return Digits(tuple(base), tuple(whole), tuple(bins), tuple(values), tuple(fine), wholes)


def _place(column: Any, levels: Sequence[str], backend: str) -> Any:
    """Return the place of a level among levels; what is not known is at "Missing"."""
    # Few whole numbers from 0 are their own places.
    if column.type().is_integer() and list(levels) == [str(n) for n in range(len(levels))]:
        return column.cast("int64")
    known, text = ibis.array(list(levels)), column.cast("string")
    if backend == "duckdb":  # which looks every level up once for many cases, in a bare function
        place = list_position(known, text) - 1
    else:
        place = known.index(text).cast("int64")
    return place.fill_null(levels.index(MISSING)) if MISSING in levels else place


@ibis.udf.scalar.builtin(  # type: ignore[untyped-decorator]
    signature=(("array<string>", "string"), "int64")
)
def list_position(levels: Any, level: Any) -> Any:
    """Return the place of a level in a list, from 1: a function of DuckDB."""


def _bin(x: Any, cuts: Cuts) -> Any:
    """Return the bin that :meth:`Cuts.bins_of` returns."""
    n = len(cuts.points)
    if cuts.start is None or n <= FEW:
        found = ibis.literal(0).cast("int64")
        for point in cuts.points:
            found = found + (x >= _double(point)).cast("int64")
        found = found + (x - x).cast("int64") if n == 0 else found
    else:
        found = _equal_bin(x, cuts.start, cuts.step, n)
    return found.cast("int64").fill_null(n + 1)


def _equal_bin(x: Any, start: float, step: float, last: int) -> Any:
    """Return the bin of equal width, where division may be out by one at the edges."""
    low, width = _double(start), _double(step)
    near = ((x - low) / width).floor().cast("float64")
    below = (x < near * width + low).cast("int64")
    above = (x >= (near + _double(1)) * width + low).cast("int64")
    return ibis.greatest(ibis.least(near - below + above, _double(last)), _double(0))


def _double(number: float) -> Any:
    """Return a number as a double with all its digits, which databases read as a decimal."""
    return ibis.literal(repr(float(number))).cast("float64")


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
    return {f"_key{n}": _key(part) for n, part in enumerate(_packed(digits))}


@dataclass(frozen=True)
class Cells:
    """Cases added up by what decides their weight: what they are matched on, and their side.

    Attributes:
        digits: The whole numbers of each cell, by name, (cells,).
        n: Its cases, (cells,).
        weight: The sum of their weights, (cells,).
        squares: The sum of their squared weights, (cells,).
        sums: Of each number, less its centre, the weighted sum and that of its square, (cells,).
        histogram: The cells of the histogram that imbalance is measured in.
        of_case: Place of every case's cell among all that may be, in the order of the table; None
            where the cases were added up by the database.
        places: Those places, (cells,).
    """

    digits: Mapping[str, Ints]
    n: Floats
    weight: Floats
    squares: Floats
    sums: Mapping[str, tuple[Floats, Floats]]
    histogram: HistogramParts
    of_case: NDArray[np.int32] | None = None
    places: Ints | None = None


def _added_up(
    data: ibis.Table, columns: Columns, digits: Digits, coarsened: Sequence[Coarsened]
) -> Cells:
    """Add up the cases: by numpy where DuckDB hands them over, else by the database."""
    counted = {w.covariate.name for w in digits.wholes}
    numbers = {
        c.name: data[c.name].cast("float64") - _double(centre_of(c.fine))
        for c in coarsened
        if isinstance(c, CutNumber) and c.name not in counted
    }
    combinations = np.prod([float(d.size) for d in digits.coarse])
    local = data.get_backend().name == "duckdb" and columns.weight is None
    if local and combinations <= LARGEST_TABLE and len(list(_packed(digits.counted))) == 1:
        return _added_up_here(data, digits, numbers)
    return _added_up_there(data, columns, digits, numbers)


def _added_up_here(data: ibis.Table, digits: Digits, numbers: Mapping[str, Any]) -> Cells:
    """Add up whole numbers that DuckDB computes: sorting them takes a fraction of its grouping."""
    parts = {name: getattr(digits, name) for name in ("base", "values", "fine", "bins")}
    keys = {f"_{name}": _key(part) for name, part in parts.items() if part}
    z = {f"_z{n}": number for n, number in enumerate(numbers.values())}
    given = data.select(**keys, **z).to_pyarrow()
    nothing = np.zeros(len(given), dtype=np.int64)
    base, values, fine, bins = (
        given[f"_{name}"].to_numpy() if part else nothing for name, part in parts.items()
    )
    whole_bins, whole_fine = _of_values(digits)
    place = (base * _size(digits.whole) + whole_bins[values]) * _size(digits.bins) + bins
    of_case = place.astype(np.int32)
    del place
    added = {
        name: _moments(of_case, np.nan_to_num(given[column].to_numpy()), _size(digits.coarse))
        for name, column in zip(numbers, z, strict=True)
    }
    key = (base * _size(digits.values) + values) * _size(digits.fine) + fine
    key = key * _size(digits.bins) + bins
    del given, base, values, fine, bins
    key.sort()
    start = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    n = np.diff(np.append(start, len(key))).astype(float)
    rest, bins = np.divmod(key[start], _size(digits.bins))
    rest, fine = np.divmod(rest, _size(digits.fine))
    base, values = np.divmod(rest, _size(digits.values))
    coarse = (base * _size(digits.whole) + whole_bins[values]) * _size(digits.bins) + bins
    row, size = combined([coarse], [_size(digits.coarse)])
    places = coarse[row_of_each(row, size)]
    wide = base * (int(whole_fine.max()) + 1) + whole_fine[values]
    cell, _ = combined([wide, fine], [int(wide.max()) + 1, _size(digits.fine)])
    of_value = _unpacked([values], digits.values) if digits.wholes else {}
    sums = {name: (one[places], two[places]) for name, (one, two) in added.items()}
    sums |= _sums_of_wholes(digits, of_value, n, row, size)
    total = _bincount(row, n, size)
    parts_of = HistogramParts(cell, row, n)
    unpacked = _unpacked([places], digits.coarse)
    return Cells(unpacked, total, total, total, sums, parts_of, of_case, places)


def _of_values(digits: Digits) -> tuple[Ints, Ints]:
    """Return the whole numbers of both kinds of bins, of every combination of values."""
    if not digits.wholes:
        return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    every = np.arange(_size(digits.values), dtype=np.int64)
    found = digits.with_bins(_unpacked([every], digits.values))
    fine = [found[f"{FINE}{w.covariate.name}"] for w in digits.wholes]
    return _number_of(found, digits.whole), combined(fine, [int(f.max()) + 1 for f in fine])[0]


def _sums_of_wholes(
    digits: Digits, unpacked: Mapping[str, Ints], weight: Floats, row: Ints, size: int
) -> dict[str, tuple[Floats, Floats]]:
    """Add up whole numbers, and their squares, from how often each value occurs."""
    return {
        w.covariate.name: _moments(row, w.centred[unpacked[w.digit]], size, weight)
        for w in digits.wholes
    }


def _moments(
    key: NDArray[np.integer[Any]], z: Floats, size: int, weight: Floats | float = 1.0
) -> tuple[Floats, Floats]:
    return _bincount(key, weight * z, size), _bincount(key, weight * z * z, size)


def _bincount(key: NDArray[np.integer[Any]], values: Floats, size: int) -> Floats:
    return np.asarray(np.bincount(key, values, minlength=size), dtype=float)


def _size(digits: Sequence[Digit]) -> int:
    return int(np.prod([d.size for d in digits], dtype=np.int64))


def _key(digits: Sequence[Digit]) -> Any:
    """Return the whole number that holds digits, an expression."""
    return reduce(lambda key, d: key * d.size + d.value, digits[1:], digits[0].value)


def _number_of(unpacked: Mapping[str, Ints], digits: Sequence[Digit]) -> Ints:
    """Return the whole number that holds digits, of cells."""
    key = np.zeros_like(unpacked[digits[0].name])
    for digit in digits:
        key = key * digit.size + unpacked[digit.name]
    return key


def _added_up_there(
    data: ibis.Table,
    columns: Columns,
    digits: Digits,
    numbers: Mapping[str, Any],
) -> Cells:
    """Add up where the table lies; weights exactly, whatever the order of rows."""
    start = {"_w": data[columns.weight].cast("float64")} if columns.weight else {}
    z = {f"_z{n}": number for n, number in enumerate(numbers.values())}
    t = data.select(**_keys(digits.counted), **z, **start)
    w = t["_w"] if columns.weight else ibis.literal(1.0)
    sums = {"n": t.count()}
    if columns.weight:
        sums |= {name: _exact(v) for name, v in (("weight", w), ("squares", w * w))}
    for name in z:
        number = t[name].fill_null(0.0)
        sums |= {f"sum{name}": (w * number).sum(), f"squares{name}": (w * number * number).sum()}
    keys = [name for name in t.columns if name.startswith("_key")]
    frame = t.group_by(keys).aggregate(**sums).to_pandas().sort_values(keys, ignore_index=True)
    unpacked = _unpacked([frame[key].to_numpy(np.int64) for key in keys], digits.counted)
    unpacked = digits.with_bins(unpacked)
    row, size = _combined(unpacked, digits.coarse)
    n = frame["n"].to_numpy(float)
    weight, squares = (
        frame[c].to_numpy(float) if columns.weight else n for c in ("weight", "squares")
    )
    added = {
        name: (
            _bincount(row, frame[f"sum{column}"].to_numpy(float), size),
            _bincount(row, frame[f"squares{column}"].to_numpy(float), size),
        )
        for name, column in zip(numbers, z, strict=True)
    }
    added |= _sums_of_wholes(digits, unpacked, weight, row, size)
    one = row_of_each(row, size)
    return Cells(
        digits={d.name: unpacked[d.name][one] for d in digits.coarse},
        n=_bincount(row, n, size),
        weight=_bincount(row, weight, size),
        squares=_bincount(row, squares, size),
        sums=added,
        histogram=HistogramParts(_combined(unpacked, digits.histogram)[0], row, weight),
    )


def _combined(unpacked: Mapping[str, Ints], digits: Sequence[Digit]) -> tuple[Ints, int]:
    return combined([unpacked[d.name] for d in digits], [d.size for d in digits])


def _exact(values: Any) -> Any:
    return values.cast(EXACT_SUM).sum().cast("float64")


def _unpacked(keys: Sequence[Ints], digits: Sequence[Digit]) -> dict[str, Ints]:
    """Take whole numbers apart into their digits."""
    columns: dict[str, Ints] = {}
    for rest, part in zip(keys, _packed(digits), strict=True):
        for digit in reversed(part):
            rest, columns[digit.name] = np.divmod(rest, digit.size)
    return {digit.name: columns[digit.name] for digit in digits}


def _exact_data(
    cells: Cells,
    columns: Columns,
    within: Sequence[Sequence[str]],
    coarsened: tuple[Coarsened, ...],
) -> ExactData:
    """Make of cells what :func:`sos_matchers.cases.exact.sample.exact_data` makes of cases."""
    treated = cells.digits["side"] == 1
    if treated.all() or not treated.any():
        raise DesignError(
            f"Matcher '{NAME}': the table has cases of one side alone, so there is nothing to "
            "match."
        )
    stratum = np.zeros(len(cells.n), dtype=np.int64)
    strata: tuple[str, ...] = ("all cases",)
    frame = pd.DataFrame(
        {
            name: _categorical(cells.digits[name], levels)
            for name, levels in zip(columns.within, within, strict=True)
        },
        index=range(len(cells.n)),
    )
    if columns.within:
        digits = [cells.digits[name] for name in columns.within]
        stratum, n = combined(digits, [len(levels) for levels in within])
        first = row_of_each(stratum, n)
        parts = [
            [f"{name} {levels[d]}" for d in digit[first]]
            for name, levels, digit in zip(columns.within, within, digits, strict=True)
        ]
        strata = tuple(", ".join(words) for words in zip(*parts, strict=True))
    match = [_matched_digit(c, cells.digits[c.name]) for c in coarsened]
    sizes = [len(c.labels) for c in coarsened]
    pattern, n_patterns = combined([stratum, *match], [len(strata), *sizes])
    a_row = row_of_each(pattern, n_patterns)
    return ExactData(
        frame=frame.assign(unit=np.array(strata, dtype=object)[stratum]),
        coarsened=coarsened,
        treated=treated,
        weight=cells.weight,
        counts=cells.n,
        stratum=stratum,
        strata=strata,
        within=columns.within,
        pattern=pattern,
        n_patterns=n_patterns,
        codes=tuple(codes[a_row] for codes in match),
        a_row=a_row,
        histogram=cells.histogram,
        occasion=np.arange(len(cells.n)),
        in_order=True,
    )


def _categorical(codes: Ints, levels: Sequence[str]) -> pd.Categorical:
    made: pd.Categorical = pd.Categorical.from_codes(codes, list(levels))  # type: ignore[call-overload]
    return made


def _gaps(exact: ExactData, cells: Cells) -> tuple[list[str], list[str]]:
    """Count what is missing; warn of strata in which nothing is known of a covariate."""
    notes, warnings = [], []
    n_strata = len(exact.strata)
    n = np.bincount(exact.stratum, exact.counts, minlength=n_strata)
    for c in exact.coarsened:
        levels = c.levels if isinstance(c, GroupedLevels) else c.labels
        if MISSING not in levels:
            continue
        missing = cells.digits[c.name] == levels.index(MISSING)
        if not missing.any():
            continue
        lost = np.bincount(exact.stratum, np.where(missing, exact.counts, 0.0), minlength=n_strata)
        notes.append(missing_words(c.name, lost.sum(), n.sum()))
        for s in np.flatnonzero((lost == n) & (n > 0)):
            warnings.append(
                f"Covariate {c.name} is missing in all {n[s]:,.0f} cases of {exact.strata[s]}."
            )
    return notes, warnings


def _matched_digit(covariate: Coarsened, digit: Ints) -> Ints:
    return covariate.group[digit] if isinstance(covariate, GroupedLevels) else digit


def _fine_name(covariate: Coarsened) -> str:
    return f"{FINE}{covariate.name}" if isinstance(covariate, CutNumber) else covariate.name


# ---- what comes back -----------------------------------------------------------------------------


def _weighted(
    data: ibis.Table,
    columns: Columns,
    digits: Digits,
    cells: Cells,
    exact: ExactData,
    found: ExactMatches,
) -> ibis.Table:
    """Join what cases are multiplied with to the table; cases that are not matched are gone."""
    keys = {
        f"_key{n}": _number_of(cells.digits, part) for n, part in enumerate(_packed(digits.coarse))
    }
    factor = found.weight[found.kept] / exact.weight[found.kept]
    frame = pd.DataFrame({name: key[found.kept] for name, key in keys.items()})
    frame = frame.assign(**{FACTOR: factor})
    start = data[columns.weight].cast("float64") if columns.weight else ibis.literal(1.0)
    keyed = data.mutate(**_keys(digits.coarse), _start=start)
    joined = keyed.inner_join(ibis.memtable(frame), list(keys))
    joined = joined.filter(joined["_start"] > 0)
    return joined.mutate(weight=joined["_start"] * joined[FACTOR]).drop(*keys, FACTOR, "_start")


def _weights_of_cases(cells: Cells, exact: ExactData, found: ExactMatches) -> Floats | None:
    if cells.of_case is None or cells.places is None:
        return None
    of_one = np.zeros(int(cells.places[-1]) + 1)
    of_one[cells.places] = found.weight / exact.weight
    return np.asarray(of_one[cells.of_case])


def _balance(cells: Cells, exact: ExactData, found: ExactMatches) -> pd.DataFrame:
    """Return the balance of covariates from sums over what cases are matched on."""
    weights = CellWeights(
        treated=exact.treated,
        weight=exact.weight,
        squares=cells.squares,
        ratio=found.weight / np.where(exact.weight > 0, exact.weight, 1.0),
    )
    rows: list[dict[str, str | float]] = []
    for c in exact.coarsened:
        digit = cells.digits[c.name]
        if isinstance(c, GroupedLevels):
            rows += weights.of_levels([f"{c.name}={level}" for level in c.levels], digit)
            continue
        gap = digit == len(c.labels) - 1
        z, zz = cells.sums[c.name]
        rows.append(weights.of_number(c.name, z, zz, ~gap, centre_of(c.fine)))
        if gap[weights.weight > 0].any():
            rows += weights.of_levels([c.name, f"{c.name}={MISSING}"], gap.astype(np.int64))[1:]
    return pd.DataFrame(rows, columns=list(BALANCE_COLUMNS))
