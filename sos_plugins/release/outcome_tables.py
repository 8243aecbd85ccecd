"""The tables of one outcome that show counts, as drafts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sos_plugins.contract.types import Run
from sos_plugins.release.cells import Ledger
from sos_plugins.release.drafts import Counted, Draft, Figure, Level, Mark, Share
from sos_plugins.release.estimate_tables import ERRORS, MAKERS, estimate_cells
from sos_plugins.release.support import Support
from sos_plugins.report.labels import all_runs, run_label
from sos_plugins.report.tables import rows_of

BINS = 50
"""Scores of cases are counted in fiftieths."""


def drafts_of(support: Support, anchor: str, ledger: Ledger) -> list[Draft]:
    """Make the tables of an outcome and enter their counts into the ledger."""
    made = [make(support, anchor, ledger) for make in (attrition, trends, runs, groups, overlap)]
    made += [make(support, anchor) for make in MAKERS]
    return [draft for drafts in made for draft in drafts if draft.rows]


def attrition(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """From candidate records to cases: what each step leaves is what the next one begins with."""
    rows: list[dict[str, Any]] = []
    before = ""
    for n, row in enumerate(rows_of(support.result.attrition)):
        stem = f"{anchor}/attrition/{n}"
        before = before or ledger.count(f"{anchor}/attrition/start", int(row["n_before"]))
        if ledger.counts[before] != int(row["n_before"]):
            before = ledger.count(f"{stem}/before", int(row["n_before"]))
        dropped = ledger.count(f"{stem}/dropped", int(row["n_dropped"]))
        after = ledger.count(f"{stem}/after", int(row["n_after"]))
        ledger.equation(((before, 1), (dropped, -1), (after, -1)))
        marked = zip(("n_before", "n_dropped", "n_after"), (before, dropped, after), strict=True)
        rows.append(
            {"step": row["step"], "reason": row["reason"]}
            | {name: Counted(key) for name, key in marked}
        )
        before = after
    name = f"{anchor}_attrition"
    yield Draft(name, "From candidate records to cases", "study", ("step",), tuple(rows))


def trends(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """Cases and means by series and year; a year without cases is a row too."""
    given = {(r["series"], r["period"]): r for r in rows_of(support.result.trends)}
    periods = sorted({period for _, period in given})
    rows: list[dict[str, Any]] = []
    for series in dict.fromkeys(series for series, _ in given):
        for period in periods:
            row = given.get((series, period), {})
            stem = f"{anchor}/trends/{series}/{period}"
            n = ledger.count(f"{stem}/n", int(row.get("n_cases") or 0))
            mean = _mean(support, ledger, stem, n, row.get("mean"))
            rows.append({"series": series, "period": period, "n_cases": Counted(n), "mean": mean})
    for _, own in itertools.groupby(rows, key=lambda row: row["series"]):
        _totals(ledger, list(own), ("n_cases", "mean"))
    labels = ("series", "period")
    yield Draft(f"{anchor}_trends", "Cases and means by year", "study", labels, tuple(rows))


def _mean(support: Support, ledger: Ledger, stem: str, n: str, mean: Any) -> Mark:
    """Mark a mean: of a binary outcome it is a share, of which the numerator is a count too."""
    cases = ledger.counts[n]
    if mean is None or not cases:
        return Figure(None)
    if support.result.info.binary:
        return Share(ledger.part(f"{stem}/events", round(mean * cases), n), n)
    return Figure(mean, support.of_mean(mean, cases), whole=n)


def _totals(ledger: Ledger, rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> None:
    """Assume that the sums of counts over rows, and of the numerators of shares, are known."""
    for column in columns:
        cells = [row[column] for row in rows]
        ledger.known_total(cell.key for cell in cells if isinstance(cell, Counted))
        ledger.known_total(cell.part for cell in cells if isinstance(cell, Share))


def runs(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """Every analysis, those whose label names an authority in a table of their own."""
    made: dict[Level, list[dict[str, Any]]] = {"study": [], "authority": []}
    sizes: dict[Level, set[str]] = {"study": set(), "authority": set()}
    for run in all_runs(support.result):
        if run.status != "ok":
            continue
        label = run_label(run)
        level: Level = "authority" if support.names_authority(label) else "study"
        row = _run_row(support, anchor, ledger, run, label)
        made[level].append(row)
        sizes[level].update(c.key for c in row.values() if isinstance(c, Counted))
    _differences(ledger, anchor, sizes["study"], sizes["authority"])
    yield Draft(f"{anchor}_runs", "Analyses", "study", RUN_LABELS, tuple(made["study"]))
    caption = "Analyses with or without single authorities"
    name = f"{anchor}_runs-by-authority"
    yield Draft(name, caption, "authority", RUN_LABELS, tuple(made["authority"]))


RUN_LABELS = ("family", "label", "estimator", "engine")


def _run_row(support: Support, anchor: str, ledger: Ledger, run: Run, label: str) -> dict[str, Any]:
    n: Mark = Figure(None)
    if run.n_cases is not None:
        n = Counted(ledger.count(f"{anchor}/runs/{run.n_cases}", int(run.n_cases)))
    named = {"family": run.family, "label": label, "estimator": run.estimator, "engine": run.engine}
    figures = {name: getattr(run, name) for name in ("estimate", "std_error", "p_value", *ERRORS)}
    units = {"n_units": run.n_units, "n_treated_units": run.n_treated_units}
    return {**named, **estimate_cells(figures, support.of_run(run)), "n_cases": n, **units}


def _differences(ledger: Ledger, anchor: str, whole: set[str], single: set[str]) -> None:
    """Take note of analyses that may differ by few cases, the last step of attrition among them.

    Analyses without one authority or with one alone are not compared with each other: neither
    holds the cases of the other, so that their difference is no number of children.
    """
    steps = [key for key in ledger.counts if key.startswith(f"{anchor}/attrition/")]
    last = [key for key in steps if key.endswith(("start", "after"))][-1:]
    keys = sorted({*whole, *single, *last}, key=lambda key: ledger.counts[key])
    for less, more in itertools.combinations(keys, 2):
        if not {less, more} <= single - whole:
            ledger.difference(more, less)


def groups(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """Cases and means of each authority in its matched group, before and after."""
    names = support.study.unit_names
    rows: list[dict[str, Any]] = []
    for row in rows_of(support.result.sample):
        group, unit = str(row["group"]), str(row["unit"])
        cells: dict[str, Any] = {}
        for when in ("pre", "post"):
            stem = f"{anchor}/groups/{group}/{unit}/{when}"
            n = ledger.count(f"{stem}/n", int(row[f"n_{when}"] or 0))
            mean = _mean(support, ledger, stem, n, row[f"mean_{when}"])
            cells |= {f"n_{when}": Counted(n), f"mean_{when}": mean}
        named = {"group": group, "role": row["role"], "unit": unit, "name": names.get(unit, unit)}
        rows.append({**named, **cells})
    _group_totals(ledger, anchor, rows)
    caption = "Matched groups: cases and means of each authority"
    labels = ("group", "unit")
    yield Draft(f"{anchor}_groups", caption, "authority", labels, tuple(rows))


def _group_totals(ledger: Ledger, anchor: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Enter what is known of groups: their sizes, and what analyses without them leave."""
    sizes = [key for key in ledger.counts if key.startswith(f"{anchor}/runs/")]
    every = [(cell, 1) for row in rows for cell in _group_keys(row)]
    for _, own in itertools.groupby(rows, key=lambda row: row["group"]):
        keys = [key for row in own for key in _group_keys(row)]
        ledger.known_total(keys)
        for more, less in itertools.permutations(sizes, 2):
            ledger.equation(((more, 1), (less, -1), *((key, -1) for key in keys)))
    for size in sizes:
        ledger.equation(((size, -1), *every))


def _group_keys(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["n_pre"].key, row["n_post"].key


def overlap(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """Count scores of cases, both sides over all fiftieths, so that no row tells the extremes."""
    given = {
        (int(row["treated"]), round(row["low"] * BINS)): int(row["n_cases"])
        for row in rows_of(support.result.overlap)
    }
    rows: list[dict[str, Any]] = []
    for side in sorted({side for side, _ in given}):
        for place in range(BINS):
            key = f"{anchor}/overlap/{side}/{place}"
            n = Counted(ledger.count(key, given.get((side, place), 0)))
            low, high = round(place / BINS, 2), round((place + 1) / BINS, 2)
            rows.append({"low": low, "high": high, "treated": side, "n_cases": n})
        _totals(ledger, rows[-BINS:], ("n_cases",))
    caption = "Propensity scores of cases on both sides"
    labels = ("treated", "low")
    yield Draft(f"{anchor}_scores-cases", caption, "study", labels, tuple(rows))
