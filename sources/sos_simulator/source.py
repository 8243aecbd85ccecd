"""The source ``simulated``: made-up records with a known truth, in the formats of real returns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

from sos_sources.cin.census import CinCensus, CinCensusSettings
from sos_sources.ssda903.source import Ssda903, Ssda903Settings
from sos_sources.tables.records import RecordsSettings, RecordTables

from sos_plugins import Records, Session, Settings, Simulator, Source, hookimpl
from sos_plugins.errors import DataError
from sos_plugins.system.scratch import remove, scratch_folder
from sos_plugins.tables.file_columns import read_columns
from sos_plugins.tables.merged_records import merged
from sos_simulator import (
    RECORDS,
    TRUTH,
    SimulatedSettings,
    simulate,
    simulate_into,
    write,
)

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
OF_RETURNS = "# Child-level records in the formats that authorities return them.\n"
BEFORE_TRUTH = "# Gives no records:"
"""Between these lines the study of the demonstration names the sources of its returns."""
OF_TABLES = """\
# Child-level records as record tables.
[[sources]]
plugin = "records"
folder = "records"
"""


class Simulated(Simulator):
    """Simulates authorities, children, referrals and care.

    ``read`` writes the returns and reads them back through the sources ``cin-census`` and
    ``ssda903``, so simulated records go the way of real ones.
    """

    name: ClassVar[str] = "simulated"
    label: ClassVar[str] = "Simulated records with a known truth, in the formats of real returns"
    Settings: ClassVar[type[Settings]] = SimulatedSettings
    citation: ClassVar[str] = "The model is described in docs/simulator.md"
    gives: ClassVar[tuple[str, ...]] = (
        "children",
        "referrals",
        "assessments",
        "section47s",
        "protection_plans",
        "episodes",
        "deprivation_orders",
    )

    def write(
        self, settings: SimulatedSettings, folder: Path, session: Session
    ) -> Mapping[str, Any]:
        """Write returns or record tables, design and truth into ``folder``; return the truth.

        Raises:
            DataError: If the folder holds anything but an earlier simulation.
        """
        if settings.form == "parquet" or settings.streams == "by-authority":
            n_parts = settings.authorities if settings.streams == "by-authority" else 1
            with session.progress.step("Simulating authorities", n_parts) as advance:
                return simulate_into(settings, folder, advance)
        total = 2 * len(settings.years)
        with session.progress.step("Writing simulated returns", total) as advance:
            return write(simulate(settings), folder, advance)

    def study(self, settings: SimulatedSettings) -> str:
        """Return the study of the demonstration, fitted to the number of pilots and the form."""
        text = resources.files("sos_simulator").joinpath("demo.toml").read_text("utf-8")
        if settings.form == "parquet":
            before, _, after = text.partition(OF_RETURNS)
            text = f"{before}{OF_TABLES}\n{BEFORE_TRUTH}{after.partition(BEFORE_TRUTH)[2]}"
        n = settings.pilots
        number = NUMBERS[n] if n < len(NUMBERS) else str(n)
        noun = "authority" if n == 1 else "authorities"
        return text.replace("nine simulated authorities", f"{number} simulated {noun}")

    def read(self, settings: SimulatedSettings, session: Session) -> Records:
        """Read the returns in ``settings.folder``, or simulate them and read them at once.

        Raises:
            DataError: If the folder holds no simulation.
        """
        if settings.folder:
            return _read_back(session.path(settings.folder), session, settings)
        made = scratch_folder()
        try:
            self.write(settings, made / "records", session)
            return _read_back(made / "records", session, settings)
        finally:
            remove(made)


def _read_back(folder: Path, session: Session, settings: SimulatedSettings) -> Records:
    truth = _truth(folder)
    names = read_columns(folder / "authorities.csv")
    records = (
        Records(tables={})
        if settings.truth_only
        else _returns(folder, replace(session, base=folder))
    )
    return replace(
        records,
        simulated=True,
        truth=truth,
        unit_names=dict(
            zip(
                names.texts("unit").to_pylist(),
                [name or "" for name in names.texts("name").to_pylist()],
                strict=True,
            )
        ),
    )


def _returns(folder: Path, session: Session) -> Records:
    if (folder / RECORDS).is_dir():
        return RecordTables().read(RecordsSettings(folder=RECORDS), session)
    cin = CinCensus().read(CinCensusSettings(paths=("cin",)), session)
    care = Ssda903Settings(paths=("ssda903",), authority="folder")
    return merged(cin, Ssda903().read(care, session))


def _truth(folder: Path) -> dict[str, Any]:
    try:
        truth: dict[str, Any] = json.loads((folder / TRUTH).read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"There is no {TRUTH} in {folder}: no simulation was written there. Write one with "
            "sos-plugins simulate."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{folder / TRUTH} cannot be read: {error}. Write the simulation again with "
            "sos-plugins simulate."
        ) from None
    except json.JSONDecodeError as error:
        raise DataError(f"{folder / TRUTH}, line {error.lineno}: no JSON ({error.msg}).") from None
    return truth


@hookimpl
def register_sources(register: Callable[[Source], None]) -> None:
    """Offer the source."""
    register(Simulated())
