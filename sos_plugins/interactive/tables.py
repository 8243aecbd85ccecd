"""Estimates as tables to read: as text, as HTML, and side by side."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sos_plugins.study.result import NamedEstimate

SHOWN = ("term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "df")
FACTS = {
    "n_cases": "Cases",
    "n_units": "Units",
    "n_treated_units": "Treated units",
    "n_clusters": "Clusters",
    "estimand": "Estimand",
    "vcov": "Variance",
}
"""Rows beneath the estimates of a table of regressions, by key of ``glance``."""
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


def text_table(named: NamedEstimate) -> str:
    """Write an estimate with what it rests on as text.

    Args:
        named: The estimate.
    """
    tidy = named.estimate.tidy
    cells = pd.DataFrame({name: [rounded(v) for v in tidy[name]] for name in SHOWN})
    facts = [
        f"{label}: {rounded(named.estimate.glance[key])}"
        for key, label in FACTS.items()
        if key in named.estimate.glance
    ]
    title = f"{named.estimator}, engine {named.engine}"
    return "\n".join([title, cells.to_string(index=False), "; ".join(facts)])


def regression_table(estimates: Sequence[NamedEstimate]) -> pd.DataFrame:
    """Return estimates side by side as texts, standard errors in brackets beneath each.

    Args:
        estimates: One column each, in this order.

    Returns:
        Frame of texts; its index names terms (those of the standard errors are empty) and what
        the estimates rest on, its columns number the estimates and name estimator and engine.
    """
    terms = list(dict.fromkeys(t for named in estimates for t in named.estimate.tidy["term"]))
    index = [text for term in terms for text in (str(term), "")] + list(FACTS.values())
    columns = {
        f"({i}) {named.estimator}, {named.engine}": _column(named, terms)
        for i, named in enumerate(estimates, start=1)
    }
    return pd.DataFrame(columns, index=index)


def _column(named: NamedEstimate, terms: Sequence[str]) -> list[str]:
    rows: Mapping[Any, Mapping[Any, Any]] = named.estimate.tidy.set_index("term").to_dict("index")
    cells = []
    for term in terms:
        row = rows.get(term, {})
        error = rounded(row.get("std_error"))
        cells += [rounded(row.get("estimate")), f"({error})" if error else ""]
    return [*cells, *(rounded(named.estimate.glance.get(key)) for key in FACTS)]


def html_table(estimates: Sequence[NamedEstimate], agreement: str, warnings: Sequence[str]) -> str:
    """Write estimates as HTML for a notebook.

    Args:
        estimates: One table each.
        agreement: Whether the engines agree, in words.
        warnings: Sentences beneath.
    """
    parts = []
    for named in estimates:
        tidy = named.estimate.tidy[list(SHOWN)]
        shown = tidy.to_html(index=False, border=0, formatters=[rounded] * len(SHOWN), na_rep="")
        parts.append(f"<p><b>{html.escape(named.estimator)}</b>, {html.escape(named.engine)}</p>")
        parts.append(shown)
    told = [*agreement.splitlines(), *warnings]
    return "\n".join([*parts, *(f"<p>{html.escape(sentence)}</p>" for sentence in told)])
