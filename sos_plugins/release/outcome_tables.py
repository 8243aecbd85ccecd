"""The tables of one outcome, as drafts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sos_plugins.contract.types import Run
from sos_plugins.release.cells import Ledger
from sos_plugins.release.drafts import Counted, Draft, Figure, Level, Mark, Share
from sos_plugins.release.support import FEW, Support
from sos_plugins.report.labels import all_runs, run_label
from sos_plugins.report.tables import rows_of

EVENT = "event="
"""How the term of an effect by event time begins."""
ERRORS = ("conf_low", "conf_high")
BINS = 50
"""Scores of cases are counted in fiftieths."""


def drafts_of(support: Support, anchor: str, ledger: Ledger) -> list[Draft]:
    """Make the tables of an outcome and enter their counts into the ledger."""
    makers = (attrition, trends, runs, groups, overlap, events, pilots, pooled, leads)
    made = [make(support, anchor, ledger) for make in (*makers, balance, composition, engines)]
    return [draft for drafts in made for draft in drafts if draft.rows]


def _estimate(row: Mapping[str, Any], refused: str) -> dict[str, Mark]:
    error = row.get("std_error")
    return {
        "estimate": Figure(row.get("estimate"), refused, like=error),
        "std_error": Figure(error, refused),
        **{name: Figure(row.get(name), refused, like=error) for name in ERRORS},
        "p_value": Figure(row.get("p_value"), refused),
    }


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
    for series, own in itertools.groupby(rows, key=lambda row: row["series"]):
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
    sizes: dict[int, str] = {}
    for run in all_runs(support.result):
        if run.status != "ok":
            continue
        label = run_label(run)
        level: Level = "authority" if support.names_authority(label) else "study"
        made[level].append(_run_row(support, anchor, ledger, run, label, sizes))
    _differences(ledger, anchor, sizes)
    yield Draft(f"{anchor}_runs", "Analyses", "study", RUN_LABELS, tuple(made["study"]))
    caption = "Analyses with or without single authorities"
    name = f"{anchor}_runs-by-authority"
    yield Draft(name, caption, "authority", RUN_LABELS, tuple(made["authority"]))


RUN_LABELS = ("family", "label", "estimator", "engine")


def _run_row(
    support: Support, anchor: str, ledger: Ledger, run: Run, label: str, sizes: dict[int, str]
) -> dict[str, Any]:
    n: Mark = Figure(None)
    if run.n_cases is not None:
        key = ledger.count(f"{anchor}/runs/{run.n_cases}", int(run.n_cases))
        sizes[int(run.n_cases)] = key
        n = Counted(key)
    named = {"family": run.family, "label": label, "estimator": run.estimator, "engine": run.engine}
    figures = {name: getattr(run, name) for name in ("estimate", "std_error", "p_value", *ERRORS)}
    units = {"n_units": run.n_units, "n_treated_units": run.n_treated_units}
    return {**named, **_estimate(figures, support.of_run(run)), "n_cases": n, **units}


def _differences(ledger: Ledger, anchor: str, sizes: Mapping[int, str]) -> None:
    """Take note of analyses that differ by few cases, the last step of attrition among them."""
    steps = [key for key in ledger.counts if key.startswith(f"{anchor}/attrition/")]
    last = [key for key in steps if key.endswith(("start", "after"))][-1:]
    keys = sorted({*sizes.values(), *last}, key=lambda key: ledger.counts[key])
    for less, more in itertools.combinations(keys, 2):
        ledger.must_differ(more, less)


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


def events(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """Effects by event time, of every estimator that has them."""
    rows: list[dict[str, Any]] = []
    for named in support.result.estimates:
        for row in rows_of(named.estimate.tidy):
            time = str(row.get("term", "")).removeprefix(EVENT)
            if time == row.get("term") or not time.lstrip("-").isdigit():
                continue
            who = {"estimator": named.estimator, "engine": named.engine, "event": int(time)}
            rows.append({**who, **_estimate(row, support.of_event(int(time)))})
    labels = ("estimator", "engine", "event")
    yield Draft(f"{anchor}_event-study", "Effects by event time", "study", labels, tuple(rows))


def pilots(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """Effects of single pilots."""
    pooled = support.result.pooled
    rows = []
    for row in rows_of(pooled.pilots) if pooled is not None else ():
        unit = str(row["unit"])
        name = support.study.unit_names.get(unit, unit)
        shown = _estimate(row, support.of_pilot(unit))
        rows.append({"unit": unit, "name": name, **shown})
    yield Draft(f"{anchor}_pilots", "Effects of single pilots", "authority", ("unit",), tuple(rows))


def pooled(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """What the pilots have in common; nothing where the effect of a pilot may not be shown."""
    found = support.result.pooled
    rows = []
    if found is not None:
        hidden = any(support.of_pilot(str(row["unit"])) for row in rows_of(found.pilots))
        refused = FEW if hidden else ""
        for name in POOLED:
            rows.append({"figure": name, "value": Figure(getattr(found, name, None), refused)})
    yield Draft(f"{anchor}_pooled", "What the pilots have in common", "study", ("figure",), tuple(rows))


POOLED = (
    *("estimate", "std_error", "conf_low", "conf_high", "p_value"),
    *("prediction_low", "prediction_high"),
)
"""Figures of the pooling that are shown."""


def leads(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """Tests of parallel trends, of all pilots and of each."""
    made: dict[Level, list[dict[str, Any]]] = {"study": [], "authority": []}
    for lead in support.result.leads:
        refused = support.of_pilot(lead.pilot) if lead.pilot else ""
        names = ("statistic", "df_num", "df_den", "p_value", "power")
        row = {name: Figure(getattr(lead, name), refused) for name in names}
        who = {"pilots": lead.pilot or "all", "status": lead.status}
        made["authority" if lead.pilot else "study"].append({**who, **row})
    caption = "Tests that trends were parallel before"
    yield Draft(f"{anchor}_lead-tests", caption, "study", ("pilots",), tuple(made["study"]))
    name = f"{anchor}_lead-tests-by-pilot"
    yield Draft(name, f"{caption}, by pilot", "authority", ("pilots",), tuple(made["authority"]))


def balance(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """Standardised differences; means, which are shares of children, are not shown."""
    rows = []
    for row in rows_of(support.result.balance):
        refused = _rare(support, row) if row["level"] == "cases" else ""
        shown = {name: Figure(row[name], refused, like=1.0) for name in ("smd_before", "smd_after")}
        rows.append({"level": row["level"], "covariate": row["covariate"], **shown})
    labels = ("level", "covariate")
    yield Draft(f"{anchor}_balance", "Standardised differences", "study", labels, tuple(rows))


def _rare(support: Support, row: Mapping[str, Any]) -> str:
    """Return why a covariate may not be shown: too few cases have it, or have it not."""
    sides = (("pilot", "mean_treated"), ("comparator", "mean_control_before"))
    for role, name in sides:
        n = sum(
            int(unit["n_pre"] or 0) + int(unit["n_post"] or 0)
            for unit in rows_of(support.result.sample)
            if unit["role"] == role
        )
        share = row.get(name)
        if share is None or not n:
            return FEW
        few = support.rules.min_count
        if "=" in str(row["covariate"]) and not few <= share * n <= n - few:
            return FEW
    return ""


def composition(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """Whether the programme changed the mix of cases."""
    rare = {
        str(row["covariate"]): _rare(support, row)
        for row in rows_of(support.result.balance)
        if row["level"] == "cases"
    }
    rows = [
        {"covariate": row["covariate"], **_estimate(row, rare.get(str(row["covariate"]), FEW))}
        for row in rows_of(support.result.composition)
    ]
    caption = "Did the programme change the mix of cases"
    yield Draft(f"{anchor}_composition", caption, "study", ("covariate",), tuple(rows))


def engines(support: Support, anchor: str, ledger: Ledger) -> Iterator[Draft]:
    """Whether engines agree, without the sentences."""
    rows = [
        {"estimator": a.estimator, "engine": a.engine, "reference": a.reference, "verdict": a.verdict}
        for a in support.result.agreements
    ]
    labels = ("estimator", "engine")
    caption = "The same analysis in other software"
    yield Draft(f"{anchor}_crosscheck", caption, "study", labels, tuple(rows))
