"""Reading a children in need census return: ours against ``xml.etree`` and pandas.

    python benchmarks/bench_cin_xml.py --megabytes 50 200 800 --repeats 3

One return of one authority is written for each size: a simulated one, repeated with other
identifiers. Each job runs in a process of its own, reads the file to the same five record tables
(one row a thing, dates as dates, later rows win), and reports its seconds, those of all its
threads, and its peak memory; a job's answer is counts and sums, which must agree.

- parser: our reader alone, rows as text; what is read is thrown away at once.
- ours: the source ``cin-census``, with its quality profile, records in memory.
- ours within 256 MB: the same where DuckDB may hold so much, and keeps the rest on disk.
- ElementTree: ``xml.etree.ElementTree.parse``, a loop over its children, pandas.
- iterparse: the same, child by child, each freed when it has been read. Neither has a profile.

What is imported is imported before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Rows = dict[str, list[dict[str, Any]]]
MEGABYTE = 1_000_000
LIMIT = "256MB"
RETURN = "501_2016.xml"

CHILD = {
    "LAchildID": "child",
    "PersonBirthDate": "birth_date",
    "ExpectedPersonBirthDate": "expected_birth_date",
    "GenderCurrent": "sex",
    "Sex": "sex",
}
REFERRAL = {
    "CINreferralDate": "referral_date",
    "ReferralSource": "referral_source",
    "PrimaryNeedCode": "primary_need",
    "CINclosureDate": "closure_date",
    "ReasonForClosure": "closure_reason",
    "DateOfInitialCPC": "icpc_date",
    "ReferralNFA": "nfa",
}
MODULES: dict[str, tuple[str, dict[str, str]]] = {
    "Assessments": (
        "assessments",
        {
            "AssessmentActualStartDate": "start_date",
            "AssessmentInternalReviewDate": "review_date",
            "AssessmentAuthorisationDate": "authorised_date",
        },
    ),
    "Section47": (
        "section47s",
        {
            "S47ActualStartDate": "start_date",
            "InitialCPCtarget": "icpc_target_date",
            "DateOfInitialCPC": "icpc_date",
            "ICPCnotRequired": "icpc_not_required",
        },
    ),
    "ChildProtectionPlans": (
        "protection_plans",
        {
            "CPPstartDate": "start_date",
            "CPPendDate": "end_date",
            "InitialCategoryOfAbuse": "initial_category",
            "LatestCategoryOfAbuse": "latest_category",
            "NumberOfPreviousCPP": "n_previous",
        },
    ),
}
TABLES = ("children", "referrals", "assessments", "section47s", "protection_plans")
SEXES = {"1": "male", "M": "male", "2": "female", "F": "female", "9": "indeterminate"}


def write_return(path: Path, megabytes: float) -> None:
    """Write a return of this size: the children of a simulated one, each time renamed."""
    from sos_simulator import SimulatedSettings, simulate_into

    settings = {
        "preset": "clean",
        "authorities": 3,
        "pilots": 1,
        "external_pilots": 0,
        "first_year": 2013,
        "last_year": 2016,
        "referrals_per_year": 5_000.0,
        "care_starts_per_year": 50.0,
    }
    with tempfile.TemporaryDirectory() as folder:
        simulate_into(SimulatedSettings(**settings), Path(folder) / "made")
        text = (Path(folder) / "made" / "cin" / RETURN).read_bytes()
    first, beyond = text.index(b"<Child>"), text.rindex(b"</Child>") + len(b"</Child>")
    with path.open("wb") as file:
        file.write(text[:first])
        copy = 0
        while file.tell() < megabytes * MEGABYTE:
            name = b"<LAchildID>%d-" % copy
            file.write(text[first:beyond].replace(b"<LAchildID>", name) + b"\n")
            copy += 1
        file.write(text[beyond:])


class Clock:
    """Seconds on the wall and seconds of all threads since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return both."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return {"seconds": wall, "cpu": cpu}


def job_parser(path: Path) -> dict[str, float]:
    from sos_sources.cin.fast_reader import read_return

    class Nowhere:
        def add(self, table: str, rows: Any) -> None: ...

        def forget(self) -> None: ...

    clock = Clock()
    raw = read_return(path, Nowhere(), threads=os.cpu_count() or 1)
    return {**clock.read(), "rows": float(sum(raw.n_rows.values()))}


def _ours(path: Path, memory: str | None) -> dict[str, float]:
    from sos_sources.cin.census import CinCensus, CinCensusSettings

    from sos_plugins import Session
    from sos_plugins.backends import duckdb_backend

    session = Session(backend=duckdb_backend(memory))
    clock = Clock()
    records = CinCensus().read(CinCensusSettings(paths=(str(path),)), session)
    used = clock.read()
    tables = records.tables
    return {
        **used,
        **{name: float(tables[name].count().execute()) for name in TABLES},
        "closed": float(tables["referrals"].closure_date.count().execute()),
        "days": float(_days(tables["assessments"]).execute()),
    }


def _days(assessments: Any) -> Any:
    return (assessments.authorised_date - assessments.start_date).cast("int64").sum()


def job_ours(path: Path) -> dict[str, float]:
    return _ours(path, None)


def job_ours_on_disk(path: Path) -> dict[str, float]:
    return _ours(path, LIMIT)


def _take(part: Any, names: dict[str, str], row: dict[str, Any]) -> dict[str, Any]:
    for element in part:
        name = names.get(element.tag)
        if name is not None and element.text:
            row[name] = element.text.strip()
    return row


def _add_child(child: Any, rows: Rows) -> None:
    row: dict[str, Any] = {}
    for part in child:
        if part.tag == "ChildIdentifiers":
            _take(part, CHILD, row)
        elif part.tag == "ChildCharacteristics":
            row["ethnicity"] = part.findtext("Ethnicity")
            codes = [e.text for e in part.findall("Disabilities/Disability")]
            row["disabled"] = codes != ["NONE"] if codes else None
        elif part.tag == "CINdetails":
            referral = _take(part, REFERRAL, {"child": row["child"]})
            rows["referrals"].append(referral)
            for element in part:
                if element.tag in MODULES:
                    table, names = MODULES[element.tag]
                    key = {"child": row["child"], "referral_date": referral["referral_date"]}
                    rows[table].append(_take(element, names, key))
    rows["children"].append(row)


def _frames(rows: Rows) -> dict[str, Any]:
    """Return the record tables: dates read, codes mapped, of rows of one thing the last kept."""
    import pandas as pd

    frames = {}
    for table in TABLES:
        frame = pd.DataFrame(rows[table])
        for column in frame.columns[frame.columns.str.endswith("_date")]:
            frame[column] = pd.to_datetime(frame[column], format="%Y-%m-%d", errors="coerce")
        key = [c for c in ("child", "referral_date", "start_date") if c in frame]
        frames[table] = frame.drop_duplicates(key, keep="last").sort_values(key)
        rows[table] = []
    truth = {"true": True, "1": True, "false": False, "0": False}
    frames["children"]["sex"] = frames["children"]["sex"].map(SEXES)
    frames["referrals"]["nfa"] = frames["referrals"]["nfa"].map(truth)
    enquiries, plans = frames["section47s"], frames["protection_plans"]
    enquiries["icpc_not_required"] = enquiries["icpc_not_required"].map(truth)
    plans["n_previous"] = pd.to_numeric(plans["n_previous"])
    return frames


def _peer(children: Callable[[], Iterable[Any]]) -> dict[str, float]:
    import pandas as pd

    assert pd.DataFrame
    clock = Clock()
    rows: Rows = {table: [] for table in TABLES}
    for child in children():
        _add_child(child, rows)
    frames = _frames(rows)
    used = clock.read()
    assessments = frames["assessments"]
    length = assessments["authorised_date"] - assessments["start_date"]
    return {
        **used,
        **{name: float(len(frames[name])) for name in TABLES},
        "closed": float(frames["referrals"]["closure_date"].count()),
        "days": float(length.dt.days.sum()),
    }


def job_etree(path: Path) -> dict[str, float]:
    import xml.etree.ElementTree as ET

    return _peer(lambda: ET.parse(path).getroot().iter("Child"))


def job_iterparse(path: Path) -> dict[str, float]:
    import xml.etree.ElementTree as ET

    def children() -> Iterable[Any]:
        events = ET.iterparse(path, events=("start", "end"))
        parent: Any = None
        for event, element in events:
            if event == "start" and element.tag == "Children":
                parent = element
            elif event == "end" and element.tag == "Child":
                yield element
                parent.clear()

    return _peer(children)


JOBS: dict[str, Callable[[Path], dict[str, float]]] = {
    "parser": job_parser,
    "ours": job_ours,
    "ours-on-disk": job_ours_on_disk,
    "iterparse": job_iterparse,
    "etree": job_etree,
}
LABELS = {
    "parser": "our parser alone",
    "ours": "cin-census, records in memory",
    "ours-on-disk": f"cin-census within {LIMIT}",
    "etree": "ElementTree and pandas",
    "iterparse": "iterparse and pandas",
}
COMPARED = (*TABLES, "closed", "days")


def run(job: str, path: Path) -> dict[str, float]:
    """Run one job in a process of its own."""
    command = [sys.executable, __file__, "--job", job, "--path", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{job} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def main() -> None:
    """Time the jobs on files of several sizes and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, nargs="*", default=[50, 200, 800])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=JOBS, default=list(JOBS))
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--path", type=Path)
    parser.add_argument("--write", type=float)
    given = parser.parse_args()
    if given.job:
        warm_up()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures = JOBS[given.job](given.path)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**figures, "megabytes": peak, "before": before}))
        return
    if given.write:
        write_return(given.path, given.write)
        return
    print(f"{given.repeats} runs, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        for size in given.megabytes:
            path = Path(folder) / f"return_{size}.xml"
            command = [sys.executable, __file__, "--write", str(size), "--path", str(path)]
            subprocess.run(command, check=True)  # what a process holds, those it starts inherit
            show(path, {job: [run(job, path) for _ in range(given.repeats)] for job in given.only})
            path.unlink()


def warm_up() -> None:
    """Import what every job may need."""
    import ibis.backends.duckdb
    import pandas as pd
    import pyarrow.compute
    from sos_sources.cin.census import CinCensus

    assert ibis.backends.duckdb
    assert pd.DataFrame
    assert pyarrow.compute
    assert CinCensus


def show(path: Path, runs: dict[str, list[dict[str, float]]]) -> None:
    """Print the table of one file."""
    middle = {
        job: {key: statistics.median(r[key] for r in results) for key in results[0]}
        for job, results in runs.items()
    }
    answers = {tuple(m[c] for c in COMPARED) for m in middle.values() if "closed" in m}
    if len(answers) > 1:
        raise SystemExit(f"The jobs read different records: {answers}")
    print(f"\n{path.stat().st_size / MEGABYTE:.0f} MB", *zip(COMPARED, *answers, strict=True))
    print(f"{'':34} {'seconds':>8} {'of ours':>8} {'CPU s':>7} {'MB':>6} {'imports MB':>11}")
    ours = middle.get("ours", {}).get("seconds", float("nan"))
    for job, row in middle.items():
        ratio = row["seconds"] / ours
        print(
            f"{LABELS[job]:34} {row['seconds']:8.2f} {ratio:8.2f} {row['cpu']:7.2f} "
            f"{row['megabytes']:6.0f} {row['before']:11.0f}"
        )


if __name__ == "__main__":
    main()
