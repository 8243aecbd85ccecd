"""A study on cases in memory gives what the study on their file gives."""

from dataclasses import replace

import pandas as pd
import pytest
from study_helpers import PILOTS, write

from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract.types import OutcomeInfo, Pilot
from sos_plugins.errors import StudyError
from sos_plugins.study import Study
from sos_plugins.study.pilots_and_pool import Design


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study.from_toml(write(tmp_path_factory.mktemp("memory")))


@pytest.fixture(scope="module")
def of_file(study):
    return study.run().outcomes[0]


@pytest.fixture(scope="module")
def cases(study, of_file) -> CollectedCases:
    """The cases of the file, read by pandas."""
    frame = pd.read_csv(study.plan.base / "cases.csv", dtype={"unit": str})
    frame = frame.assign(child=None, date=pd.NaT, follow_up_end=pd.NaT)
    frame = frame.sort_values(["unit", "period", "value"], ignore_index=True)
    return CollectedCases(
        frame, of_file.info, ("sex",), of_file.attrition.iloc[:0], of_file.completeness, {}
    )


def test_the_verdict_and_every_run_are_those_of_the_file(study, of_file, cases):
    (result,) = study.analyse([cases])
    assert result.error == ""
    verdicts = {(r.rating.level, r.rating.direction, r.rating.sentence) for r in (result, of_file)}
    assert len(verdicts) == 1
    told = [[(run.label, run.status) for run in some.runs] for some in (result, of_file)]
    assert told[0] == told[1]
    both = zip(result.runs, of_file.runs, strict=True)
    for run, other in ((a, b) for a, b in both if a.status == b.status == "ok"):
        assert run.estimate == pytest.approx(other.estimate, rel=1e-9)
        assert run.std_error == pytest.approx(other.std_error, rel=1e-9)


def test_a_design_of_ones_own_takes_the_place_of_that_of_the_file(study, cases):
    units = sorted(set(cases.frame["unit"]) - set(PILOTS))
    own = Design((Pilot("901", None, None, 2014), Pilot("903", None, None, 2015)), tuple(units))
    (result,) = study.analyse([cases], own, only_crosscheck=True)
    assert result.rating is None
    assert set(result.groups["pilot"]) == {"901", "903"}


def test_an_outcome_that_the_study_has_not_is_refused(study, cases):
    info: OutcomeInfo = replace(cases.info, name="other")
    with pytest.raises(StudyError, match=r"no outcome 'other'.*tidy-value"):
        study.analyse([replace(cases, info=info)])
