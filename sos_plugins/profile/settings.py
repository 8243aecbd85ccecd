"""Settings of the profile: what is impossible, and how large a jump is a break."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from sos_plugins.contract.settings import Settings


class ProfileSettings(Settings):
    """Cut-offs of the data-quality profile."""

    earliest_event: dt.date = Field(
        dt.date(1990, 1, 1), description="an event before this date is impossible"
    )
    earliest_birth: dt.date = Field(
        dt.date(1980, 1, 1), description="a birth before this date is impossible"
    )
    days_after: int = Field(
        92, ge=0, description="days after the end of the records in which events are still possible"
    )
    days_ahead: int = Field(
        366,
        ge=0,
        description="the same for expected births, reviews and conference targets",
    )
    covered_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="a year counts as covered where the records do not say which they cover: when "
        "at least this share of authorities have rows in it",
    )
    missing_from: float = Field(
        20.0,
        ge=1,
        description="a year without rows counts as missing where the authority's other years have "
        "at least so many at the median",
    )
    break_ratio: float = Field(
        1.4,
        gt=1,
        description="a year's number of rows breaks the series when it is more than so many times "
        "the level of the years before, or so many times less; what all authorities share is "
        "taken out first",
    )
    break_errors: float = Field(
        4.0, ge=0, description="and when it lies at least so many standard errors away (Poisson)"
    )
    break_years: int = Field(3, ge=1, description="years that make up the level before")
    break_filled: float = Field(
        0.25,
        gt=0,
        le=1,
        description="the share of filled values of a column breaks when it moves by so much",
    )
    break_rows: int = Field(
        30, ge=1, description="that is judged from so many rows in a year and in the years before"
    )
