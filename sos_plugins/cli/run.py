"""Commands on whole studies: run, crosscheck, demo, simulate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from sos_plugins.cache.store import KEEP_NOTHING, StepCache
from sos_plugins.cli.console import Terminal
from sos_plugins.cli.text_tables import in_lines, render, text_of, width
from sos_plugins.contract.interfaces import Simulator
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Agreement
from sos_plugins.errors import DataError, NotRegisteredError, SosError, StudyError, listing
from sos_plugins.groundwork.plain import plain
from sos_plugins.report import NOTHING_FURTHER, Further, check_folder, write_report
from sos_plugins.report.findings import pooled_sentence
from sos_plugins.report.formatting import plural, scale_of
from sos_plugins.study.result import NamedEstimate, OutcomeResult, StudyResult
from sos_plugins.study.study import Study
from sos_plugins.system.output_folder import SIMULATION, Owner, claimed, replacing

STUDY, RESULT = "study.toml", "result.json"
AGREE, DISAGREE, NOTHING_COMPARED, ALL_FAILED = 0, 3, 4, 1


def run_and_report(
    terminal: Terminal,
    path: Path,
    out: Path | None = None,
    data: Path | None = None,
    workers: int | None = None,
    memory: str | None = None,
    cache: StepCache = KEEP_NOTHING,
    backend: str | None = None,
    *,
    force: bool = False,
    further: Further = NOTHING_FURTHER,
) -> None:
    """Run a study, write its report and print the verdicts.

    Raises:
        StudyError: If no outcome could be analysed; the report is written all the same.
        OutputError: Before the study is run, if the folder cannot be written to, another process
            writes into it, it has files that are not of a report, or, without ``force``, it holds
            the report of another study.
    """
    study = Study.from_toml(
        path, plugins=terminal.plugins, data=data, memory=memory, backend=backend
    )
    terminal.note(study.plan.registry)
    if cache.news:
        terminal.say(cache.news)
    folder = out or Path("results") / study.plan.file.study.name
    owner = Owner.of(study.plan.file.study.name, path, folder)
    with claimed(folder):
        check_folder(
            folder, study.plan.text, study.outcome_names, None if force else owner, further
        )
        with terminal.progress() as progress:
            result = study.run(progress, workers=workers, stations=cache)
        page = write_report(result, folder, owner=owner, force=force, further=further)
    _answer(terminal, result, page, cache)
    if all(outcome.error for outcome in result.outcomes):
        raise StudyError(f"No outcome could be analysed; the reasons are in {page}.")


def report_again(
    path: Path, out: Path | None, *, force: bool = False, further: Further = NOTHING_FURTHER
) -> Path:
    """Write the report of a result file again, beside it unless a folder is named.

    Raises:
        DataError: If the result is damaged.
        OutputError: If the report cannot be written there.
    """
    file = path / RESULT if path.is_dir() else path
    folder = out or file.parent
    result = StudyResult.read(file)
    own = folder / RESULT
    also = (RESULT,) if own.exists() and own.samefile(file) else ()
    try:
        return write_report(result, folder, also=also, force=force, further=further)
    except (SosError, OSError):
        raise
    except Exception as error:
        raise DataError(
            f"The result {file} cannot be shown ({type(error).__name__}: {error}). It is damaged, "
            "or another version wrote it: run the study again."
        ) from error


def _answer(terminal: Terminal, result: StudyResult, page: Path, cache: StepCache) -> None:
    rows = [_verdict(outcome) for outcome in result.outcomes]
    notes = [*result.warnings, *(f"Not checked: {text}" for text in result.missing_checks)]
    if cache.damaged:
        notes.append(
            f"Warning: {len(cache.damaged)} finished stations in {cache.folder} were damaged "
            f"and have been made again: {listing(cache.damaged)}."
        )
    if cache.reused:
        notes.append(
            f"{len(cache.reused)} finished stations were taken from {cache.folder}; with "
            "--no-stations everything is made again."
        )
    title = f"{result.title}{' (simulated records)' if result.simulated else ''}"
    table = render(
        ["outcome", "result", "strength", "effect", "interval"],
        [_shown(outcome) for outcome in result.outcomes],
        title,
    )
    told = [list(outcome.warnings) for outcome in result.outcomes]
    terminal.warned([*result.warnings, *(text for some in told for text in some)])
    pooled = [pooled_sentence(outcome) for outcome in result.outcomes]
    notes += [f"{row['outcome']}: {text}" for row, text in zip(rows, pooled, strict=True) if text]
    notes += [
        f"{row['outcome']}: {plural(len(some), 'warning')}, which the report has."
        for row, some in zip(rows, told, strict=True)
        if some
    ]
    data = {
        "report": str(page),
        "simulated": result.simulated,
        "outcomes": [
            {**row, "pooled": text, "warnings": some}
            for row, text, some in zip(rows, pooled, told, strict=True)
        ],
        "notes": notes,
        "reused": cache.reused,
    }
    terminal.answer(data, "\n".join([table, *notes, f"Report: {page}"]))


def _shown(outcome: OutcomeResult) -> list[Any]:
    """Return the verdict as the report writes it: effects in points or with their unit."""
    row, scale, main = _verdict(outcome), scale_of(outcome), outcome.main
    return [
        *(row[name] for name in ("outcome", "result", "strength")),
        scale.with_unit(main.estimate) if main else None,
        scale.interval(main.conf_low, main.conf_high) if main else None,
    ]


def _verdict(outcome: OutcomeResult) -> dict[str, Any]:
    rating, main = outcome.rating, outcome.main
    interval = None
    if main is not None and main.conf_low is not None and main.conf_high is not None:
        interval = f"{main.conf_low:.4g} to {main.conf_high:.4g}"
    return {
        "outcome": outcome.info.label,
        "result": rating.sentence if rating else f"Not analysed: {outcome.error}",
        "strength": rating.level if rating else None,
        "estimate": main.estimate if main else None,
        "interval": interval,
    }


def crosscheck(
    terminal: Terminal, path: Path, data: Path | None, backend: str | None = None
) -> int:
    """Print the cross-checks of a study; return the exit status."""
    study = Study.from_toml(path, plugins=terminal.plugins, data=data, backend=backend)
    terminal.note(study.plan.registry)
    with terminal.progress() as progress:
        result = study.crosscheck(progress)
    rows = [row for outcome in result.outcomes for row in _checks(outcome)]
    errors = [f"{o.info.label}: {o.error}" for o in result.outcomes if o.error]
    warnings = [
        *result.warnings,
        *(f"{o.info.label}: {text}" for o in result.outcomes for text in o.warnings),
    ]
    terminal.warned(warnings)
    told = [in_lines(sentence, width()) for sentence in (*errors, *warnings)]
    text = "\n".join([*_tables_of(result, rows), *told])
    terminal.answer({"checks": rows, "errors": errors, "warnings": warnings}, text)
    verdicts = [a.verdict for o in result.outcomes for a in o.agreements]
    if "disagree" in verdicts:
        return DISAGREE
    if errors and len(errors) == len(result.outcomes):
        return ALL_FAILED
    compared = {a.estimator for o in result.outcomes for a in o.agreements if a.verdict == "agree"}
    planned = {e.estimator for o in result.outcomes for e in o.estimates}
    return AGREE if planned and planned <= compared else NOTHING_COMPARED


CHECKED = ("estimator", "engine", "estimate (SE)", "largest difference", "tolerance", "verdict")
"""Columns of the cross-checks of one outcome."""


def _tables_of(result: StudyResult, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lay out a table an outcome, then why engines may differ or did not run, each reason once."""
    reasons = list(dict.fromkeys(row["reason"] for row in rows if row["reason"]))
    tables = [
        render(CHECKED, [_check(row, reasons) for row in own], outcome.info.label) + "\n"
        for outcome in result.outcomes
        if (own := [row for row in rows if row["outcome"] == outcome.info.name])
    ]
    return tables + [in_lines(f"({n}) {why}", width()) for n, why in enumerate(reasons, start=1)]


def _check(row: Mapping[str, Any], reasons: Sequence[str]) -> list[str]:
    error = f" ({row['std_error']:.4g})" if row["std_error"] is not None else ""
    difference = row["difference"]
    number = f" ({reasons.index(row['reason']) + 1})" if row["reason"] else ""
    return [
        row["estimator"],
        row["engine"],
        f"{text_of(row['estimate'])}{error}",
        "-" if difference is None else f"{difference:.2g}",
        text_of(row["tolerance"]),
        f"{row['verdict']}{number}",
    ]


def _checks(outcome: OutcomeResult) -> list[dict[str, Any]]:
    """Return one row an engine: its headline and how it compares with the reference."""
    checks = {(a.estimator, a.engine): a for a in outcome.agreements}
    rows = []
    for named in outcome.estimates:
        check = checks.pop((named.estimator, named.engine), None)
        shown = _headline(named)
        rows.append(
            {
                "outcome": outcome.info.name,
                "estimator": named.estimator,
                "engine": named.engine,
                "estimate": plain(shown["estimate"]),
                "std_error": plain(shown["std_error"]),
                **(_compared(check) if check else _reference()),
            }
        )
    for (estimator, engine), check in checks.items():
        names = {"outcome": outcome.info.name, "estimator": estimator, "engine": engine}
        rows.append({**names, "estimate": None, "std_error": None, **_compared(check)})
    return rows


def _headline(named: NamedEstimate) -> Mapping[str, Any]:
    """Return the row that answers what the effect was; without one, figures that are missing."""
    tidy = named.estimate.tidy
    rows = tidy[tidy["term"] == named.headline]
    nothing: Mapping[str, Any] = {"estimate": None, "std_error": None}
    return cast(Mapping[str, Any], rows.iloc[0]) if len(rows) else nothing


def _reference() -> dict[str, Any]:
    return {"difference": None, "tolerance": None, "reason": "", "verdict": "reference"}


def _compared(check: Agreement) -> dict[str, Any]:
    estimate, error = check.tolerance_estimate, check.tolerance_std_error
    differences = [check.max_difference_estimate, check.max_difference_std_error]
    known = [d for d in differences if d is not None]
    reasons = dict.fromkeys([estimate.reason, error.reason])
    return {
        "difference": max(known) if known else None,
        "tolerance": f"{estimate.relative:g} / {error.relative:g} (SE)",
        "reason": check.reason or "; ".join(reasons),
        "verdict": check.verdict,
    }


def simulate(
    terminal: Terminal, folder: Path, values: Mapping[str, Any], name: str | None = None
) -> Mapping[str, Any]:
    """Write simulated records and a study of them into a folder; return the truth.

    Raises:
        OutputError: If the folder cannot be written to, another process writes into it, or files
            of the user would be replaced.
        NotRegisteredError: If there is no such simulator.
    """
    registry = terminal.registry()
    known = [o.name for o in registry.offers("source") if isinstance(o.obj, Simulator)]
    name = name or (known[0] if known else "")
    if name not in known:
        raise NotRegisteredError(f"There is no simulator '{name}'. Simulators: {listing(known)}.")
    settings = registry.settings("source", name, values, f"--set ({name})")
    simulator = cast(Simulator, registry.source(name))
    with replacing(folder, SIMULATION) as place:
        with terminal.progress() as progress, progress.step(f"Simulating into {folder}"):
            truth = simulator.write(settings, place, Session(progress=progress))
        (place / STUDY).write_text(simulator.study(settings), encoding="utf-8")
    return cast(Mapping[str, Any], plain(truth))


def demo(terminal: Terminal, out: Path, values: Mapping[str, Any]) -> None:
    """Simulate records and run the demonstration study on them.

    What is finished is kept in the folder too, of simulated records: a second run goes on from it.
    """
    data, report = out / "data", out / "report"
    with claimed(data), claimed(report):
        check_folder(report)
        simulate(terminal, data, values)
        kept = replace(StepCache.at(out / "stations"), new=False)
        run_and_report(terminal, data / STUDY, report, cache=kept)
