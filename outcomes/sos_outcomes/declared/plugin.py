"""The outcome that a study declares: population, what counts, and what is better."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import ibis
from ibis import _

from sos_outcomes.declared.columns import PERIODS, WORDS, key, latest, learnt, record_table, rows
from sos_outcomes.declared.conditions import Conditions, columns_in, holds
from sos_outcomes.declared.settings import REFERRALS, DeclaredSettings, Duration, Event, Population
from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, hookimpl
from sos_plugins.authors import derive
from sos_plugins.contract.types import Expected
from sos_plugins.errors import listing

EXPECTED: dict[str, Expected] = {
    "lower": "decrease",
    "higher": "increase",
    "unclear": "unclear",
}


class Declared(Outcome):
    """An outcome that the study file describes, without Python.

    A case is a row of a record table. Its value is whether an event of the child follows within
    some days, or how long it takes until a later date of the row. Whether a row is a case, and its
    value, are known when the follow-up ends: it ends with the window, or with a later entry that
    alone makes the row a case.
    """

    name = "declared"
    label = "An outcome that the study declares: population, event or duration"
    needs = ("children",)
    Settings = DeclaredSettings
    definitions: ClassVar = {}

    def reads(self, settings: DeclaredSettings) -> tuple[str, ...]:
        """Return the tables that are declared."""
        return settings.tables

    def info(self, settings: DeclaredSettings) -> OutcomeInfo:
        """Describe the outcome as the study does."""
        phrase = settings.phrase or settings.label[:1].lower() + settings.label[1:]
        duration = settings.duration
        numeric = duration is not None and duration.restricted_to is not None
        unit = "working days" if duration and duration.days == "working" else "days"
        return OutcomeInfo(
            name=self.name,
            label=settings.label,
            phrase=phrase,
            question=settings.question or f"What, if any, is the impact on {phrase}?",
            binary=not numeric,
            measure=settings.measure or (unit if numeric else "proportion"),
            expected=EXPECTED[settings.better],
            expected_note=settings.better_note,
            measured_after=derive.measured_after(settings),
            each=settings.each or _words(settings.population.table),
        )

    def derive(self, records: Records, settings: DeclaredSettings, session: Session) -> Cases:
        """Derive the cases."""
        absent = _absent(records, settings)
        steps, complete = population(records, settings, session, absent)
        if settings.event is not None:
            steps.go_on(with_events(steps.table, records, settings, session))
        else:
            assert settings.duration is not None
            steps.go_on(with_duration(steps.table, settings.duration, session))
        cases = derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=settings.covariates,
            completeness=complete,
        )
        told = (f"{absent[0].upper()}{absent[1:]}.",) if absent else ()
        return dataclasses.replace(cases, warnings=(*cases.warnings, *told))


def population(
    records: Records, settings: DeclaredSettings, session: Session, absent: str
) -> tuple[derive.Attrition, Any]:
    """Return the rows that are cases, and their completeness.

    Their table has ``counted_from``, and ``ended`` with a duration: null where the end comes after
    the follow-up.
    """
    about = settings.population
    table = followed(records, settings, session)
    columns = [*derive.KEY, "date", "counted_from", "ended", "known", "member", "follow_up_end"]
    columns += ["referral_date"] if about.table == REFERRALS else []
    numbered = _numbered(table, about.table).select(*columns, "repeat")
    numbered = numbered.mutate(period=derive.april_year(_.date))
    described = derive.add_child(numbered, records, settings, session=session)
    scope = "all in the records" if not absent else f"all in the records; {absent}"
    steps = derive.Attrition(session.table(described), _words(about.table), scope)
    derive.keep_observed(steps, records, settings)
    again = "episodes of no numbered period" if about.table == PERIODS else "the same again"
    steps.keep("recorded once", _["repeat"] == 0, again)
    from_day, date = " or ".join(about.days_from), about.date
    in_order = (_.counted_from >= _.date) & (_.ended.isnull() | (_.ended >= _.counted_from))
    order = ("dates in order", in_order, f"{from_day} before {date}, or the end before {from_day}")
    belongs = ("in the population", _.member, "not what 'where' and 'child' of the population say")
    if about.known:
        steps.keep(*order)
        complete = derive.completeness(steps.table, _.known)
        steps.keep("known", _.known, "not what 'known' of the population says")
        steps.keep(*belongs)
    else:
        steps.keep(*belongs)
        complete = derive.completeness(steps.table, in_order)
        steps.keep(*order)
    derive.keep_ages(steps, settings)
    return steps, complete


def followed(records: Records, settings: DeclaredSettings, session: Session) -> ibis.Table:
    """Return the rows of the population's table with their follow-up, and whether they belong."""
    about, duration = settings.population, settings.duration
    found = rows(records, about.table, about.columns)
    table = found.mutate(
        date=found[about.date],
        counted_from=ibis.coalesce(*(found[column] for column in about.days_from)),
    )
    if about.child:
        table = _with_child(table, records, about.child)
    else:
        table = table.mutate(of_child=ibis.literal(True))
    table = _with_window_end(table, settings, session)
    table = _with_membership(table, about)
    ended: Any = ibis.null("date")
    if duration is not None:
        end = table[duration.until]
        ended = ibis.ifelse(end <= table["window_end"], end, ibis.null("date"))
    return table.mutate(ended=ended)


def _with_child(table: ibis.Table, records: Records, conditions: Conditions) -> ibis.Table:
    """Add ``of_child``: whether the child is one of those that the conditions name."""
    children = rows(records, "children", columns_in(conditions))
    fit = children.filter(holds(conditions, lambda name: children[name]))
    fit = fit.select(_unit="unit", _child="child").distinct()
    joined = table.left_join(fit, [table.unit == fit["_unit"], table.child == fit["_child"]])
    return joined.mutate(of_child=joined["_child"].notnull()).drop("_unit", "_child")


def _with_window_end(table: ibis.Table, settings: DeclaredSettings, session: Session) -> ibis.Table:
    """Add ``window_end``: the last day on which something that counts can come."""
    duration = settings.duration
    if duration is not None and duration.days == "working":
        return derive.add_working_day_limit(
            table,
            session,
            start="counted_from",
            days=duration.limit,
            name="window_end",
            nation=duration.nation,
        )
    days = duration.limit if duration else settings.event.needed_days if settings.event else 0
    return table.mutate(window_end=derive.add_days(table["counted_from"], days))


def _with_membership(table: ibis.Table, about: Population) -> ibis.Table:
    """Add ``known``, ``member`` and ``follow_up_end``.

    What is written into a row after the window is hidden first. Where that leaves open whether the
    row can be judged, or belongs, the follow-up goes on to the day of the last such entry.
    """

    def as_recorded(name: str) -> Any:
        return table[name]

    def by_window_end(name: str) -> Any:
        date = later.get(name)
        if date is None:
            return table[name]
        hidden = (table[date] > table["window_end"]).fill_null(False)
        return ibis.ifelse(hidden, ibis.null(table[name].type()), table[name])

    later = learnt(about.table, about.columns)
    known, member = (holds(c, as_recorded) for c in (about.known, about.where))
    end = table["window_end"]
    if later:
        early = holds(about.known, by_window_end)
        early &= holds(about.where, by_window_end) | ~member
        entries = [table[date].fill_null(end) for date in dict.fromkeys(later.values())]
        end = ibis.ifelse(early, end, ibis.greatest(end, *entries))
    return table.mutate(known=known, member=member & table["of_child"], follow_up_end=end)


def _numbered(table: ibis.Table, name: str) -> ibis.Table:
    """Number rows of the same thing; a numbered period of care is one row."""
    if name == PERIODS:
        return table.mutate(repeat=ibis.ifelse(table["period_of_care"].notnull(), 0, 1))
    return derive.number_repeats(table, key=key(name), latest=("ended", *latest(name)))


def with_events(
    table: ibis.Table, records: Records, settings: DeclaredSettings, session: Session
) -> ibis.Table:
    """Add the value: 1 where the events that are declared follow each other, else 0."""
    assert settings.event is not None
    start = "counted_from"
    for number, event in enumerate(settings.event.chain):
        happened = _events(records, event)
        if event.once:
            happened = _one_referral(happened, records, event)
        name = f"event_{number}"
        table = derive.event_in_window(
            table,
            happened,
            date=start,
            event="event_date",
            name=name,
            from_day=event.from_day,
            to_day=event.within_days,
            key=(*derive.KEY, "referral_date") if event.once else derive.KEY,
            session=session,
        )
        start = name
    return table.mutate(value=table[start].notnull().cast("float64"))


def _events(records: Records, event: Event) -> ibis.Table:
    """Return ``unit, child, event_date``, and ``referral_date`` of an event that counts once."""
    parts = []
    for one in event.all_rows:
        if one is not event and record_table(one.table) not in records.tables:
            continue
        found = rows(records, one.table, one.columns)
        found = found.filter(holds(one.where, found.__getitem__), found[one.date].notnull())
        columns = [*derive.KEY, *(["referral_date"] if event.once else [])]
        dated = found.mutate(event_date=found[one.date])
        parts.append(dated.select(*columns, "event_date"))
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def _one_referral(events: ibis.Table, records: Records, event: Event) -> ibis.Table:
    """Return each event with the one referral for which it counts."""
    referrals = rows(records, REFERRALS, columns_in(event.once_among))
    possible = referrals.filter(holds(event.once_among, referrals.__getitem__))
    return derive.events_of_referrals(events, possible, event="event_date")


def with_duration(table: ibis.Table, duration: Duration, session: Session) -> ibis.Table:
    """Add the value: the days that it takes, or whether it takes more or no more than so many."""
    ended = table["ended"].notnull()
    if duration.restricted_to is None:
        return table.mutate(value=ended if duration.within is not None else ~ended)
    if duration.days == "working":
        table = derive.add_working_days(
            table,
            session,
            start="counted_from",
            end="ended",
            name="taken",
            nation=duration.nation,
        )
    else:
        passed = table["ended"].delta(table["counted_from"], unit="day")
        table = table.mutate(taken=passed.cast("int64"))
    most = duration.restricted_to
    return table.mutate(value=ibis.least(table["taken"].fill_null(most), most))


def _words(table: str) -> str:
    return WORDS.get(table, table)


def _absent(records: Records, settings: DeclaredSettings) -> str:
    """Say which further tables of events the records lack; empty where they have all."""
    chain = settings.event.chain if settings.event else ()
    names = {record_table(rows.table) for event in chain for rows in event.also}
    missing = names - set(records.tables)
    if not missing:
        return ""
    return f"the records have no table {listing(missing)}, so events of it do not count"


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcome."""
    register(Declared())
