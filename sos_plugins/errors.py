"""Errors that are sentences.

Every error that a user can cause derives from :class:`SosError`. Its text says what is wrong,
where, what was expected and what to do; the command line prints it without a traceback and exits
with status 1 (2 for a wrong call).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SosError(Exception):
    """Base of every error with a message meant for the user."""


class StudyError(SosError):
    """A study file, or a value in it, is wrong."""


class SettingsError(SosError):
    """A setting of a plugin has an unknown name or a value that does not fit."""


class PluginError(SosError):
    """A plugin cannot be loaded or breaks its contract."""


class NotRegisteredError(SosError):
    """A name is asked for that no plugin offers."""


class DataError(SosError):
    """Input data cannot be read, or lacks what an analysis needs."""


class DesignError(SosError):
    """The design has no pilots, no comparators, no window, or contradicts the data."""


class EstimationError(SosError):
    """An estimator cannot give an estimate on these cases."""


class EngineError(EstimationError):
    """One engine failed; the study goes on with the others."""


class EngineUnavailableError(EngineError):
    """An engine cannot run here because something it requires is not installed."""


def listing(names: Iterable[str]) -> str:
    """Join names for a sentence, in order, or say that there are none.

    >>> listing(["b", "a"])
    'a, b'
    >>> listing([])
    'none'
    """
    return ", ".join(sorted(str(name) for name in names)) or "none"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known name, or an empty text.

    Capitals count for nothing.

    >>> did_you_mean("kinship", ["kinship-care", "icpc"])
    " Did you mean 'kinship-care'?"
    """
    by_form = {str(k).casefold(): str(k) for k in known}
    near = difflib.get_close_matches(name.casefold(), list(by_form), n=1)
    return f" Did you mean '{by_form[near[0]]}'?" if near else ""
