"""The contract of a source, and a file with faults in it."""

from pathlib import Path

import pytest

from sos_plugins import Session
from sos_plugins.authors import testing

plugin = testing.plugin_beside(__file__, "plugin.py")
COVERS = {"start": "2012-04-01", "end": "2013-03-31"}
FILE = """authority,child,referred,nfa
901,a,01/05/2012,0
901,a,01/05/2012,0
902,b,31/02/2012,1
902,,03/06/2012,1
902,c,04/07/2012,
"""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "referrals.csv").write_text(FILE)
    return {**COVERS, "path": str(tmp_path / "referrals.csv")}


def test_contract(settings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").write_text("")
    wrong = [{**COVERS, "path": str(tmp_path / n)} for n in ("none.csv", "other.csv", "empty.csv")]
    testing.check_source(plugin.NewSource(), settings, unreadable=wrong)


def test_faults_are_dropped_and_counted(settings: dict[str, str]) -> None:
    records = plugin.NewSource().read(plugin.NewSourceSettings(**settings), Session())
    rows = records.table("referrals").to_pandas()
    assert sorted(rows["child"]) == ["a", "c"]
    # A date that does not exist and a missing child; a repeated row; an unknown nfa, which stays.
    assert list(records.quality.checks["n_flagged"]) == [2, 1, 1]
