"""A simulation as a folder: returns or record tables, the design, the truth and the faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from sos_plugins.contract.record_tables import TABLES
from sos_plugins.system.output_folder import SIMULATION, replacing
from sos_simulator import csv_writer, xml_writer
from sos_simulator import faults as dirt
from sos_simulator.fault_log import FAULTS, summed
from sos_simulator.moves import PEOPLE, people_table, told_moves
from sos_simulator.parallel import each
from sos_simulator.population import groups_table, pilots_table, populate
from sos_simulator.rates import make_rates
from sos_simulator.settings import SimulatedSettings
from sos_simulator.simulation import Simulation
from sos_simulator.truth import NOTICE, describe_truth

TRUTH = "truth.json"
CIN, CARE, RECORDS = "cin", "ssda903", "records"
FAULTS_FILE = {"returns": "faults.csv", "parquet": "faults.parquet"}
WRITTEN = ("children", "referrals", "assessments", "section47s", "protection_plans", "episodes")
"""Record tables of ``form = "parquet"``: one file a table, one row group an authority."""
COMPRESSION = "zstd"
_CONTENT = {
    "returns": """\
cin/          children in need census returns: <authority>_<year in which the return ends>.xml
ssda903/      returns of looked-after children: <authority>/<year in which the return ends>/*.csv
""",
    "parquet": """\
records/      record tables as Parquet, for the source "records"
""",
}
_READ_ME = """{notice}

{content}pilots.csv    the design: pilots and their embedding windows
authorities.csv   invented characteristics of the authorities
true_groups.csv   the comparators planted for each pilot
truth.json    the true effects, diverging trends, confounders, planted faults and settings
dirt.csv      planted faults by authority and year
{faults}   every planted fault: which, where, and what was written
"""

Advance = Callable[[int], Any]


def silent(_: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Done:
    """What writing one part leaves to be done: its record tables, if any, and its faults."""

    tables: Mapping[str, pa.Table]
    dirt: pd.DataFrame
    tally: Mapping[str, tuple[int, int]]
    faults: pa.Table
    struck: Mapping[str, tuple[int, int]]
    people: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def of(cls, part: Simulation, tables: Mapping[str, pa.Table]) -> Done:
        """Take from a part what is written once for all."""
        people = pd.DataFrame()
        if part.settings.moves:
            people = people_table(part.population.codes, part.children, part.person)
        faults = (part.faults, part.tally, part.planted.table, part.planted.struck)
        return cls(tables, *faults, people)


@dataclass(frozen=True)
class WriteReturns:
    """Writes the returns of a part."""

    folder: Path
    advance: Advance = silent

    def __call__(self, part: Simulation) -> Done:
        """Write them."""
        xml_writer.write_returns(
            self.folder / CIN,
            codes=part.population.codes,
            children=part.children,
            referrals=part.referrals,
            written=part.written,
            years=part.settings.years,
            factors=part.settings.factors,
            advance=self.advance,
        )
        csv_writer.write_returns(
            self.folder / CARE,
            codes=part.population.codes,
            children=part.children,
            episodes=part.episodes,
            orders=part.orders,
            written=part.written,
            years=part.settings.years,
            advance=self.advance,
        )
        return Done.of(part, {})


def make_tables(part: Simulation) -> Done:
    """Make the record tables of a part, faults included."""
    return Done.of(part, part.tables(faults=True))


def write(simulation: Simulation, folder: Path, advance: Advance = silent) -> dict[str, Any]:
    """Write the returns, the design and the truth into ``folder``; return the truth.

    An earlier simulation in the folder is replaced when the new one is whole; files of the user
    stay.

    Args:
        simulation: What to write.
        folder: An empty folder, one to be made, or one that holds an earlier simulation.
        advance: Called with 1 after each year of each return.

    Raises:
        OutputError: If the folder cannot be written to, holds anything else, or files of the
            simulation in it were changed.
    """
    with replacing(folder, SIMULATION) as place, _Files(place, simulation.settings) as files:
        if simulation.settings.form == "parquet":
            files.add(make_tables(simulation))
        else:
            files.add(WriteReturns(place, advance)(simulation))
        return files.finish()


def simulate_into(
    settings: SimulatedSettings, folder: Path, advance: Advance = silent
) -> dict[str, Any]:
    """Simulate part by part, write each when it is made, and return the truth.

    Memory holds a few parts at a time: one authority each with ``streams = "by-authority"``.

    Args:
        settings: The settings; ``form`` says what is written.
        folder: An empty folder, one to be made, or one that holds an earlier simulation.
        advance: Called with 1 after each part.

    Raises:
        OutputError: As from :func:`write`.
        DataError: If a process ends too early.
    """
    with replacing(folder, SIMULATION) as place, _Files(place, settings) as files:
        job = make_tables if settings.form == "parquet" else WriteReturns(place)
        for done in each(settings, job):
            files.add(done)
            advance(1)
        return files.finish()


class _Files:
    """The files that all parts go into."""

    def __init__(self, folder: Path, settings: SimulatedSettings) -> None:
        self.folder, self.settings = folder, settings
        self._stack = ExitStack()
        self._done: list[Done] = []
        self._tables: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> _Files:
        path = self.folder / FAULTS_FILE[self.settings.form]
        if self.settings.form == "parquet":
            (self.folder / RECORDS).mkdir()
            for name in WRITTEN:
                self._open(name)
            self._faults: Any = self._parquet(path, FAULTS)
        else:
            self._faults = self._stack.enter_context(pc.CSVWriter(str(path), FAULTS))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _parquet(self, path: Path, schema: pa.Schema) -> pq.ParquetWriter:
        return self._stack.enter_context(pq.ParquetWriter(path, schema, compression=COMPRESSION))

    def _open(self, name: str) -> pq.ParquetWriter:
        file = self.folder / RECORDS / f"{name}.parquet"
        self._tables[name] = self._parquet(file, TABLES[name])
        return self._tables[name]

    def add(self, done: Done) -> None:
        """Write what a part has; a table beyond :data:`WRITTEN` has a file once it has rows."""
        for name, table in done.tables.items():
            if table.num_rows:
                (self._tables.get(name) or self._open(name)).write_table(table)
        if done.faults.num_rows:
            self._faults.write_table(done.faults)
        self._done.append(replace(done, tables={}, faults=FAULTS.empty_table()))

    def finish(self) -> dict[str, Any]:
        """Write what is said of all parts; return the truth."""
        settings, folder = self.settings, self.folder
        population = populate(settings)
        truth = describe_truth(
            settings,
            population,
            make_rates(settings, population),
            dirt=dirt.summary(done.tally for done in self._done),
            faults=summed([done.struck for done in self._done]),
        )
        counted = pd.concat([done.dirt for done in self._done], ignore_index=True)
        counted.sort_values(["fault", "unit", "year"]).to_csv(folder / "dirt.csv", index=False)
        pilots_table(population).to_csv(folder / "pilots.csv", index=False)
        population.characteristics.to_csv(folder / "authorities.csv", index=False)
        groups_table(population).to_csv(folder / "true_groups.csv", index=False)
        who = [done.people for done in self._done if len(done.people)]
        for people in who:
            truth["moves"] = told_moves(people)
            people.to_csv(folder / PEOPLE, index=False)
        text = _READ_ME.format(
            notice=NOTICE, content=_CONTENT[settings.form], faults=FAULTS_FILE[settings.form]
        )
        (folder / "README.txt").write_text(text, encoding="utf-8")
        (folder / TRUTH).write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
        return truth
