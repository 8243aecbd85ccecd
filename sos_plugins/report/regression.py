"""Tables of regressions: estimates side by side, as papers print them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from sos_plugins.contract.columns import TIDY_COLUMNS
from sos_plugins.report.labels import engine_name
from sos_plugins.report.table_files import TextTable
from sos_plugins.study.result import NamedEstimate

FACTS = {
    "n_cases": "Cases",
    "n_units": "Units",
    "n_treated_units": "Treated units",
    "n_clusters": "Clusters",
    "estimand": "Estimand",
    "vcov": "Variance",
}
"""Rows beneath the estimates of a table of regressions, by key of ``glance``."""
IN_WORDS = ("estimand", "vcov")
"""Those of them that are sentences: they stand beneath a table that is printed."""
DIGITS = 4


def rounded(value: Any, digits: int = DIGITS) -> str:
    """Write a number to so many significant digits, a whole number in full, missing as nothing.

    >>> rounded(0.123456), rounded(float("nan")), rounded(2500), rounded(1e-9)
    ('0.1235', '', '2,500', '1e-09')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return f"{value:,}"


def regression_table(
    estimates: Sequence[NamedEstimate],
    called: Mapping[str, str],
    show: Callable[[Any], str] = rounded,
    headline: str = "",
) -> pd.DataFrame:
    """Return estimates side by side as texts, standard errors in brackets beneath each.

    Args:
        estimates: One column each, in this order.
        called: What estimators are called, by their names.
        show: Writes an estimate or its error.
        headline: First row, for the headline term of each, whatever it is; where it is empty, each
            stands under its own name.

    Returns:
        Frame of texts; its index names terms (those of the standard errors are empty) and what
        the estimates rest on, its columns number the estimates and name estimator and engine.
    """
    shown = [_by_term(named, headline) for named in estimates]
    terms = list(dict.fromkeys(term for rows in shown for term in rows))
    terms.sort(key=lambda term: term != headline)
    index = [text for term in terms for text in (term, "")] + list(FACTS.values())
    columns = {
        f"({i}) {column_name(named, called)}": [
            *(cell for term in terms for cell in effect_cells(rows.get(term, {}), show)),
            *(rounded(named.estimate.glance.get(key)) for key in FACTS),
        ]
        for i, (named, rows) in enumerate(zip(estimates, shown, strict=True), start=1)
    }
    return pd.DataFrame(columns, index=index)


def column_name(named: NamedEstimate, called: Mapping[str, str]) -> str:
    """Name an estimate in words: its estimator, its engine.

    Args:
        named: The estimate.
        called: What estimators are called, by their names.
    """
    return f"{called.get(named.estimator, named.estimator)}, {engine_name(named.engine)}"


def printed(
    estimates: Sequence[NamedEstimate],
    called: Mapping[str, str],
    title: str,
    notes: Sequence[str] = (),
    show: Callable[[Any], str] = rounded,
    headline: str = "",
) -> TextTable:
    """Lay a table of regressions out for a page: sentences stand beneath it.

    Args:
        estimates: One column each; at least one.
        called: What estimators are called, by their names.
        title: What the table shows.
        notes: What a reader must see beside the figures.
        show: Writes an estimate or its error.
        headline: First row, for the headline term of each.
    """
    table = regression_table(estimates, called, show, headline)
    said = [f"{FACTS[key]}: {_in_words(estimates, key)}." for key in IN_WORDS]
    short = table.drop(index=[FACTS[key] for key in IN_WORDS])
    return TextTable(title, short, (*said, *notes), full_figures(estimates))


def full_figures(estimates: Sequence[NamedEstimate]) -> pd.DataFrame:
    """Return every term in full precision: ``estimator, engine``, the tidy columns.

    Args:
        estimates: At least one.
    """
    frames = [
        named.estimate.tidy[list(TIDY_COLUMNS)].assign(
            estimator=named.estimator, engine=named.engine
        )
        for named in estimates
    ]
    return pd.concat(frames, ignore_index=True)[["estimator", "engine", *TIDY_COLUMNS]]


def _in_words(estimates: Sequence[NamedEstimate], key: str) -> str:
    columns: dict[str, list[str]] = {}
    for place, named in enumerate(estimates, start=1):
        columns.setdefault(str(named.estimate.glance.get(key)), []).append(f"({place})")
    if len(columns) == 1:
        return next(iter(columns))
    return "; ".join(f"{', '.join(places)} {words}" for words, places in columns.items())


def _by_term(named: NamedEstimate, headline: str) -> dict[str, Mapping[Any, Any]]:
    rows: Mapping[Any, Mapping[Any, Any]] = named.estimate.tidy.set_index("term").to_dict("index")
    return {
        headline if headline and term == named.headline else str(term): row
        for term, row in rows.items()
    }


def effect_cells(row: Mapping[Any, Any], show: Callable[[Any], str]) -> tuple[str, str]:
    """Return an estimate and its error in brackets as texts; empty where there is none.

    Args:
        row: With ``estimate`` and ``std_error``.
        show: Writes a number.
    """
    cells = [row.get("estimate"), row.get("std_error")]
    estimate, error = ("" if rounded(cell) == "" else show(cell) for cell in cells)
    return estimate, f"({error})" if error else ""
