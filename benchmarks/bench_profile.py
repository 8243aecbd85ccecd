"""The data-quality profile of record tables in Parquet, and a bare count of the same columns.

    python benchmarks/bench_profile.py --referrals 100000 1000000 6500000

Each size runs in a process of its own, which reads one folder of record tables (ten years, 152
authorities), profiles it with all rules, and counts the filled values of every column by authority
with one DuckDB query a table. It reports the seconds of both, rows, faults, and its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMORY = "2GB"
"""What DuckDB may take."""


def profiled(folder: Path) -> dict[str, float]:
    """Profile the records of a folder, and count their filled values."""
    import duckdb
    from sos_sources.tables.records import RecordTables

    from sos_plugins.backends import duckdb_backend
    from sos_plugins.contract.session import Session
    from sos_plugins.host.registry import load_plugins
    from sos_plugins.host.settings import validate
    from sos_plugins.profile.build import profile_records
    from sos_plugins.profile.rules_of import rules_for

    registry, source = load_plugins(), RecordTables()
    session = Session(backend=duckdb_backend(MEMORY), base=folder)
    records = source.read(validate(source.Settings, {"folder": "."}, where="benchmark"), session)
    start = time.perf_counter()
    profile = profile_records(records, rules_for(registry, records), session)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    with duckdb.connect() as con:
        for file in sorted(folder.glob("*.parquet")):
            con.sql(f"SELECT unit, count(COLUMNS(*)) FROM '{file}' GROUP BY ALL").fetchall()
    return {
        "seconds": seconds,
        "bare": time.perf_counter() - start,
        "rows": int(profile.rows["n"].sum()),
        "faults": int(profile.faults["n_flagged"].sum()),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Write, run and print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--referrals", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="profile this folder alone")
    chosen = parser.parse_args()
    if chosen.folder:
        print(json.dumps(profiled(chosen.folder)))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(
        f"{'referrals':>10} {'rows':>10} {'seconds':>8} {'bare count':>10} {'MB':>6} {'faults':>8}"
    )
    sys.path.insert(0, str(HERE))
    import national

    for n in chosen.referrals:
        with tempfile.TemporaryDirectory() as name:
            folder = national.write(Path(name), n)
            command = [sys.executable, __file__, "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        figures = json.loads(done.stdout)
        print(
            f"{n:>10,} {figures['rows']:>10,} {figures['seconds']:>8.2f} {figures['bare']:>10.2f} "
            f"{figures['megabytes']:>6.0f} {figures['faults']:>8,}"
        )


if __name__ == "__main__":
    main()
