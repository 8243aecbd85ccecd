"""What differs between two studies, and what each difference does to the estimates.

Both studies are run for their main estimate; then the first again with each difference that can
change it, one at a time. Stations that a difference does not touch are taken from where they are
kept, so a difference costs what it changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sos_plugins.cache.store import KEEP_NOTHING, StepCache
from sos_plugins.contract.types import OutcomeInfo
from sos_plugins.errors import SosError, StudyError, listing
from sos_plugins.groundwork.plain import plain
from sos_plugins.host.settings import validate
from sos_plugins.study.file import StudyFile
from sos_plugins.study.plan import Plan
from sos_plugins.study.result import OutcomeResult
from sos_plugins.study.study import Study
from sos_plugins.system.progress import NoProgress, Progress

TOGETHER = "all differences"
"""What stands in place of a setting where all differ at once."""
ABSENT = "not set"
"""What a setting is that a study does not give."""
FIGURES = ("estimate", "std_error", "conf_low", "conf_high", "n_cases")
"""What is told of a main estimate."""
OF_NO_PLUGIN = (("study", "seed"), ("matching", "comparators"))
"""Settings of tables without a plugin that can change an estimate."""
Path_ = tuple[str, ...]
"""Where a setting stands: a table, perhaps a plugin or outcome in it, and its name."""


@dataclass(frozen=True)
class Difference:
    """A setting in which two studies differ.

    Attributes:
        where: The table, as in ``[[outcomes]] rereferral``.
        setting: Its name; empty where a whole table differs.
        before: Its value in the first study.
        after: Its value in the second.
        outcome: The outcome that it is of; empty where it is of all.
        path: Where it stands in the data of a study.
        estimates: Whether it can change a main estimate.
    """

    where: str
    setting: str
    before: Any
    after: Any
    outcome: str
    path: Path_
    estimates: bool


@dataclass(frozen=True)
class Effect:
    """A main estimate, or why there is none.

    Attributes:
        outcome: Name of the outcome.
        estimate: In units of the value.
        std_error: Likewise.
        conf_low: Lower end of its confidence interval.
        conf_high: Upper end.
        n_cases: Cases used.
        reason: Why there is no estimate; empty where there is one.
    """

    outcome: str
    estimate: float | None = None
    std_error: float | None = None
    conf_low: float | None = None
    conf_high: float | None = None
    n_cases: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Estimated:
    """The main estimates of a study.

    Attributes:
        effects: Of each outcome, by its name.
        infos: What each outcome is, by its name.
        simulated: Whether the records are made up.
    """

    effects: Mapping[str, Effect]
    infos: Mapping[str, OutcomeInfo]
    simulated: bool


@dataclass(frozen=True)
class Change:
    """One difference put into the first study alone, and the estimates then, by outcome."""

    difference: Difference
    effects: Mapping[str, Effect]


@dataclass(frozen=True)
class Comparison:
    """Two studies beside each other.

    Attributes:
        titles: What both studies are called.
        before: Main estimates of the first study, by outcome.
        after: Those of the second.
        changes: The differences that can change estimates, each put into the first study alone.
        others: The other differences.
        infos: What each outcome is, by its name.
        simulated: Whether the records are made up.
    """

    titles: tuple[str, str]
    before: Mapping[str, Effect]
    after: Mapping[str, Effect]
    changes: tuple[Change, ...]
    others: tuple[Difference, ...]
    infos: Mapping[str, OutcomeInfo]
    simulated: bool

    def rows(self) -> list[dict[str, Any]]:
        """Return one row an outcome and difference that touches it, and one for all of them."""
        rows = []
        for outcome, first in self.before.items():
            for change in self.changes:
                if outcome in change.effects:
                    what = change.difference
                    rows.append(
                        {
                            "outcome": outcome,
                            "where": what.where,
                            "setting": what.setting,
                            "before": what.before,
                            "after": what.after,
                            **_figures(first, change.effects[outcome]),
                        }
                    )
            if outcome in self.after:
                everything = {"where": TOGETHER, "setting": "", "before": "", "after": ""}
                rows.append(
                    {"outcome": outcome, **everything, **_figures(first, self.after[outcome])}
                )
        return rows


def _figures(before: Effect, after: Effect) -> dict[str, Any]:
    known = before.estimate is not None and after.estimate is not None
    return {
        **_of_side(before, "before"),
        **_of_side(after, "after"),
        "change": after.estimate - before.estimate if known else None,  # type: ignore[operator]
        "reason": after.reason or before.reason,
    }


def _of_side(effect: Effect, side: str) -> dict[str, Any]:
    return {f"{figure}_{side}": getattr(effect, figure) for figure in FIGURES}


def differences(before: StudyFile, after: StudyFile) -> tuple[Difference, ...]:
    """Return the settings in which two studies differ, in the order of the tables.

    Args:
        before: The first study.
        after: The second.
    """
    return tuple(_differences(given_in(before), given_in(after)))


def given_in(file: StudyFile) -> dict[str, Any]:
    """Return what a study gives, without defaults."""
    data: dict[str, Any] = plain(file.model_dump(exclude_unset=True))
    return data


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for table, key in OF_NO_PLUGIN:
        old, new = (data[table].get(key) for data in (before, after))
        if old != new:
            yield Difference(f"[{table}]", key, _said(old), _said(new), "", (table, key), True)
    for table in ("design", "imputation"):
        yield from _of_table((table,), f"[{table}]", before.get(table), after.get(table))
    for part in ("units", "cases"):
        old, new = (data["matching"].get(part) for data in (before, after))
        yield from _of_table(("matching", part), f"[matching] {part}", old, new)
    yield from _of_list("outcomes", before, after)
    yield from _of_list("estimators", before, after)
    for table in ("sensitivity", "pooling", "multiplicity", "rating", "further_ratings"):
        old, new = before.get(table), after.get(table)
        if old != new:
            yield Difference(f"[{table}]", "", _said(old), _said(new), "", (table,), False)


def _of_list(
    table: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Difference]:
    """Compare outcomes by name, or estimators by place for the main one and by plugin else."""
    old, new = ({_named(row): row for row in data[table]} for data in (before, after))
    main = [next(iter(rows)) for rows in (old, new)]
    if table == "estimators" and main[0] != main[1]:
        yield Difference(
            "[[estimators]] 1",
            "",
            _said(old[main[0]]),
            _said(new[main[1]]),
            "",
            (table, main[0]),
            True,
        )
    for name in dict.fromkeys([*old, *new]):
        where = f"[[{table}]] {name}"
        of_outcome = name if table == "outcomes" else ""
        estimates = table == "outcomes" or name == main[0] == main[1]
        if name in old and name in new:
            for one in _of_table((table, name), where, old[name], new[name]):
                yield replace(one, outcome=of_outcome, estimates=estimates)
        elif name not in main or table == "outcomes":
            sides = (_said(old.get(name)), _said(new.get(name)))
            yield Difference(where, "", *sides, of_outcome, (table, name), False)


def _named(row: Mapping[str, Any]) -> str:
    return str(row.get("name") or row["plugin"])


def _of_table(path: Path_, where: str, before: Any, after: Any) -> Iterator[Difference]:
    """Compare two tables key by key, or as a whole where one is absent or of another plugin."""
    if before == after:
        return
    if not before or not after or before.get("plugin") != after.get("plugin"):
        yield Difference(where, "", _said(before), _said(after), "", path, True)
        return
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old != new:
            yield Difference(where, key, _said(old), _said(new), "", (*path, key), True)


def _said(value: Any) -> Any:
    return ABSENT if value is None else value


def with_difference(
    data: Mapping[str, Any], after: Mapping[str, Any], path: Path_
) -> dict[str, Any]:
    """Return the data of a study with one setting, or table, as in another.

    Args:
        data: Of the first study.
        after: Of the other.
        path: Where the setting stands.
    """
    key, rest = path[0], path[1:]
    if isinstance(data.get(key), (list, tuple)) and rest:
        return {**data, key: _with_row(data[key], after[key], rest)}
    if rest:
        return {**data, key: with_difference(data[key], after[key], rest)}
    changed = {name: value for name, value in data.items() if name != key}
    return {**changed, **({key: after[key]} if key in after else {})}


def _with_row(rows: Sequence[Any], others: Sequence[Any], rest: Path_) -> list[Any]:
    name, inside = rest[0], rest[1:]
    by_name = {_named(row): row for row in others}
    if not inside:  # the main estimator is another
        return [others[0], *(row for row in rows[1:] if _named(row) != _named(others[0]))]
    return [
        with_difference(row, by_name[name], inside) if _named(row) == name else row for row in rows
    ]


def compare_studies(
    before: Study,
    after: Study,
    progress: Progress | None = None,
    *,
    stations: StepCache = KEEP_NOTHING,
) -> Comparison:
    """Compare two studies, and run the first with each difference alone.

    Args:
        before: The first study, such as the preset ``wwcsc-2021``.
        after: The second, such as ``wwcsc-2021-corrected``.
        progress: Where progress is shown.
        stations: Where finished stations are kept; without it every run starts from the records.

    Raises:
        StudyError: If they have no outcome in common or read other records.
        SosError: If no records can be read.
    """
    _refuse_others(before, after)
    progress = progress or NoProgress()
    found = differences(before.plan.file, after.plan.file)
    first = main_estimates(before.plan, given_in(before.plan.file), stations)
    second = main_estimates(after.plan, given_in(after.plan.file), stations)
    changes = []
    changing = [one for one in found if one.estimates]
    with progress.step("Differences", len(changing)) as advance:
        for one in changing:
            changes.append(Change(one, _alone(before, after, one, stations)))
            advance()
    return Comparison(
        titles=(before.plan.file.study.title, after.plan.file.study.title),
        before=first.effects,
        after=second.effects,
        changes=tuple(changes),
        others=tuple(one for one in found if not one.estimates),
        infos={**second.infos, **first.infos},
        simulated=first.simulated,
    )


def _refuse_others(before: Study, after: Study) -> None:
    old, new = before.plan, after.plan
    if given_in(old.file)["sources"] != given_in(new.file)["sources"] or old.base != new.base:
        raise StudyError(
            "The two studies read other records, so that differences between their estimates are "
            "no differences of method. Give both the same [[sources]] and the same folder (--data)."
        )
    if not set(before.outcome_names) & set(after.outcome_names):
        raise StudyError(
            f"The two studies have no outcome in common: {listing(before.outcome_names)}; "
            f"{listing(after.outcome_names)}."
        )


def _alone(
    before: Study, after: Study, one: Difference, stations: StepCache
) -> Mapping[str, Effect]:
    """Run the first study with one difference alone; what cannot stand alone says why."""
    data = with_difference(given_in(before.plan.file), given_in(after.plan.file), one.path)
    if one.outcome:
        data = {**data, "outcomes": [r for r in data["outcomes"] if _named(r) == one.outcome]}
    try:
        return main_estimates(before.plan, data, stations).effects
    except SosError as error:
        names = [one.outcome] if one.outcome else before.outcome_names
        why = f"Not alone: {error}"
        return {name: Effect(name, reason=why) for name in names}


def main_estimates(
    plan: Plan, data: Mapping[str, Any], stations: StepCache = KEEP_NOTHING
) -> Estimated:
    """Run a study for its main estimate alone, by the first engine.

    Args:
        plan: Whose plugins and folder are used.
        data: The data of the study.
        stations: Where finished stations are kept.
    """
    main = data["estimators"][0]
    names = [
        engine.name for engine in plan.registry.engines(main["plugin"]) if not engine.missing()
    ]
    asked = main.get("engines", "all")
    engines = names if asked == "all" else [name for name in asked if name in names] or list(asked)
    only = {**data, "estimators": [{**main, "engines": engines[:1]}]}
    only = {key: value for key, value in only.items() if key not in ("multiplicity", "pooling")}
    file = validate(StudyFile, {**only, "sensitivity": {"families": []}}, where="the study")
    study = Study(Plan(file, plan.text, plan.base, plan.registry))
    result = study.crosscheck(workers=1, stations=stations)
    return Estimated(
        effects={one.info.name: _effect(one) for one in result.outcomes},
        infos={one.info.name: one.info for one in result.outcomes},
        simulated=result.simulated,
    )


def _effect(outcome: OutcomeResult) -> Effect:
    name = outcome.info.name
    if outcome.error or not outcome.estimates:
        return Effect(name, reason=outcome.error or "There is no estimate.")
    named = outcome.estimates[0]
    row = named.estimate.term(named.headline)
    return Effect(
        name,
        float(row["estimate"]),
        float(row["std_error"]),
        float(row["conf_low"]),
        float(row["conf_high"]),
        int(named.estimate.glance["n_cases"]),
    )
