"""The commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from sos_plugins import __version__
from sos_plugins.cli import completion
from sos_plugins.cli.console import FAILED, Terminal, common, parse_settings
from sos_plugins.cli.text_tables import render
from sos_plugins.errors import SosError, StudyError

P = ParamSpec("P")
T = TypeVar("T")
OUT = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(path_type=Path)
BACKEND = click.Choice(["duckdb", "spark"])
FORCE = click.option(
    "--force", is_flag=True, help="Replace what another study has written into the folder."
)


def _files(
    where: str, figures: str = "none", tables: str = "none"
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Add the options that name kinds of files.

    Args:
        where: Where they are written.
        figures: Kinds of figures by default.
        tables: Kinds of tables by default.
    """

    def add(command: Callable[P, T]) -> Callable[P, T]:
        with_tables = click.option(
            "--tables",
            metavar="KINDS",
            help=f"Tables for papers in {where}: csv, xlsx, docx, tex, md; {tables} by default.",
        )(command)
        return click.option(
            "--figures",
            metavar="KINDS",
            help=f"Charts in {where}: svg, png, pdf; {figures} by default.",
        )(with_tables)

    return add


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="sos-plugins")
def main() -> None:
    """Whether a programme changed children's lives, and how far to trust the answer."""


@main.command()
@click.argument("study", type=FILE)
@click.option("--out", type=OUT, help="Folder for the report; results/<name> by default.")
@click.option("--data", type=OUT, help="Folder of the data: paths in the study start there.")
@click.option("--workers", type=click.IntRange(1), help="Outcomes analysed at once.")
@click.option("--memory", help='Most memory to take, such as "4GB"; records beyond go to disk.')
@click.option("--backend", type=BACKEND, help="Where cases are derived, in place of [study].")
@click.option(
    "--stations",
    type=OUT,
    help="Folder of finished stations, from which a run that was cut off goes on; one of your "
    "own cache by default.",
)
@click.option("--no-stations", is_flag=True, help="Keep no stations and use none.")
@_files("OUT/figures and OUT/tables")
@FORCE
@common
def run(
    terminal: Terminal,
    study: Path,
    out: Path | None,
    data: Path | None,
    workers: int | None,
    memory: str | None,
    backend: str | None,
    stations: Path | None,
    no_stations: bool,
    figures: str | None,
    tables: str | None,
    force: bool,
) -> None:
    """Run STUDY and write its report.

    What a run has finished (records read, cases derived, estimates) is kept: run again after an
    interruption, or with other settings, and only what is missing or has changed is made.
    """
    from sos_plugins.cache import store as places
    from sos_plugins.cli.run import run_and_report
    from sos_plugins.report import Further

    further = Further.of(figures or (), tables or ())
    kept = places.KEEP_NOTHING
    if not no_stations:
        kept = places.StepCache.at(stations or places.default_folder(data or study.parent))
    run_and_report(
        *(terminal, study, out, data, workers, memory, kept, backend), force=force, further=further
    )


@main.command()
@click.argument("study", type=FILE)
@click.option("--data", type=OUT, help="Folder of the data: paths in the study start there.")
@click.option("--backend", type=BACKEND, help="Where cases are derived, in place of [study].")
@common
def crosscheck(terminal: Terminal, study: Path, data: Path | None, backend: str | None) -> None:
    """Compare the engines of every estimator of STUDY.

    Exit status: 0 when all engines that ran agree, 1 on an error, 3 when engines disagree, 4 when
    an estimator could be compared with no second engine.
    """
    from sos_plugins.cli.run import crosscheck as compare

    sys.exit(compare(terminal, study, data, backend))


@main.command()
@click.option("--out", type=OUT, default=Path("demo-output"), show_default=True)
@click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Setting of the simulator."
)
@common
def demo(terminal: Terminal, out: Path, pairs: tuple[str, ...]) -> None:
    """Simulate records in their real formats and run the demonstration study on them."""
    from sos_plugins.cli.run import demo as run_demo

    run_demo(terminal, out, parse_settings(pairs))


@main.command()
@click.argument("folder", type=OUT)
@click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Setting of the simulator."
)
@click.option("--source", default=None, help="The simulator, where there are several.")
@common
def simulate(terminal: Terminal, folder: Path, pairs: tuple[str, ...], source: str | None) -> None:
    """Write simulated records into FOLDER, in the formats that the sources read."""
    from sos_plugins.cli.run import simulate as write

    truth = write(terminal, folder, parse_settings(pairs), source)
    terminal.answer(truth, f"Simulated records are in {folder}; the truth is in truth.json there.")


@main.command()
@click.argument("result", type=FILE)
@click.option("--out", type=OUT, help="Folder for the report; beside RESULT by default.")
@_files("OUT/figures and OUT/tables")
@FORCE
@common
def report(
    terminal: Terminal,
    result: Path,
    out: Path | None,
    figures: str | None,
    tables: str | None,
    force: bool,
) -> None:
    """Write the report of RESULT (a result.json, or the folder that holds it) again."""
    from sos_plugins.cli.run import report_again
    from sos_plugins.report import Further

    further = Further.of(figures or (), tables or ())
    page = report_again(result, out, force=force, further=further)
    terminal.answer({"report": str(page)}, f"Report: {page}")


@main.command(name="release")
@click.argument("result", type=FILE)
@click.option("--out", type=OUT, help="Folder for the release; <RESULT>-release by default.")
@click.option("--profile", default="acro", show_default=True, help="Rules of a room, by name.")
@click.option("--min-count", type=click.IntRange(2), help="Counts below this are suppressed.")
@click.option(
    "--round", "round_to", type=click.IntRange(1), help="Base that counts are rounded to."
)
@click.option("--zeros", type=click.Choice(["suppress", "show"]), help="How zeros are treated.")
@click.option("--min-df", type=click.IntRange(1), help="Least residual degrees of freedom.")
@click.option("--no-authorities", is_flag=True, help="Release no table of single authorities.")
@click.option("--earlier", type=OUT, help="Folder of an earlier release from the same records.")
@common
def release_(
    terminal: Terminal, result: Path, zeros: str | None, no_authorities: bool, **options: Any
) -> None:
    """Write what of RESULT may leave a secure research room, for the output checker.

    Small counts, and percentages and means that rest on few, are suppressed, further ones so that
    no total gives them away; others are rounded. No table is by authority and year. Each decision
    is a line of disclosure.csv.
    """
    from sos_plugins.cli.release import write

    suppress = None if zeros is None else zeros == "suppress"
    path, out = result, options.pop("out")
    write(
        terminal,
        path,
        out,
        options.pop("profile"),
        options.pop("earlier"),
        authorities=not no_authorities,
        suppress_zeros=suppress,
        **options,
    )


@main.command()
@click.argument("study", type=FILE, required=False)
@click.option("--source", help="A source to profile without a study.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Setting of the source.")
@click.option("--data", type=OUT, help="Folder of the data: paths start there.")
@click.option("--memory", help='Most memory to take, such as "4GB"; records beyond go to disk.')
@click.option(
    "--backend",
    type=click.Choice(["duckdb", "spark"]),
    help="Where record tables live, in place of what the study says.",
)
@click.option("--no-outcomes", is_flag=True, help="Do not count what the outcomes drop.")
@click.option("--out", type=OUT, help="Folder for the page, its figures as JSON, and CSV tables.")
@click.option("--html", type=FILE, help="File for the page alone.")
@FORCE
@click.option(
    "--rows", "most", type=click.IntRange(1), default=20, show_default=True, help="Rows a table."
)
@common
def profile(
    terminal: Terminal,
    study: Path | None,
    pairs: tuple[str, ...],
    no_outcomes: bool,
    **options: Any,
) -> None:
    """Tell what is wrong with the records of STUDY, or of a source, before any analysis.

    Completeness, duplicates, impossible and contradictory dates (the published validation rules
    by number), breaks in series, missing years, the coverage of the pilots, and what each step
    drops. Exit status: 0 unless the records cannot be read.
    """
    from sos_plugins.cli.profile import profile as show_profile

    show_profile(
        terminal,
        study,
        options.pop("source"),
        parse_settings(pairs),
        outcomes=not no_outcomes,
        **options,
    )


@main.command()
@click.argument("folder", type=OUT)
@click.option("--source", help="The source that tells; all that can by default.")
@common
def files(terminal: Terminal, folder: Path, source: str | None) -> None:
    """Tell what each file of FOLDER is, before a study is written.

    Which release of which collection, the years and levels of its figures, what is read from it,
    which columns are not, and why a file is not read.
    """
    from sos_plugins.cli.files import tell

    tell(terminal, folder, source)


def _repeats(default: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Add the options of what is repeated on re-dealt pilots."""
    options = (
        click.argument("study", type=FILE),
        click.option(
            "--data", type=OUT, help="Folder of the data: paths in the study start there."
        ),
        click.option(
            "--outcome",
            "outcomes",
            multiple=True,
            help="Name of an outcome; may be repeated.",
            shell_complete=completion.outcomes,
        ),
        click.option(
            "--effects",
            default="",
            help='Sizes to plant, such as "-2,-5": percentage points of a rate, else in the units '
            "of the value; chosen by the standard error by default.",
        ),
        click.option(
            "--repeats", type=click.IntRange(2), default=default, show_default=True, help="Deals."
        ),
        click.option("--seed", type=click.IntRange(0), help="Seed; that of the study by default."),
        click.option("--workers", type=click.IntRange(1), help="Processes; one a processor."),
        click.option(
            "--out", type=OUT, help="Folder for the page, its figures as JSON, and CSV tables."
        ),
        _files("--out", "svg,png"),
        FORCE,
    )

    def add(command: Callable[P, T]) -> Callable[P, T]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@main.command()
@_repeats(200)
@common
def power(terminal: Terminal, study: Path, **options: Any) -> None:
    """Tell which effects STUDY would find, on its own records.

    Pilots are dealt by lot in the records from before the programme, effects of known size are
    planted in their cases, and the study's matcher, weights and estimators are run: the size of
    each test, the coverage of its intervals, its power, and the smallest effect that is found in
    80% of deals.
    """
    from sos_plugins.cli.repeats import POWER, Repeats, show

    show(terminal, study, POWER, Repeats(**options))


@main.command()
@_repeats(100)
@common
def calibrate(terminal: Terminal, study: Path, **options: Any) -> None:
    """Tell how often STUDY would come to each verdict, on its own records.

    As power, with the whole study at every deal: sensitivity analysis and rating too. Where nothing
    is planted, every effect that is claimed is a false alarm.
    """
    from sos_plugins.cli.repeats import CALIBRATION, Repeats, show

    show(terminal, study, CALIBRATION, Repeats(**options))


@main.command()
@click.argument("estimator", shell_complete=completion.plugins("estimator"))
@click.option("--data", type=FILE, required=True, help="Table: CSV, Parquet, .xlsx, .dta or .sav.")
@click.option("--sheet", help="Sheet of a workbook; the only one with cells by default.")
@click.option("--unit", required=True, help="Column of the authority.")
@click.option("--period", required=True, help="Column of the period: numbers, or 2014/15.")
@click.option(
    "--cohort", required=True, help="Column of the first treated period; empty or 0 = never."
)
@click.option("--value", required=True, help="Column of the outcome.")
@click.option("--id", "identifier", help="Column of a panel's unit of observation.")
@click.option(
    "--covariates",
    default="",
    help="Columns, separated by commas; factor(x) makes the numbers of column x categories.",
)
@click.option("--weights", help="Column of weights.")
@click.option("--cluster", help="Column to cluster by; the unit by default.")
@click.option(
    "--missing",
    multiple=True,
    metavar="TEXT",
    help="Text that stands for a missing value in any column; may be repeated.",
)
@click.option("--engine", help="Engine, or 'all'; the first that runs here by default.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Argument of the method.")
@click.option("--out", type=OUT, help="Folder for figures and tables as files.")
@_files("--out", "svg", "csv")
@common
def estimate(terminal: Terminal, estimator: str, pairs: tuple[str, ...], **table: Any) -> None:
    """Run one ESTIMATOR on one tidy table, without a study."""
    from sos_plugins.cli.estimate import estimate as run_estimate

    run_estimate(terminal, estimator, parse_settings(pairs), **table)


@main.command()
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
@click.option("--data", type=OUT, help="Folder of the data: paths in both studies start there.")
@click.option("--out", type=FILE, help="CSV file for the table.")
@click.option("--page", type=FILE, help="HTML file for the page, with a chart an outcome.")
@click.option("--stations", type=OUT, help="Folder of finished stations, as of run.")
@click.option("--no-stations", is_flag=True, help="Keep no stations and use none.")
@common
def compare(
    terminal: Terminal,
    before: Path,
    after: Path,
    data: Path | None,
    out: Path | None,
    page: Path | None,
    stations: Path | None,
    no_stations: bool,
) -> None:
    """Tell what differs between two studies, and what each difference does to the estimates.

    BEFORE is run for its main estimates again with each setting of AFTER that can change them, one
    at a time, and AFTER with all. Both read the same records.
    """
    from sos_plugins.cache import store as places
    from sos_plugins.cli.compare import compare as show_comparison

    kept = places.KEEP_NOTHING
    if not no_stations:
        kept = places.StepCache.at(stations or places.default_folder(data or before.parent))
    show_comparison(terminal, before, after, data, out, page, kept)


@main.command()
@click.argument("study", type=FILE)
@click.argument("outcome", shell_complete=completion.outcomes)
@click.option("--out", type=FILE, required=True, help="CSV file for the cases.")
@click.option("--data", type=OUT, help="Folder of the data: paths in the study start there.")
@common
def export(terminal: Terminal, study: Path, outcome: str, out: Path, data: Path | None) -> None:
    """Write the cases of OUTCOME as the estimators of STUDY get them, for other programs.

    A row for each case and matched group (and imputed data set), with the weights of the matching
    of cases, 0 for those that were not matched. They are records of individuals: only the owner of
    the file can read it.
    """
    from sos_plugins.cli.compare import export as write_cases

    write_cases(terminal, study, outcome, out, data)


@main.command(name="list")
@click.argument("kind", required=False, shell_complete=completion.kinds_listed)
@common
def list_(terminal: Terminal, kind: str | None) -> None:
    """List plugins of a KIND.

    Kinds are sources, linkers, outcomes, matchers, estimators, engines, poolings, imputers,
    rating-rules and rule-sets.
    """
    from sos_plugins.cli.catalogue import catalogue

    rows = catalogue(terminal.registry(), kind)
    columns = list(rows[0]) if rows else []
    terminal.answer(rows, render(columns, [list(row.values()) for row in rows]))


@main.command()
@click.argument("plugin", shell_complete=completion.plugins())
@common
def show(terminal: Terminal, plugin: str) -> None:
    """Show what PLUGIN does, its settings and its engines."""
    from sos_plugins.cli.catalogue import describe_offer, render_offer

    offers = [describe_offer(terminal.registry(), o) for o in terminal.registry().find(plugin)]
    terminal.answer(offers, "\n\n".join(render_offer(data) for data in offers))


@main.command()
@click.argument("kind", shell_complete=completion.kinds_written)
@click.argument("name")
@click.option("--out", type=OUT, default=Path(), help="Folder to write into; this one by default.")
@click.option("--package", is_flag=True, help="Write an installable package.")
@click.option("--preset", help="Of a study: wwcsc-2021, or wwcsc-2021-corrected.")
@common
def new(
    terminal: Terminal, kind: str, name: str, out: Path, package: bool, preset: str | None
) -> None:
    """Write a working plugin (or study) of KIND with the NAME, its test and its docs."""
    from sos_plugins.authors.scaffold import scaffold

    files = scaffold(kind, name, out, package=package, preset=preset)
    names = [str(file) for file in files]
    terminal.answer({"files": names}, "Written:\n" + "\n".join(f"  {n}" for n in names))


@main.command()
@click.argument("plugin")
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="Setting to check it with, such as the files of a source; paths start in this folder.",
)
@common
def check(terminal: Terminal, plugin: str, pairs: tuple[str, ...]) -> None:
    """Check that PLUGIN (a name, or a .py file) keeps the contract of its kind."""
    from sos_plugins.cli.catalogue import check_plugin

    rows = check_plugin(terminal, plugin, parse_settings(pairs))
    failed = [row for row in rows if row["result"] == "failed"]
    text = render(["kind", "plugin", "check", "result", "why"], [list(r.values()) for r in rows])
    passed = [row for row in rows if row["result"] == "passed"]
    summary = f"{len(passed)} of {len(rows)} checks hold, {len(failed)} fail."
    terminal.answer(rows, f"{text}\n{summary}")
    if failed:
        sys.exit(FAILED)


@main.command()
@common
def doctor(terminal: Terminal) -> None:
    """Tell what is installed, which engines can run, and the line that mends each gap."""
    from sos_plugins.host import doctor as doctors

    diagnosis = doctors.examine(terminal.registry())
    terminal.answer(doctors.as_dict(diagnosis), doctors.render(diagnosis))


__all__ = ["SosError", "StudyError", "main"]
