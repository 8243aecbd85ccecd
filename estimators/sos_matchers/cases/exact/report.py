"""What exact matching did: tables, warnings and the sentence for a manuscript."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_matchers.cases.common import left_out_words, strata_words, with_weights
from sos_matchers.cases.data import without_comparators
from sos_matchers.cases.exact.bins import Rule
from sos_matchers.cases.exact.coarsen import Coarsened, CutNumber, combined, is_number, row_of_each
from sos_matchers.cases.exact.imbalance import ALL, Histogram, imbalance_table
from sos_matchers.cases.exact.pairs import Pairs
from sos_matchers.cases.exact.sample import NAME, ExactData, HistogramParts
from sos_matchers.cases.exact.settings import CoarsenedExactSettings
from sos_matchers.cases.exact.weights import Flags, Floats, on_both_sides
from sos_matchers.cases.weighted import effective_size, effective_warnings
from sos_matchers.summaries import plural
from sos_plugins import CaseMatch, Sample
from sos_plugins.authors.results import balance_table
from sos_plugins.cells.compression import squares
from sos_plugins.errors import DesignError

RULES: Mapping[Rule, str] = {
    "sturges": "Sturges's rule",
    "scott": "Scott's rule",
    "fd": "the rule of Freedman and Diaconis",
}
OF_THE_MATCHING = "matching"
"""What the table of imbalance calls the bins that were matched on."""
MOST_NAMED = 3
"""Authorities and patterns that a warning names."""


@dataclass(frozen=True)
class ExactMatches:
    """What an engine found.

    Attributes:
        kept: Whether a row is matched, (rows,).
        weight: New weights, 0 for rows that are not, (rows,).
        software: What computed them, with its version.
        pairs: Rows that were paired, where k2k is asked for.
    """

    kept: Flags
    weight: Floats
    software: str
    pairs: Pairs | None = None


def refuse_no_match(data: ExactData) -> None:
    """Say that no case of a pilot has one of a comparator like it.

    Args:
        data: The cases.

    Raises:
        DesignError: Always.
    """
    n_pilots, n_others = (round(data.counts[side].sum()) for side in (data.treated, ~data.treated))
    raise DesignError(
        f"Matcher '{NAME}': none of {plural(n_pilots, 'case')} of pilots has one among "
        f"{plural(n_others, 'case')} of comparators that is like it in every coarsened covariate "
        "of its stratum. Use fewer cut points or wider groups, fewer covariates, or match within "
        "fewer columns."
    )


def report(
    sample: Sample, data: ExactData, found: ExactMatches, settings: CoarsenedExactSettings
) -> CaseMatch:
    """Put the result of exact matching together.

    Args:
        sample: The cases.
        data: The same, coarsened.
        found: What an engine found.
        settings: What was asked for.
    """
    tables = match_tables(data, found, settings, squares(sample.frame))
    if found.pairs is not None:
        tables["pairs"] = _pairs_table(data, found.pairs)
    matched, dropped = with_weights(sample, found.weight)
    return CaseMatch(
        sample=matched,
        balance=balance_with_gaps(data, found),
        n_dropped=dropped,
        sentence=f"{sentence(data, found, settings, tables)} {left_out_words(dropped)}",
        warnings=(*data.warnings, *match_warnings(data, settings, tables)),
        tables=tables,
    )


# ---- tables --------------------------------------------------------------------------------------


def match_tables(
    data: ExactData,
    found: ExactMatches,
    settings: CoarsenedExactSettings,
    weight_squares: Floats,
) -> dict[str, pd.DataFrame]:
    """Return the tables ``imbalance``, ``effective``, ``unmatched`` and ``strata``.

    Args:
        data: The cases.
        found: Who was matched.
        settings: What was asked for.
        weight_squares: Squared weights of the cases, summed by row, (rows,).
    """
    return {
        "imbalance": imbalance(data, found, settings),
        "effective": effective_sizes(data, found, weight_squares),
        "unmatched": unmatched_table(data, found),
        "strata": strata_table(data, found),
    }


def balance_with_gaps(data: ExactData, found: ExactMatches) -> pd.DataFrame:
    """Return the balance of covariates; of a number with gaps, that of its values and of the gaps.

    Args:
        data: The cases.
        found: Who was matched.
    """
    parts = []
    for name in data.names:
        values = data.frame[name]
        known = values.notna().to_numpy()
        columns = {name: values[known]}
        parts.append(_balance(data, found, pd.DataFrame(columns), known))
        if is_number(values) and not known.all():
            gaps = pd.DataFrame({f"{name}=Missing": (~known).astype(float)})
            parts.append(_balance(data, found, gaps, np.ones(len(known), dtype=bool)))
    return pd.concat(parts, ignore_index=True)


def _balance(
    data: ExactData, found: ExactMatches, columns: pd.DataFrame, rows: Flags
) -> pd.DataFrame:
    return balance_table(
        columns,
        data.treated[rows].astype(int),
        weight_before=data.weight[rows],
        weight_after=found.weight[rows],
    )


def imbalance(
    data: ExactData, found: ExactMatches, settings: CoarsenedExactSettings
) -> pd.DataFrame:
    """Return L1 and local common support in the bins of the matching and in those of the histogram.

    Args:
        data: The cases.
        found: Who was matched.
        settings: What was asked for.
    """
    ratio = found.weight / np.where(data.present, data.weight, 1.0)
    rows = HistogramParts(data.pattern, np.arange(len(data.weight)), data.weight)
    tables = []
    for bins, parts in ((OF_THE_MATCHING, rows), (settings.histogram, data.histogram)):
        sides, stratum = data.treated[parts.row], data.stratum[parts.row]
        before, after = (
            Histogram.of(parts.cell, stratum, sides, weight, in_order=data.in_order)
            for weight in (parts.weight, parts.weight * ratio[parts.row])
        )
        tables.append(imbalance_table(bins, before, after, data.strata))
    return pd.concat(tables, ignore_index=True)


def effective_sizes(data: ExactData, found: ExactMatches, weight_squares: Floats) -> pd.DataFrame:
    """Return ``role, n_before, effective_before, n_after, effective_after`` (Kish 1965).

    Args:
        data: The cases.
        found: Who was matched.
        weight_squares: Squared weights of the cases, summed by row, (rows,).
    """
    old = np.where(data.present, data.weight, 1.0)
    after = weight_squares * (found.weight / old) ** 2
    rows = []
    for role, side in (("pilot", data.treated), ("comparator", ~data.treated)):
        kept = side & found.kept
        rows.append(
            {
                "role": role,
                "n_before": round(data.counts[side].sum()),
                "effective_before": effective_size(data.weight[side], weight_squares[side]),
                "n_after": round(data.counts[kept].sum()),
                "effective_after": effective_size(found.weight[kept], after[kept]),
            }
        )
    return pd.DataFrame(rows)


def unmatched_table(data: ExactData, found: ExactMatches) -> pd.DataFrame:
    """Return ``role, unit, stratum, n_cases, n_unmatched``, by authority and stratum.

    Args:
        data: The cases.
        found: Who was matched.
    """
    units, names = pd.factorize(data.frame["unit"], sort=True)
    key, n = combined(
        [(~data.treated).astype(np.int64), units.astype(np.int64), data.stratum],
        [2, len(names), len(data.strata)],
    )
    first = row_of_each(key, n)
    lost = np.where(found.kept, 0.0, data.counts)
    return pd.DataFrame(
        {
            "role": np.where(data.treated[first], "pilot", "comparator"),
            "unit": names[units[first]],
            "stratum": np.array(data.strata, dtype=object)[data.stratum[first]],
            "n_cases": np.rint(np.bincount(key, data.counts, minlength=n)).astype(np.int64),
            "n_unmatched": np.rint(np.bincount(key, lost, minlength=n)).astype(np.int64),
        }
    )


def strata_table(data: ExactData, found: ExactMatches) -> pd.DataFrame:
    """Return who is in which stratum: its columns and covariates, counts, weights of the matched.

    Args:
        data: The cases.
        found: Who was matched.

    Returns:
        One row a pattern that occurs: the columns that cases are compared within, the coarsened
        covariates, ``n_pilots``, ``n_comparators``, ``n_pilots_matched``,
        ``n_comparators_matched`` and the matched comparators' mean ``weight``.
    """
    n = data.n_patterns
    columns: dict[str, object] = {c: data.frame[c].array[data.a_row] for c in data.within}
    for covariate, codes in zip(data.coarsened, data.codes, strict=True):
        columns[covariate.name] = np.array(covariate.labels, dtype=object)[codes]
    for role, side in (("pilots", data.treated), ("comparators", ~data.treated)):
        for what, rows in (("", side), ("_matched", side & found.kept)):
            columns[f"n_{role}{what}"] = _counted(data, rows)
    weight = np.bincount(data.pattern, np.where(data.treated, 0.0, found.weight), minlength=n)
    matched = np.asarray(columns["n_comparators_matched"], dtype=float)
    columns["weight"] = np.where(matched > 0, weight / np.maximum(matched, 1), np.nan)
    return pd.DataFrame(columns)


def _counted(data: ExactData, rows: Flags) -> np.ndarray:
    n = np.bincount(data.pattern, np.where(rows, data.counts, 0.0), minlength=data.n_patterns)
    return np.asarray(np.rint(n).astype(np.int64))


def _pairs_table(data: ExactData, pairs: Pairs) -> pd.DataFrame:
    number = data.frame["case"].to_numpy() if "case" in data.frame else np.arange(len(data.frame))
    order = np.argsort(pairs[0])
    pilots, others = (number[rows[order]] for rows in pairs)
    return pd.DataFrame({"pilot_case": pilots, "comparator_case": others})


# ---- words ---------------------------------------------------------------------------------------


def covariate_words(covariate: Coarsened) -> str:
    """Write how a covariate was coarsened.

    Args:
        covariate: The covariate.
    """
    if isinstance(covariate, CutNumber):
        points = covariate.cuts.points
        if covariate.cuts.start is None and len(points) <= MOST_NAMED * 3:
            return f"{covariate.name} cut at {', '.join(f'{p:g}' for p in points)}"
        return f"{covariate.name} in {len(points) + 1} bins"
    if len(covariate.labels) < len(covariate.levels):
        return f"{covariate.name} in {plural(len(covariate.labels), 'group')}"
    return covariate.name


def sentence(
    data: ExactData,
    found: ExactMatches,
    settings: CoarsenedExactSettings,
    tables: Mapping[str, pd.DataFrame],
) -> str:
    """Write what was done, as a manuscript would say it.

    Args:
        data: The cases.
        found: Who was matched.
        settings: What was asked for.
        tables: The tables ``effective``, ``imbalance`` and ``strata``.
    """
    covariates = "; ".join(covariate_words(c) for c in data.coarsened)
    pilots, others = tables["effective"].to_dict("records")
    n_strata = int((tables["strata"]["n_pilots_matched"] > 0).sum())
    table = tables["imbalance"]
    measured = table[(table["bins"] == settings.histogram) & (table["stratum"] == ALL)].iloc[-1]
    return " ".join(
        [
            f"Cases of pilots and of comparators were matched exactly on coarsened covariates "
            f"({covariates}){strata_words(data.within)}; {found.software}.",
            f"{pilots['n_after']:,} of {plural(pilots['n_before'], 'case')} of pilots were matched "
            f"to {others['n_after']:,} of {plural(others['n_before'], 'case')} of comparators in "
            f"{n_strata:,} strata.",
            *_weight_words(settings),
            f"Matched cases of comparators have an effective sample size of "
            f"{others['effective_after']:,.0f}.",
            f"Imbalance (multivariate L1, bins by {RULES[settings.histogram]}) was "
            f"{measured['l1_before']:.3f} before and {measured['l1_after']:.3f} after; local "
            f"common support {measured['common_before']:.1%} and {measured['common_after']:.1%}.",
            *data.notes,
        ]
    )


def _weight_words(settings: CoarsenedExactSettings) -> Iterable[str]:
    if settings.k2k:
        how = (
            "the nearest by Mahalanobis distance"
            if settings.k2k_distance == "mahalanobis"
            else f"at random (seed {settings.seed})"
        )
        yield f"Each stratum kept as many cases of both sides, {how}."
    if settings.weights == "composite":
        yield (
            "Each case started with one over the times that the same authority, child and date was "
            "matched, and cases of comparators were scaled within strata to those of pilots "
            "(composite weights)."
        )
    else:
        yield "Cases of comparators were weighted within strata to those of pilots."


def match_warnings(
    data: ExactData, settings: CoarsenedExactSettings, tables: Mapping[str, pd.DataFrame]
) -> Iterable[str]:
    """Yield what a reader must see: who has no comparators, and how little is left.

    Args:
        data: The cases.
        settings: What was asked for.
        tables: The tables ``effective``, ``strata`` and ``unmatched``.
    """
    yield from _strata_without_comparators(data)
    yield from _unmatched_words(data, tables)
    if settings.k2k:
        return
    _, others = tables["effective"].to_dict("records")
    before, after = others["effective_before"], others["effective_after"]
    yield from effective_warnings(before, after, settings, what="Matching")


def _strata_without_comparators(data: ExactData) -> Iterable[str]:
    n = len(data.strata)
    both = on_both_sides(data.stratum, data.treated, data.present, n)
    lost = np.bincount(data.stratum, np.where(data.treated, data.counts, 0.0), minlength=n)
    for s in np.flatnonzero(~both & (lost > 0)):
        yield without_comparators(lost[s], data.strata[s])


def _unmatched_words(data: ExactData, tables: Mapping[str, pd.DataFrame]) -> Iterable[str]:
    """Say how many of the pilots' cases are not matched, in which authorities and patterns."""
    table = tables["unmatched"]
    by_unit = table[table["role"] == "pilot"].groupby("unit")[["n_unmatched", "n_cases"]].sum()
    lost = by_unit[by_unit["n_unmatched"] > 0]
    if lost.empty:
        return
    share = (lost["n_unmatched"] / lost["n_cases"]).sort_values(ascending=False, kind="stable")
    worst = [
        f"{unit} ({lost['n_unmatched'][unit]:,} of {lost['n_cases'][unit]:,})"
        for unit in share.index[:MOST_NAMED]
    ]
    yield (
        f"{lost['n_unmatched'].sum():,} of {by_unit['n_cases'].sum():,} cases of pilots have no "
        "comparator's case like them and were left out: the effect is that on the matched. Largest "
        f"shares: {_and_more(worst, len(share))}. Largest patterns without a match: "
        f"{'; '.join(_patterns_lost(data, tables['strata']))}."
    )


def _patterns_lost(data: ExactData, strata: pd.DataFrame) -> Iterable[str]:
    gone = strata["n_pilots"] - strata["n_pilots_matched"]
    largest = gone.sort_values(ascending=False, kind="stable").head(MOST_NAMED)
    keys = [*data.within, *data.names]
    for row in largest.index[largest > 0]:
        words = [f"{key} {value}" for key, value in strata.loc[row, keys].items()]
        yield f"{', '.join(words)} ({gone[row]:,})"


def _and_more(shown: Sequence[str], n: int) -> str:
    rest = n - len(shown)
    return f"{', '.join(shown)} and {rest} more" if rest else ", ".join(shown)
