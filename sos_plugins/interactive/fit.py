"""One estimator on one table, with what R and Python users ask of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sos_plugins.contract.types import Agreement, Estimate
from sos_plugins.errors import EngineUnavailableError, did_you_mean, listing
from sos_plugins.interactive.tables import html_table, text_table
from sos_plugins.report.regression import regression_table, rounded
from sos_plugins.study.result import NamedEstimate
from sos_plugins.system.output_folder import check_writable
from sos_plugins.system.whole_files import put

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN = {
    "std_error": "Std. Error",
    "statistic": "t value",
    "p_value": "Pr(>|t|)",
    "estimate": "Estimate",
}
"""Names of the series that :class:`Fit` gives: those of coefficient tables in R."""


@dataclass(frozen=True, repr=False)
class Fit:
    """The estimates of one estimator on one table, by one engine or by several.

    Attributes:
        estimates: By engine, the reference first.
        agreements: Cross-checks of the other engines with the reference.
        not_run: Why an engine that was asked for gave no estimate, by engine.
        called: What the estimator is called in figures and tables, by its name.
    """

    estimates: tuple[NamedEstimate, ...]
    agreements: tuple[Agreement, ...] = ()
    not_run: Mapping[str, str] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)

    @property
    def named(self) -> NamedEstimate:
        """The reference: the estimate that everything below is about."""
        return self.estimates[0]

    @property
    def estimate(self) -> Estimate:
        """Its figures, warnings and provenance."""
        return self.named.estimate

    @property
    def estimator(self) -> str:
        """Name of the estimator."""
        return self.named.estimator

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self.named.engine

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines that gave an estimate."""
        return tuple(named.engine for named in self.estimates)

    @property
    def headline(self) -> str:
        """The term that answers what the effect was."""
        return self.named.headline

    @property
    def tidy(self) -> pd.DataFrame:
        """Frame of :data:`sos_plugins.contract.columns.TIDY_COLUMNS`, one row a term."""
        return self.estimate.tidy.copy()

    @property
    def glance(self) -> Mapping[str, Any]:
        """The keys of :data:`sos_plugins.contract.columns.GLANCE_COLUMNS` and the estimator's."""
        return dict(self.estimate.glance)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that a reader must see beside the figures."""
        return self.estimate.warnings

    def __getitem__(self, engine: str) -> Fit:
        """Return the fit of one engine alone.

        Raises:
            EngineUnavailableError: If the engine gave no estimate; the message says why.
        """
        for named in self.estimates:
            if named.engine == engine:
                return Fit((named,), called=self.called)
        why = self.not_run.get(engine, did_you_mean(engine, self.engines).strip())
        told = [f"Engine '{engine}' gave no estimate here.", why]
        told.append(f"Engines that did: {listing(self.engines)}.")
        raise EngineUnavailableError(" ".join(filter(None, told)))

    def coef(self) -> pd.Series[float]:
        """Return the estimates, indexed by term."""
        return self._series("estimate")

    def se(self) -> pd.Series[float]:
        """Return the standard errors, indexed by term; NaN where there is none."""
        return self._series("std_error")

    def tstat(self) -> pd.Series[float]:
        """Return estimates over standard errors, indexed by term."""
        return self._series("statistic")

    def pvalue(self) -> pd.Series[float]:
        """Return two-sided p values, indexed by term."""
        return self._series("p_value")

    def confint(self) -> pd.DataFrame:
        """Return confidence intervals: a row a term, the columns named by their percentiles.

        The level is that of the fit (``conf_level`` in :attr:`glance`, a setting of the estimator).
        """
        tail = (1 - float(self.estimate.glance["conf_level"])) / 2
        low, high = (f"{round(100 * p, 6):g}%" for p in (tail, 1 - tail))
        ends = self.estimate.tidy.set_index("term")[["conf_low", "conf_high"]]
        return ends.set_axis([low, high], axis=1).astype(float)

    def vcov(self) -> pd.DataFrame:
        """Return the covariance matrix of the terms that have one, in the units of the value.

        Raises:
            EngineUnavailableError: If the engine hands none out.
        """
        matrix, errors = self.estimate.covariance, self.se()
        if matrix is not None:
            return matrix.copy()
        if len(errors) == 1 and errors.notna().all():
            return pd.DataFrame([[float(errors.iloc[0]) ** 2]], errors.index, list(errors.index))
        raise EngineUnavailableError(
            f"Engine '{self.engine}' of '{self.estimator}' hands out no covariance matrix under "
            "these settings; se() has the standard errors."
        )

    def plot(self) -> Figure:
        """Draw effects by event time, every engine beside the others; other terms as a forest.

        Returns:
            A figure of matplotlib; ``savefig`` writes it as SVG, PNG or PDF.
        """
        from sos_plugins.interactive.figures import effect_figure

        return effect_figure(self.estimates, self.called)

    def table(self, *others: Fit) -> pd.DataFrame:
        """Return a table of regressions: a column an engine of this fit and of others.

        Args:
            others: Further fits to stand to the right.

        Returns:
            Frame of texts with estimates and, beneath each in brackets, standard errors; then
            cases, units, clusters, the estimand and the variance estimator.
        """
        fits = (self, *others)
        return regression_table([one for fit in fits for one in fit.estimates], _called(fits))

    def save(
        self,
        folder: str | Path,
        *others: Fit,
        figures: str | Sequence[str] = ("svg",),
        tables: str | Sequence[str] = ("csv",),
    ) -> list[Path]:
        """Write figures and tables as files, the same bytes for the same estimates.

        Args:
            folder: Folder; it is made where it is not there, and files of these names in it are
                replaced.
            others: Further fits, whose estimates stand to the right in tables.
            figures: Kinds of the figure: ``svg``, ``png``, ``pdf``.
            tables: Kinds of the table of regressions: ``csv``, ``xlsx``, ``docx``, ``tex``, ``md``;
                with any of them comes a CSV of all figures in full precision.

        Returns:
            The files.

        Raises:
            SettingsError: If a kind is unknown.
            EngineUnavailableError: If a package that writes a kind is not installed.
            OutputError: If the folder cannot be written to.
        """
        from sos_plugins.interactive.files import files_of
        from sos_plugins.report.table_files import FIGURES, TABLES, kinds_of

        kinds = kinds_of(figures, FIGURES, "figure"), kinds_of(tables, TABLES, "table")
        fits = (self, *others)
        named = [one for fit in fits for one in fit.estimates]
        said = dict.fromkeys(
            sentence for fit in fits for sentence in (*fit.agreement_in_words(), *fit.warnings)
        )
        files = files_of(named, _called(fits), tuple(said), *kinds)
        place = Path(folder)
        check_writable(place)
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            put(place / name, content)
        return [place / name for name in files]

    def summary(self) -> None:
        """Print the estimates, what they rest on, whether engines agree, and the warnings."""
        print(self._text())  # what a summary is for

    def _text(self) -> str:
        parts = [text_table(named) for named in self.estimates]
        return "\n\n".join(filter(None, [*parts, self._agreement_text(), *self.estimate.warnings]))

    def agreement_in_words(self) -> tuple[str, ...]:
        """Return a sentence for each engine that was compared with the reference."""
        told = (
            f"Engines {a.reference} and {a.engine} {a.verdict}{': ' * bool(a.reason)}{a.reason}"
            for a in self.agreements
            if a.verdict != "not run"
        )
        return tuple(sentence.rstrip(".") + "." for sentence in told)

    def _agreement_text(self) -> str:
        missing = [
            f"Engine {name} did not run: {why.rstrip('.')}." for name, why in self.not_run.items()
        ]
        return "\n".join((*self.agreement_in_words(), *missing))

    def _series(self, column: str) -> pd.Series[float]:
        values = self.estimate.tidy.set_index("term")[column]
        return values.astype(float).rename(COLUMN[column])

    def __repr__(self) -> str:
        row = self.estimate.term(self.headline)
        glance = self.estimate.glance
        level = f"{100 * float(glance['conf_level']):g}%"
        figures = (
            f"{self.headline} {rounded(row['estimate'])} (SE {rounded(row['std_error'])}; {level} "
            f"CI {rounded(row['conf_low'])} to {rounded(row['conf_high'])}; p = "
            f"{rounded(row['p_value'])})"
        )
        counted = f"{glance['n_cases']:,} cases of {glance['n_units']:,} units"
        return f"<{self.estimator}, {self._who()}: {figures}; {counted}>"

    def _who(self) -> str:
        if len(self.estimates) == 1:
            return f"engine {self.engine}"
        differ = [a.engine for a in self.agreements if a.verdict == "disagree"]
        verdict = f"{listing(differ)} disagree" if differ else "which agree"
        return f"engines {', '.join(self.engines)}, {verdict}"

    def _repr_html_(self) -> str:
        return html_table(self.estimates, self._agreement_text(), self.estimate.warnings)


def _called(fits: Sequence[Fit]) -> dict[str, str]:
    return {name: called for fit in fits for name, called in fit.called.items()}
