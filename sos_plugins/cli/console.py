"""What commands share: output, progress bars, errors as sentences, settings from the line."""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sos_plugins.cli import log
from sos_plugins.cli.signals import stopping
from sos_plugins.errors import SettingsError, SosError
from sos_plugins.system import scratch
from sos_plugins.system.notices import say
from sos_plugins.system.secrets import masked

if TYPE_CHECKING:
    from sos_plugins.host.registry import Registry

P = ParamSpec("P")
T = TypeVar("T")

FAILED = 1
WRONG_CALL = 2


@dataclass
class Terminal:
    """How a command speaks.

    Attributes:
        quiet: Print nothing but the answer and errors.
        json: Print the answer as JSON.
        plugins: The ``plugins.toml`` to use, or None.
        noted: Whether it was said that one of the current folder is not used.
        verbose: Whether what goes on is logged to standard error, in place of bars.
    """

    quiet: bool = False
    json: bool = False
    plugins: Path | None = None
    noted: bool = False
    verbose: bool = False

    def registry(self) -> Registry:
        """Load the plugins."""
        from sos_plugins.host.registry import load_plugins

        registry = load_plugins(self.plugins)
        self.note(registry)
        return registry

    def note(self, registry: Registry) -> None:
        """Say once that a ``plugins.toml`` of the current folder is not used, if one is not."""
        from sos_plugins.host.registry import ignored_config

        if (text := ignored_config(registry)) and not self.noted:
            self.noted = True
            self.say(f"Note: {text}")

    def say(self, text: str) -> None:
        """Print a line of news to standard error, unless quiet, and log it."""
        log.LOG.info("%s", text)
        if not self.quiet and not self.verbose:
            click.echo(text, err=True)

    def warned(self, sentences: Iterable[str]) -> None:
        """Log what a result warns of, which its answer has too."""
        for sentence in sentences:
            log.LOG.warning("%s", sentence)

    def answer(self, data: Any, text: str) -> None:
        """Print the answer to standard output: ``data`` as JSON with --json, else ``text``."""
        click.echo(json.dumps(data, indent=2, ensure_ascii=False) if self.json else text)

    @contextmanager
    def progress(self) -> Iterator[Bars]:
        """Show progress bars on standard error while the block runs."""
        console = Console(stderr=True)
        show = not self.quiet and not self.json and not self.verbose
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(
            *columns, console=console, disable=not (show and console.is_terminal), transient=True
        ) as bars:
            yield Bars(bars, self if show and not console.is_terminal else None)


@dataclass
class Bars:
    """Progress of a study as bars; as plain lines where there is no terminal."""

    bars: Progress
    lines: Terminal | None

    @contextmanager
    def step(self, label: str, total: int | None = None) -> Iterator[Callable[..., None]]:
        """Show a bar while the block runs; yield ``advance(n=1)``."""
        if self.lines is not None:
            click.echo(f"{label} ...", err=True)
        task = self.bars.add_task(label, total=total)
        try:
            with log.timed(label):
                yield lambda n=1: self.bars.advance(task, n)
        finally:
            self.bars.remove_task(task)


terminal = click.make_pass_decorator(Terminal, ensure=True)


def common(command: Callable[P, T]) -> Callable[P, T]:
    """Add the options that every command has, and turn errors into sentences."""

    @click.option("--quiet", "-q", is_flag=True, help="Print nothing but the answer and errors.")
    @click.option("--verbose", "-v", is_flag=True, help="Tell each step with its time.")
    @click.option(
        "--log",
        "log_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File to add steps, times, versions and warnings to; no passwords, no records.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
    @click.option("--no-r", is_flag=True, help="Do without R, even where it is installed.")
    @click.option(
        "--plugins",
        type=click.Path(path_type=Path),
        help="The plugins.toml to use; by default the one beside the study.",
    )
    @click.pass_context
    @functools.wraps(command)
    def wrapped(
        context: click.Context,
        /,
        *args: Any,
        quiet: bool,
        verbose: bool,
        log_file: Path | None,
        as_json: bool,
        no_r: bool,
        plugins: Path | None,
        **options: Any,
    ) -> Any:
        if no_r:
            os.environ["SOS_NO_R"] = "1"
        context.obj = Terminal(quiet, as_json, plugins, verbose=verbose)
        name = context.info_name or ""
        with stopping() as stop:
            try:
                with log.logged(name, verbose=verbose, file=log_file):
                    return context.invoke(command, context.obj, *args, **options)
            except BaseException as raised:
                error = _in_words(raised)
                if stop.asked or isinstance(error, KeyboardInterrupt):
                    scratch.prune()  # of helpers that were ended with it
                    say(stop.sentence)
                    sys.exit(stop.status)
                if isinstance(error, SosError):
                    click.echo(f"Error: {masked(str(error))}", err=True)
                    sys.exit(FAILED)
                if isinstance(error, OSError) and error.errno != errno.EPIPE:
                    click.echo(f"Error: {masked(about_files(error))}", err=True)
                    sys.exit(FAILED)
                raise

    return wrapped  # type: ignore[return-value]


def about_files(error: OSError) -> str:
    """Say what the system did not let us do with a file."""
    where = f"{error.filename}: " if error.filename else ""
    mend = "Look whether it is there and can be read or written"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        mend = "Make room, or name a folder on another disk"
    return f"{where}{error.strerror or error}. {mend}."


def _in_words(error: BaseException) -> BaseException:
    """Return what the complaints of databases mean, and other errors as they are."""
    from sos_plugins.backends import failures_in_words

    try:
        with failures_in_words():
            raise error
    except BaseException as told:
        return told


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Make ``KEY=VALUE`` pairs into settings; a value is read as TOML where it is TOML.

    >>> parse_settings(["control=notyettreated", "anticipation=1", "lags_only=true"])
    {'control': 'notyettreated', 'anticipation': 1, 'lags_only': True}

    Raises:
        SettingsError: If a pair has no ``=``, or a key stands twice.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        key = key.strip()
        if not sign or not key:
            raise SettingsError(
                f"--set {pair!r}: expected KEY=VALUE, such as control=notyettreated."
            )
        if key in settings:
            raise SettingsError(f"--set gives '{key}' more than once.")
        try:
            settings[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key] = value.strip()
    return settings
