"""One estimator on one tidy table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sos_plugins.cli.console import Terminal
from sos_plugins.cli.text_tables import render, text_of
from sos_plugins.contract.types import Agreement
from sos_plugins.errors import SettingsError, SosError
from sos_plugins.interactive.estimate import fit_sample
from sos_plugins.interactive.fit import Fit
from sos_plugins.study.result import NamedEstimate
from sos_plugins.system.output_folder import check_writable
from sos_plugins.tables.read_table import read_sample

if TYPE_CHECKING:
    from sos_plugins.report import Further


def estimate(
    terminal: Terminal,
    estimator: str,
    values: Mapping[str, Any],
    *,
    data: Path,
    unit: str,
    period: str,
    cohort: str,
    value: str,
    identifier: str | None,
    covariates: str,
    weights: str | None,
    cluster: str | None,
    engine: str | None,
    missing: Sequence[str] = (),
    sheet: str | None = None,
    out: Path | None = None,
    figures: str | None = None,
    tables: str | None = None,
) -> None:
    """Read the table, run one engine or all, print the estimates, and write files if asked.

    Raises:
        SettingsError: If files are asked for without a folder, or of a kind that there is not.
        EngineUnavailableError: If none of the engines can run, or a package that writes a kind of
            file is not installed.
    """
    files = _files(out, figures, tables)
    registry = terminal.registry()
    options = registry.settings("estimator", estimator, values, f"--set ({estimator})")
    table = read_sample(
        data,
        unit=unit,
        period=period,
        cohort=cohort,
        value=value,
        id=identifier,
        covariates=tuple(c.strip() for c in covariates.split(",") if c.strip()),
        weights=weights,
        cluster=cluster,
        missing=missing,
        sheet=sheet,
    )
    try:
        fit = fit_sample(registry, estimator, engine, table.sample, options, value)
    except SosError:  # without an estimate that has the notes among its warnings
        for note in table.notes:
            terminal.say(f"Note: {note}")
        raise
    if out is not None and files is not None:
        written = fit.save(out, figures=files.figures, tables=files.tables)
        terminal.say("Written: " + ", ".join(map(str, written)))
    _answer(terminal, fit, engine)


def _files(out: Path | None, figures: str | None, tables: str | None) -> Further | None:
    """Return what is to be written, found wrong before any engine runs."""
    if out is None:
        for option, kinds in (("--figures", figures), ("--tables", tables)):
            if kinds is not None:
                raise SettingsError(f"{option} names kinds of files: say where to, with --out.")
        return None
    from sos_plugins.report import Further

    check_writable(out)
    return Further.of("svg" if figures is None else figures, "csv" if tables is None else tables)


def _answer(terminal: Terminal, fit: Fit, engine: str | None) -> None:
    terminal.warned(fit.warnings)
    if engine != "all":
        terminal.answer(_data(fit.named), _text(fit.named))
        return
    compared = {a.engine: a for a in fit.agreements}
    answers = [
        _data(_with_reasons(named, fit.not_run))
        | ({"agreement": _agreement(compared[named.engine])} if named is not fit.named else {})
        for named in fit.estimates
    ]
    tables = [_text(named) for named in fit.estimates]
    missing = [f"Not run: {reason}" for reason in fit.not_run.values()]
    terminal.answer(
        answers, "\n\n".join(tables) + "\n\n" + "\n".join([*fit.agreement_in_words(), *missing])
    )


def _with_reasons(named: NamedEstimate, reasons: Mapping[str, str]) -> NamedEstimate:
    """Say beside an estimate which engines did not run, so that it cannot be compared with them."""
    warnings = (*named.estimate.warnings, *(f"Not run: {why}" for why in reasons.values()))
    return replace(named, estimate=replace(named.estimate, warnings=warnings))


def _agreement(agreement: Agreement) -> dict[str, Any]:
    return {
        name: getattr(agreement, name)
        for name in (
            "reference",
            "verdict",
            "reason",
            "max_difference_estimate",
            "max_difference_std_error",
            "worst_term",
        )
    }


def _data(named: NamedEstimate) -> dict[str, Any]:
    return named.estimate.to_dict()


def _text(named: NamedEstimate) -> str:
    estimate = named.estimate
    table = render(
        list(estimate.tidy.columns),
        estimate.tidy.to_numpy(dtype=object).tolist(),
        f"{named.estimator}, engine {named.engine}",
    )
    facts = {key: value for key, value in estimate.glance.items() if not _is_table(value)}
    glance = ", ".join(f"{key} {text_of(value)}" for key, value in facts.items())
    further = [_table(key, value) for key, value in estimate.glance.items() if _is_table(value)]
    return "\n".join([table, click.wrap_text(glance, 118), *further, *estimate.warnings])


def _is_table(value: Any) -> bool:
    """Whether a value of ``glance`` is a list of rows, which gets a table of its own."""
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    columns = [column for column in rows[0] if column != "citation"]
    table = render(columns, [[row[column] for column in columns] for row in rows], title)
    named = "method" if "method" in columns else columns[0]
    sources = [f"{row[named]}: {row['citation']}" for row in rows if row.get("citation")]
    return "\n".join([table, *dict.fromkeys(sources)])
