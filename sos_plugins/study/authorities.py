"""What a file says of authorities: characteristics to match on, covariates to adjust for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from sos_plugins.contract.columns import RESERVED_COLUMNS
from sos_plugins.errors import DataError, did_you_mean, listing
from sos_plugins.study.file import DesignTable
from sos_plugins.tables.file_columns import Columns, read_columns, refuse_no_table
from sos_plugins.tables.period_columns import read_periods
from sos_plugins.tables.unit_codes import KnownUnits

PERIOD_NAMES = ("period", "year")
"""What the column of April-years may be called."""
NUMBERS_SHARE = 0.5
"""A column of text that holds more numbers than this was meant as numbers."""
SHOWN = 6
"""So many authorities or years are named."""


@dataclass(frozen=True)
class AuthorityTable:
    """A file of authorities, read and checked.

    Attributes:
        path: The file.
        rows: ``unit``, ``period`` where it has years, and characteristics: numbers or text.
        covariates: Names of characteristics that regressions adjust for.
        standardised: Whether those that are numbers have been standardised in ``rows``.
    """

    path: Path
    rows: pd.DataFrame
    covariates: tuple[str, ...] = ()
    standardised: bool = False

    @property
    def keys(self) -> list[str]:
        """What tells its rows apart: ``unit``, and ``period`` where it has years."""
        return ["unit", "period"] if "period" in self.rows else ["unit"]

    @property
    def names(self) -> list[str]:
        """The characteristics."""
        return [str(name) for name in self.rows if name not in self.keys]

    def before(self, period: int) -> pd.DataFrame:
        """Return the characteristics that are numbers, by authority, to match on.

        Args:
            period: First treated period of any pilot. Where the file has years, those before count,
                and their mean is taken.
        """
        numbers = self.rows[self.names].select_dtypes("number").columns
        rows = self.rows
        if "period" in rows:
            rows = rows[rows["period"] < period]
        means: pd.DataFrame = rows.groupby("unit")[list(numbers)].mean()
        return means

    def adjusting(self, covariates: Sequence[str], *, standardise: bool) -> AuthorityTable:
        """Choose the characteristics that regressions adjust for.

        Args:
            covariates: Their names.
            standardise: Whether numbers are standardised, over the rows of the file.

        Raises:
            DataError: If one is not there, has a reserved name, or is the same in every row.
        """
        for name in covariates:
            if name not in self.names:
                raise DataError(
                    f"[design] authority_covariates: {self.path} has no column '{name}'."
                    f"{did_you_mean(name, self.names)} Its characteristics: {listing(self.names)}."
                )
            if name in RESERVED_COLUMNS:
                raise DataError(
                    f"[design] authority_covariates: the analysis makes a column '{name}' itself. "
                    f"Rename the column of {self.path}."
                )
            if self.rows[name].nunique() < 2:
                raise DataError(
                    f"[design] authority_covariates: '{name}' is the same for every authority of "
                    f"{self.path}, so there is nothing to adjust for. Leave it out."
                )
        rows = self.rows
        if standardise:
            numbers = rows[list(covariates)].select_dtypes("number")
            rows = rows.assign(**((numbers - numbers.mean()) / numbers.std()))
        return replace(self, rows=rows, covariates=tuple(covariates), standardised=standardise)

    def added_to(self, frame: pd.DataFrame, taken: Sequence[str]) -> pd.DataFrame:
        """Add the covariates to cases, by authority and year; missing where the file says nothing.

        Args:
            frame: Cases with ``unit`` and ``period``.
            taken: Covariates that the cases have themselves.

        Raises:
            DataError: If one of theirs has the same name.
        """
        if both := [name for name in self.covariates if name in taken]:
            raise DataError(
                f"[design] authority_covariates: the outcome has a covariate '{both[0]}' itself. "
                f"Rename the column of {self.path}."
            )
        names = list(self.covariates)
        known = self.rows[[*self.keys, *names]]
        found = frame[self.keys].merge(known, on=self.keys, how="left")
        return frame.assign(**{name: found[name].to_numpy() for name in names})

    def refuse_unknown(self, cases: pd.DataFrame, period: str) -> None:
        """Refuse cases whose authorities' covariates are missing.

        Args:
            cases: Cases with ``unit`` and the covariates.
            period: Their column of calendar periods.

        Raises:
            DataError: That names the authorities, and the years or columns that they lack.
        """
        gaps = cases[list(self.covariates)].isna()
        lost = cases[gaps.any(axis=1)]
        if lost.empty:
            return
        advice = (
            "The regressions adjust for it ([design] authority_covariates): complete the file, or "
            "leave the authorities or years out (pilots, exclude, first_period, last_period)."
        )
        absent = sorted(set(lost["unit"]) - set(self.rows["unit"]))
        if absent:
            raise DataError(f"{self.path} has no row for the authorities {_some(absent)}. {advice}")
        if "period" in self.rows:
            known = pd.MultiIndex.from_frame(self.rows[self.keys])
            wanted = lost[["unit", period]].drop_duplicates()
            without = wanted[~pd.MultiIndex.from_frame(wanted).isin(known)]
            if len(without):
                pairs = [
                    f"{unit} in {year}"
                    for unit, year in without.sort_values(["unit", period]).to_numpy()
                ]
                raise DataError(f"{self.path} has no row for {_some(pairs)}. {advice}")
        name = next(name for name in self.covariates if gaps[name].any())
        units = sorted(set(cases.loc[gaps[name], "unit"]))
        raise DataError(f"{self.path}, column '{name}', is empty for {_some(units)}. {advice}")

    def told(self) -> tuple[str, ...]:
        """Say what regressions adjust for, if they do."""
        if not self.covariates:
            return ()
        how = [
            *(["by year"] if "period" in self.rows else []),
            *(["standardised"] if self.standardised else []),
        ]
        return (
            "Regressions adjust for these characteristics of authorities"
            f"{', ' + ', '.join(how) + ',' if how else ''} too, by which cases are not matched: "
            f"{listing(self.covariates)}.",
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return listing(names[:SHOWN]) + more


@dataclass(frozen=True)
class AuthorityFile:
    """Where a file of authorities is, and what its columns are called.

    Attributes:
        path: The file.
        columns: Column of the file for ``unit`` and ``period``, where it is called otherwise.
        sheet: Sheet of a workbook; None for the only one with cells.
        known: Authorities of the records, under whose names and codes its rows are put; None
            leaves them as they are written.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    known: KnownUnits | None = None

    @classmethod
    def of(
        cls, table: DesignTable, base: Path, known: KnownUnits | None = None
    ) -> AuthorityFile | None:
        """Return the file that a design names, if it names one.

        Args:
            table: The design of a study file.
            base: Folder against which its paths are resolved.
            known: Authorities of the records.
        """
        if table.authorities is None:
            return None
        path = base / Path(table.authorities).expanduser()
        return cls(path, table.authority_columns, table.authority_sheet, known)

    def open(self) -> Columns:
        """Open the file.

        Raises:
            DataError: If there is no such file, it cannot be read, or has no column of authorities.
        """
        if not self.path.exists():
            raise DataError(
                f"There is no file of authorities at {self.path} ([design] authorities)."
            )
        unit = self.columns.get("unit", "unit")
        refuse_no_table(self.path, {unit})
        columns = read_columns(self.path, sheet=self.sheet)
        if unit != "unit" and "unit" in columns.names:
            raise DataError(
                f"{self.path} has a column 'unit', and [design] authority_columns calls its column "
                f"'{unit}' unit too. Rename one."
            )
        for name in (unit, *self.columns.values()):
            if name not in columns.names:
                raise DataError(
                    f"{self.path} has no column '{name}'.{did_you_mean(name, columns.names)} Its "
                    f"columns: {listing(columns.names)}. [design] authority_columns says what they "
                    "are called."
                )
        return columns

    def units(self, columns: Columns) -> list[str | None]:
        """Return the authority of each row, as the records call it.

        Raises:
            UnclearUnitError: If a name may mean several of the records.
        """
        written: list[str | None] = columns.texts(self.columns.get("unit", "unit")).to_pylist()
        if self.known is None:
            return written
        texts = {text for text in written if text is not None}
        found = {text: self.known.find(text) or text for text in texts}
        return [None if text is None else found[text] for text in written]

    def by_year(self, columns: Columns) -> list[str]:
        """Return the columns that say the year: one, or none."""
        given = self.columns.get("period")
        named = [name for name in PERIOD_NAMES if name in columns.names and name != given]
        return [given, *named] if given else named


def read_authorities(file: Path | AuthorityFile, besides: Collection[str] = ()) -> AuthorityTable:
    """Read a table of authorities: column ``unit``, and ``period`` or ``year`` if it is by year.

    Args:
        file: The file.
        besides: Columns that are no characteristics.

    Raises:
        DataError: If the file or its column ``unit`` is missing, an authority (and year) stands
            twice, or numbers are written with commas or signs.
    """
    file = AuthorityFile(file) if isinstance(file, Path) else file
    path, columns = file.path, file.open()
    by_year = file.by_year(columns)
    if len(by_year) > 1:
        raise DataError(
            f"{path} has the columns {listing(by_year)}; one of them says the year. Rename or drop "
            "the other."
        )
    table = AuthorityTable(path, _rows(file, columns, by_year, besides))
    twice = table.rows.duplicated(table.keys)
    if twice.any():
        again = table.rows.loc[twice, table.keys].drop_duplicates().to_numpy()
        raise DataError(
            f"{path} has more than one row for the authorities "
            f"{_some([' in '.join(str(part) for part in key) for key in again])}."
        )
    _refuse_numbers_as_text(table)
    return table


def _rows(
    file: AuthorityFile, columns: Columns, by_year: Sequence[str], besides: Collection[str]
) -> pd.DataFrame:
    unit = file.columns.get("unit", "unit")
    further = [n for n in columns.names if n not in (unit, *by_year, *besides, "")]
    found = {name: columns.covariate(name) for name in further}
    frame = pd.DataFrame({"unit": file.units(columns), **found})
    sources = {"unit": unit}
    if by_year:
        sources["period"] = by_year[0]
        frame.insert(1, "period", read_periods(columns, by_year[0]).values)
    empty = frame.isna().all(axis=1)
    for key, name in sources.items():
        if (faulty := frame[key].isna() & ~empty).any():
            columns.refuse(name, faulty.to_numpy(), "no cell may be empty")
    kept = frame[~empty].reset_index(drop=True)
    return kept.astype({"period": "int64"}) if by_year else kept


def _refuse_numbers_as_text(table: AuthorityTable) -> None:
    for name in table.names:
        if pd.api.types.is_numeric_dtype(table.rows[name]):
            continue
        texts = table.rows[name].dropna().astype(str)
        numbers = pd.to_numeric(texts.str.replace(r"[,£%\s]", "", regex=True), errors="coerce")
        if numbers.notna().mean() > NUMBERS_SHARE:
            odd = texts[pd.to_numeric(texts, errors="coerce").isna()]
            raise DataError(
                f"{table.path}, column '{name}': {len(odd)} values are not plain numbers, such as "
                f"{odd.iloc[0]!r}. Write numbers without commas or signs."
            )
