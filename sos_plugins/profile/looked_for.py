"""What a profile looks for in each record table: what is filled, what agrees, what has a series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis

BETWEEN_YEARS = "conflict-between-years"


@dataclass(frozen=True)
class LookedFor:
    """What a profile looks for in a record table.

    Attributes:
        filled: Columns that are always filled, with the rows of which that is expected
            (None: all of them).
        conflicts: Name of the fault when rows of one key differ in a column.
        variable: Column that names what ``value`` is, in tables that hold several variables below
            each other.
        series: Whether its yearly numbers are looked at for breaks.
    """

    filled: Mapping[str, Callable[[ibis.Table], Any] | None] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    variable: str = ""
    series: bool = False


def _always(*columns: str) -> dict[str, None]:
    return dict.fromkeys(columns)


def _born(table: ibis.Table) -> Any:
    return table["expected_birth_date"].isnull()


def _in_need(table: ibis.Table) -> Any:
    return ~table["nfa"].fill_null(False)


LOOKED_FOR: dict[str, LookedFor] = {
    "children": LookedFor(
        filled={"birth_date": _born, "ethnicity": None},
        conflicts={
            "birth_date": "conflicting-birth-date",
            "sex": "conflicting-gender",
            "ethnicity": "conflicting-ethnicity",
        },
    ),
    "referrals": LookedFor(
        filled={
            "referral_date": None,
            "referral_source": None,
            "primary_need": _in_need,
            "nfa": None,
        },
        conflicts=dict.fromkeys(
            ("closure_date", "closure_reason", "primary_need", "nfa"), BETWEEN_YEARS
        ),
        series=True,
    ),
    "assessments": LookedFor(filled=_always("start_date"), series=True),
    "section47s": LookedFor(filled=_always("start_date"), series=True),
    "protection_plans": LookedFor(
        filled=_always("start_date", "initial_category", "latest_category", "n_previous"),
        series=True,
    ),
    "episodes": LookedFor(
        filled=_always("start_date", "reason_start", "legal_status", "cin", "placement"),
        series=True,
    ),
    "deprivation_orders": LookedFor(filled=_always("start_date")),
    "published": LookedFor(filled=_always("value"), variable="measure"),
    "cases": LookedFor(filled=_always("value")),
}
"""The record tables whose rows are records, which a profile looks at."""
