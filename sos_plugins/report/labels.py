"""Names of authorities, families of runs and years, as readers know them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sos_plugins.contract.types import Run
from sos_plugins.report import formatting as words
from sos_plugins.report.tables import rows_of
from sos_plugins.study.result import OutcomeResult, StudyResult

FAMILIES = {
    "main": "Main analysis",
    "drop-one-pilot": "Leaving out one pilot at a time",
    "single-pilot": "Each pilot alone",
    "no-external-support": "Without externally supported pilots",
    "no-covariates": "Without covariates",
    "unweighted": "Without the matching of cases",
    "logit": "Logistic model",
    "other-engine": "The same analysis in other software",
    "other-definition": "Other definitions of the outcome",
    "other-matching": "Comparators chosen in other ways",
    "entire-pool": "The whole pool as comparators",
    "staggered": "Estimators for staggered adoption",
}
"""Headings of the families of runs; any other family is shown by its own name."""

OTHER_RUNS = "Other specifications"


@dataclass(frozen=True)
class Labels:
    """Names of authorities by code; a code without a name, or with a name twice, shows itself."""

    by_code: dict[str, str]

    @classmethod
    def of(cls, result: StudyResult) -> Labels:
        """Collect the names that the sources and the design know."""
        found = {str(unit): words.clean(str(name)) for unit, name in result.unit_names.items()}
        for row in rows_of(result.pilots):
            name = row.get("name")
            if not words.missing(name):
                found.setdefault(str(row.get("unit")), words.clean(str(name)))
        return cls.of_units(found)

    @classmethod
    def of_units(cls, names: Mapping[str, str]) -> Labels:
        """Take names by code; a name that several have gets its code."""
        found = {str(unit): words.clean(str(name)) for unit, name in names.items()}
        twice = {name for name, n in Counter(found.values()).items() if n > 1}
        return cls({u: f"{n} ({u})" if n in twice else n for u, n in found.items() if n})

    def __call__(self, unit: Any) -> str:
        """Return the name of an authority, or its code."""
        code = words.text(unit)
        return self.by_code.get(code, code)


def family_name(family: str) -> str:
    """Return the heading of a family of runs."""
    return FAMILIES.get(family, words.heading(family))


def all_runs(result: OutcomeResult) -> tuple[Run, ...]:
    """Return every run, the main run first."""
    if result.main is None or any(run.family == "main" for run in result.runs):
        return result.runs
    return (result.main, *result.runs)


def grouped_runs(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Group runs by family in the order they came; families of one run share a group."""
    sizes = Counter(run.family for run in runs)
    found: dict[str, list[Run]] = {}
    for run in runs:
        alone = sizes[run.family] == 1 and run.family != "main"
        found.setdefault(OTHER_RUNS if alone else family_name(run.family), []).append(run)
    others = found.pop(OTHER_RUNS, None)
    if others is not None:
        found[OTHER_RUNS if len(found) else "Runs"] = others
    return list(found.items())


def run_label(run: Run) -> str:
    """Return what a run is called: its label, or its family where it has none."""
    return words.capital(words.clean(run.label)) or family_name(run.family)


COVARIATES = {
    "n_cases": "Cases a year",
    "outcome_pre_mean": "Outcome before, mean of all years",
    "uasc": "Unaccompanied asylum seeker",
}
"""Names of characteristics that a heading made from the column would not explain."""


def covariate_name(covariate: Any, *, april: bool) -> str:
    """Write a characteristic that was balanced.

    >>> covariate_name("outcome_pre_2012", april=True), covariate_name("sex=female", april=True)
    ('Outcome before, 2012/13', 'Sex: female')
    """
    column, equals, level = words.text(covariate).partition("=")
    if column.startswith("outcome_pre_") and column not in COVARIATES:
        year = period_name(column.removeprefix("outcome_pre_"), april=april)
        return f"Outcome before, {year}"
    name = COVARIATES.get(column) or words.heading(column.removeprefix("x_"))
    return f"{name}: {level}" if equals else name


OWN_PERIODS = ("tidy",)
"""Sources whose periods are the user's own; those of all others are years from 1 April."""


def april_years(result: StudyResult) -> bool:
    """Return whether periods are years that start on 1 April.

    They are when embedding windows have dates, or when no source has periods of its own.
    """
    if any(words.to_date(row.get("start")) is not None for row in rows_of(result.pilots)):
        return True
    sources = result.settings.get("sources") or ()
    plugins = [source.get("plugin") for source in sources if isinstance(source, Mapping)]
    return bool(plugins) and not any(plugin in OWN_PERIODS for plugin in plugins)


def period_name(period: Any, *, april: bool) -> str:
    """Write a period: '2008/09' for a year that starts in April, else as it is.

    >>> period_name(2008, april=True), period_name(2004, april=False)
    ('2008/09', '2004')
    """
    number = words.to_float(period)
    if number is None or number != int(number):
        return words.text(period)
    year = int(number)
    return f"{year}/{(year + 1) % 100:02d}" if april else str(year).replace("-", words.MINUS)
