"""Cases of a sample as whole numbers: strata, patterns of covariates, occasions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_matchers.cases.data import WITHIN, known_names, matchable_covariates, strata_of
from sos_matchers.cases.exact.coarsen import (
    MISSING,
    Coarsened,
    GroupedLevels,
    as_text,
    coarsen_frame,
    combined,
    is_number,
    row_of_each,
    setting_warnings,
)
from sos_matchers.cases.exact.settings import CoarsenedExactSettings
from sos_matchers.cases.exact.weights import Flags, Floats, Ints, on_both_sides
from sos_matchers.summaries import plural
from sos_plugins import Sample
from sos_plugins.cells.compression import counts, is_compressed
from sos_plugins.errors import DesignError, SettingsError, listing

NAME = "coarsened-exact"


@dataclass(frozen=True)
class HistogramParts:
    """Parts of rows, by the cell of the histogram of all covariates that they lie in.

    Attributes:
        cell: Number of the cell, (parts,).
        row: The row that is parted, (parts,).
        weight: The weight of the part before matching, (parts,).
    """

    cell: Ints
    row: Ints
    weight: Floats


@dataclass(frozen=True)
class ExactData:
    """What is matched, row by row of a sample.

    Attributes:
        frame: The rows, with gaps of categories filled by "Missing".
        coarsened: The covariates that vary, coarsened.
        treated: Whether a row is a pilot's, (rows,).
        weight: The weights that the sample came with, (rows,).
        counts: How many cases a row stands for, (rows,).
        stratum: Number of the stratum within which a row is compared, (rows,).
        strata: What these strata are, in words.
        within: The columns that make them.
        pattern: Number of the stratum and coarsened covariates, (rows,).
        n_patterns: How many there are.
        codes: Of each covariate, the number of its label in each pattern, (n_patterns,).
        a_row: A row of each pattern, (n_patterns,).
        histogram: The cells that imbalance is measured in.
        occasion: The same number for the same authority, child and date, (rows,).
        notes: Sentences on how covariates were read.
        warnings: Sentences that a reader must see.
        in_order: Whether the rows come in an order that what they say fixes.
    """

    frame: pd.DataFrame
    coarsened: tuple[Coarsened, ...]
    treated: Flags
    weight: Floats
    counts: Floats
    stratum: Ints
    strata: tuple[str, ...]
    within: tuple[str, ...]
    pattern: Ints
    n_patterns: int
    codes: tuple[Ints, ...]
    a_row: Ints
    histogram: HistogramParts
    occasion: Ints
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    in_order: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The covariates that are matched on."""
        return tuple(c.name for c in self.coarsened)

    @property
    def present(self) -> Flags:
        """Whether a row has a weight, (rows,)."""
        return np.asarray(self.weight > 0)

    @property
    def matched(self) -> Flags:
        """Whether a row has a weight, as rows of both sides of its pattern have, (rows,)."""
        both = on_both_sides(self.pattern, self.treated, self.present, self.n_patterns)
        return np.asarray(self.present & both[self.pattern])


def exact_data(sample: Sample, settings: CoarsenedExactSettings) -> ExactData:
    """Coarsen the covariates of a sample and number what they make.

    Args:
        sample: Labelled cases, one by one or compressed to cells.
        settings: What is asked for.

    Raises:
        DesignError: If the sample is a panel, has one side alone, nothing varies, or cells have
            numbers among the covariates.
        SettingsError: If a covariate, column or level is unknown or coarsened in the wrong way.
    """
    names = matchable_covariates(sample, settings.covariates, NAME)
    if settings.k2k and is_compressed(sample.frame):
        raise SettingsError(
            f"Matcher '{NAME}': k2k picks single cases, and these are added up to cells; give the "
            'cases (collect = "cases"), or leave k2k out.'
        )
    frame = _filled(sample.frame.reset_index(drop=True), names)
    treated = frame["treated"].to_numpy() == 1
    _refuse_one_side(treated)
    kept, notes, warnings = _varying(frame, names)
    coarsened = coarsen_frame(frame, kept, settings)
    within = known_names(
        settings.within, [str(c) for c in frame.columns], "column of strata", NAME, WITHIN
    )
    stratum, strata = strata_of(frame, within)
    stratum = stratum.astype(np.int64)
    codes = [c.codes(frame[c.name]) for c in coarsened]
    pattern, n_patterns = combined(
        [stratum, *(match for match, _ in codes)],
        [len(strata), *(len(c.labels) for c in coarsened)],
    )
    a_row = row_of_each(pattern, n_patterns)
    cell, _ = combined(
        [stratum, *(fine for _, fine in codes)], [len(strata), *(c.n_fine for c in coarsened)]
    )
    weight = frame["weight"].to_numpy(float)
    occasion, told = _occasions(frame, settings)
    levels = {c.name: c.levels for c in coarsened if isinstance(c, GroupedLevels)}
    return ExactData(
        frame=frame,
        coarsened=coarsened,
        treated=treated,
        weight=weight,
        counts=counts(frame),
        stratum=stratum,
        strata=tuple(strata),
        within=within,
        pattern=pattern,
        n_patterns=n_patterns,
        codes=tuple(match[a_row] for match, _ in codes),
        a_row=a_row,
        histogram=HistogramParts(cell, np.arange(len(frame)), weight),
        occasion=occasion,
        notes=notes,
        warnings=(*warnings, *setting_warnings(settings, names, levels), *told),
    )


def _filled(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    gaps = [n for n in names if not is_number(frame[n]) and frame[n].isna().any()]
    return frame.assign(**{name: as_text(frame[name]) for name in gaps})


def _refuse_one_side(treated: Flags) -> None:
    if treated.all() or not treated.any():
        side = "comparators" if treated.all() else "pilots"
        raise DesignError(
            f"Matcher '{NAME}': the sample has no case of {side}, so there is nothing to match. "
            "Check the matched groups."
        )


def _varying(
    frame: pd.DataFrame, names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the covariates that vary, notes on the others and on gaps, and warnings."""
    kept, notes, warnings = [], [], []
    for name in names:
        missing = missing_in(frame[name])
        if missing.all():
            warnings.append(
                f"Covariate {name} is missing in all {plural(len(frame), 'case')} and was left out."
            )
        elif frame[name].nunique(dropna=False) < 2:
            notes.append(f"The covariate {name} does not vary and was left out.")
        else:
            kept.append(name)
            told, whole = _gaps(frame, name, missing)
            notes += told
            warnings += whole
    if not kept:
        raise DesignError(
            f"Matcher '{NAME}': none of the covariates {listing(names)} varies among the cases, so "
            "all are matched alike. Choose others, or leave the matching of cases out."
        )
    return tuple(kept), tuple(notes), tuple(warnings)


def missing_in(values: pd.Series) -> Flags:
    """Return where a covariate is missing, as a gap or as the level "Missing", (rows,)."""
    gaps = values.isna().to_numpy()
    return np.asarray(gaps if is_number(values) else gaps | (values == MISSING).to_numpy())


def missing_words(name: str, missing: float, n: float) -> str:
    """Count the cases of which a covariate is not known."""
    return f"{name} is missing in {missing:,.0f} of {plural(round(n), 'case')}, a level of its own."


def _gaps(frame: pd.DataFrame, name: str, missing: Flags) -> tuple[list[str], list[str]]:
    """Count what is missing; warn of authorities and periods of which nothing is known."""
    if not missing.any():
        return [], []
    n = counts(frame)
    note = missing_words(name, n[missing].sum(), n.sum())
    warnings = []
    for column, what in (("unit", "authority"), ("period", "period")):
        known = pd.Series(~missing).groupby(frame[column].to_numpy()).any()
        for value in known.index[~known]:
            lost = n[(frame[column] == value).to_numpy()].sum()
            warnings.append(
                f"Covariate {name} is missing in all {lost:,.0f} cases of {what} {value}: they are "
                "compared with cases of which it is not known either."
            )
    return [note], warnings


def _occasions(
    frame: pd.DataFrame, settings: CoarsenedExactSettings
) -> tuple[Ints, tuple[str, ...]]:
    """Number what the stack may repeat: authority, child and date, or else the case."""
    nothing = np.arange(len(frame), dtype=np.int64)
    if settings.weights != "composite":
        return nothing, ()
    keys = ["unit", "child", "date"]
    if is_compressed(frame) or not set(keys) <= set(frame.columns):
        keys = ["unit", "case"]
    if not set(keys) <= set(frame.columns):
        told = (
            "Composite weights count how often the same authority, child and date is matched, and "
            "the cases have neither child and date nor a number of the case: each counted once."
        )
        return nothing, (told,)
    codes = [pd.factorize(frame[key])[0].astype(np.int64) for key in keys]
    return combined(codes, [int(code.max()) + 1 for code in codes])[0], ()
