"""What a declaration says: who is a case, what counts for it, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator, model_validator

from sos_outcomes.declared.columns import (
    TABLES,
    dates,
    learnt,
    record_table,
    refuse_column,
)
from sos_outcomes.declared.conditions import Conditions, columns_in, refuse_unfit
from sos_plugins import Settings
from sos_plugins.authors import derive
from sos_plugins.errors import did_you_mean, listing

REFERRALS = "referrals"


class Rows(Settings):
    """Rows of a record table, each at one of its dates."""

    table: str = Field(description="Record table.")
    date: str = Field(description="Column with the day on which it counts.")
    where: Conditions = Field(
        (), description="Which rows count: conditions on columns of the table; all by default."
    )

    @field_validator("table")
    @classmethod
    def _known_table(cls, table: str) -> str:
        if table not in TABLES:
            raise ValueError(
                f"'{table}' is no table of events of children.{did_you_mean(table, TABLES)} "
                f"Tables: {listing(TABLES)}"
            )
        return table

    @model_validator(mode="after")
    def _columns_of_the_table(self) -> Rows:
        refuse_other_than_date(self.table, self.date, "date")
        refuse_unfit(self.table, self.where, "where")
        return self

    @property
    def columns(self) -> list[str]:
        """Columns that are named."""
        return columns_in(self.where)

    def same_day_as(self, other: Rows) -> bool:
        """Whether a row of the other is at the same day a row of this one."""
        return (record_table(self.table), self.date) == (record_table(other.table), other.date)


class Population(Rows):
    """Who is a case."""

    known: Conditions = Field(
        (),
        description="Which rows tell whether they are in the population; others are counted as "
        "not known. By default those whose dates are in order.",
    )
    child: Conditions = Field(
        (), description="Which children count: conditions on columns of the table children."
    )
    count_from: tuple[str, ...] = Field(
        (),
        description="Columns of the day from which days are counted, the first that is "
        "recorded; date by default.",
    )

    @model_validator(mode="after")
    def _further_columns(self) -> Population:
        for column in self.count_from:
            refuse_other_than_date(self.table, column, "count_from")
        refuse_unfit(self.table, self.known, "known")
        refuse_unfit("children", self.child, "child")
        return self

    @property
    def columns(self) -> list[str]:
        """Columns that are named."""
        return columns_in((*self.known, *self.where))

    @property
    def days_from(self) -> tuple[str, ...]:
        """Columns of the day from which days are counted, the first that is recorded."""
        return self.count_from or (self.date,)


class EventRows(Rows):
    """Rows that are events: what is known of them on their day."""

    @model_validator(mode="after")
    def _known_on_the_day(self) -> EventRows:
        for column, date in learnt(self.table, self.columns).items():
            if date != self.date:
                raise ValueError(
                    f"where: {column} is known only on the {date}, which may lie after the "
                    f'window. Count the event on that day (date = "{date}"), or leave the '
                    "condition out"
                )
        return self


class Event(EventRows):
    """What counts for a case: the child's first such event within a window of days."""

    also: tuple[EventRows, ...] = Field(
        (), description="Further rows that are such events, where the records have their table."
    )
    from_day: int = Field(0, ge=0, description="First day on which an event counts.")
    within_days: int = Field(ge=0, description="Last day on which an event counts.")
    once: bool = Field(
        False,
        description="Each event counts for one referral of the child: the one that it is recorded "
        "with, else the latest on or before it. By default it counts for all.",
    )
    once_among: Conditions = Field(
        (), description="With once: which referrals can have it; all by default."
    )
    then: Event | None = Field(
        None, description="A further event that must follow, in days from the first."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Event:
        if self.from_day > self.within_days:
            raise ValueError(
                f"from_day ({self.from_day}) is after within_days ({self.within_days})"
            )
        if self.once_among and not self.once:
            raise ValueError("once_among goes with once = true")
        refuse_unfit(REFERRALS, self.once_among, "once_among")
        if self.then is not None:
            refuse_itself(self, self.then, "then.")
            if self.then.once:
                raise ValueError("then: once is for the first event alone; leave it out")
        for rows in self.all_rows if self.once else ():
            refuse_column(rows.table, "referral_date")
        return self

    @property
    def all_rows(self) -> tuple[EventRows, ...]:
        """The rows that are such events."""
        return (self, *self.also)

    @property
    def chain(self) -> Iterator[Event]:
        """The events that must follow each other."""
        yield self
        if self.then is not None:
            yield from self.then.chain

    @property
    def needed_days(self) -> int:
        """Days after which it is known whether all happened."""
        return sum(event.within_days for event in self.chain)


class Duration(Settings):
    """How long it takes from the day of a case to a later date of its row."""

    until: str = Field(description="Column with the day of the end.")
    over: int | None = Field(None, ge=0, description="1 if it takes more days than so, else 0.")
    within: int | None = Field(None, ge=0, description="1 if it takes no more days than so.")
    restricted_to: int | None = Field(
        None, ge=1, description="The days it takes, at most so many: longer ones count so many."
    )
    days: Literal["calendar", "working"] = Field("calendar", description="Which days are counted.")
    nation: Literal["ENG", "WLS", "SCT", "NIR"] = Field(
        "ENG", description="Part of the United Kingdom whose bank holidays are no working days."
    )

    @model_validator(mode="after")
    def _one_value(self) -> Duration:
        given = [n for n in ("over", "within", "restricted_to") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"expected one of over, within and restricted_to; found {listing(given)}"
            )
        return self

    @property
    def limit(self) -> int:
        """Days after which the value is known."""
        (days,) = [d for d in (self.over, self.within, self.restricted_to) if d is not None]
        return days


class DeclaredSettings(derive.ChildSettings):
    """A declared outcome."""

    label: str = Field(min_length=1, description="Name of the outcome in tables.")
    phrase: str = Field("", description="Name in a sentence; the label by default.")
    question: str = Field("", description="The research question; made of the phrase by default.")
    better: Literal["lower", "higher", "unclear"] = Field(
        "unclear", description="Which values the programme should bring."
    )
    better_note: str = Field("", description="Words beside it, such as 'if quality holds'.")
    measure: str = Field(
        "", description="Unit of the value; proportion, days or working days by default."
    )
    each: str = Field("", description="What cases are in the plural; as the table by default.")
    population: Population = Field(description="Who is a case.")
    event: Event | None = Field(None, description="What counts: an event within some days.")
    duration: Duration | None = Field(None, description="What counts: how long it takes.")

    @model_validator(mode="after")
    def _one_value(self) -> DeclaredSettings:
        if (self.event is None) == (self.duration is None):
            raise ValueError("expected either [outcomes.event] or [outcomes.duration]")
        if self.duration is not None:
            refuse_other_than_date(self.population.table, self.duration.until, "duration.until")
            if self.duration.until in self.population.days_from:
                raise ValueError(f"duration: it begins and ends with {self.duration.until}")
        if self.event is not None:
            for rows in self.event.all_rows:
                refuse_itself(self.population, rows, "event.", self.event.from_day)
            if self.event.once and self.population.table != REFERRALS:
                raise ValueError("event: once is for a population of referrals")
        return self

    @property
    def tables(self) -> tuple[str, ...]:
        """Record tables without which there is no such outcome."""
        events = () if self.event is None else self.event.chain
        names = (self.population.table, *(event.table for event in events))
        return tuple(dict.fromkeys([*map(record_table, names), "children"]))


def refuse_other_than_date(table: str, column: str, key: str) -> None:
    """Refuse a column that holds no dates of what has happened.

    Raises:
        ValueError: With those that do.
    """
    if column not in dates(table):
        raise ValueError(
            f"{key}: '{column}' is no date of {table} on which something happened."
            f"{did_you_mean(column, dates(table))} Such dates: {listing(dates(table))}"
        )


def refuse_itself(before: Rows, event: Rows, key: str, from_day: int | None = None) -> None:
    """Refuse an event that every row would be itself, on day 0.

    Raises:
        ValueError: If the event is of the same table and date as what it follows.
    """
    first = event.from_day if isinstance(event, Event) else from_day
    if first == 0 and before.same_day_as(event):
        raise ValueError(
            f"{key}from_day is 0 and the event is of the same table and date as what it follows: "
            "each would count itself. Give from_day = 1 or more"
        )
