"""The tables of the whole study, as drafts, and what of a report is never released."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sos_plugins.release.drafts import Draft, Figure
from sos_plugins.release.profiles import ReleaseRules
from sos_plugins.release.support import Support
from sos_plugins.report.tables import rows_of
from sos_plugins.study.result import OutcomeResult, StudyResult

SENTENCES = "its sentences hold counts and names of authorities"
BY_YEAR = "a table by authority and year"
RECORDS = "counts of faulty or missing records, small ones among them"
WITHHELD = {
    "record-trust": BY_YEAR,
    "record-faults": BY_YEAR,
    "record-completeness": BY_YEAR,
    "record-quality-all-checks": BY_YEAR,
    "record-coverage": "shares of the records of single authorities",
    "record-quality": RECORDS,
    "record-accounts": RECORDS,
    "record-rules": RECORDS,
    "link-effect": "counts that differ by single children",
    "link-figures": RECORDS,
    "link-merged": RECORDS,
    "link-weights": "shares of which the counts are not known",
    "truth": "nothing of it is in real records",
    "truth-all": "nothing of it is in real records",
    "thresholds": "stands in the study file",
    "manifest-run": "paths and names of files of the room",
    "manifest-memory": "paths and names of files of the room",
    "manifest-versions": "stands in the log of the room",
    "manifest-plugins": "stands in the log of the room",
    "manifest-files": "paths and names of files of the room",
}
"""Tables of a report on the whole study that are not released, and why."""
WITHHELD_OF_OUTCOMES = {
    "completeness": BY_YEAR,
    "estimates": "terms that rest on one authority in one year are among them",
    "crosscheck-terms": "terms that rest on one authority in one year are among them",
    "reasons": SENTENCES,
    "other-schemes": SENTENCES,
    "runs-without-estimate": SENTENCES,
    "quality": "shares and extremes of which the counts are not known",
    "settings": "stands in the study file",
    "scores": "a score of each authority",
    "inference": SENTENCES,
    "balance-units": "means of few authorities; their differences are in the table balance",
    "balance-cases": "shares of children; their differences are in the table balance",
}
"""Tables of a report on one outcome that are not released as they are, and why."""
FILES = {
    "report.html": "holds every table and sentence",
    "result.json": "holds every cell",
    "study.toml": "names files of the room",
    "manifest.json": "names files of the room",
}
"""Other files of a report that are not released, and why."""


def summary(study: StudyResult, rules: ReleaseRules) -> Iterator[Draft]:
    """Verdicts and main effects, without the sentences."""
    rows = [_summary_row(Support(study, outcome, rules), outcome) for outcome in study.outcomes]
    yield Draft("summary", "Verdicts and main effects", "study", ("outcome",), tuple(rows))


def _summary_row(support: Support, outcome: OutcomeResult) -> dict[str, Any]:
    rating, main = outcome.rating, outcome.main
    refused = support.of_run(main) if main else ""
    shown = {
        name: Figure(getattr(main, name, None), refused, like=getattr(main, "std_error", None))
        for name in ("estimate", "std_error", "conf_low", "conf_high")
    }
    adjusted = outcome.adjusted.p_value if outcome.adjusted else None
    return {
        "outcome": outcome.info.name,
        "label": outcome.info.label,
        "measure": outcome.info.measure,
        "expected": outcome.info.expected,
        "level": rating.level if rating and not refused else None,
        "direction": rating.direction if rating and not refused else None,
        **shown,
        "p_value": Figure(getattr(main, "p_value", None), refused),
        "p_value_adjusted": Figure(adjusted, refused),
    }


def programme(study: StudyResult) -> Iterator[Draft]:
    """Who took part and when: facts of the programme, none of the records."""
    names = ("unit", "name", "start", "end", "cohort")
    rows = [{name: row[name] for name in names if name in row} for row in rows_of(study.pilots)]
    caption = "The pilots and their windows"
    yield Draft("pilots", caption, "authority", ("unit",), tuple(rows))
