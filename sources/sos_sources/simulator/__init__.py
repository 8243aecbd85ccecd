"""The simulator: authorities, children, referrals and care, written as real returns are.

:func:`simulate` makes everything in memory and gives the relational tables; :func:`write` puts the
returns, the design and the truth into a folder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sos_plugins.errors import DataError
from sos_sources.simulator import care_model, cin_model, csv_writer, dirt, xml_writer
from sos_sources.simulator.children import Children
from sos_sources.simulator.days import generator, year_end, year_start
from sos_sources.simulator.dirt import Recorded
from sos_sources.simulator.population import Population, groups_table, pilots_table, populate
from sos_sources.simulator.rates import Rates, make_rates
from sos_sources.simulator.referrals import Referrals
from sos_sources.simulator.settings import OUTCOMES, PRESETS, SimulatedSettings
from sos_sources.simulator.tables import TableMaker, truly_recorded
from sos_sources.simulator.truth import NOTICE, tell

__all__ = ["OUTCOMES", "PRESETS", "SimulatedSettings", "Simulation", "simulate", "write"]

TRUTH = "truth.json"
_READ_ME = """{notice}

cin/          children in need census returns: <authority>_<year in which the return ends>.xml
ssda903/      returns of looked-after children: <authority>/<year in which the return ends>/*.csv
pilots.csv    the design: pilots and their embedding windows
authorities.csv   invented characteristics of the authorities
true_groups.csv   the comparators planted for each pilot
truth.json    the true effects, diverging trends, confounders, planted faults and settings
dirt.csv      planted faults by authority and year
"""


@dataclass(frozen=True)
class Simulation:
    """What was simulated.

    Attributes:
        settings: The settings.
        population: The authorities.
        rates: What drove the events.
        children: The children.
        referrals: Referrals that the returns show, in the order of unit, child and date.
        recorded: What the returns say of them.
        episodes: Episodes of care that the returns show, in the order of unit, child and start.
        truth: What goes to ``truth.json``.
    """

    settings: SimulatedSettings
    population: Population
    rates: Rates
    children: Children
    referrals: Referrals
    recorded: Recorded
    episodes: pd.DataFrame
    truth: dict[str, Any]

    @property
    def faults(self) -> pd.DataFrame:
        """Planted faults: ``fault``, ``unit``, ``year`` (April-year of the return), ``n``."""
        return dirt.count(self.settings, self.population, self.referrals, self.recorded)

    def tables(self, *, faults: bool = False) -> dict[str, pa.Table]:
        """Return the relational tables of :data:`sos_plugins.schema.TABLES`.

        They hold what the returns can show: a case open at the end of the data has no closure.

        Args:
            faults: False gives what is true; True what the returns say, planted faults included
                (but each referral once).
        """
        years = self.settings.years
        maker = TableMaker(codes=self.population.codes, children=self.children, years=years)
        recorded = self.recorded if faults else truly_recorded(self.referrals)
        cared = np.unique(self.episodes["child"].to_numpy())
        return {
            "children": maker.children_table(self.referrals, cared),
            **maker.cin(self.referrals, recorded),
            "episodes": maker.episodes(self.episodes),
        }


def simulate(settings: SimulatedSettings) -> Simulation:
    """Simulate authorities, children, referrals and care."""
    population = populate(settings)
    return simulate_part(settings, population, make_rates(settings, population))


def simulate_part(settings: SimulatedSettings, population: Population, rates: Rates) -> Simulation:
    """Simulate the children, referrals and care of the authorities that have any.

    Args:
        settings: The settings.
        population: All authorities, or :meth:`Population.only` one of them.
        rates: What drives the events.
    """
    history = cin_model.play(settings, population, rates)
    history = cin_model.direct_entries(settings, population, rates, history)
    start, end = year_start(settings.first_year), year_end(settings.last_year)
    referrals = history.referrals
    order = np.lexsort((referrals.date, referrals.child, referrals.unit))
    referrals = referrals.where(order)
    referrals = referrals.where((referrals.date <= end) & (referrals.closure >= start))
    recorded = dirt.plant(settings, population, referrals)
    faults = dirt.summary(settings, referrals, recorded)
    return Simulation(
        settings=settings,
        population=population,
        rates=rates,
        children=history.children,
        referrals=referrals,
        recorded=recorded,
        episodes=_episodes(settings, population, history.periods, start, end),
        truth=tell(settings, population, rates, faults),
    )


def _episodes(
    settings: SimulatedSettings,
    population: Population,
    periods: care_model.Periods,
    start: int,
    end: int,
) -> pd.DataFrame:
    rng = generator(settings.seed, population.stream("episodes"))
    frame = care_model.episodes(rng, periods)
    frame = frame[(frame["start"] <= end) & (frame["end"] >= start)]
    frame = frame.sort_values(["unit", "child", "start"], kind="stable", ignore_index=True)
    # Needs of looked-after children are not simulated further: most have N1.
    starts = ~frame["period"].duplicated()
    return frame.assign(cin="N1", number=starts.astype("int64").groupby(frame["child"]).cumsum())


def write(
    simulation: Simulation, folder: Path, advance: Callable[[int], Any] = lambda _: None
) -> dict[str, Any]:
    """Write the returns, the design and the truth into ``folder``; return the truth.

    An earlier simulation in the folder is replaced.

    Args:
        simulation: What to write.
        folder: An empty folder, one to be made, or one that holds an earlier simulation.
        advance: Called with 1 after each year of each return.

    Raises:
        DataError: If the folder holds anything else.
    """
    _make_room(folder)
    population, years = simulation.population, simulation.settings.years
    xml_writer.write_returns(
        folder / "cin",
        codes=population.codes,
        children=simulation.children,
        referrals=simulation.referrals,
        recorded=simulation.recorded,
        years=years,
        factors=simulation.settings.factors,
        advance=advance,
    )
    csv_writer.write_returns(
        folder / "ssda903",
        codes=population.codes,
        children=simulation.children,
        episodes=simulation.episodes,
        years=years,
        advance=advance,
    )
    pilots_table(population).to_csv(folder / "pilots.csv", index=False)
    population.characteristics.to_csv(folder / "authorities.csv", index=False)
    groups_table(population).to_csv(folder / "true_groups.csv", index=False)
    simulation.faults.to_csv(folder / "dirt.csv", index=False)
    (folder / "README.txt").write_text(_READ_ME.format(notice=NOTICE), encoding="utf-8")
    (folder / TRUTH).write_text(json.dumps(simulation.truth, indent=1) + "\n", encoding="utf-8")
    return simulation.truth


def _make_room(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; name a folder for the simulated records.")
    if folder.exists() and any(folder.iterdir()):
        if not (folder / TRUTH).is_file():
            raise DataError(
                f"The folder {folder} holds other files. Name an empty one, or one that an earlier "
                "simulation made."
            )
        for name in ("cin", "ssda903"):
            shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
