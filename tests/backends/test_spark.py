"""The same outcomes on DuckDB, on a real Spark on this machine, and in plain pandas.

Dates of the random records cluster at the edges of every window (tests/support/outcome_helpers.py);
the plain pandas derivation (tests/support/plain_pandas.py) shares no code with the outcomes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import declared_outcomes
import edge_cases
import pandas as pd
import plain_pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import study_helpers
from click.testing import CliRunner
from outcome_helpers import END, START, derive, random_tables, records
from sos_outcomes.assessment_duration import AssessmentDuration, AssessmentWithin45Days
from sos_outcomes.declared.plugin import Declared
from sos_outcomes.escalation import Escalation
from sos_outcomes.icpc import Icpc
from sos_outcomes.kinship_care import KinshipCare
from sos_outcomes.rereferral import Rereferral
from sos_sources.tables.records import RecordTables
from variants import some_now

from sos_plugins import Outcome, Session, backends
from sos_plugins.cache.fingerprint import of_records
from sos_plugins.cells.build import cells
from sos_plugins.cli.main import main
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.contract.types import Records
from sos_plugins.errors import DataError
from sos_plugins.study.study import Study

SUMS = 1e-9
"""Sums of at most a few thousand terms, added in another order: rounding is far below this."""
OUTCOMES: tuple[Outcome, ...] = (
    AssessmentDuration(), AssessmentWithin45Days(), Rereferral(), Escalation(), KinshipCare(),
    Icpc(),
)  # fmt: skip
OTHER: tuple[tuple[Outcome, dict[str, Any]], ...] = (
    (Escalation(), {"definition": "wwcsc-2021"}),
    (KinshipCare(), {"definition": "wwcsc-2021", "covariates": ["age", "sex", "uasc"]}),
    (AssessmentDuration(), {"definition": "wwcsc-2021", "plan_counts": "itself"}),
)

pytestmark = [
    # PySpark 4.0 with pandas 3, and the Java bridge's sockets when it goes.
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def on_spark(spark: Any) -> Iterator[Session]:
    session = Session(backend=spark)
    yield session
    session.release()


def in_pandas(tables: dict[str, Any]) -> plain_pandas.Tables:
    made = {n: pa.Table.from_pylist(rows, schema=TABLES[n]) for n, rows in tables.items()}
    frames = {name: table.to_pandas(date_as_object=False) for name, table in made.items()}
    return {name: plain_pandas.as_frame(frame) for name, frame in frames.items()}


def with_edges(tables: dict[str, Any]) -> dict[str, Any]:
    edges = edge_cases.tables()
    return {name: [*rows, *edges.get(name, [])] for name, rows in tables.items()}


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name)
def test_the_edge_cases_are_what_they_are_by_hand(outcome: Outcome, session: Session) -> None:
    tables = edge_cases.tables()
    expected = edge_cases.EXPECTED[outcome.name]
    cases = derive(outcome, records(session, **tables), session).frame
    make, _ = plain_pandas.OUTCOMES[outcome.name]
    plain = make(in_pandas(tables), START, END)
    for found in (cases, plain.sort_values("date")):
        own = found[found["child"].str.startswith(f"{outcome.name} ")]
        first = own.drop_duplicates("child").set_index("child")
        assert first["value"].to_dict() == pytest.approx(expected)
    bands = cases.set_index("child")["age_band"]
    if outcome.name == "icpc":
        leap = ["icpc unborn", "icpc leap child", "icpc leap child later"]
        assert bands[leap].tolist() == ["unborn", "5 to 12", "13 to 17"]


def test_pandas_and_duckdb_give_the_same_cells(session: Session) -> None:
    tables = with_edges(random_tables(3))
    given, plain = records(session, **tables), in_pandas(tables)
    for outcome in OUTCOMES:
        make, covariates = plain_pandas.OUTCOMES[outcome.name]
        expected = plain_pandas.cells(make(plain, START, END), covariates)
        assert_same_cells(of(derive(outcome, given, session)), expected)


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize("outcome", some_now(OUTCOMES, 2, 4), ids=lambda outcome: outcome.name)
def test_the_edge_cases_give_the_same_cells_on_pandas_duckdb_and_spark(
    outcome: Outcome, session: Session, on_spark: Session
) -> None:
    tables = with_edges(random_tables(1, n_children=120))
    on_duckdb, there = records(session, **tables), records(on_spark, **tables)
    plain = in_pandas(tables)
    here, far = derive(outcome, on_duckdb, session), derive(outcome, there, on_spark)
    pd.testing.assert_frame_equal(here.attrition, far.attrition)
    pd.testing.assert_frame_equal(here.completeness, far.completeness, check_dtype=False)
    make, covariates = plain_pandas.OUTCOMES[outcome.name]
    expected = plain_pandas.cells(make(plain, START, END), covariates)
    assert expected["n_cases"].sum() > 30
    assert_same_cells(of(here), expected)
    assert_same_cells(of(far), expected)


@pytest.mark.long
@pytest.mark.spark
def test_other_definitions_give_the_same_cases_on_spark(
    session: Session, on_spark: Session
) -> None:
    tables = with_edges(random_tables(2, n_children=60))
    on_duckdb, there = records(session, **tables), records(on_spark, **tables)
    for outcome, settings in OTHER:
        here = derive(outcome, on_duckdb, session, **settings)
        far = derive(outcome, there, on_spark, **settings)
        pd.testing.assert_frame_equal(here.frame, far.frame, check_dtype=False)
        pd.testing.assert_frame_equal(
            cells(here.table, covariates=here.covariates).frame,
            cells(far.table, covariates=far.covariates).frame,
            rtol=SUMS,
            check_dtype=False,
        )


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize("name", some_now(tuple(declared_outcomes.BY_NAME), 2, 4))
def test_declared_outcomes_give_the_same_cases_on_spark(
    name: str, session: Session, on_spark: Session
) -> None:
    tables = with_edges(random_tables(2, n_children=60))
    settings = declared_outcomes.BY_NAME[name]
    here = derive(Declared(), records(session, **tables), session, **settings)
    far = derive(Declared(), records(on_spark, **tables), on_spark, **settings)
    assert here.frame["value"].nunique() > 1
    pd.testing.assert_frame_equal(here.frame, far.frame, check_dtype=False)
    pd.testing.assert_frame_equal(here.completeness, far.completeness, check_dtype=False)
    pd.testing.assert_frame_equal(here.attrition, far.attrition)


@pytest.mark.spark
def test_spark_keeps_the_same_of_repeated_rows_as_duckdb(
    tmp_path: Path, session: Session, on_spark: Session
) -> None:
    row = dict.fromkeys(TABLES["referrals"].names)
    rows = [
        row | {"unit": "1", "child": child, "referral_date": START, "return_year": year,
               "closure_reason": reason}
        for child, year, reason in (
            ("a", 2015, "RC1"), ("a", 2016, "RC8"), ("a", 2014, "RC9"), ("b", None, "RC2"),
            ("b", 2011, None), ("c", 2012, None), ("c", 2012, "RC7"), ("d", 2012, "RC7"),
        )
    ]  # fmt: skip
    pq.write_table(
        pa.Table.from_pylist(rows, schema=TABLES["referrals"]), tmp_path / "referrals.parquet"
    )
    settings = RecordTables.Settings(folder=str(tmp_path))
    kept = []
    for where in (session, on_spark):
        table = RecordTables().read(settings, where).table("referrals")
        frame = table.select("child", "return_year", "closure_reason").to_pandas()
        kept.append(frame.sort_values("child", ignore_index=True))
    pd.testing.assert_frame_equal(*kept, check_dtype=False)
    assert kept[0]["return_year"].tolist() == [2016, 2011, 2012, 2012]
    assert kept[0]["closure_reason"].tolist()[2:] == ["RC7", "RC7"]


@pytest.mark.spark
def test_a_study_gives_the_same_estimates_on_spark(tmp_path: Path, spark: Any) -> None:
    study = Study.from_toml(study_helpers.write(tmp_path))
    here, there = study.crosscheck(), study.crosscheck(backend=spark)
    pairs = zip(here.outcomes[0].estimates, there.outcomes[0].estimates, strict=True)
    for mine, far in pairs:
        pd.testing.assert_frame_equal(mine.estimate.tidy, far.estimate.tidy, rtol=SUMS)
    assert spark.list_tables() == []


@pytest.mark.spark
def test_what_spark_complains_of_is_a_sentence(spark: Any) -> None:
    for query, text in (("SELECT * FROM nowhere", "nowhere"), ("SELECT raise_error('no')", "no")):
        told = pytest.raises(DataError, match=f"^Spark failed: .*{text}")
        with told, backends.failures_in_words():
            spark.raw_sql(query).collect()


@pytest.mark.spark
def test_a_spark_session_is_a_backend(spark: Any) -> None:
    session = spark.raw_sql("SELECT 1").sparkSession
    backend = backends.as_backend(session)
    assert backend.name == "pyspark"
    assert backend.raw_sql("SELECT 1").sparkSession is session


def of(cases: Any) -> pd.DataFrame:
    return cells(cases.table, covariates=cases.covariates).frame


def assert_same_cells(got: pd.DataFrame, expected: pd.DataFrame) -> None:
    keys = [c for c in expected if c not in ("n_cases", "value_sums", "squares")]
    got = got.rename(columns={"weighted_value_squares": "squares"})[list(expected.columns)]
    got, expected = (f.sort_values(keys, ignore_index=True) for f in (got, expected))
    exact = [*keys, "n_cases"]
    pd.testing.assert_frame_equal(got[exact], expected[exact], check_dtype=False)
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=SUMS)


def test_without_pyspark_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "pyspark" else found(n))
    path = study_helpers.write(tmp_path)
    done = CliRunner().invoke(main, ["run", str(path), "--backend", "spark", "--no-stations"])
    assert done.exit_code == 1
    assert "PySpark is not installed (pip install 'sos-plugins[spark]')" in done.output
    assert "Traceback" not in done.output


def test_without_java_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: found("json"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    with pytest.raises(DataError, match=r"Java is not installed.*default-jre-headless"):
        backends.as_backend("spark")
    assert found("json") is not None


@pytest.mark.parametrize(
    ("given", "text"), [("sparc", "this is 'sparc'"), (3, "this is a int"), (None, "a NoneType")]
)
def test_what_is_no_backend_is_a_sentence(given: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        backends.as_backend(given)


@pytest.mark.parametrize(
    ("size", "in_java"), [("4GB", "4096m"), ("500 MiB", "500m"), ("1.5TB", "1572864m")]
)
def test_a_size_of_memory_is_written_as_java_does(size: str, in_java: str) -> None:
    assert backends.jvm_size(size) == in_java


@pytest.mark.spark
def test_records_are_hashed_as_they_were_read(on_spark: Session) -> None:
    frame = pd.DataFrame({"unit": ["1", "2"], "a": ["x", None], "b": [None, "x"]})

    def of(rows: pd.DataFrame) -> str:
        return of_records(Records({"cases": on_spark.table(rows)}), on_spark.backend)

    others = [frame.assign(a=[None, "x"], b=["x", None]), frame.assign(unit="1"), frame.iloc[:1]]
    assert of(frame.iloc[::-1]) == of(frame)
    assert len({of(rows) for rows in (frame, *others)}) == 4
