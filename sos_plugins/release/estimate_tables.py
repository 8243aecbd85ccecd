"""The tables of one outcome that show no counts, as drafts: estimates, tests, differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sos_plugins.release.drafts import Draft, Figure, Level, Mark
from sos_plugins.release.support import FEW, Support
from sos_plugins.report.tables import rows_of

EVENT = "event="
"""How the term of an effect by event time begins."""
ERRORS = ("conf_low", "conf_high")


def estimate_cells(row: Mapping[str, Any], refused: str) -> dict[str, Mark]:
    """Mark the cells of an estimate, all with the digits of its standard error."""
    error = row.get("std_error")
    return {
        "estimate": Figure(row.get("estimate"), refused, like=error),
        "std_error": Figure(error, refused),
        **{name: Figure(row.get(name), refused, like=error) for name in ERRORS},
        "p_value": Figure(row.get("p_value"), refused),
    }


def events(support: Support, anchor: str) -> Iterator[Draft]:
    """Effects by event time, of every estimator that has them."""
    rows: list[dict[str, Any]] = []
    for named in support.result.estimates:
        for row in rows_of(named.estimate.tidy):
            time = str(row.get("term", "")).removeprefix(EVENT)
            if time == row.get("term") or not time.lstrip("-").isdigit():
                continue
            who = {"estimator": named.estimator, "engine": named.engine, "event": int(time)}
            rows.append({**who, **estimate_cells(row, support.of_event(int(time)))})
    labels = ("estimator", "engine", "event")
    yield Draft(f"{anchor}_event-study", "Effects by event time", "study", labels, tuple(rows))


def pilots(support: Support, anchor: str) -> Iterator[Draft]:
    """Effects of single pilots."""
    pooled = support.result.pooled
    rows = []
    for row in rows_of(pooled.pilots) if pooled is not None else ():
        unit = str(row["unit"])
        name = support.study.unit_names.get(unit, unit)
        shown = estimate_cells(row, support.of_pilot(unit))
        rows.append({"unit": unit, "name": name, **shown})
    yield Draft(f"{anchor}_pilots", "Effects of single pilots", "authority", ("unit",), tuple(rows))


def pooled(support: Support, anchor: str) -> Iterator[Draft]:
    """What the pilots have in common; nothing where the effect of a pilot may not be shown."""
    found = support.result.pooled
    rows = []
    if found is not None:
        hidden = any(support.of_pilot(str(row["unit"])) for row in rows_of(found.pilots))
        refused = FEW if hidden else ""
        for name in POOLED:
            rows.append({"figure": name, "value": Figure(getattr(found, name, None), refused)})
    yield Draft(
        f"{anchor}_pooled", "What the pilots have in common", "study", ("figure",), tuple(rows)
    )


POOLED = (
    *("estimate", "std_error", "conf_low", "conf_high", "p_value"),
    *("prediction_low", "prediction_high"),
)
"""Figures of the pooling that are shown."""


def leads(support: Support, anchor: str) -> Iterator[Draft]:
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


def balance(support: Support, anchor: str) -> Iterator[Draft]:
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


def composition(support: Support, anchor: str) -> Iterator[Draft]:
    """Whether the programme changed the mix of cases."""
    rare = {
        str(row["covariate"]): _rare(support, row)
        for row in rows_of(support.result.balance)
        if row["level"] == "cases"
    }
    rows = [
        {"covariate": row["covariate"], **estimate_cells(row, rare.get(str(row["covariate"]), FEW))}
        for row in rows_of(support.result.composition)
    ]
    caption = "Did the programme change the mix of cases"
    yield Draft(f"{anchor}_composition", caption, "study", ("covariate",), tuple(rows))


def engines(support: Support, anchor: str) -> Iterator[Draft]:
    """Whether engines agree, without the sentences."""
    rows = [
        {
            "estimator": a.estimator,
            "engine": a.engine,
            "reference": a.reference,
            "verdict": a.verdict,
        }
        for a in support.result.agreements
    ]
    labels = ("estimator", "engine")
    caption = "The same analysis in other software"
    yield Draft(f"{anchor}_crosscheck", caption, "study", labels, tuple(rows))


MAKERS = (events, pilots, pooled, leads, balance, composition, engines)
"""What makes these tables."""
