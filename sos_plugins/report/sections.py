"""The sections of the report: everything the templates show, gathered once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from sos_plugins.report import (
    balance,
    caterpillar,
    events,
    fault_tables,
    first_screen,
    heat,
    outcome_tables,
    overlap,
    references,
    study_tables,
    trends,
    verdict,
)
from sos_plugins.report import formatting as words
from sos_plugins.report.charts import Chart
from sos_plugins.report.findings import finding_in_words
from sos_plugins.report.first_screen import Card, limiting_reasons
from sos_plugins.report.forest import forest
from sos_plugins.report.inference import Methods, methods_of_inference
from sos_plugins.report.labels import Labels, all_runs, april_years, run_label
from sos_plugins.report.link_tables import link_tables
from sos_plugins.report.matched import matched_diagram
from sos_plugins.report.tables import Column, Table, column, pairs
from sos_plugins.report.trust import trust_map
from sos_plugins.study.result import OutcomeResult, StudyResult

EVENTS = "event-study-"
"""What the names of charts of effects by event time begin with."""
OF_THE_STUDY = (
    *("index", "summary", "effects", "pilots", "thresholds", "truth", "truth-all"),
    *("record-quality", "record-quality-all-checks", "record-accounts", "record-trust"),
    *("link-effect", "link-figures", "link-merged", "link-weights"),
    *("record-coverage", "record-faults", "record-completeness", "record-rules"),
    *("manifest-run", "manifest-memory", "manifest-versions", "manifest-plugins", "manifest-files"),
    "references",
)
"""Names of the tables and charts that a report may have beside those of its outcomes."""


@dataclass(frozen=True, eq=False)
class OutcomeSection:
    """What the sections of one outcome show; what is absent is None or empty.

    Its card stands on the first screen; ``effect`` is the one chart of the effect that its section
    has beside the trends, ``held`` are the reasons against a higher rating that stand there.
    """

    anchor: str
    label: str
    question: str
    result: OutcomeResult
    card: Card
    verdict: str
    found: str
    held: tuple[str, ...]
    level: Markup | None
    direction: Markup | None
    effect_cell: str
    expected: str
    p_values: str
    smallest_effect: str
    words: str
    agreement: str
    reasons: Table | None
    further_ratings: Table | None
    trends: Chart | None
    effect: Chart | None
    events: tuple[Chart, ...]
    leads: Table | None
    forest: Chart | None
    runs: Table | None
    failed: Table | None
    in_common: tuple[str, ...]
    pooled: Table | None
    pilots: Chart | None
    inference: Methods | None
    crosscheck: Table | None
    matching: tuple[str, ...]
    diagram: Chart | None
    groups: Table | None
    match_tables: tuple[Table, ...]
    composition: Table | None
    balances: tuple[Chart, ...]
    overlaps: tuple[Chart, ...]
    attrition: Table | None
    completeness: Chart | None
    quality: Table | None
    settings: Table | None
    warnings: tuple[str, ...]
    files: tuple[Table, ...]

    @property
    def charts(self) -> tuple[Chart, ...]:
        """Every chart of the section."""
        alike = (*self.balances, *self.overlaps)
        drawn = (self.trends, self.effect, *self.events, self.forest, self.pilots, self.diagram)
        charts = dict.fromkeys((*drawn, *alike, self.completeness))
        return tuple(chart for chart in charts if chart is not None)

    @property
    def tables(self) -> Iterator[Table]:
        """Every table of the section: shown, beneath charts, and written to CSV only."""
        tables = (
            self.reasons,
            self.further_ratings,
            self.leads,
            self.runs,
            self.failed,
            self.crosscheck,
            self.groups,
            self.composition,
        )
        inference = self.inference.table if self.inference else None
        shown = (*tables, self.pooled, inference, self.attrition, self.quality, self.settings)
        yield from (table for table in shown if table is not None)
        yield from (chart.table for chart in self.charts)
        yield from (*self.match_tables, *self.files)


@dataclass(frozen=True)
class Page:
    """What the report shows."""

    study: StudyResult
    title: str
    programme: str
    created: str
    april: bool
    answer: str
    warnings: tuple[str, ...]
    summary: Table
    outcomes: tuple[OutcomeSection, ...]
    pilots: Table | None
    quality: Table | None
    accounts: Table | None
    quality_file: Table | None
    trust: Chart | None
    profile: tuple[Table, ...]
    links: tuple[Table, ...]
    thresholds: Table | None
    truth: Table | None
    truth_facts: Table | None
    manifest: tuple[Table, ...]
    cite: str
    references: Table | None

    @property
    def tables(self) -> list[Table]:
        """Every table, in the order of the report."""
        every = [self.summary, self.pilots, self.quality, self.accounts, self.quality_file]
        every += [self.trust.table if self.trust else None, *self.profile, *self.links]
        every += [self.thresholds, self.truth, self.truth_facts, self.references, *self.manifest]
        tables = [table for table in every if table is not None]
        return tables + [table for section in self.outcomes for table in section.tables]


def page_of(study: StudyResult) -> Page:
    """Gather what the report shows of a study."""
    anchors = anchors_of([outcome.info.name for outcome in study.outcomes])
    names = Labels.of(study)
    quality, quality_file = study_tables.quality_tables(study)
    created = study.manifest.get("created")
    facts = None
    if study.truth:
        caption = "Everything that the simulation records about its truth"
        facts = pairs("truth-all", caption, study.truth, first="Name", second="Value")
    return Page(
        study=study,
        title=words.clean(study.title) or words.clean(study.name),
        programme=words.clean(study.programme),
        created="" if words.missing(created) else words.date(created),
        april=april_years(study),
        answer=first_screen.answer(study),
        warnings=_of_every_outcome(study),
        summary=verdict.summary_table(study, anchors),
        outcomes=tuple(
            _outcome_section(study, outcome, anchor, names)
            for outcome, anchor in zip(study.outcomes, anchors, strict=True)
        ),
        pilots=study_tables.pilots_table(study),
        quality=quality,
        accounts=study_tables.accounts_table(study),
        quality_file=quality_file,
        trust=_trust(study, names),
        profile=_profile_tables(study, names),
        links=link_tables(study),
        thresholds=study_tables.thresholds_table(study),
        truth=study_tables.truth_table(study),
        truth_facts=facts,
        manifest=study_tables.manifest_tables(study),
        cite=references.how_to_cite(study),
        references=references.references_table(study),
    )


def _trust(study: StudyResult, names: Labels) -> Chart | None:
    """Draw where the records cannot be trusted, pilots first."""
    if study.profile is None or study.profile.cells.empty:
        return None
    pilots = {str(unit) for unit in study.coverage.get("unit", ())}
    return _filed(trust_map(study.profile, names, "record-trust", pilots))


def _profile_tables(study: StudyResult, names: Labels) -> tuple[Table, ...]:
    """Make the tables of the profile: pilots, faults, columns that are not always filled, rules."""
    if study.profile is None:
        return ()
    tables = (
        fault_tables.coverage_table(study.coverage, "record-coverage"),
        fault_tables.faults_table(study.profile, names, "record-faults"),
        fault_tables.filling_table(study.profile, names, "record-completeness"),
        fault_tables.rules_table(study.profile, "record-rules"),
    )
    return tuple(table for table in tables if table is not None and not table.frame.empty)


def may_be_table(name: str, outcomes: Sequence[str]) -> bool:
    """Say whether a report of outcomes with these names may have a table of this name."""
    beginnings = tuple(f"{anchor}_" for anchor in anchors_of(outcomes))
    return name in OF_THE_STUDY or name.startswith(beginnings)


def anchors_of(outcomes: Sequence[str]) -> list[str]:
    """Return the beginnings of the names of tables, one an outcome; a name may stand twice."""
    anchors: list[str] = []
    for outcome in outcomes:
        stem = words.slug(outcome)
        taken = sum(a == stem or a.startswith(f"{stem}.") for a in anchors)
        anchors.append(f"{stem}.{taken + 1}" if stem in anchors else stem)
    return anchors


def _outcome_section(
    study: StudyResult, result: OutcomeResult, anchor: str, names: Labels
) -> OutcomeSection:
    def ident(name: str) -> str:
        return f"{anchor}_{name}"

    rating = result.rating
    runs = bool(all_runs(result))
    settings = None
    if result.settings:
        caption = f"Settings used: {words.clean(result.info.label)}"
        settings = pairs(
            ident("settings"), caption, result.settings, first="Setting", second="Value"
        )
    tables, called = outcome_tables, study.called
    forest_chart = _filed(forest(result, ident("runs"), called))
    methods = methods_of_inference(result, ident("inference"))
    first, *others = _effects_first(_event_charts(study, result, anchor), forest_chart)
    diagram = matched_diagram(result, names, ident("groups"))
    files = (
        tables.crosscheck_terms(result, ident("crosscheck-terms")),
        tables.estimates_file(result, ident("estimates")),
    )
    return OutcomeSection(
        anchor=anchor,
        label=words.clean(result.info.label),
        question=words.clean(result.info.question),
        result=result,
        card=first_screen.card(result, anchor, called),
        verdict=verdict.result_sentence(result),
        found=first_screen.found(result),
        held=tuple(limiting_reasons(rating, called)[: first_screen.MOST_HELD]) if rating else (),
        level=verdict.level_sign(rating.level) if rating else None,
        direction=verdict.direction_sign(rating.direction) if rating else None,
        effect_cell=verdict.effect_cell(result),
        expected=verdict.expected(result),
        p_values=verdict.p_values(result),
        smallest_effect=verdict.smallest_effect(result),
        words=finding_in_words(result),
        agreement=tables.agreement_sentence(result),
        reasons=tables.reasons_table(result, ident("reasons"), called),
        further_ratings=verdict.further_ratings(result, ident("other-schemes")),
        trends=trends.trends(study, result, ident("trends")),
        effect=first,
        events=tuple(chart.filed() for chart in others if chart is not None),
        leads=tables.leads_table(result, names, ident("lead-tests")),
        forest=forest_chart if forest_chart is not first else None,
        runs=tables.runs_table(result, ident("runs")) if runs and not forest_chart else None,
        failed=tables.failed_runs_table(result, ident("runs-without-estimate"), called),
        in_common=caterpillar.pooled_notes(result),
        pooled=caterpillar.pooled_table(result, ident("pooled")),
        pilots=_filed(caterpillar.caterpillar(result, ident("pilots"))),
        inference=methods,
        crosscheck=tables.crosscheck_table(result, ident("crosscheck"), called),
        matching=tuple(
            words.end_sentence(step.sentence) for step in result.matching if step.sentence
        ),
        diagram=diagram,
        groups=None if diagram else tables.groups_table(result, names, ident("groups")),
        match_tables=_match_tables(result, anchor),
        composition=tables.composition_table(result, ident("composition")),
        balances=_balance_charts(result, anchor, april=april_years(study)),
        overlaps=_overlap_charts(result, names, anchor),
        attrition=tables.attrition_table(result, ident("attrition")),
        completeness=_filed(heat.heat_map(study, result, names, ident("completeness"))),
        quality=tables.quality_table(result, ident("quality")),
        settings=settings,
        warnings=tuple(
            sentence
            for sentence in _warnings(result, methods.said if methods else frozenset())
            if sentence not in _of_every_outcome(study)
        ),
        files=tuple(table for table in files if table is not None),
    )


def _filed(chart: Chart | None) -> Chart | None:
    """Leave the figures of a chart of the annex to their file."""
    return None if chart is None else chart.filed()


def _effects_first(drawn: tuple[Chart, ...], forest_chart: Chart | None) -> list[Chart | None]:
    """Return the one chart of the effect that is open, then the others by event time."""
    return [*drawn] if drawn else [forest_chart]


def _event_charts(study: StudyResult, result: OutcomeResult, anchor: str) -> tuple[Chart, ...]:
    """Draw effects by event time: event studies in the order of the study, others by name."""
    first = dict.fromkeys(named.estimator for named in result.estimates if named.event_study)
    others = sorted({named.estimator for named in result.estimates} - set(first))
    when = trends.uptake(study)
    made = (
        events.event_study(
            result,
            estimator,
            f"{anchor}_{_event_name(estimator)}",
            called=study.called.get(estimator, ""),
            windows=when is None or when.windows,
            years=april_years(study),
        )
        for estimator in (*first, *others)
    )
    return tuple(chart for chart in made if chart is not None)


def _event_name(estimator: str) -> str:
    """Name a chart after its estimator, without saying twice what it is."""
    name = words.slug(estimator)
    return name if f"{name}-".startswith(EVENTS) else f"{EVENTS}{name}"


def _match_tables(result: OutcomeResult, anchor: str) -> tuple[Table, ...]:
    """Make the tables that the matcher of cases gives, each with the columns that it has."""
    label = words.clean(result.info.label)
    return tuple(
        Table(
            f"{anchor}_match-{words.slug(name)}",
            f"Matching of cases, {words.clean(name)}: {label}",
            frame,
            tuple(_plain_column(frame, str(key)) for key in frame.columns),
        )
        for name, frame in result.match_tables.items()
        if len(frame)
    )


def _plain_column(frame: pd.DataFrame, key: str) -> Column:
    numeric = pd.api.types.is_numeric_dtype(frame[key])
    return column(key, words.heading(key), words.text, numeric=numeric)


def _balance_charts(result: OutcomeResult, anchor: str, *, april: bool) -> tuple[Chart, ...]:
    levels = balance.balance_levels(result)
    made = (
        balance.love_plot(result, level, f"{anchor}_balance-{words.slug(level)}", april=april)
        for level in levels
    )
    return tuple(chart.filed() for chart in made if chart is not None)


def _overlap_charts(result: OutcomeResult, names: Labels, anchor: str) -> tuple[Chart, ...]:
    made = (
        balance.overlap(result, names, f"{anchor}_scores"),
        overlap.overlap_of_cases(result, f"{anchor}_scores-cases"),
    )
    return tuple(chart.filed() for chart in made if chart is not None)


def _of_every_outcome(study: StudyResult) -> tuple[str, ...]:
    """Return the warnings that every one of several outcomes has, to be said once."""
    each = [_warnings(result, frozenset()) for result in study.outcomes]
    if len(each) < 2:
        return ()
    return tuple(warning for warning in each[0] if all(warning in other for other in each))


def _warnings(result: OutcomeResult, said: frozenset[str]) -> tuple[str, ...]:
    """Gather what a reader must see, but for what is said elsewhere on the page."""
    by_engine: dict[str, list[str]] = {}
    for named in result.estimates:
        for warning in named.estimate.warnings:
            if warning not in result.warnings and warning not in said:
                by_engine.setdefault(warning, []).append(f"{named.estimator}, {named.engine}")
    warnings = [_named(warning, result) for warning in result.warnings if warning not in said]
    warnings += [f"{words.end_sentence(w)} (Engine: {'; '.join(e)}.)" for w, e in by_engine.items()]
    warnings += [
        f"{run_label(run)}: {words.end_sentence(warning)}"
        for run in all_runs(result)
        for warning in run.warnings
    ]
    return tuple(dict.fromkeys(warnings))


def _named(warning: str, result: OutcomeResult) -> str:
    """Write a warning with the estimators that give it, where the study has others too."""
    every = dict.fromkeys(named.estimator for named in result.estimates)
    given = dict.fromkeys(n.estimator for n in result.estimates if warning in n.estimate.warnings)
    sentence = words.end_sentence(warning)
    if not given or len(every) == 1 or any(name in warning for name in given):
        return sentence
    return f"{sentence} (Estimator: {'; '.join(given)}.)"


def index_rows(page: Page) -> list[dict[str, Any]]:
    """Return one row a CSV file: its name, what it holds, its rows, whether it is simulated."""
    return [
        {
            "file": f"{table.name}.csv",
            "caption": table.caption,
            "rows": len(table.frame if table.raw is None else table.raw),
            "simulated": page.study.simulated,
        }
        for table in page.tables
    ]
