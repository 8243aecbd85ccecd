"""What a check is, how checks run, and the checks that hold for a plugin of any kind."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel

from sos_plugins.contract.interfaces import Plugin
from sos_plugins.errors import SettingsError, SosError
from sos_plugins.host.registry import import_file, problem_with
from sos_plugins.host.settings import validate, with_paths

Given = Mapping[str, Any] | BaseModel | None
"""Settings as an author gives them to a kit: names and values, a Settings object, or none."""

EXAMPLE = "STILL_THE_EXAMPLE"
"""Name in a module that ``sos-plugins new`` wrote; its author takes it out."""


class CheckFailedError(AssertionError):
    """A plugin breaks its contract; the text says which checks failed and why."""


class NotApplicableError(Exception):
    """A check has nothing to look at here; the text says why."""


class Subject(Protocol):
    """A plugin object under check, with what it needs to run."""

    kind: str

    @property
    def plugin(self) -> Plugin:
        """The object under check."""

    @property
    def given(self) -> Given:
        """The settings that the author gave."""


Function = TypeVar("Function", bound=Callable[[Any], None])


def check(function: Function) -> Function:
    """Mark a function as a check; the first paragraph of its docstring is its promise.

    All checks are called alike and say no more of it: each takes the subject, which is the plugin
    under check with its settings; it raises :class:`CheckFailedError` if its promise does not hold,
    and :class:`NotApplicableError` if there is nothing to look at.

    Args:
        function: Takes a subject and returns nothing.

    Raises:
        TypeError: If it promises nothing.
    """
    if not inspect.getdoc(function):
        raise TypeError(f"The check {function.__name__} needs a docstring: what it promises.")
    return function


@dataclass(frozen=True)
class Check:
    """One thing that must hold for a plugin; call it to see whether it does.

    Attributes:
        name: Short name, words joined by underscores.
        promise: What must hold, in a sentence.
        subject: What is checked.
        function: Raises :class:`CheckFailedError` when it does not hold.
    """

    name: str
    promise: str
    subject: Any
    function: Callable[[Any], None]

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> None:
        """Run the check; in a test run, one that does not apply is a skip.

        Raises:
            CheckFailedError: If it does not hold.
            NotApplicableError: If there is nothing to look at, outside a test run.
        """
        try:
            self.function(self.subject)
        except NotApplicableError as reason:
            if "pytest" in sys.modules:
                sys.modules["pytest"].skip(str(reason))
            raise

    def result(self) -> CheckResult:
        """Run the check and say how it went; nothing is raised."""
        try:
            self.function(self.subject)
        except NotApplicableError as reason:
            return CheckResult(self.name, self.promise, "skipped", str(reason))
        except Exception as error:
            return CheckResult(self.name, self.promise, "failed", _words(error))
        return CheckResult(self.name, self.promise, "passed", "")


@dataclass(frozen=True)
class CheckResult:
    """How one check went.

    Attributes:
        name: Name of the check.
        promise: What must hold, in a sentence.
        result: ``passed``, ``failed`` or ``skipped``.
        why: Why it failed or was skipped, else empty.
    """

    name: str
    promise: str
    result: Literal["passed", "failed", "skipped"]
    why: str


def _words(error: Exception) -> str:
    if isinstance(error, (CheckFailedError, SosError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def checks_of(subject: Subject, functions: Iterable[Callable[[Any], None]]) -> list[Check]:
    """Make a list of checks: those of every plugin, then those of the kind.

    Args:
        subject: What is checked.
        functions: The checks of the kind; the first paragraph of a docstring is the promise.
    """
    made = []
    for function in (*COMMON, *functions):
        promise = str(inspect.getdoc(function)).split("\n\n")[0].replace("\n", " ")
        made.append(Check(function.__name__.lstrip("_"), promise, subject, function))
    return made


def run_all(checks: Sequence[Check]) -> None:
    """Run every check.

    Args:
        checks: All of one subject, as :func:`checks_of` makes them.

    Raises:
        CheckFailedError: If any fails; the text names each with its promise and its reason. Also
            if none of the kind's own checks had anything to look at.
    """
    results = [check.result() for check in checks]
    plugin = type(checks[0].subject.plugin).__name__
    failed = [r for r in results if r.result == "failed"]
    if failed:
        lines = [f"\n- {r.name}: {r.promise}\n  {r.why}" for r in failed]
        raise CheckFailedError(
            f"{plugin} fails {len(failed)} of {len(checks)} checks:{''.join(lines)}"
        )
    own = results[len(COMMON) :]
    if all(r.result == "skipped" for r in own):
        raise CheckFailedError(f"{plugin} could not be checked: {own[0].why}")


def demand(condition: bool, sentence: str) -> None:
    """Fail the check with this sentence unless the condition holds.

    Args:
        condition: What must be true.
        sentence: What is wrong when it is not, and what was expected.

    Raises:
        CheckFailedError: With the sentence.
    """
    if not condition:
        raise CheckFailedError(sentence)


def demand_error(
    action: Callable[[], object], expected: type[SosError], situation: str
) -> SosError | None:
    """Fail unless the action raises the expected error; return it.

    Args:
        action: What is tried.
        expected: The error, a sentence for the user.
        situation: Completes "With ...".

    Raises:
        CheckFailedError: If it raises another error or none.
    """
    try:
        action()
    except expected as error:
        return error
    except Exception as error:
        raise CheckFailedError(
            f"With {situation} it raised {type(error).__name__}: {error}. "
            f"Raise sos_plugins.errors.{expected.__name__} with a sentence for the user."
        ) from error
    raise CheckFailedError(
        f"With {situation} it went on. "
        f"Raise sos_plugins.errors.{expected.__name__} with a sentence for the user."
    )


def settings_of(subject: Subject) -> Any:
    """Return the validated settings of a subject; paths start at its base, or this folder.

    Args:
        subject: The plugin under check and the settings that its author gave.

    Raises:
        SettingsError: If the settings that were given do not fit.
        NotApplicableError: If no settings were given and the plugin has no complete defaults.
    """
    model = subject.plugin.Settings
    if isinstance(subject.given, BaseModel):
        return subject.given
    try:
        settings = validate(model, subject.given or {}, where=subject.plugin.name)
    except SettingsError as error:
        if subject.given is not None:
            raise
        raise NotApplicableError(f"It needs settings to run: {error}") from None
    return with_paths(settings, getattr(subject, "base", None) or Path.cwd())


def plugin_beside(test_file: str, name: str) -> ModuleType:
    """Import the plugin file that lies beside a test file.

    >>> from sos_plugins.authors import testing
    >>> plugin = testing.plugin_beside(__file__, "my_outcome.py")  # doctest: +SKIP

    Args:
        test_file: Path of the test, ``__file__``.
        name: Name of the plugin file in the same folder.

    Raises:
        PluginError: If it cannot be imported, with the line.
    """
    return import_file(Path(test_file).with_name(name))


# Checks of every plugin ---------------------------------------------------------------------------


@check
def fits_its_kind(subject: Subject) -> None:
    """The object is what the host accepts: an instance, with a name, a label and settings."""
    problem = problem_with(subject.kind, subject.plugin)
    demand(problem is None, str(problem))


@check
def says_what_it_does(subject: Subject) -> None:
    """The class has a docstring, which 'sos-plugins show' prints."""
    cls = type(subject.plugin)
    demand(bool(cls.__dict__.get("__doc__")), f"Give the class {cls.__name__} a docstring.")


@check
def describes_its_settings(subject: Subject) -> None:
    """Every setting has a description, which 'sos-plugins show' prints."""
    fields = subject.plugin.Settings.model_fields
    silent = [name for name, field in fields.items() if not field.description]
    demand(
        not silent,
        f"The settings {', '.join(silent)} have no description: Field(..., description='...').",
    )


@check
def refuses_unknown_settings(subject: Subject) -> None:
    """A misspelt setting is an error and never ignored."""
    model = subject.plugin.Settings
    values = dict(subject.given) if isinstance(subject.given, Mapping) else {}
    demand_error(
        lambda: validate(model, {**values, "no_such_setting": 1}, where=subject.plugin.name),
        SettingsError,
        "an unknown setting",
    )


@check
def is_no_longer_the_example(subject: Subject) -> None:
    """It does what its author means, no longer what the example of 'sos-plugins new' does."""
    names = _names_beside(subject)
    example, file = names.get(EXAMPLE), names.get("__file__")
    demand(
        EXAMPLE not in names,
        f"It is the example that 'sos-plugins new' wrote: {example}. Change it into what you mean, "
        f"then take out the line that begins with {EXAMPLE} ({file}).",
    )


def _names_beside(subject: Subject) -> Mapping[str, Any]:
    """Return what stands in the module of the engine under check, or of the plugin's class."""
    cls, engine = type(subject.plugin), getattr(subject, "chosen", None)
    if engine is not None:
        return getattr(inspect.unwrap(engine.fit), "__globals__", {})
    own = [value for value in vars(cls).values() if inspect.isfunction(value)]
    own += [inspect.unwrap(engine.fit) for engine in vars(cls).get("engines", ())]
    named = vars(sys.modules.get(cls.__module__, object))  # another module may have the name
    return getattr(own[0], "__globals__", named) if own else named


COMMON: tuple[Callable[[Any], None], ...] = (
    fits_its_kind,
    says_what_it_does,
    describes_its_settings,
    refuses_unknown_settings,
    is_no_longer_the_example,
)
