"""An earlier release from the same records: what it showed is known, what it hid stays hidden."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from sos_plugins.errors import DataError
from sos_plugins.release.cells import Ledger
from sos_plugins.release.drafts import CONFIDENTIAL, Counted, Draft, marks
from sos_plugins.release.profiles import ReleaseRules
from sos_plugins.release.rules import could_be, rounded

MANIFEST = "release.json"


@dataclass(frozen=True)
class Earlier:
    """What an earlier release showed.

    Attributes:
        rules: The rules that it kept.
        cells: What stood in a cell, by table, row label and column.
    """

    rules: ReleaseRules
    cells: Mapping[tuple[str, str, str], str]

    @classmethod
    def read(cls, folder: Path) -> Earlier:
        """Read the folder of a release.

        Raises:
            DataError: If there is none, or it cannot be read.
        """
        try:
            told = json.loads((folder / MANIFEST).read_text("utf-8"))
            rules = ReleaseRules(**told["rules"])
            labels: Mapping[str, list[str]] = told["tables"]
            cells = {
                (table, ", ".join(row[name] for name in names), str(column)): row[column]
                for table, names in labels.items()
                for row in _rows(folder / "tables" / f"{table}.csv")
                for column in row
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"There is no earlier release in {folder} that can be read ({error}). Give the "
                "folder that 'sos-plugins release' wrote, as it left the room."
            ) from None
        return cls(rules, cells)


def _rows(file: Path) -> list[dict[str, str]]:
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    return [{str(k): str(v) for k, v in row.items()} for row in frame.to_dict("records")]


def compared(drafts: Iterable[Draft], ledger: Ledger, earlier: Earlier) -> set[str]:
    """Hold counts against an earlier release.

    A count that was suppressed there stays so. One that was shown is known to every reader now. One
    that was shown as another number has changed by few children, perhaps, and is suppressed.

    Returns:
        Keys of the counts that must be suppressed.

    Raises:
        DataError: If the earlier release kept other rules.
    """
    if earlier.rules != ledger.rules:
        raise DataError(
            f"The earlier release kept other rules ({asdict(earlier.rules)}) than this one "
            f"({asdict(ledger.rules)}), and what the two give away together cannot be told. "
            "Use the same profile, threshold and rounding."
        )
    forced: set[str] = set()
    for draft, row, column, mark in marks(drafts):
        before = earlier.cells.get((draft.name, draft.label(row), column))
        if before is None or not isinstance(mark, Counted):
            continue
        if before == CONFIDENTIAL:
            forced.add(mark.key)
        elif _same(before, ledger, mark.key):
            ledger.shown_before.add(mark.key)
        elif _near(int(before), ledger, mark.key):
            forced.add(mark.key)
    return forced - ledger.shown_before


def _same(before: str, ledger: Ledger, key: str) -> bool:
    return int(before) == rounded(ledger.counts[key], ledger.rules.round_to)


def _near(before: int, ledger: Ledger, key: str) -> bool:
    """Say whether a count may have changed by fewer children than the threshold."""
    low, high = could_be(before, ledger.rules)
    count, few = ledger.counts[key], ledger.rules.min_count
    return low - few < count < high + few
