"""What is installed of Python, and how old it is."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools


def distribution_version(name: str) -> str:
    """Return the version of an installed distribution, or ``"not installed"``.

    Args:
        name: The name under which it is installed, such as ``"scikit-learn"``.
    """
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def missing_python(name: str, mend: str, oldest: str = "") -> str | None:
    """Return a sentence that says what is missing, or None when a package is there.

    Args:
        name: A Python module.
        mend: The line that installs it.
        oldest: The oldest version that serves, of a distribution that has the name of its module.
    """
    if importlib.util.find_spec(name) is None:
        return f"the Python package '{name}' is not installed ({mend})"
    if oldest and _numbers(distribution_version(name)) < _numbers(oldest):
        return f"the Python package '{name}' is older than {oldest} ({mend})"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """Make numbers of the leading parts of a version: ``"0.60.1rc2"`` is (0, 60)."""
    leading = itertools.takewhile(str.isdigit, version.split("."))
    return tuple(int(part) for part in leading)
