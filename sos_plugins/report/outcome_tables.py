"""The tables of one outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd
from markupsafe import Markup

from sos_plugins.contract.types import Agreement, LeadTest, Run
from sos_plugins.report import formatting as words
from sos_plugins.report.balance import MARK, MARK_NOTE
from sos_plugins.report.charts import effect_columns
from sos_plugins.report.labels import (
    Labels,
    all_runs,
    engine_name,
    grouped_runs,
    in_plain_words,
    run_label,
)
from sos_plugins.report.tables import Column, Row, Table, column, counts, frame_of, rows_of
from sos_plugins.study.quality import FIGURES
from sos_plugins.study.result import OutcomeResult

RUN_COLUMNS = tuple(Run.__dataclass_fields__)

STATUS = {"ok": "done", "failed": "failed", "not applicable": "does not apply"}
"""How the status of a run or test is shown."""


SHORT_MARK = 16
"""Characters of a mark that is kept on one line."""


def mark(good: bool | None, label: str) -> Markup:
    """Return a tick, a cross or a ring before a label that says the same in words."""
    sign = {True: "✓", False: "✗", None: "○"}[good]
    kind = {True: "good", False: "bad", None: "open"}[good]
    kind = f"{kind} short" if len(label) <= SHORT_MARK else kind
    return Markup('<span class="mark {}"><span aria-hidden="true">{}</span> {}</span>').format(
        kind, sign, label
    )


def label_of(result: OutcomeResult) -> str:
    """Return the outcome's label, clean."""
    return words.clean(result.info.label)


OWN_THRESHOLDS = "The thresholds are this project's own, not those of 2021."


def reasons_table(
    result: OutcomeResult, ident: str, called: Mapping[str, str] | None = None
) -> Table | None:
    """Make the table of the reasons of the rating, each with its figure and threshold."""
    if result.rating is None or not result.rating.reasons:
        return None

    def sentence(value: Any) -> str:
        return words.end_sentence(in_plain_words(words.text(value), called or {}))

    columns = (
        column("sentence", "Finding", sentence),
        Column("Met?", lambda row: mark(bool(row["met"]), "met" if row["met"] else "not met")),
    )
    fields = ("metric", "sentence", "figure", "threshold", "met", "allows")
    every = frame_of([asdict(reason) for reason in result.rating.reasons], fields)
    frame = every[[not r.met or bool(r.allows) for r in result.rating.reasons]]
    rest = len(every) - len(frame)
    others = f" {words.plural(rest, 'further check')} held nothing down: the file has them."
    return Table(
        ident,
        f"What the rating rests on: {label_of(result)}",
        frame,
        columns,
        note=OWN_THRESHOLDS + (others if rest else ""),
        raw=every,
    )


def runs_table(result: OutcomeResult, ident: str, called: Mapping[str, str] | None = None) -> Table:
    """Make the table of all runs by family, those without an estimate with their reason."""
    rows: list[dict[str, Any]] = []
    for heading, runs in grouped_runs(all_runs(result)):
        rows.extend({"group": heading, **_row(run)} for run in runs)
    columns = (
        Column("Analysis", lambda row: run_label(_run(row), called)),
        *(c for c in effect_columns(words.scale_of(result)) if c.heading != "Standard error"),
        Column("Status", _status_of_run),
    )
    return Table(
        ident,
        f"Every analysis: {label_of(result)}",
        frame_of(rows, ("group", *RUN_COLUMNS)),
        columns,
        group="group",
        note="The file has the estimator, engine, error, cases and estimand of each as well.",
        missing_note="the analysis gave no such figure; its status says why",
    )


def _status_of_run(row: Row) -> str:
    told = _status(row)
    if words.missing(row["error_from"]) or isinstance(told, Markup):
        return told
    return f"{told}, {words.text(row['error_from'])}"


def _row(run: Run) -> dict[str, Any]:
    return {**asdict(run), "warnings": " ".join(run.warnings)}


def _run(row: Row) -> Run:
    return Run(**{name: row[name] for name in RUN_COLUMNS if name != "warnings"})


def _status(row: Row) -> str:
    status = words.text(row["status"])
    if status == "ok" and words.missing(row["reason"]):
        return STATUS["ok"]
    good = {"ok": True, "failed": False}.get(status)
    reason = "" if words.missing(row["reason"]) else f": {words.clean(str(row['reason']))}"
    return mark(good, f"{STATUS.get(status, status)}{reason}")


def failed_runs_table(
    result: OutcomeResult, ident: str, called: Mapping[str, str] | None = None
) -> Table | None:
    """Make the table of the runs that gave no estimate."""
    rows = [_row(run) for run in all_runs(result) if run.status != "ok"]
    if not rows:
        return None
    columns = (
        Column("Analysis", lambda row: run_label(_run(row), called)),
        Column("Why there is no estimate", _status),
    )
    return Table(
        ident,
        f"Analyses without an estimate: {label_of(result)}",
        frame_of(rows, RUN_COLUMNS),
        columns,
    )


def leads_table(result: OutcomeResult, names: Labels, ident: str) -> Table | None:
    """Make the table of the tests of parallel trends: all pilots together, then each."""
    if not result.leads:
        return None
    columns = (
        column("pilot", "Pilots", lambda v: "All pilots together" if not v else names(v)),
        column("p_value", "p value", words.p_cell, numeric=True),
        column("power", "Power", words.share, numeric=True),
        Column("Error from", _error_from),
        Column("Weight", _weight),
        Column("Status", _status),
    )
    every = frame_of(map(asdict, result.leads), tuple(LeadTest.__dataclass_fields__))
    return Table(
        ident,
        f"Tests that trends were parallel before the start: {label_of(result)}",
        every[[not lead.pilot or lead.status == "failed" for lead in result.leads]],
        columns,
        raw=every,
        note="The file has the test of each pilot. A small p value speaks against parallel "
        "trends. Power is the probability that the test, at 5%, finds a straight drift that alone "
        "would give the main estimate: a test with little power that finds nothing says little.",
        missing_note="the test gave no such figure; its status says why",
    )


def composition_table(result: OutcomeResult, ident: str) -> Table | None:
    """Make the table of what the programme did to the mix of cases."""
    if result.composition.empty:
        return None
    columns = (
        Column("Covariate", _marked_covariate),
        column("estimate", "Change", lambda v: words.number(v, 3), numeric=True),
        column("p_adjusted", "Adjusted p value", words.p_cell, numeric=True),
        column("reason", "Why there is none", words.text),
    )
    return Table(
        ident,
        f"Did the programme change the mix of cases: {label_of(result)}",
        result.composition,
        columns,
        note="Shares are from 0 to 1; p values are adjusted for the number of rows by Holm's "
        f"method. {MARK_NOTE}",
        missing_note="there is no estimate; the last column says why",
    )


def _marked_covariate(row: Row) -> str:
    name = words.clean(str(row["covariate"]))
    return f"{name}{MARK}" if row["measured_after"] else name


def _error_from(row: Row) -> str:
    if words.missing(row["p_value"]):
        return words.MISSING
    n = words.to_float(row["n_placebos"])
    return "the estimator" if n is None else f"{words.count(int(n))} placebo pilots of the pool"


def _weight(row: Row) -> str:
    return "none: used for matching" if row["used_for_matching"] else "counts"


def crosscheck_table(
    result: OutcomeResult, ident: str, called: Mapping[str, str] | None = None
) -> Table | None:
    """Make the table of cross-checks between engines."""
    if not result.agreements:
        return None
    columns = (
        Column("Estimator and engines", lambda row: _compared(row, called or {}), wide=True),
        Column("Verdict", _verdict),
        Column("Largest difference of estimates", _difference_of_estimates, numeric=True),
    )
    rows = [_agreement_row(agreement) for agreement in result.agreements]
    every = frame_of(rows, list(rows[0]))
    return Table(
        ident,
        f"The same analysis in other software: {label_of(result)}",
        every[every["verdict"] == "disagree"],
        columns,
        note="Differences are in the units of the value; in brackets the term that differs most. "
        "The file has those of standard errors, and what is allowed and why.",
        raw=every,
        missing_note="nothing was compared",
    )


def agreement_sentence(result: OutcomeResult) -> str:
    """Say how many comparisons with other engines agree, which do not, and which were not run."""
    verdicts = [agreement.verdict for agreement in result.agreements]
    run = [verdict for verdict in verdicts if verdict != "not run"]
    if not verdicts:
        return ""
    if not run:
        return f"None of {words.plural(len(verdicts), 'comparison')} of engines was run."
    told = f"{words.count(run.count('agree'))} of {words.plural(len(run), 'comparison')} agree"
    left = len(verdicts) - len(run)
    return f"{told}; {words.count(left)} more could not be run." if left else f"{told}."


def _agreement_row(agreement: Agreement) -> dict[str, Any]:
    estimate, error = agreement.tolerance_estimate, agreement.tolerance_std_error
    return {
        "estimator": agreement.estimator,
        "engine": agreement.engine,
        "reference": agreement.reference,
        "verdict": agreement.verdict,
        "difference_estimate": agreement.max_difference_estimate,
        "difference_std_error": agreement.max_difference_std_error,
        "worst_term": agreement.worst_term,
        "tolerance_estimate_relative": estimate.relative,
        "tolerance_estimate_absolute": estimate.absolute,
        "tolerance_estimate_reason": estimate.reason,
        "tolerance_std_error_relative": error.relative,
        "tolerance_std_error_absolute": error.absolute,
        "tolerance_std_error_reason": error.reason,
        "reason": agreement.reason,
    }


def _compared(row: Row, called: Mapping[str, str]) -> str:
    engine, reference = engine_name(row["engine"]), engine_name(row["reference"])
    estimator = words.clean(row["estimator"])
    return f"{called.get(estimator, estimator)}: {engine} against {reference}"


def _verdict(row: Row) -> str:
    good = {"agree": True, "disagree": False}.get(str(row["verdict"]))
    reason = "" if words.missing(row["reason"]) else f": {words.clean(str(row['reason']))}"
    return mark(good, f"{words.text(row['verdict'])}{reason}")


def _difference_of_estimates(row: Row) -> str:
    size = words.scientific(row["difference_estimate"])
    term = words.text(row["worst_term"])
    return size if words.MISSING in (size, term) else f"{size} ({term})"


def crosscheck_terms(result: OutcomeResult, ident: str) -> Table | None:
    """Make the file of the terms compared, estimator and engine first."""
    frames = [
        agreement.terms.assign(estimator=agreement.estimator, engine=agreement.engine)
        for agreement in result.agreements
        if len(agreement.terms)
    ]
    return _file(ident, f"Terms compared between engines: {label_of(result)}", frames)


def estimates_file(result: OutcomeResult, ident: str) -> Table | None:
    """Make the file of all terms of all estimates."""
    frames = [
        named.estimate.tidy.assign(estimator=named.estimator, engine=named.engine)
        for named in result.estimates
        if len(named.estimate.tidy)
    ]
    return _file(ident, f"All terms of all estimates: {label_of(result)}", frames)


def _file(ident: str, caption: str, frames: list[pd.DataFrame]) -> Table | None:
    if not frames:
        return None
    rows = [row for frame in frames for row in rows_of(frame)]
    names = dict.fromkeys(["estimator", "engine", *(str(c) for f in frames for c in f.columns)])
    return Table(ident, caption, frame_of(rows, names))


def groups_table(result: OutcomeResult, names: Labels, ident: str) -> Table | None:
    """Make the table of matched groups with their cases and means before and after."""
    distances = {
        (str(row.get("pilot")), str(row.get("comparator"))): row.get("distance")
        for row in rows_of(result.groups)
    }
    labels = group_names(result, names)
    rows = [
        {**row, "distance": distances.get((str(row.get("group")), str(row.get("unit"))))}
        for row in rows_of(result.sample)
    ] or _without_sample(result)
    if not rows:
        return None
    for row in rows:
        group = row.get("group")
        row["group_name"] = "All authorities" if words.missing(group) else labels(group)
        row["unit_name"] = labels(row.get("unit"))
        row["change"] = _difference(row)
    scale = words.scale_of(result)
    level, unit = level_column(scale)
    columns = (
        column("unit_name", "Authority"),
        column("role", "Role", lambda v: words.heading(words.text(v))),
        counts("n_pre", "Cases before"),
        counts("n_post", "Cases after"),
        column("mean_pre", f"Mean before{unit}", level, numeric=True),
        column("mean_post", f"Mean after{unit}", level, numeric=True),
    )
    fields = ("group", "group_name", "role", "unit", "unit_name", "distance", "n_pre", "n_post")
    return Table(
        ident,
        f"Matched groups, with cases and means before and after: {label_of(result)}",
        frame_of(rows, (*fields, "mean_pre", "mean_post", "change")),
        columns,
        group="group_name",
        missing_note="there are no cases",
    )


def level_column(scale: words.Scale) -> tuple[Callable[[Any], str], str]:
    """Return how a column of means shows them, and what its heading says of the unit."""
    if scale.level_unit in ("%", ""):
        return scale.level, ""
    return scale.effect, f",{scale.level_unit}"


def group_names(result: OutcomeResult, names: Labels) -> Labels:
    """Return names of authorities, those that the groups give too."""
    known = dict(names.by_code)
    for row in rows_of(result.groups):
        for side in ("pilot", "comparator"):
            label = row.get(f"{side}_name")
            if not words.missing(label):
                known.setdefault(str(row.get(side)), words.clean(str(label)))
    return Labels(known)


def _without_sample(result: OutcomeResult) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for row in rows_of(result.groups):
        pilot = row.get("pilot")
        if all(other["group"] != pilot for other in rows):
            rows.append({"group": pilot, "unit": pilot, "role": "pilot"})
        rows.append(
            {
                "group": pilot,
                "unit": row.get("comparator"),
                "role": "comparator",
                "distance": row.get("distance"),
            }
        )
    return rows


def _difference(row: Row) -> float | None:
    before, after = words.to_float(row.get("mean_pre")), words.to_float(row.get("mean_post"))
    return None if before is None or after is None else after - before


def attrition_table(result: OutcomeResult, ident: str) -> Table | None:
    """Make the table of the steps from candidate records to cases."""
    if result.attrition.empty:
        return None
    columns = (
        column("step", "Step"),
        column("reason", "Why records leave"),
        counts("n_before", "Before"),
        counts("n_dropped", "Dropped"),
        counts("n_after", "After"),
    )
    caption = f"From candidate records to cases: {label_of(result)}"
    return Table(ident, caption, result.attrition, columns)


def quality_table(result: OutcomeResult, ident: str) -> Table | None:
    """Make the table of data-quality figures."""
    if not result.quality:
        return None
    rows = [
        {"figure": name, "value": value, "meaning": FIGURES.get(name)}
        for name, value in result.quality.items()
    ]
    scale = words.scale_of(result)

    def shown(name: str, value: Any) -> str:
        return scale.size(value) if name in IN_UNITS_OF_VALUE else quality_figure(name, value)

    columns = (
        column("figure", "Figure", lambda v: words.heading(words.text(v))),
        Column("Value", lambda row: shown(str(row["figure"]), row["value"]), numeric=True),
        column("meaning", "What it means", lambda v: words.end_sentence(words.text(v))),
    )
    caption = f"Data-quality figures: {label_of(result)}"
    return Table(ident, caption, frame_of(rows, ("figure", "value", "meaning")), columns)


NOT_SHARES = ("n_", "breakdown", "ratio", "days", "years", "number", "count", "periods")
"""Parts of the names of quality figures that are no shares."""


IN_UNITS_OF_VALUE = ("value_sd", "tipping_difference")
"""Quality figures in the units of the outcome's value."""

SHIFTS = ("usable_shift", "faulty_shift")
"""Quality figures that are differences between shares."""

IN_STANDARD_DEVIATIONS = ("pilots_above_pool", "imbalance_units", "imbalance_cases")
"""Quality figures in standard deviations."""


def quality_figure(name: str, value: Any) -> str:
    """Write a quality figure: a share as per cent unless its name says otherwise."""
    amount = words.to_float(value)
    if amount is None:
        return words.MISSING
    if name in IN_STANDARD_DEVIATIONS:
        return f"{words.number(amount, 2)} SD"
    if name in SHIFTS:
        return f"{words.number(100 * amount, 1)} points"
    if name.startswith("n_"):
        return words.count(amount)
    if abs(amount) <= 1 and not any(part in name for part in NOT_SHARES):
        return words.share(amount)
    return words.figure(amount)
