"""Several methods of inference on one estimate: their table and what they say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sos_plugins.report import formatting as words
from sos_plugins.report.tables import Column, Row, Table, column, frame_of
from sos_plugins.study.result import NamedEstimate, OutcomeResult

KEY = "inference"
"""Where an estimate keeps the table in ``glance``: a list with one mapping a method."""
FIELDS = (
    "method",
    "estimate",
    "std_error",
    "statistic",
    "df",
    "p_value",
    "conf_low",
    "conf_high",
    "distribution",
    "citation",
)
DISAGREE = "The methods disagree"
"""How an estimate's warning begins that the sentence above the table tells anew."""
USUAL_LEVEL = 0.95
"""Level of confidence where an estimate names none."""
FEW_TREATED = (
    "With few treated authorities the usual clustered tests (CR0, CR1, CR1S, fixest) and WCU tend "
    "to call too much significant and WCR too little: trust CR2, unless a warning calls its p "
    "value rough, and randomisation of the t statistic (RI-t), if there are assignments enough, "
    "before them; that of the coefficient (RI-beta) calls too much significant where treated "
    "authorities are smaller than the others."
)


@dataclass(frozen=True)
class Methods:
    """The table of several methods of inference, and the paragraph above it.

    Attributes:
        table: One row a method.
        finding: The paragraph.
        said: Warnings of the estimator that the paragraph makes needless.
    """

    table: Table
    finding: str
    said: frozenset[str]


def methods_of_inference(result: OutcomeResult, ident: str) -> Methods | None:
    """Gather the methods of the main estimate, else of the first that has some."""
    named = _chosen(result)
    if named is None:
        return None
    level = words.to_float(named.estimate.glance.get("conf_level")) or USUAL_LEVEL
    rows = _of_headline(_rows(named))
    source = words.clean(f"{named.estimator}, {named.engine}")
    table = Table(
        ident,
        f"Several methods of inference on one estimate ({source}): "
        f"{words.clean(result.info.label)}",
        frame_of(rows, FIELDS),
        _columns(words.scale_of(result), level),
        note="Where a method has no standard error, its statistic is the effect itself.",
        missing_note="the method has no such figure, or could not be computed; a warning says why",
    )
    warnings = [
        w for n in result.estimates if n.estimator == named.estimator for w in n.estimate.warnings
    ]
    return Methods(
        table,
        f"{agreement_sentence(rows, 1 - level)} {FEW_TREATED}",
        frozenset(warning for warning in warnings if warning.startswith(DISAGREE)),
    )


def _of_headline(rows: Sequence[Row]) -> Sequence[Row]:
    """Keep the rows of the first term, where the table has several."""
    first = rows[0].get("term") if rows else None
    return [row for row in rows if row.get("term") == first]


def agreement_sentence(rows: Sequence[Row], level: float) -> str:
    """Write whether the methods agree that the effect is significant at a level.

    >>> agreement_sentence([{"method": "CR1", "p_value": 0.01}, {"method": "CR2", "p_value": 0.2}],
    ...                    0.05)
    'The methods disagree at the 5% level: significant by CR1 (p = 0.010); not by CR2 (p = 0.200).'
    """
    known = [row for row in rows if words.to_float(row.get("p_value")) is not None]
    at = f"at the {words.figure(round(100 * level, 6))}% level"
    if not known:
        return "None of the methods gave a p value."
    below = [row for row in known if (words.to_float(row["p_value"]) or 0.0) < level]
    above = [row for row in known if row not in below]
    if below and above:
        sentence = f"{DISAGREE} {at}: significant by {_listed(below)}; not by {_listed(above)}."
    elif len(known) == 1:
        is_so = "significant" if below else "not significant"
        sentence = f"By the one method that gave a p value the effect is {is_so} {at}."
    else:
        is_so = "significant" if below else "not significant"
        sentence = f"All {words.count(len(known))} methods agree: the effect is {is_so} {at}."
    without = [words.text(row.get("method")) for row in rows if row not in known]
    return f"{sentence} No p value by {words.joined(without)}." if without else sentence


def _listed(rows: Sequence[Row]) -> str:
    return words.joined(
        f"{words.text(row.get('method'))} ({words.p_value(row['p_value'])})" for row in rows
    )


def _chosen(result: OutcomeResult) -> NamedEstimate | None:
    main = result.main
    wanted = (main.estimator, main.engine) if main else ("", "")

    def distance(named: NamedEstimate) -> tuple[bool, bool]:
        return named.estimator != wanted[0], named.engine != wanted[1]

    return min((n for n in result.estimates if _rows(n)), key=distance, default=None)


def _rows(named: NamedEstimate) -> list[Mapping[str, Any]]:
    rows = named.estimate.glance.get(KEY)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _columns(scale: words.Scale, level: float) -> tuple[Column, ...]:
    def statistic(row: Row) -> str:
        of_effect = words.missing(row["std_error"]) and row["statistic"] == row["estimate"]
        return (scale.effect if of_effect else words.figure)(row["statistic"])

    unit = f", {scale.unit}" if scale.unit else ""
    return (
        column("method", "Method"),
        column("std_error", f"Standard error{unit}", scale.effect, numeric=True),
        Column("Statistic", statistic, numeric=True),
        column("df", "Degrees of freedom", words.figure, numeric=True),
        column("p_value", "p value", words.p_cell, numeric=True),
        Column(
            f"{words.figure(round(100 * level, 6))}% confidence interval{unit}",
            lambda row: scale.interval(row["conf_low"], row["conf_high"]),
            numeric=True,
        ),
        column("distribution", "Compared with"),
        Column("Source", lambda row: words.text(row["citation"]), wide=True),
    )
