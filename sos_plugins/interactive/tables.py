"""Estimates as tables to read: as text and as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pandas as pd

from sos_plugins.report.regression import FACTS, rounded
from sos_plugins.study.result import NamedEstimate

SHOWN = ("term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "df")


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
