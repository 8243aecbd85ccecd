"""Every check of the author's kits can fail: a broken plugin for each; the built-ins pass them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from ibis import _

import sos_plugins
from sos_plugins import (
    Cases,
    Engine,
    Estimate,
    Link,
    PilotEffects,
    QualityProfile,
    Records,
    Requirement,
    Session,
    Settings,
    Source,
)
from sos_plugins.authors import testing
from sos_plugins.authors.testing import (
    estimators,
    imputers,
    linkers,
    matchers,
    outcomes,
    ratings,
    sources,
)
from sos_plugins.authors.testing.core import COMMON
from sos_plugins.errors import DataError, SosError
from sos_plugins.host.registry import load_plugins

TEMPLATES = Path(sos_plugins.__file__).parent / "authors" / "templates"


def template(kind: str) -> Any:
    return testing.plugin_beside(str(TEMPLATES / kind / "test_plugin.py"), "plugin.py")


OUTCOME, ESTIMATOR, MATCHER, POOLING, IMPUTER, RATING, LINKER = map(
    template,
    ("outcome", "estimator", "matcher", "pooling", "imputer", "rating_rule", "linker"),
)
InverseWeights: Any = type(load_plugins().matcher("inverse-weights"))
ticks = itertools.count()


class Undescribed(Settings):
    silent: int = 1


class Careless(Settings, extra="ignore"):
    """Lets unknown names pass."""


def broken(base: type, **attributes: Any) -> Any:
    """An instance of a class that differs from a working one in these attributes."""
    return type(base.__name__, (base,), {"__doc__": "Broken.", **attributes})()


COMMON_FAULTS: dict[str, dict[str, Any]] = {
    "fits_its_kind": {"name": "Not A Name"},
    "says_what_it_does": {"__doc__": None},
    "describes_its_settings": {"Settings": Undescribed},
    "refuses_unknown_settings": {"Settings": Careless},
    "is_no_longer_the_example": {"as_written": OUTCOME.NewOutcome.info},
}

# Outcomes -----------------------------------------------------------------------------------------


def changed(change: Callable[[Cases], Cases]) -> dict[str, Any]:
    """An outcome whose cases are changed after they were derived rightly."""

    def derive(self: Any, records: Records, settings: Any, session: Session) -> Cases:
        return change(OUTCOME.NewOutcome.derive(self, records, settings, session))

    return {"derive": derive}


def with_columns(**columns: Any) -> dict[str, Any]:
    return changed(lambda cases: replace(cases, table=cases.table.mutate(**columns)))


def with_frame(**frames: Callable[[pd.DataFrame], pd.DataFrame]) -> dict[str, Any]:
    def change(cases: Cases) -> Cases:
        new: dict[str, Any] = {k: f(getattr(cases, k).copy()) for k, f in frames.items()}
        return replace(cases, **new)

    return changed(change)


def fails_badly(self: Any, records: Records, settings: Any, session: Session) -> Cases:
    try:
        return OUTCOME.NewOutcome.derive(self, records, settings, session)  # type: ignore[no-any-return]
    except DataError as error:
        raise KeyError(str(error)) from None


def by_position(self: Any, records: Records, settings: Any, session: Session) -> Cases:
    cases: Cases = OUTCOME.NewOutcome.derive(self, records, settings, session)
    first = records.table("referrals").to_pandas().iloc[0]
    chosen = (cases.table.unit == first["unit"]) & (cases.table.child == first["child"])
    return replace(cases, table=cases.table.mutate(value=chosen.cast("float64")))


def destructive(self: Any, records: Records, settings: Any, session: Session) -> Cases:
    cases: Cases = OUTCOME.NewOutcome.derive(self, records, settings, session)
    frame = cases.frame
    name = records.table("neighbours").get_name()
    session.backend.raw_sql(f"DELETE FROM {name} WHERE rank > 3")
    return replace(cases, table=session.table(frame[list(cases.table.columns)], "kept"))


OUTCOME_FAULTS: dict[str, dict[str, Any]] = {
    **COMMON_FAULTS,
    "describes_itself": {
        "info": lambda self, s: replace(OUTCOME.NewOutcome.info(self, s), name="other")
    },
    "offers_definitions_that_work": {"definitions": {"other": {"no_such_setting": 1}}},
    "names_a_missing_table": {"needs": ("referrals", "episodes")},
    "refuses_empty_records": {"derive": fails_badly},
    "gives_the_columns_of_cases": with_columns(unit=_.unit.cast("int64")),
    "gives_finite_values": with_columns(value=ibis.ifelse(_.value == 1, ibis.null("float64"), 0.0)),
    "gives_zero_or_one_if_binary": with_columns(value=_.value * 2),
    "dates_cases_in_order": with_columns(follow_up_end=_.date - ibis.interval(days=1)),
    "counts_periods_from_april": with_columns(period=_.date.year().cast("int64")),
    "stays_within_the_records": with_columns(follow_up_end=_.date + ibis.interval(years=30)),
    "knows_its_values_when_follow_up_ends": with_columns(follow_up_end=_.date),
    "counts_what_it_drops": with_frame(attrition=lambda f: f.assign(n_dropped=0)),
    "counts_what_it_can_judge": with_frame(completeness=lambda f: f.iloc[1:]),
    "gives_complete_covariates": with_columns(sex=ibis.null("string")),
    "keeps_its_settings": changed(lambda cases: replace(cases, settings={})),
    "repeats_itself": changed(
        lambda cases: replace(
            cases, table=cases.table.mutate(value=ibis.literal(float(next(ticks) % 2)))
        )
    ),
    "ignores_the_order_of_rows": {"derive": by_position},
    "takes_codes_as_names": with_columns(value=(_.unit == "901").cast("float64")),
    "leaves_the_records_alone": {"derive": destructive},
}


def problem(checks: list[testing.Check], name: str) -> testing.CheckResult:
    (check,) = [check for check in checks if check.name == name]
    return check.result()


@pytest.mark.parametrize("name", OUTCOME_FAULTS)
def test_a_broken_outcome_is_caught(name: str) -> None:
    outcome = broken(OUTCOME.NewOutcome, **OUTCOME_FAULTS[name])
    found = problem(testing.outcome_checks(outcome), name)
    assert (found.result, bool(found.why)) == ("failed", True), found


def test_an_outcome_without_cases_is_not_taken_for_a_good_one() -> None:
    outcome = broken(OUTCOME.NewOutcome)
    with pytest.raises(testing.CheckFailedError, match="It has no cases in these records"):
        testing.check_outcome(outcome, settings={"min_age": 90, "max_age": 91})


# Estimators ---------------------------------------------------------------------------------------


def engine_with(
    change: Callable[[Estimate, Any], Estimate], on_error: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    """An estimator whose engine gives a changed estimate."""

    def fit(sample: Any, options: Any) -> Any:
        try:
            estimate = ESTIMATOR.fit_python(sample, options)
        except SosError:
            if on_error is None:
                raise
            return on_error(options)
        return change(estimate, sample)

    return {"engines": (Engine("python", fit),)}


def moved(by: Callable[[Any], float], column: str = "estimate") -> dict[str, Any]:
    """An estimator whose estimate (or another column) is moved by a number."""

    def change(estimate: Estimate, sample: Any) -> Estimate:
        tidy = estimate.tidy.assign(**{column: estimate.tidy[column] + by(sample)})
        return replace(estimate, tidy=tidy)

    return engine_with(change)


def made_up(options: Any) -> Estimate:
    estimate: Estimate = ESTIMATOR.fit_python(testing.example_sample(), options)
    return replace(estimate, warnings=())


def unweighted(sample: Any, options: Any) -> Any:
    return ESTIMATOR.fit_python(replace(sample, frame=sample.frame.assign(weight=1.0)), options)


def meddling(sample: Any, options: Any) -> Any:
    sample.frame["weight"] = 2.0
    return ESTIMATOR.fit_python(sample, options)


def first_letters(sample: Any) -> float:
    return 0.01 * sum(ord(unit[0]) for unit in sample.frame["unit"].unique())


def glance_with(**values: Any) -> dict[str, Any]:
    return engine_with(lambda e, sample: replace(e, glance={**e.glance, **values}))


ESTIMATOR_FAULTS: dict[str, dict[str, Any]] = {
    **COMMON_FAULTS,
    "declares_its_engines": {
        "engines": (
            Engine("python", ESTIMATOR.fit_python, (Requirement("python", "numpy", mend=""),)),
        )
    },
    "gives_the_headline_term": {"headline": lambda self, options: "effect"},
    "keeps_the_glossary_of_tidy": moved(lambda sample: 1.0, "statistic"),
    "keeps_the_glossary_of_glance": glance_with(n_units=1),
    "finds_no_effect_where_there_is_none": moved(lambda sample: 0.5),
    "finds_a_known_effect": moved(lambda sample: -0.9),
    "finds_a_known_difference_of_shares": moved(lambda sample: 0.5 * sample.binary),
    "repeats_itself": moved(lambda sample: 1e-9 * next(ticks)),
    "ignores_the_order_of_rows": moved(lambda sample: 0.01 * sample.frame["value"].iloc[0]),
    "takes_codes_as_names": moved(first_letters),
    "takes_any_unit_of_measurement": moved(lambda sample: 0.01),
    "takes_weights_as_relative": moved(lambda s: s.frame["weight"].mean(), "std_error"),
    "counts_a_case_of_weight_two_twice": {"engines": (Engine("python", unweighted),)},
    "leaves_the_sample_alone": {"engines": (Engine("python", meddling),)},
    "refuses_what_has_no_estimate": engine_with(lambda e, sample: e, made_up),
    "warns_of_a_single_cluster": engine_with(lambda e, sample: e, made_up),
    "has_engines_that_agree": {
        "engines": (
            Engine("python", ESTIMATOR.fit_python),
            replace(moved(lambda sample: 1e-3)["engines"][0], name="other"),
        )
    },
}


@pytest.mark.parametrize("name", ESTIMATOR_FAULTS)
def test_a_broken_estimator_is_caught(name: str) -> None:
    estimator = broken(ESTIMATOR.NewEstimator, **ESTIMATOR_FAULTS[name])
    found = problem(testing.estimator_checks(estimator), name)
    assert (found.result, bool(found.why)) == ("failed", True), found


# Matchers -----------------------------------------------------------------------------------------


def matched(
    fit: Callable[..., Any], change: Callable[[Any, Any], Any], *, instead: Any = None
) -> Any:
    """Attributes of a matcher whose match is changed; ``instead`` is given where it has none."""

    def changed_fit(data: Any, settings: Any) -> Any:
        try:
            match = fit(data, settings)
        except SosError:
            if instead is None:
                raise
            return instead()
        return change(match, data)

    return {"engines": (Engine("python", changed_fit),)}


def units(change: Callable[[Any, Any], Any], **options: Any) -> dict[str, Any]:
    return matched(MATCHER.match, change, **options)  # type: ignore[no-any-return]


def with_first_of_pool(match: Any, task: Any) -> Any:
    return replace(
        match, groups=tuple(replace(g, comparators=(task.pool[0],)) for g in match.groups)
    )


def with_a_pilot(match: Any, task: Any) -> Any:
    return replace(match, groups=tuple(replace(g, comparators=("P1",)) for g in match.groups))


def meddling_match(task: Any, settings: Any) -> Any:
    task.features["n_cases"] = 0.0
    return MATCHER.match(task, settings)


def two_engines(first: Engine, faults: dict[str, Any]) -> dict[str, Any]:
    return {"engines": (first, replace(faults["engines"][0], name="other"))}


def some_match() -> Any:
    return MATCHER.match(testing.example_unit_task(), MATCHER.NewMatcherSettings())


UNIT_FAULTS: dict[str, dict[str, Any]] = {
    **COMMON_FAULTS,
    "says_what_was_done": units(lambda m, task: replace(m, sentence=" ")),
    "gives_balance": units(lambda m, task: replace(m, balance=m.balance.drop(columns="smd_after"))),
    "has_engines_that_agree": two_engines(
        Engine("python", MATCHER.match), units(with_first_of_pool)
    ),
    "matches_pilots_with_the_pool": units(with_a_pilot),
    "accounts_for_every_pilot": units(lambda m, task: replace(m, groups=m.groups[1:])),
    "gives_distances": units(lambda m, task: replace(m, distances=m.distances.iloc[1:])),
    "repeats_groups": units(lambda m, task: replace(m, groups=m.groups[next(ticks) % 2 :])),
    "ignores_the_order_of_units": units(with_first_of_pool),
    "refuses_an_empty_pool": units(lambda m, task: m, instead=some_match),
    "leaves_the_task_alone": {"engines": (Engine("python", meddling_match),)},
}


@pytest.mark.parametrize("name", UNIT_FAULTS)
def test_a_broken_matcher_of_authorities_is_caught(name: str) -> None:
    matcher = broken(MATCHER.NewMatcher, **UNIT_FAULTS[name])
    found = problem(testing.matcher_checks(matcher), name)
    assert (found.result, bool(found.why)) == ("failed", True), found


WEIGH = InverseWeights.engines[0].fit


def reframed(change: Callable[[pd.DataFrame], pd.DataFrame]) -> dict[str, Any]:
    def changed_match(match: Any, sample: Any) -> Any:
        frame = change(match.sample.frame.copy())
        return replace(match, sample=replace(match.sample, frame=frame))

    return matched(WEIGH, changed_match)  # type: ignore[no-any-return]


def meddling_weights(sample: Any, settings: Any) -> Any:
    sample.frame["value"] = 0.0
    return WEIGH(sample, settings)


def some_weights() -> Any:
    return WEIGH(testing.example_sample(), InverseWeights.Settings())


CASE_FAULTS: dict[str, dict[str, Any]] = {
    "keeps_cases_as_they_are": reframed(lambda f: f.assign(value=f["value"] + 1)),
    "gives_positive_weights": reframed(lambda f: f.assign(weight=0.0)),
    "counts_dropped_cases": reframed(lambda f: f.iloc[1:]),
    "repeats_weights": reframed(lambda f: f.assign(weight=f["weight"] * (1 + next(ticks)))),
    "ignores_the_order_of_cases": reframed(lambda f: f.assign(weight=np.arange(len(f)) + 1.0)),
    "leaves_the_sample_alone": {"engines": (Engine("python", meddling_weights),)},
    "refuses_cases_without_comparators": matched(WEIGH, lambda m, s: m, instead=some_weights),
}


@pytest.mark.parametrize("name", CASE_FAULTS)
def test_a_broken_matcher_of_cases_is_caught(name: str) -> None:
    matcher = broken(InverseWeights, **CASE_FAULTS[name])
    found = problem(testing.matcher_checks(matcher), name)
    assert (found.result, bool(found.why)) == ("failed", True), found


# Poolings ----------------------------------------------------------------------------------------


def pooled(change: Callable[[Any, Any], Any]) -> dict[str, Any]:
    """A pooling whose answer is changed after it was computed rightly."""

    def fit(data: Any, settings: Any) -> Any:
        return change(POOLING.fit(data, settings), data)

    return {"engines": (Engine("python", fit),)}


def fit_any(data: Any, settings: Any) -> Any:
    twice = pd.concat([data.frame, data.frame, testing.example_effects().frame])
    return POOLING.fit(PilotEffects(twice), settings)


def apart(found: Any, data: Any) -> Any:
    return replace(found, tau2=1 / (1 + data.frame["estimate"].var()))


def first_counts(found: Any, data: Any) -> Any:
    return replace(found, q=found.q + data.frame["estimate"].iloc[0])


POOLING_FAULTS: dict[str, dict[str, Any]] = {
    **COMMON_FAULTS,
    "gives_an_effect_with_its_error": pooled(lambda p, d: replace(p, std_error=0.0)),
    "says_how_far_effects_differ": pooled(apart),
    "keeps_every_pilot": pooled(lambda p, d: replace(p, pilots=p.pilots.head(2))),
    "ignores_the_order_of_pilots": pooled(first_counts),
    "measures_in_the_units_of_the_value": pooled(lambda p, d: replace(p, conf_low=-0.5)),
    "refuses_too_few": {"engines": (Engine("python", fit_any),)},
    "leaves_the_effects_alone": pooled(lambda p, d: replace(p, q=p.q + next(ticks))),
    "agrees_with_the_reference": {
        "engines": (
            Engine("python", POOLING.fit),
            Engine("other", lambda d, s: replace(POOLING.fit(d, s), estimate=0.0)),
        )
    },
}


@pytest.mark.parametrize("name", POOLING_FAULTS)
def test_a_broken_pooling_is_caught(name: str) -> None:
    pooling = broken(POOLING.NewPooling, **POOLING_FAULTS[name])
    found = problem(testing.pooling_checks(pooling), name)
    assert (found.result, bool(found.why)) == ("failed", True), found


# Linkers ------------------------------------------------------------------------------------------


def linking(change: Callable[[Link, Session], Link]) -> dict[str, Any]:
    """A linker that finds something else."""

    def link(self: Any, records: Records, settings: Any, session: Session) -> Link:
        return change(LINKER.NewLinker.link(self, records, settings, session), session)

    return {"link": link}


def called(name: Callable[[], str], column: str) -> dict[str, Any]:
    """A linker that gives a person or a child another name."""
    return linking(
        lambda found, _: replace(found, same=found.same.mutate(**{column: ibis.literal(name())}))
    )


LINKER_FAULTS: dict[str, dict[str, Any]] = {
    **COMMON_FAULTS,
    "links_children_of_the_records": called(lambda: "nobody", "child"),
    "names_no_child_twice": linking(
        lambda found, _: replace(found, same=ibis.union(found.same, found.same))
    ),
    "says_how_good_the_links_are": linking(lambda found, _: replace(found, sentence="")),
    "finds_nobody_among_no_children": linking(
        lambda found, session: replace(
            found, same=session.table(pd.DataFrame([{"unit": "1", "child": "2", "person": "3"}]))
        )
    ),
    "rests_on_the_records_alone": called(lambda: f"{next(ticks)}", "person"),
}


@pytest.mark.parametrize("name", LINKER_FAULTS)
def test_a_broken_linker_is_caught(name: str) -> None:
    found = problem(testing.linker_checks(broken(LINKER.NewLinker, **LINKER_FAULTS[name])), name)
    assert (found.result, bool(found.why)) == ("failed", True), found


# Imputers -----------------------------------------------------------------------------------------


def imputed(change: Callable[[pd.DataFrame], pd.DataFrame], place: int) -> dict[str, Any]:
    """An imputer that draws something else for the covariate at a place among those with gaps."""

    def fit(task: Any, settings: Any) -> Any:
        drawn = IMPUTER.fit(task, settings)
        name = task.targets[place]
        return replace(drawn, values={**drawn.values, name: change(drawn.values[name])})

    return {"engines": (Engine("python", fit),)}


def without_seed(task: Any, settings: Any) -> Any:
    return IMPUTER.fit(replace(task, seed=1), settings)


def by_place(task: Any, settings: Any) -> Any:
    """Draws by the order of the rows, as long as the seed is the same."""
    frame = task.frame.assign(period=np.arange(len(task.frame)))
    return IMPUTER.fit(replace(task, frame=frame), settings)


def imputing_anything(task: Any, settings: Any) -> Any:
    unknown = {name: 0.0 for name in task.targets if task.frame[name].isna().all()}
    return IMPUTER.fit(replace(task, frame=task.frame.assign(**unknown)), settings)


def meddling_imputer(task: Any, settings: Any) -> Any:
    task.frame["value"] = 0.0
    return IMPUTER.fit(task, settings)


IMPUTER_FAULTS: dict[str, dict[str, Any]] = {
    **COMMON_FAULTS,
    "fills_every_gap": imputed(lambda drawn: drawn.iloc[1:], 0),
    "draws_what_is_possible": imputed(lambda drawn: drawn.replace("no", "perhaps"), 1),
    "draws_differ": imputed(lambda drawn: drawn.apply(lambda column: drawn[0]), 0),
    "rests_on_the_seed": {"engines": (Engine("python", without_seed),)},
    "refuses_what_is_all_missing": {"engines": (Engine("python", imputing_anything),)},
    "leaves_the_cases_alone": {"engines": (Engine("python", meddling_imputer),)},
}


@pytest.mark.parametrize("name", IMPUTER_FAULTS)
def test_a_broken_imputer_is_caught(name: str) -> None:
    imputer = broken(IMPUTER.NewImputer, **IMPUTER_FAULTS[name])
    found = problem(testing.imputer_checks(imputer), name)
    assert (found.result, bool(found.why)) == ("failed", True), found


def test_the_example_is_told_by_its_own_file_where_others_have_its_name() -> None:
    checks = testing.imputer_checks(IMPUTER.NewImputer())
    why = problem(checks, "is_no_longer_the_example").why
    assert str(TEMPLATES / "imputer" / "plugin.py") in why


def test_draws_by_the_order_of_the_rows_are_caught() -> None:
    imputer = broken(IMPUTER.NewImputer, engines=(Engine("python", by_place),))
    found = problem(testing.imputer_checks(imputer), "rests_on_the_seed")
    assert "depends on the order of the rows" in found.why


# Rating rules -------------------------------------------------------------------------------------


def rated(change: Callable[[Any, Any], Any]) -> dict[str, Any]:
    def rate(self: Any, evidence: Any, settings: Any) -> Any:
        return change(RATING.NewRatingRule.rate(self, evidence, settings), evidence)

    return {"rate": rate}


TURNED = {"increase": "decrease", "decrease": "increase", "cannot tell": "decrease"}
RATING_FAULTS: dict[str, dict[str, Any]] = {
    **COMMON_FAULTS,
    "names_its_levels": {"levels": ("strong",)},
    "rates_whatever_there_is": rated(lambda r, e: replace(r, level=f"{e.main.estimate:.0f}")),
    "gives_reasons": rated(lambda r, e: replace(r, reasons=())),
    "shows_its_thresholds": rated(lambda r, e: replace(r, thresholds={})),
    "never_turns_an_effect_round": rated(lambda r, e: replace(r, direction=TURNED[r.direction])),
    "tells_strong_from_weak": rated(lambda r, e: replace(r, level="fair")),
    "ignores_the_order_of_evidence": rated(
        lambda r, e: replace(r, sentence=f"{r.sentence} {e.runs[0].family}")
    ),
    "repeats_itself": rated(lambda r, e: replace(r, sentence=f"{r.sentence} {next(ticks)}")),
}


@pytest.mark.parametrize("name", RATING_FAULTS)
def test_a_broken_rating_rule_is_caught(name: str) -> None:
    rule = broken(RATING.NewRatingRule, **RATING_FAULTS[name])
    found = problem(testing.rating_rule_checks(rule), name)
    assert (found.result, bool(found.why)) == ("failed", True), found


# Sources ------------------------------------------------------------------------------------------


class Example(Source):
    """Gives the example records."""

    name = "example"
    label = "Example"
    gives = ("children", "referrals")

    def read(self, settings: Settings, session: Session) -> Records:
        records = testing.example_records(session, n_children=5)
        return replace(records, tables={name: records.tables[name] for name in self.gives})


def reading(change: Callable[[Records], dict[str, Any]]) -> dict[str, Any]:
    def read(self: Any, settings: Any, session: Session) -> Records:
        records = Example.read(self, settings, session)
        return replace(records, **change(records))

    return {"read": read}


def with_table(name: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    return reading(lambda r: {"tables": {**r.tables, name: change(r.tables[name])}})


SOURCE_FAULTS: dict[str, dict[str, Any]] = {
    **COMMON_FAULTS,
    "reads_its_input": {"read": lambda self, settings, session: session.path("none").read_text()},
    "gives_what_it_names": reading(
        lambda r: {"tables": {**r.tables, "cases": r.table("children")}}
    ),
    "keeps_the_schema": with_table("children", lambda t: t.mutate(birth_date=t.birth_date.year())),
    "writes_missing_as_null": with_table("children", lambda t: t.mutate(sex=t.sex.fill_null(""))),
    "gives_keys_once": with_table("children", lambda t: ibis.union(t, t)),
    "counts_faults": reading(
        lambda r: {"quality": QualityProfile.of([{"n": 1, "n_flagged": 2, "action": "kept"}])}
    ),
    "says_what_it_covers": reading(lambda r: {"start": r.end, "end": r.start}),
    "names_what_it_read": reading(lambda r: {"data_hash": ""}),
    "repeats_itself": reading(lambda r: {"data_hash": f"{next(ticks)}"}),
    "refuses_what_it_cannot_read": {},
}


@pytest.mark.parametrize("name", SOURCE_FAULTS)
def test_a_broken_source_is_caught(name: str) -> None:
    source = broken(Example, **SOURCE_FAULTS[name])
    found = problem(testing.source_checks(source, {}, unreadable=[{}]), name)
    assert (found.result, bool(found.why)) == ("failed", True), found


def test_the_example_source_passes() -> None:
    testing.check_source(Example())


# The kits themselves ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checks", "faults"),
    [
        ((*COMMON, *outcomes.CHECKS), OUTCOME_FAULTS),
        ((*COMMON, *estimators.CHECKS), ESTIMATOR_FAULTS),
        ((*COMMON, *matchers.BOTH, *matchers.UNITS), UNIT_FAULTS),
        (matchers.CASES, CASE_FAULTS),
        ((*COMMON, *imputers.CHECKS), IMPUTER_FAULTS),
        ((*COMMON, *ratings.CHECKS), RATING_FAULTS),
        ((*COMMON, *sources.CHECKS), SOURCE_FAULTS),
        ((*COMMON, *linkers.CHECKS), LINKER_FAULTS),
    ],
    ids=["outcome", "estimator", "units", "cases", "imputer", "rating", "source", "linker"],
)
def test_every_check_has_a_plugin_that_it_catches(
    checks: tuple[Callable[..., Any], ...], faults: dict[str, Any]
) -> None:
    assert [check.__name__ for check in checks] == list(faults)
    assert all(check.__doc__ for check in checks)


def test_a_failure_names_the_check_its_promise_and_the_finding() -> None:
    rule = broken(RATING.NewRatingRule, **RATING_FAULTS["gives_reasons"])
    with pytest.raises(testing.CheckFailedError) as caught:
        testing.check_rating_rule(rule)
    assert str(caught.value) == (
        "NewRatingRule fails 1 of 13 checks:\n"
        "- gives_reasons: Every rating has a sentence that names the outcome, and at least one "
        "reason in a sentence.\n"
        "  On strong evidence there is no reason."
    )


def test_a_plugin_that_could_not_be_checked_does_not_pass() -> None:
    given = load_plugins().source("tidy")
    with pytest.raises(testing.CheckFailedError, match="could not be checked: It needs settings"):
        testing.check_source(given)


# The built-in plugins -----------------------------------------------------------------------------


def built_in(kind: str) -> list[Any]:
    return [offer.obj for offer in load_plugins().offers(kind)]


@pytest.mark.parametrize("matcher", built_in("matcher"), ids=lambda m: m.name)
def test_built_in_matchers_pass(matcher: Any) -> None:
    settings = None
    if matcher.name == "given-groups":
        settings = {"groups": {f"P{n}": [f"Q{n:02d}"] for n in range(1, 5)}}
    testing.check_matcher(matcher, settings)


@pytest.mark.long
@pytest.mark.parametrize("estimator", built_in("estimator"), ids=lambda e: e.name)
def test_built_in_estimators_pass(estimator: Any) -> None:
    testing.check_estimator(estimator)


@pytest.mark.parametrize("pooling", built_in("pooling"), ids=lambda p: p.name)
def test_built_in_poolings_pass(pooling: Any) -> None:
    testing.check_pooling(pooling)


@pytest.mark.parametrize("rule", built_in("rating-rule"), ids=lambda r: r.name)
def test_built_in_rating_rules_pass(rule: Any) -> None:
    testing.check_rating_rule(rule)


SMALL = {
    "authorities": 6,
    "pilots": 2,
    "external_pilots": 1,
    "escalation_pretrend_pilots": 1,
    "comparators_per_pilot": 1,
    "referrals_per_year": 20,
    "care_starts_per_year": 10,
}


def test_the_simulator_passes() -> None:
    testing.check_source(load_plugins().source("simulated"), SMALL)


def test_the_source_of_tidy_tables_passes(tmp_path: Path) -> None:
    frame = testing.example_panel().frame[["unit", "period", "value"]]
    frame.to_csv(tmp_path / "cases.csv", index=False)
    testing.check_source(
        load_plugins().source("tidy"),
        {"path": "cases.csv"},
        base=tmp_path,
        unreadable=[{"path": "none.csv"}, {"path": "cases.csv", "value": "no-such-column"}],
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cin-census", {"paths": ["cin_census/*.xml"], "authority": "901", "broken_files": "keep"}),
        ("ssda903", {"paths": ["ssda903"], "authority": "901"}),
        ("published", {"folder": "published"}),
    ],
)
def test_sources_of_returns_pass(name: str, settings: dict[str, Any], shared: Path) -> None:
    key = next(k for k in ("paths", "folder") if k in settings)
    nowhere: Any = ["nowhere"] if key == "paths" else "nowhere"
    testing.check_source(
        load_plugins().source(name),
        settings,
        base=shared / "data",
        unreadable=[{**settings, key: nowhere}],
    )
