"""Children linked by identifiers: pupil numbers, or identifiers that all authorities share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
from pydantic import Field

from sos_linkers.children import Children, Ints, children_of
from sos_linkers.pupil_numbers import normal, temporary, valid
from sos_plugins import Link, Linker, Records, Session, Settings, hookimpl
from sos_plugins.contract.record_tables import PUPIL_NUMBERS
from sos_plugins.contract.types import FIGURE_COLUMNS
from sos_plugins.errors import DataError, listing

ASK = (
    'Ask the sources for them: extra = ["UPN", "FormerUPN"] in [[sources]] of cin-census, '
    'extra = ["UPN"] of ssda903. Or name columns of children in [link] pupil_numbers; where '
    "identifiers of children are the same in all authorities, as in extracts of the National "
    "Pupil Database, set everywhere = true."
)
CONTRADICTED = (
    "count(DISTINCT birth_date) > 1 OR "
    "count(DISTINCT sex) FILTER (WHERE sex IN ('male', 'female')) > 1"
)
"""SQL: children that cannot be one."""


class IdentifierSettings(Settings):
    """Which identifiers are the same for a child in every authority."""

    pupil_numbers: tuple[str, ...] = Field(
        PUPIL_NUMBERS,
        description="Columns of children with unique pupil numbers, that of today and earlier "
        "ones; children that share a valid one are one.",
    )
    everywhere: bool = Field(
        False,
        description="Whether the identifier of a child is the same in all authorities, as pupil "
        "matching references of the National Pupil Database are.",
    )


@dataclass(frozen=True)
class Identified:
    """What identifiers tell.

    Attributes:
        groups: The group of each child, by its ``id``.
        figures: Numbers by what they count.
    """

    groups: Ints
    figures: Mapping[str, float]


class Identifiers(Linker):
    """Links children by identifiers that are the same in every authority.

    Children with one number and two birth dates or sexes are not linked, and counted. An
    authority's own identifier tells its own children and never those of another.
    """

    name = "identifiers"
    label = "unique pupil numbers"
    Settings = IdentifierSettings
    citation = "Department for Education, Unique pupil numbers (UPNs): guidance"

    def link(self, records: Records, settings: IdentifierSettings, session: Session) -> Link:
        """Find the children that are one.

        Raises:
            DataError: If the records have no pupil numbers.
        """
        with children_of(records, settings.pupil_numbers, session) as children:
            found = by_identifiers(children, settings)
            same = session.table(children.same(found.groups), "same")
        return Link(same, figures_of(found.figures), sentence=sentence(settings))


def sentence(settings: IdentifierSettings) -> str:
    """Say what was done."""
    shared = "a valid unique pupil number" + (" or an identifier" if settings.everywhere else "")
    return (
        f"Children that share {shared} and do not contradict each other in birth date or sex are "
        "one."
    )


def figures_of(figures: Mapping[str, float]) -> pd.DataFrame:
    """Make the frame of figures."""
    return pd.DataFrame(list(figures.items()), columns=list(FIGURE_COLUMNS))


def by_identifiers(children: Children, settings: IdentifierSettings) -> Identified:
    """Link children that share an identifier.

    Leaves two tables on the connection: ``numbers`` (``id, number``), the valid pupil numbers, and
    ``by_number`` (``id, grp``), the groups.

    Args:
        children: The children.
        settings: Which identifiers.

    Raises:
        DataError: If there is no identifier that authorities share.
    """
    _numbers(children, settings)
    con = children.con
    con.execute(
        "CREATE TABLE refused AS SELECT number FROM numbers JOIN children USING (id) "
        f"GROUP BY number HAVING {CONTRADICTED}"
    )
    pairs = con.execute(
        "WITH kept AS (SELECT DISTINCT id, number FROM numbers ANTI JOIN refused USING (number)) "
        "SELECT DISTINCT f.a, k.id AS b FROM kept k JOIN "
        "(SELECT number, min(id) AS a FROM kept GROUP BY number HAVING count(*) > 1) f "
        "USING (number) WHERE f.a < k.id ORDER BY ALL"
    ).df()
    groups = children.groups(pairs)
    children.put("by_number", {"id": range(children.n), "grp": groups})
    con.execute(
        "CREATE TABLE torn AS SELECT grp FROM by_number JOIN children USING (id) GROUP BY grp "
        f"HAVING {CONTRADICTED}"
    )
    con.execute("UPDATE by_number SET grp = id WHERE grp IN (SELECT grp FROM torn)")
    groups = con.execute("SELECT grp FROM by_number ORDER BY id").fetchnumpy()["grp"]
    return Identified(groups, _figures(children))


def _numbers(children: Children, settings: IdentifierSettings) -> None:
    """Put the numbers of the children on the connection: all, and those that are valid."""
    if not children.further and not settings.everywhere:
        raise DataError(
            f"The records have no pupil numbers: children have no column "
            f"{listing(settings.pupil_numbers)}. {ASK}"
        )
    each = [
        f"SELECT id, {normal(chr(34) + c + chr(34))} AS number FROM children"
        for c in settings.pupil_numbers
        if c in children.further
    ]
    every = " UNION ALL ".join(each) or "SELECT id, NULL::VARCHAR AS number FROM children LIMIT 0"
    children.con.execute(
        f"CREATE TABLE written AS SELECT id, number, {valid('number')} AS valid, "
        f"{temporary('number')} AS temporary FROM ({every}) WHERE number IS NOT NULL"
    )
    children.con.execute(
        "CREATE TABLE numbers AS SELECT DISTINCT id, number FROM written WHERE valid"
    )
    if settings.everywhere:
        children.con.execute("INSERT INTO numbers SELECT id, 'child/' || child FROM children")


def _figures(children: Children) -> dict[str, float]:
    number = children.number
    several = (
        "(SELECT grp, count(*) AS n, count(DISTINCT unit) AS n_units FROM by_number "
        "JOIN children USING (id) GROUP BY grp HAVING count(*) > 1)"
    )
    return {
        "children as the sources identify them": children.n,
        "of these with a valid identifier that authorities share": number(
            "SELECT count(DISTINCT id) FROM numbers"
        ),
        "pupil numbers with a wrong form or check letter, not used": number(
            "SELECT count(*) FROM written WHERE NOT valid AND NOT temporary"
        ),
        "temporary pupil numbers, not used": number("SELECT count(*) FROM written WHERE temporary"),
        "identifiers with two birth dates or sexes, not linked": number(
            "SELECT (SELECT count(*) FROM refused) + (SELECT count(*) FROM torn)"
        ),
        "children linked with another by identifier": number(f"SELECT sum(n) FROM {several}"),
        "of these in several authorities": number(
            f"SELECT sum(n) FROM {several} WHERE n_units > 1"
        ),
        "children when those linked by identifier are one": number(
            "SELECT count(DISTINCT grp) FROM by_number"
        ),
    }


@hookimpl
def register_linkers(register: Callable[[Linker], None]) -> None:
    """Register the linker."""
    register(Identifiers())
