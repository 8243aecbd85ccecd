"""Names of authorities, families of runs and years, as readers know them."""

from __future__ import annotations

import re
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
    "not-linked": "Children as the sources identify them",
    "other-matching": "Comparators chosen in other ways",
    "entire-pool": "The whole pool as comparators",
    "staggered": "Estimators for staggered adoption",
}
"""Headings of the families of runs; any other family is shown by its own name."""

OTHER_RUNS = "Other specifications"


@dataclass(frozen=True)
class Labels:
    """Names of authorities by code; a code without a name, or with a name twice, shows itself."""

    by_code: Mapping[str, str]

    @classmethod
    def of(cls, result: StudyResult) -> Labels:
        """Collect the names that the sources and the design know."""
        by_code = {str(unit): words.clean(str(name)) for unit, name in result.unit_names.items()}
        for row in rows_of(result.pilots):
            name = row.get("name")
            if not words.missing(name):
                by_code.setdefault(str(row.get("unit")), words.clean(str(name)))
        return cls.of_units(by_code)

    @classmethod
    def of_units(cls, names: Mapping[str, str]) -> Labels:
        """Take names by code; a name that several have gets its code."""
        cleaned = {str(unit): words.clean(str(name)) for unit, name in names.items()}
        twice = {name for name, n in Counter(cleaned.values()).items() if n > 1}
        return cls({u: f"{n} ({u})" if n in twice else n for u, n in cleaned.items() if n})

    def __call__(self, unit: Any) -> str:
        """Return the name of an authority, or its code."""
        code = words.text(unit)
        return self.by_code.get(code, code)


ENGINES = {"python": "Python", "r": "R"}
"""Engines that are named after a language; others are shown as their packages write themselves."""


def engine_name(engine: Any) -> str:
    """Write the name of an engine.

    >>> engine_name("r"), engine_name("r-fixest"), engine_name("pyfixest")
    ('R', 'fixest in R', 'pyfixest')
    """
    name = words.text(engine)
    if name.startswith("r-"):
        return f"{name.removeprefix('r-')} in R"
    return ENGINES.get(name, name)


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
    groups: dict[str, list[Run]] = {}
    for run in runs:
        alone = sizes[run.family] == 1 and run.family != "main"
        groups.setdefault(OTHER_RUNS if alone else family_name(run.family), []).append(run)
    others = groups.pop(OTHER_RUNS, None)
    if others is not None:
        groups[OTHER_RUNS if len(groups) else "Runs"] = others
    return list(groups.items())


def run_label(run: Run, called: Mapping[str, str] | None = None) -> str:
    """Return what a run is called: its label, or its family where it has none.

    Args:
        run: The run.
        called: What plugins are called on charts, by their names.
    """
    label = in_plain_words(words.clean(run.label), called or {})
    return words.capital(label) or family_name(run.family)


def in_plain_words(label: str, called: Mapping[str, str]) -> str:
    """Put in what plugins and engines are called for their names.

    A name that is a word of its own, such as ``stacked``, is one after "by" and at the start only.

    >>> in_plain_words("by sun-abraham", {"sun-abraham": "Sun and Abraham"})
    'by Sun and Abraham'
    >>> in_plain_words("without stacked terms, engine r", {"stacked": "Stacked by cohort"})
    'without stacked terms, engine R'
    """

    def word(found: re.Match[str]) -> str:
        name, before, after = found.group(), label[: found.start()], label[found.end() :]
        if before.endswith("engine "):
            return engine_name(name)
        alone = before.endswith("by ") or (not before and after[:1] in ("", ","))
        return called.get(name, name) if "-" in name or alone else name

    return re.sub(r"[\w-]+", word, label)


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
