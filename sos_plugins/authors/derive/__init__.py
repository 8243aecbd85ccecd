"""What outcome plugins share: dates, ages, nearest events, categories, counted filter steps.

Everything here takes and returns Ibis expressions, so that the same outcome runs on DuckDB and on
Spark; only counts and the bank holidays are brought into memory. An outcome usually

1. finds its candidates and their value (:func:`event_in_window`, :func:`add_working_days`),
2. adds what is known of the child (:func:`add_child`),
3. keeps the cases step by step (:class:`Attrition`, :func:`keep_observed`, :func:`keep_ages`),
4. counts what could be judged (:func:`completeness`) and returns :func:`to_cases`.
"""

from sos_plugins.authors.derive.children import (
    ETHNIC_GROUPS,
    MISSING,
    ChildSettings,
    Covariate,
    add_child,
    age_band,
    ethnic_group,
    measured_after,
    yes_no,
)
from sos_plugins.authors.derive.dates import (
    HolidayCalendar,
    add_days,
    add_in_holidays,
    add_near_holiday,
    add_working_day_limit,
    add_working_days,
    april_year,
    bank_holidays,
    completed_years,
    read_holidays,
)
from sos_plugins.authors.derive.events import (
    KEY,
    event_in_window,
    number_repeats,
    periods_of_care,
)
from sos_plugins.authors.derive.follow_up import FollowedSettings, FollowUpSettings
from sos_plugins.authors.derive.referrals import events_of_referrals, referrals_of_children
from sos_plugins.authors.derive.steps import (
    Attrition,
    completeness,
    data_end,
    keep_ages,
    keep_observed,
    to_cases,
)

__all__ = [
    "ETHNIC_GROUPS",
    "KEY",
    "MISSING",
    "Attrition",
    "ChildSettings",
    "Covariate",
    "FollowUpSettings",
    "FollowedSettings",
    "HolidayCalendar",
    "add_child",
    "add_days",
    "add_in_holidays",
    "add_near_holiday",
    "add_working_day_limit",
    "add_working_days",
    "age_band",
    "april_year",
    "bank_holidays",
    "completed_years",
    "completeness",
    "data_end",
    "ethnic_group",
    "event_in_window",
    "events_of_referrals",
    "keep_ages",
    "keep_observed",
    "measured_after",
    "number_repeats",
    "periods_of_care",
    "read_holidays",
    "referrals_of_children",
    "to_cases",
    "yes_no",
]
