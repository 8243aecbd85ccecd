"""Tables of a release before it is decided which of their cells are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from sos_plugins.release.cells import Ledger
from sos_plugins.release.rules import rounded

CONFIDENTIAL = "[c]"
"""What stands in place of a figure: the symbol of the Government Analysis Function."""
SHARE_DECIMALS = 3
SIGNIFICANT = 3
"""Digits of a figure that is no count: enough to read, too few to compute the records from."""

Level = Literal["study", "authority"]


@dataclass(frozen=True)
class Counted:
    """A cell that shows a count of the ledger."""

    key: str


@dataclass(frozen=True)
class Share:
    """A cell that shows a part of a whole: both are rounded first, then divided."""

    part: str
    whole: str


@dataclass(frozen=True)
class Figure:
    """A cell that shows a figure which is no count.

    Attributes:
        value: The figure.
        refused: Why it is not shown; empty where it may be.
        whole: Key of the count that it rests on; it goes where that goes.
        like: A figure whose digits it has; itself by default.
    """

    value: float | None
    refused: str = ""
    whole: str = ""
    like: float | None = None


Mark = Counted | Share | Figure


@dataclass(frozen=True)
class Draft:
    """A table of a release.

    Attributes:
        name: Stem of its file.
        caption: What it shows.
        level: ``authority`` where a row names one.
        labels: Columns that name a row.
        rows: Rows of texts, whole numbers that are no counts of children, and marks.
    """

    name: str
    caption: str
    level: Level
    labels: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]

    def label(self, row: Mapping[str, Any]) -> str:
        """Return what names a row."""
        return ", ".join(str(row[name]) for name in self.labels)


@dataclass(frozen=True)
class Decision:
    """What was decided on a figure or a table.

    Attributes:
        table: The table of the release, or of the report where it is withheld.
        row: What names the row; empty for a table.
        column: The column; empty for a table.
        decision: ``shown``, ``rounded``, ``suppressed`` or ``withheld``.
        rule: Why. Which of the suppressed counts are the small ones is not told.
        level: ``study`` or ``authority``.
    """

    table: str
    row: str
    column: str
    decision: Literal["shown", "rounded", "suppressed", "withheld"]
    rule: str
    level: str


@dataclass(frozen=True)
class Decided:
    """A cell as it is shown, and the decision on it."""

    shown: Any
    decision: Literal["shown", "rounded", "suppressed"]
    rule: str


def decided(mark: Mark, ledger: Ledger, suppressed: frozenset[str]) -> Decided:
    """Decide on one cell."""
    if isinstance(mark, Counted):
        return _count(mark, ledger, suppressed)
    if isinstance(mark, Share):
        return _share(mark, ledger, suppressed)
    return _figure(mark, suppressed)


def _hidden(rule: str) -> Decided:
    return Decided(CONFIDENTIAL, "suppressed", rule)


def _small(ledger: Ledger) -> str:
    zero = " or zero" if ledger.rules.suppress_zeros else ""
    return f"below {ledger.rules.min_count}{zero}, or would give away a count that is"


def _rounding(ledger: Ledger) -> str:
    base = ledger.rules.round_to
    return f"to the nearest {base}" if base > 1 else "as it is"


def _count(mark: Counted, ledger: Ledger, suppressed: frozenset[str]) -> Decided:
    if mark.key in suppressed:
        return _hidden(_small(ledger))
    base = ledger.rules.round_to
    shown = rounded(ledger.counts[mark.key], base)
    return Decided(shown, "rounded" if base > 1 else "shown", _rounding(ledger))


def _share(mark: Share, ledger: Ledger, suppressed: frozenset[str]) -> Decided:
    if mark.part in suppressed or mark.whole in suppressed:
        return _hidden(f"its numerator, or the rest of its denominator, is {_small(ledger)}")
    base = ledger.rules.round_to
    part, whole = (rounded(ledger.counts[key], base) for key in (mark.part, mark.whole))
    rule = f"numerator and denominator {_rounding(ledger)}, then divided"
    return Decided(round(part / whole, SHARE_DECIMALS), "rounded", rule)


def _figure(mark: Figure, suppressed: frozenset[str]) -> Decided:
    if mark.value is None or pd.isna(mark.value):
        return Decided(None, "shown", "there is no figure")
    if mark.refused:
        return _hidden(mark.refused)
    if mark.whole in suppressed:
        return _hidden("the count that it rests on is suppressed")
    return Decided(few_digits(mark.value, mark.like), "rounded", f"{SIGNIFICANT} digits")


def few_digits(value: float, like: float | None = None) -> float:
    """Round a figure to three significant digits, or to the decimals of those of another.

    >>> few_digits(-0.13757812), few_digits(-0.13757812, like=0.0164)
    (-0.138, -0.1376)
    """
    size = abs(value if like is None or pd.isna(like) or like == 0 else like)
    if size == 0 or size == float("inf"):
        return value
    return float(f"{round(value, SIGNIFICANT - 1 - _exponent(size)):.12g}")


def _exponent(size: float) -> int:
    return int(f"{size:e}".split("e")[1])


def filled(draft: Draft, decide: Callable[[Mark], Decided]) -> tuple[pd.DataFrame, list[Decision]]:
    """Return a table as it is shown, and the decisions on its cells."""
    rows, decisions = [], []
    for row in draft.rows:
        shown = {}
        for column, cell in row.items():
            if isinstance(cell, Counted | Share | Figure):
                one = decide(cell)
                shown[column] = one.shown
                told = (draft.label(row), column, one.decision, one.rule, draft.level)
                decisions.append(Decision(draft.name, *told))
            else:
                shown[column] = cell
        rows.append(shown)
    return pd.DataFrame(rows, dtype=object), decisions


def marks(drafts: Iterable[Draft]) -> Iterable[tuple[Draft, Mapping[str, Any], str, Mark]]:
    """Yield every cell that is decided on, with its table, row and column."""
    for draft in drafts:
        for row in draft.rows:
            for column, cell in row.items():
                if isinstance(cell, Counted | Share | Figure):
                    yield draft, row, column, cell
