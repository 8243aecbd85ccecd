"""Linker new-linker: which identifiers in the records are one child.

A working example to change: children with one pupil number are one, in whatever authority. The
study then gives them one identifier in every table.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from pydantic import Field

from sos_plugins import Link, Linker, Records, Session, Settings, hookimpl
from sos_plugins.errors import DataError

STILL_THE_EXAMPLE = "children with one pupil number"  # take this line out when it is yours


class NewLinkerSettings(Settings):
    """What links."""

    column: str = Field("UPN", description="column of children that is the same for one child")


class NewLinker(Linker):
    """Children that have one number."""

    name = "new-linker"
    label = "New linker"
    Settings = NewLinkerSettings
    citation = ""

    def link(self, records: Records, settings: NewLinkerSettings, session: Session) -> Link:
        """Find the children that are one."""
        children = records.table("children")
        if settings.column not in children.columns:
            raise DataError(f"The children have no column '{settings.column}'.")
        numbered = children.select("unit", "child", person=children[settings.column])
        numbered = numbered.filter(numbered["person"].notnull())
        several = numbered.group_by("person").aggregate(n=numbered.count())
        several = several.filter(several["n"] > 1)
        same = session.table(numbered.semi_join(several, "person"), "same")
        n = int(same.count().to_pyarrow().as_py())
        return Link(
            same=same,
            figures=pd.DataFrame([{"figure": "children that are another one too", "value": n}]),
            sentence=f"Children with one {settings.column} are one.",
        )


@hookimpl
def register_linkers(register: Callable[[Linker], None]) -> None:
    """Register the linker."""
    register(NewLinker())
