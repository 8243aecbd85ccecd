"""The tables of the whole study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from sos_plugins.contract.types import Rating
from sos_plugins.report import formatting as words
from sos_plugins.report.outcome_tables import mark
from sos_plugins.report.tables import Column, Row, Table, column, counts, frame_of, pairs, rows_of
from sos_plugins.report.verdict import scheme_name
from sos_plugins.study.result import OutcomeResult, StudyResult
from sos_plugins.tables.row_accounts import accounts

KNOWN_PILOT_COLUMNS = ("unit", "name", "start", "end", "cohort")


def pilots_table(study: StudyResult) -> Table | None:
    """Make the table of pilots with their embedding windows and the design's own columns."""
    if study.pilots.empty:
        return None
    own = [str(c) for c in study.pilots.columns if str(c) not in KNOWN_PILOT_COLUMNS]
    columns = (
        Column("Pilot", _pilot_name),
        column("unit", "Code"),
        column("start", "Embedding starts", words.date),
        column("end", "Embedding ends", words.date),
        column("cohort", "First treated period", lambda v: words.setting(_whole(v))),
        *(column(name, words.heading(name)) for name in own),
    )
    return Table(
        "pilots",
        "Pilots and their embedding windows",
        study.pilots,
        columns,
        missing_note="the design does not say",
    )


def _pilot_name(row: Row) -> str:
    return words.text(row["unit"] if words.missing(row.get("name")) else row["name"])


def _whole(value: Any) -> Any:
    number = words.to_float(value)
    return int(number) if number is not None and number == int(number) else value


QUALITY_KEYS = ("source", "table", "column", "check", "action")


def accounts_table(study: StudyResult) -> Table | None:
    """Make the table of what the sources read, gave, merged and dropped."""
    rows = accounts(study.record_quality)
    if rows.empty:
        return None
    columns = (
        column("source", "Source"),
        column("table", "Table"),
        counts("n_read", "Read"),
        counts("n_given", "Given"),
        counts("n_merged", "Merged with others"),
        counts("n_dropped", "Dropped"),
    )
    return Table(
        "record-accounts",
        "What was read: every row and file is given, merged or dropped",
        rows,
        columns,
        note="A row recurs in later returns and is then merged. Rows of headers and of lists of "
        "unaccompanied children become rows of 'children'.",
    )


def quality_tables(study: StudyResult) -> tuple[Table | None, Table | None]:
    """Make the summary of the sources' checks (faults only), and the file of all checks."""
    if study.record_quality.empty:
        return None, None
    full = Table("record-quality-all-checks", "Every check of the records", study.record_quality)
    keys, counted = list(QUALITY_KEYS), ["n", "n_flagged"]
    faults = study.record_quality[study.record_quality["check"] != "recurrence"]
    faults = faults[keys].astype(object).fillna("").join(faults[counted].apply(pd.to_numeric))
    sums = faults.groupby(keys, as_index=False)[counted].sum()
    rows = sorted(
        rows_of(sums[sums["n_flagged"] > 0]),
        key=lambda row: (
            row["action"] != "dropped",
            -row["n_flagged"],
            *(row[k] for k in QUALITY_KEYS),
        ),
    )
    columns = (
        Column("Fault", lambda row: words.heading(row["check"])),
        column("source", "Source"),
        column("table", "Table"),
        column("column", "Column"),
        counts("n_flagged", "Records at fault"),
        counts("n", "Records looked at"),
        Column("Share", _flagged_share, numeric=True),
        column("action", "What was done", words.heading),
    )
    summary = Table(
        "record-quality",
        "Faults found in the records and what was done about them",
        frame_of(rows, (*QUALITY_KEYS, "n", "n_flagged")),
        columns,
        missing_note="the check concerns whole rows or whole files",
    )
    return summary, full


def _flagged_share(row: Row) -> str:
    if not row["n"]:
        return words.MISSING
    share = row["n_flagged"] / row["n"]
    return "< 0.1%" if 0 < share < 0.0005 else words.share(share)


def _in_force(*ratings: Rating) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the thresholds of each rule; one that rates again shows those that differ."""
    shown: dict[str, Rating] = {}
    for rating in ratings:
        first = shown.setdefault(rating.rule, rating)
        if first is rating:
            yield rating.rule, rating.thresholds
            continue
        before = first.thresholds
        other = {k: v for k, v in rating.thresholds.items() if before.get(k) != v}
        yield scheme_name(rating, first), other


def thresholds_table(study: StudyResult) -> Table | None:
    """Make the table of thresholds by rating rule; outcomes that differ are named."""
    thresholds: dict[tuple[str, str, str], list[str]] = {}
    rated = [o for o in study.outcomes if o.rating is not None]
    for outcome in rated:
        assert outcome.rating is not None
        for rule, in_force in _in_force(outcome.rating, *outcome.further_ratings):
            for name, value in in_force.items():
                key = (rule, str(name), words.setting(value))
                thresholds.setdefault(key, []).append(words.clean(outcome.info.label))
    if not thresholds:
        return None
    rows = [
        {
            "threshold": name,
            "value": value,
            "rule": rule,
            "outcomes": "all outcomes" if len(labels) == len(rated) else words.joined(labels),
        }
        for (rule, name, value), labels in thresholds.items()
    ]
    columns = (
        column("threshold", "Threshold", lambda v: words.heading(str(v))),
        column("value", "Value", numeric=True),
        column("rule", "Rating rule"),
        column("outcomes", "Used for"),
    )
    frame = frame_of(rows, ("rule", "threshold", "value", "outcomes"))
    return Table("thresholds", "Thresholds of the strength of evidence", frame, columns)


def true_effect(study: StudyResult, outcome: OutcomeResult) -> float | None:
    """Find the true effect of an outcome in what the simulator knows.

    The effect stands under the outcome's name, in the mapping itself or one level down
    (``effects``, ``outcomes`` ...), as a number or under ``effect``, ``true_effect`` or ``att``.
    """
    truth = study.truth or {}
    layers = [truth, *(value for value in truth.values() if isinstance(value, Mapping))]
    for layer in layers:
        if outcome.info.name not in layer:
            continue
        given = layer[outcome.info.name]
        if isinstance(given, Mapping):
            known = [given[k] for k in ("effect", "true_effect", "att", "ATT") if k in given]
            given = known[0] if known else None
        number = words.to_float(given)
        if number is not None:
            return number
    return None


def _truth_of(study: StudyResult, outcome: OutcomeResult) -> Mapping[str, Any]:
    told = (study.truth or {}).get("outcomes")
    entry = told.get(outcome.info.name) if isinstance(told, Mapping) else None
    return entry if isinstance(entry, Mapping) else {}


def disturbances(study: StudyResult, outcome: OutcomeResult) -> str:
    """Write what else the simulation put in: trends that diverge, and changes that confound."""
    entry = _truth_of(study, outcome)
    held, violated = entry.get("parallel_trends_hold"), entry.get("parallel_trends_violated")
    parts = []
    if violated:
        n_all = len(violated) + len(held or ())
        pilots = words.plural(n_all, "pilot")
        parts.append(f"Trends diverge in {words.count(len(violated))} of {pilots}.")
    confounder = entry.get("confounder")
    if isinstance(confounder, Mapping) and confounder.get("meaning"):
        parts.append(words.end_sentence(str(confounder["meaning"])))
    return " ".join(parts)


def truth_table(study: StudyResult) -> Table | None:
    """Make the table of true effects and estimates, for simulated records."""
    if study.truth is None:
        return None
    rows: list[dict[str, Any]] = []
    for outcome in study.outcomes:
        main = outcome.main
        low, high = (main.conf_low, main.conf_high) if main else (None, None)
        truth = true_effect(study, outcome)
        inside = None if None in (truth, low, high) else low <= truth <= high  # type: ignore[operator]
        rows.append(
            {
                "outcome": outcome.info.name,
                "label": outcome.info.label,
                "true_effect": truth,
                "estimate": main.estimate if main else None,
                "conf_low": low,
                "conf_high": high,
                "inside": inside,
                "also": disturbances(study, outcome),
            }
        )
    scales = {outcome.info.name: words.scale_of(outcome) for outcome in study.outcomes}
    columns = (
        column("label", "Outcome"),
        Column(
            "True effect", lambda r: scales[r["outcome"]].with_unit(r["true_effect"]), numeric=True
        ),
        Column("Estimate", lambda r: scales[r["outcome"]].with_unit(r["estimate"]), numeric=True),
        Column(
            "Confidence interval",
            lambda r: scales[r["outcome"]].interval(r["conf_low"], r["conf_high"]),
            numeric=True,
        ),
        Column("Is the truth in the interval?", _inside),
        column("also", "What else was put in"),
    )
    fields = (
        "outcome",
        "label",
        "true_effect",
        "estimate",
        "conf_low",
        "conf_high",
        "inside",
        "also",
    )
    return Table(
        "truth",
        "What the simulation put in, and what the study found",
        frame_of(rows, fields),
        columns,
        missing_note="nothing else was put in, no effect is named, or there is no estimate",
    )


def _inside(row: Row) -> str | Markup:
    if row["inside"] is None:
        return words.MISSING
    return mark(bool(row["inside"]), "yes" if row["inside"] else "no")


def manifest_tables(study: StudyResult) -> tuple[Table, ...]:
    """Make the tables of the manifest: what ran, versions, plugins and files."""
    manifest = study.manifest
    listed = ("memory", "versions", "plugins", "files")
    facts = {words.heading(k): v for k, v in manifest.items() if k not in listed}
    tables = [pairs("manifest-run", "What ran", facts, first="Fact", second="Value")]
    memory = manifest.get("memory")
    if isinstance(memory, Mapping) and memory:
        taken = {words.heading(k): v for k, v in memory.items()}
        tables.append(pairs("manifest-memory", "Memory", taken, first="Fact", second="Value"))
    versions = manifest.get("versions")
    if isinstance(versions, Mapping) and versions:
        tables.append(
            pairs("manifest-versions", "Software", versions, first="Software", second="Version")
        )
    for key, caption in (("plugins", "Plugins"), ("files", "Files read")):
        table = _listed(f"manifest-{key}", caption, manifest.get(key))
        if table is not None:
            tables.append(table)
    return tuple(table for table in tables if not table.frame.empty)


def _listed(name: str, caption: str, values: Any) -> Table | None:
    if isinstance(values, Mapping):
        return pairs(name, caption, values, first="Name", second="Value") if values else None
    rows = [value if isinstance(value, Mapping) else {"name": value} for value in values or ()]
    if not rows:
        return None
    fields = list(dict.fromkeys(str(key) for row in rows for key in row))
    columns = tuple(column(field, words.heading(field)) for field in fields)
    return Table(name, caption, frame_of(rows, fields), columns)
