"""Cells brought in place of cases: the analysis cannot tell them apart."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import study_helpers
from study_helpers import OTHERS, PILOTS

from sos_plugins.cells.compression import compress, count, expand, is_compressed
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Pilot, Sample
from sos_plugins.study.collect import MARKS, date_classes, needs_cases
from sos_plugins.study.design import label
from sos_plugins.study.result import StudyResult
from sos_plugins.study.study import Study

ROUNDING = 1e-8
"""Cells add up the same cases in another order: standard errors of few clusters magnify that."""
FIRST = dt.date(2008, 4, 1)

STUDY = (
    study_helpers.STUDY.replace('label = "Score"', 'label = "Held"\nbinary = true')
    .replace('covariates = ["sex"]', 'covariates = ["sex", "band"]')
    .replace("[rating]", '[sensitivity]\nfamilies = ["no-covariates", "logit"]\n\n[rating]')
    .replace("ratio = 2 }", 'ratio = 2 }\ncases = { plugin = "inverse-weights" }')
)
WINDOWS = {"901": ("2012-02-29", "2012-09-30"), "902": ("2013-04-01", "2013-12-31"),
           "903": ("2013-04-01", "2013-12-31"), "904": ("2014-07-15", "2015-03-31"),
           "905": ("2015-01-01", "2015-06-30")}  # fmt: skip


def table(seed: int = 3, n: int = 9_000) -> pd.DataFrame:
    """Return dated cases of 17 authorities over ten years, with a value of 0 or 1."""
    rng = np.random.default_rng(seed)
    unit = rng.choice([*PILOTS, *OTHERS], n)
    date = np.datetime64(FIRST) + rng.integers(0, 3650, n)
    until = date + rng.integers(0, 300, n)
    start = pd.Series(unit).map({u: w[0] for u, w in WINDOWS.items()})
    post = pd.to_datetime(start).to_numpy() < date
    sex, band = rng.choice(["female", "male"], n), rng.choice(["0 to 4", "5 to 12"], n)
    chance = 0.3 + 0.1 * (sex == "male") - 0.1 * post
    period = pd.Series(date).dt.year - (pd.Series(date).dt.month < 4)
    return pd.DataFrame(
        {"unit": unit, "period": period, "date": date, "follow_up_end": until,
         "value": (rng.random(n) < chance).astype(int), "sex": sex, "band": band}
    )  # fmt: skip


def written(folder: Path, cases: pd.DataFrame | None = None, text: str = STUDY) -> Path:
    path = study_helpers.write(folder, text, table() if cases is None else cases)
    lines = [f"{unit},Pilot {unit},{start},{end}" for unit, (start, end) in WINDOWS.items()]
    (folder / "pilots.csv").write_text("unit,name,start,end\n" + "\n".join(lines) + "\n")
    return path


def run(path: Path, collect: str, backend: Any = None) -> StudyResult:
    text = path.read_text().replace("seed = 1", f'seed = 1\ncollect = "{collect}"', 1)
    other = path.with_name(f"{collect}.toml")
    other.write_text(text)
    return Study.from_toml(other).run(workers=1, backend=backend)


def assert_same(one: StudyResult, other: StudyResult) -> None:
    (mine,), (theirs,) = one.outcomes, other.outcomes
    assert not mine.error
    assert not theirs.error
    for a, b in zip(mine.estimates, theirs.estimates, strict=True):
        pd.testing.assert_frame_equal(
            a.estimate.tidy, b.estimate.tidy, rtol=ROUNDING, atol=ROUNDING, check_dtype=False
        )
        assert a.estimate.glance["n_cases"] == b.estimate.glance["n_cases"]
    for name in ("attrition", "completeness", "groups", "trends", "sample"):
        a, b = (getattr(outcome, name).reset_index(drop=True) for outcome in (mine, theirs))
        pd.testing.assert_frame_equal(a, b, rtol=ROUNDING, check_dtype=False)
    for a, b in zip(mine.runs, theirs.runs, strict=True):
        assert (a.family, a.label, a.status, a.n_cases) == (b.family, b.label, b.status, b.n_cases)
        assert near(a.estimate, b.estimate), a.label
        assert near(a.std_error, b.std_error), a.label
    for a, b in zip(mine.leads, theirs.leads, strict=True):
        assert (a.pilot, a.status, a.df_num) == (b.pilot, b.status, b.df_num)
        assert near(a.statistic, b.statistic), a.pilot
    assert any(lead.status == "ok" for lead in mine.leads if lead.pilot)
    assert mine.quality == pytest.approx(theirs.quality)
    assert mine.rating is not None
    assert theirs.rating is not None
    assert mine.rating.sentence == theirs.rating.sentence
    words = [[reason.sentence for reason in outcome.rating.reasons] for outcome in (mine, theirs)]
    assert words[0] == words[1]


def near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == pytest.approx(other, rel=ROUNDING)


def test_every_day_is_labelled_as_the_first_of_its_class() -> None:
    pilots = [
        Pilot(unit, dt.date.fromisoformat(a), dt.date.fromisoformat(b), 2013)
        for unit, (a, b) in WINDOWS.items()
    ]
    days = np.arange("2004-02-01", "2022-01-01", dtype="datetime64[D]").astype("datetime64[ns]")
    other = np.full(len(days), np.datetime64("NaT"), dtype="datetime64[ns]")
    for column in MARKS:
        starts = date_classes(column, pilots)
        shown = starts[np.searchsorted(starts, days, side="right") - 1].astype("datetime64[ns]")
        rest = {c: other for c in MARKS if c != column} | {"period": 2010}
        for pilot in pilots:
            exact = label(pd.DataFrame({column: days, **rest, "n": range(len(days))}), pilot)
            coarse = label(pd.DataFrame({column: shown, **rest, "n": range(len(days))}), pilot)
            kept = ["n", "post", "event"]
            pd.testing.assert_frame_equal(exact[kept], coarse[kept])
            assert len(exact) > 1000


@pytest.fixture(scope="module")
def on_cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult]:
    path = written(tmp_path_factory.mktemp("study"))
    return path, run(path, "cases")


def test_a_study_on_cells_is_that_on_cases(on_cases: tuple[Path, StudyResult]) -> None:
    path, expected = on_cases
    assert_same(expected, run(path, "cells"))


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_only_cells_come_back_from_spark(
    on_cases: tuple[Path, StudyResult], spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ibis.backends.pyspark import Backend

    path, here = on_cases
    rows, fetch = [], Backend.execute

    def counted(self: Any, *given: Any, **options: Any) -> Any:
        answer = fetch(self, *given, **options)
        rows.append(len(answer) if isinstance(answer, pd.DataFrame) else 1)
        return answer

    monkeypatch.setattr(Backend, "execute", counted)
    assert_same(here, run(path, "auto", "spark"))
    assert rows
    assert max(rows) < len(table()) / 2


def test_what_cells_cannot_say_is_brought_as_cases(tmp_path: Path) -> None:
    session = Session()
    cases = table(n=300)
    for name, changed in (
        ("beyond the calendar", cases.assign(date=pd.Timestamp("1850-01-01"))),
        ("no weight", cases.assign(weight=np.arange(len(cases)) % 2)),
    ):
        path = written(tmp_path / name.replace(" ", "-"), changed)
        study = Study.from_toml(path)
        assert needs_cases(study.plan) == ""
        result = run(path, "cells")
        assert result.outcomes[0].attrition["n_after"].iloc[0] in (300, 150), name
    session.release()


def test_a_study_says_why_cases_are_brought(tmp_path: Path) -> None:
    text = STUDY.replace("inverse-weights", "propensity-cases")
    study = Study.from_toml(written(tmp_path, text=text))
    assert needs_cases(study.plan) == "the matcher 'propensity-cases' needs them"


def test_rows_that_are_alike_are_added_up_and_taken_apart_again() -> None:
    rng = np.random.default_rng(1)
    n = 600
    frame = pd.DataFrame(
        {"unit": rng.choice(["1", "2", "3"], n), "period": rng.integers(2010, 2013, n),
         "cohort": 0, "treated": 0, "post": 0, "weight": 1.0,
         "value": rng.integers(0, 2, n).astype(float), "sex": rng.choice(["f", "m"], n)}
    )  # fmt: skip
    sample = Sample(frame.assign(cluster=frame["unit"]), ("sex",), binary=True)
    fine = compress(sample)
    assert fine is not None
    coarse = compress(Sample(fine.frame, (), binary=True))
    direct = compress(Sample(sample.frame, (), binary=True))
    assert coarse is not None
    assert direct is not None
    keys = ["unit", "period", "value"]
    pd.testing.assert_frame_equal(
        coarse.frame.sort_values(keys, ignore_index=True)[list(direct.frame)].astype("O"),
        direct.frame.sort_values(keys, ignore_index=True).astype("O"),
    )
    again = expand(fine)
    assert again is not None
    assert not is_compressed(again.frame)
    columns = ["unit", "period", "sex", "value", "weight"]
    pd.testing.assert_frame_equal(
        again.frame[columns].sort_values(columns, ignore_index=True),
        frame[columns].sort_values(columns, ignore_index=True),
    )
    means = Sample(fine.frame.assign(value=0.5), ("sex",), binary=True)
    assert count(means.frame) == n
    assert expand(means) is None
