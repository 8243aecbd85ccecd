"""The page on studies names every key and every family there is."""

from pathlib import Path

import pytest

from sos_plugins.host.registry import load_plugins
from sos_plugins.host.settings import describe
from sos_plugins.study import file as study_file
from sos_plugins.study import sensitivity

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "studies.md").read_text()
TABLES = (
    study_file.StudyTable,
    study_file.DesignTable,
    study_file.PilotRow,
    study_file.MatchingTable,
    study_file.MatcherChoice,
    study_file.OutcomeChoice,
    study_file.EstimatorChoice,
    study_file.SensitivityTable,
    study_file.PoolingChoice,
)


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.__name__)
def test_every_key_stands_there_with_its_description(table):
    for row in describe(table):
        line = next(x for x in PAGE.splitlines() if x.startswith(f"| `{row['setting']}` |"))
        assert any(
            x.startswith(f"| `{row['setting']}` |") and x.endswith(f"| {row['description']} |")
            for x in PAGE.splitlines()
        ), line


def test_every_family_stands_there():
    families = set(sensitivity.FAMILIES)
    for offer in load_plugins().offers("estimator"):
        families |= {v.family for v in offer.obj.variants}
    for family in families:
        assert f"| `{family}` |" in PAGE
