"""Links of simulated children who move, by pupil numbers and by probability, against the truth.

    python benchmarks/bench_linking.py --authorities 12 --referrals 800
    python benchmarks/bench_linking.py --authorities 152 --referrals 240

Half of the children that are referred again move, and some have no pupil number. Printed are the
seconds that each linker takes, and for pairs of children that are truly one how many it finds
(recall) and how many of its pairs are right (precision): for `splink` also of those that pupil
numbers do not find.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd
from sos_linkers.identifiers import Identifiers, IdentifierSettings
from sos_linkers.probabilistic import Splink, SplinkSettings
from sos_simulator import SimulatedSettings, simulate, write
from sos_sources.cin.census import CinCensus, CinCensusSettings

from sos_plugins import Linker, Records, Session

CHILD = ["unit", "child"]


def pairs(frame: pd.DataFrame) -> set[tuple[str, str]]:
    """Return pairs of children with the same ``person``."""
    named = frame.assign(key=frame["unit"] + "/" + frame["child"])[["person", "key"]]
    both = named.merge(named, on="person")
    both = both[both["key_x"] < both["key_y"]]
    return set(zip(both["key_x"], both["key_y"], strict=True))


def quality(found: set[tuple[str, str]], true: set[tuple[str, str]]) -> str:
    """Say how many pairs there are, and how many are right."""
    right = len(found & true)
    precision = f"{right / len(found):.1%}" if found else "none"
    recall = f"{right / len(true):.1%}" if true else "none"
    return f"{len(found)} of {len(true)} pairs, precision {precision}, recall {recall}"


def linked(linker: Linker, records: Records, settings: IdentifierSettings) -> set[tuple[str, str]]:
    """Return the pairs of a linker, and print how long it took."""
    started = time.perf_counter()
    same = linker.link(records, settings, Session(seed=1)).same.to_pandas()
    print(f"{linker.name}: {time.perf_counter() - started:.1f} s")
    return pairs(same)


def main() -> None:
    """Simulate, link and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--authorities", type=int, default=12)
    parser.add_argument("--referrals", type=float, default=800, help="a year and authority")
    given = parser.parse_args()
    settings = SimulatedSettings(
        preset="clean",
        authorities=given.authorities,
        pilots=2,
        external_pilots=1,
        comparators_per_pilot=1,
        referrals_per_year=given.referrals,
        care_starts_per_year=10,
        moves=0.5,
        pupil_numbers=True,
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "simulated"
        write(simulate(settings), folder)
        session = Session(seed=1, base=folder)
        records = CinCensus().read(CinCensusSettings(paths=("cin",), extra=("UPN",)), session)
        people = pd.read_csv(folder / "true_people.csv", dtype=str)
        children = records.table("children").select(*CHILD, "UPN").to_pandas()
        true = pairs(children.merge(people, on=CHILD))
        print(f"{len(children)} children, {int(children['UPN'].isna().sum())} without a number")
        sure = linked(Identifiers(), records, IdentifierSettings())
        print(quality(sure, true))
        likely = linked(Splink(), records, SplinkSettings())
        print(quality(likely, true))
        print(f"by probability alone: {quality(likely - sure, true - sure)}")


if __name__ == "__main__":
    main()
