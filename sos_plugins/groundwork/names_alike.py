"""Columns whose names differ in capitals only, which a database does not tell apart."""

from __future__ import annotations

from collections.abc import Iterable

from sos_plugins.errors import DataError


def refuse_alike(names: Iterable[str], taken: Iterable[str], *, where: str) -> None:
    """Refuse a user's columns that a database cannot tell from others: it has no capitals.

    Args:
        names: Columns of a user.
        taken: Columns that are there beside them.
        where: What the sentence starts with.

    Raises:
        DataError: With the two names and what to do.
    """
    known = {name.lower(): name for name in taken}
    for name in names:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise DataError(
                f"{where}: the columns '{other}' and '{name}' differ in capitals only, which a "
                f"database does not tell apart; rename the column '{name}', or leave it out of the "
                "covariates."
            )
