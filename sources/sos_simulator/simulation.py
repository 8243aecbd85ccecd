"""Everything about one simulation in memory: authorities, children, referrals and care."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sos_simulator import care_model, cin_model
from sos_simulator import faults as dirt
from sos_simulator.children import Children
from sos_simulator.dates import Ints, generator, year_end, year_start
from sos_simulator.fault_log import summed
from sos_simulator.faults import Recorded
from sos_simulator.moves import move
from sos_simulator.orders import FIRST_YEAR, ORDERS, orders_of
from sos_simulator.population import Population, populate
from sos_simulator.rates import Rates, make_rates
from sos_simulator.recording import Faults, Written, record, truthful
from sos_simulator.referrals import Referrals
from sos_simulator.settings import SimulatedSettings
from sos_simulator.tables import TableMaker
from sos_simulator.truth import describe_truth


@dataclass(frozen=True)
class Simulation:
    """What was simulated.

    Attributes:
        settings: The settings.
        population: The authorities.
        rates: What drove the events.
        children: The children.
        referrals: Referrals that the returns show, in the order of unit, child and date.
        recorded: Faults of referrals that have settings of their own.
        episodes: Episodes of care that the returns show, in the order of unit, child and start.
        orders: Orders that deprive a child of liberty, in the same order.
        written: What the returns say of children, referrals, episodes and orders.
        planted: The faults, one line each.
        tally: Planted faults that have settings of their own, and of how many rows.
        truth: What goes to ``truth.json``.
        person: For each child, the number of who it truly is.
    """

    settings: SimulatedSettings
    population: Population
    rates: Rates
    children: Children
    referrals: Referrals
    recorded: Recorded
    episodes: pd.DataFrame
    orders: pd.DataFrame
    written: Written
    planted: Faults
    tally: Mapping[str, tuple[int, int]]
    truth: Mapping[str, Any]
    person: Ints

    @property
    def faults(self) -> pd.DataFrame:
        """Planted faults: ``fault``, ``unit``, ``year`` (April-year of the return), ``n``."""
        return dirt.count(self.settings, self.population, self.referrals, self.recorded)

    def tables(self, *, faults: bool = False) -> dict[str, pa.Table]:
        """Return the relational tables of :data:`sos_plugins.contract.record_tables.TABLES`.

        They hold what the returns can show: a case open at the end of the data has no closure.

        Args:
            faults: False gives what is true; True what the returns say, planted faults included.
                Each referral has one row, unless ``form`` is parquet: there duplicates stay.
        """
        given = self.settings
        maker = TableMaker(
            codes=self.population.codes,
            children=self.children,
            years=given.years,
            twice=faults and given.form == "parquet",
        )
        written = self.written
        if not faults:
            written = truthful(given, self.children, self.referrals, self.episodes, self.orders)
        tables = {
            "children": maker.children_table(self.referrals, self.episodes, written),
            **maker.cin(self.referrals, written),
            "episodes": maker.episodes(self.episodes, written),
        }
        if given.last_year >= FIRST_YEAR:
            tables[ORDERS] = maker.orders(self.orders, written)
        return tables


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
    moved = move(settings, history)
    history = moved.history
    start, end = year_start(settings.first_year), year_end(settings.last_year)
    referrals = history.referrals
    order = np.lexsort((referrals.date, referrals.child, referrals.unit))
    referrals = referrals.where(order)
    referrals = referrals.where((referrals.date <= end) & (referrals.closure >= start))
    recorded = dirt.plant(settings, population, referrals)
    episodes = _episodes(settings, population, history.periods, start, end)
    rng = generator(settings.seed, population.stream("orders"))
    orders = orders_of(rng, episodes, settings.years)
    written, planted = record(
        settings, population, history.children, referrals, episodes, orders, recorded
    )
    tally = dirt.tally(settings, referrals, recorded)
    return Simulation(
        settings=settings,
        population=population,
        rates=rates,
        children=history.children,
        referrals=referrals,
        recorded=recorded,
        episodes=episodes,
        orders=orders,
        written=written,
        planted=planted,
        tally=tally,
        person=moved.person,
        truth=describe_truth(
            settings,
            population,
            rates,
            dirt=dirt.summary([tally]),
            faults=summed([planted.struck]),
        ),
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
