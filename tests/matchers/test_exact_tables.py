"""Coarsened exact matching of tables, on DuckDB and on Spark: what the matcher of samples gives."""

from __future__ import annotations

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sos_matchers.cases.exact import tables
from sos_matchers.cases.exact.plugin import match_exactly
from sos_matchers.cases.exact.settings import CoarsenedExactSettings
from sos_matchers.cases.exact.tables import TableMatch, match_table

from sos_plugins import Sample, backends
from sos_plugins.errors import DataError, DesignError, SettingsError

ROUNDING = 1e-12
"""Sums of a few thousand numbers in double precision, in another order."""
SPREAD = 1e-9
"""Variances from sums of squares about a centre lose a few digits more."""
QUICK = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
}
"""For a few hundred rows, making and compiling plans is what takes long."""
COVARIATES = ("age", "plans", "sex", "ethnicity", "flag", "weeks")
SETTINGS = {
    "cutpoints": {"age": [4.5, 12.5], "plans": "exact", "weeks": 40},
    "groupings": {"ethnicity": {"White": ["WBRI", "WIRI"]}},
}


def frame_of(seed: int, n: int = 1500) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    treated = (rng.random(n) < 0.4).astype(int)
    group = rng.choice(["330", "340"], n)
    frame = pd.DataFrame(
        {
            "unit": np.where(treated == 1, group, "c" + pd.Series(group)),
            "period": 2011,
            "cohort": 2011 * treated,
            "value": rng.normal(size=n),
            "weight": rng.choice([1.0, 0.5, 0.3], n),
            "group": group,
            "treated": treated,
            "post": rng.integers(0, 2, n),
            "case": rng.permutation(n),
            "age": np.floor(rng.uniform(0, 17, n) + treated),
            "plans": rng.poisson(0.4, n),
            "sex": rng.choice(["male", "female"], n),
            "ethnicity": rng.choice(["WBRI", "WIRI", "MWBC", "Missing"], n, p=[0.5, 0.2, 0.2, 0.1]),
            "flag": rng.integers(0, 2, n).astype(float),
            "weeks": rng.integers(0, 41, n) / 10,
        }
    )
    frame.loc[rng.random(n) < 0.1, "age"] = np.nan
    frame.loc[rng.random(n) < 0.1, "sex"] = None
    return frame.assign(cluster=frame["unit"])


DISTANCES = ["ks_before", "ks_after", "l1_before", "l1_after"]


def plain_table(frame: pd.DataFrame) -> ibis.Table:
    return backends.duckdb_backend().create_table("cases", frame)


def assert_as_of_the_sample(
    found: TableMatch, frame: pd.DataFrame, settings: CoarsenedExactSettings
) -> None:
    """The weights, tables and words are those of the matcher of samples, which R confirms."""
    one = match_exactly(Sample(frame, COVARIATES), settings)
    mine = found.table.to_pandas().set_index("case")["weight"].sort_index()
    theirs = one.sample.frame.set_index("case")["weight"].sort_index()
    pd.testing.assert_series_equal(mine, theirs, rtol=ROUNDING, check_index_type=False)
    assert found.n_dropped == one.n_dropped
    for name in ("imbalance", "effective"):
        pd.testing.assert_frame_equal(found.tables[name], one.tables[name], rtol=SPREAD)
    pd.testing.assert_frame_equal(
        found.tables["strata"].astype(object),
        one.tables["strata"].astype({"post": str}).astype(object),
        rtol=SPREAD,
    )
    balance, expected = found.balance[list(one.balance)], one.balance.copy()
    numbers = expected["variance_ratio_before"].notna()  # of which sums tell no distribution
    assert balance.loc[numbers, DISTANCES].isna().all(axis=None)
    expected.loc[numbers, DISTANCES] = np.nan
    pd.testing.assert_frame_equal(balance, expected, rtol=SPREAD, atol=SPREAD)
    assert found.sentence.split("; ")[0] == one.sentence.split("; ")[0]
    assert (
        found.sentence.split(" cases of pilots were")[1]
        == (one.sentence.split(" cases of pilots were")[1])
    )


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("values", [{}, SETTINGS, {"coarsening": "fd", "histogram": "fd"}])
def test_a_table_is_matched_as_the_sample_is(values, weighted):
    frame = frame_of(1)
    if not weighted:
        frame = frame.assign(weight=1.0)
    settings = CoarsenedExactSettings(**values)
    weight = "weight" if weighted else None
    found = match_table(plain_table(frame), settings, covariates=COVARIATES, weight=weight)
    assert_as_of_the_sample(found, frame, settings)
    assert (found.weight is None) == weighted
    if found.weight is not None:
        expected = found.table.to_pandas().set_index("case")["weight"]
        given = pd.Series(found.weight, index=frame["case"])
        pd.testing.assert_series_equal(
            given[given > 0].sort_index(), expected.sort_index(), check_names=False
        )
        assert (given > 0).sum() == len(expected)


def test_a_parquet_file_is_read_where_it_lies(tmp_path):
    frame = frame_of(2).assign(weight=1.0)
    frame.to_parquet(tmp_path / "cases.parquet", index=False)
    settings = CoarsenedExactSettings(**SETTINGS)
    found = match_table(tmp_path / "cases.parquet", settings, covariates=COVARIATES)
    assert_as_of_the_sample(found, frame, settings)
    with pytest.raises(DataError, match=r"no file .*absent\.parquet"):
        match_table(tmp_path / "absent.parquet", settings, covariates=COVARIATES)


def test_more_combinations_than_one_whole_number_holds_are_added_up_by_the_database(monkeypatch):
    frame = frame_of(3).assign(weight=1.0)
    monkeypatch.setattr(tables, "LARGEST_KEY", 2000)
    settings = CoarsenedExactSettings(**SETTINGS)
    found = match_table(plain_table(frame), settings, covariates=COVARIATES)
    assert_as_of_the_sample(found, frame, settings)


@pytest.mark.parametrize("weighted", [True, False])
def test_no_order_of_rows_and_no_number_of_threads_changes_a_digit(weighted):
    frame = frame_of(4, 20_000)
    settings = CoarsenedExactSettings(**SETTINGS)
    seen = []
    for seed, threads in ((None, 1), (0, 1), (1, 2), (2, 4)):
        backend = backends.duckdb_backend()
        backend.raw_sql(f"SET threads = {threads}")
        rows = frame if seed is None else frame.sample(frac=1, random_state=seed)
        table = backend.create_table("cases", rows)
        found = match_table(
            table, settings, covariates=COVARIATES, weight="weight" if weighted else None
        )
        weights = found.table.to_pandas().set_index("case")["weight"].sort_index()
        seen.append((weights, found.tables["imbalance"], found.sentence, found.warnings))
    for weights, imbalance, *words in seen[1:]:
        pd.testing.assert_series_equal(weights, seen[0][0], check_exact=True)
        pd.testing.assert_frame_equal(imbalance, seen[0][1], check_exact=True)
        assert tuple(words) == seen[0][2:]


def test_bins_of_equal_width_are_those_of_numpy_at_their_edges():
    # Tenths are no sums of powers of two: division lands on the wrong side of some edges.
    values = np.concatenate([np.arange(0, 41) / 10, np.nextafter(np.arange(0, 41) / 10, 9)])
    numbers = tables.Numbers.of(values)
    for bins in (40, 41, 77, 205):
        cuts = tables.Cuts.equal(bins, numbers)
        assert len(cuts.points) > tables.FEW
        table = plain_table(pd.DataFrame({"x": values}))
        found = table.select(x=table.x, bin=tables._bin(table.x, cuts)).to_pandas()
        assert found["bin"].tolist() == cuts.bins_of(found["x"].to_numpy()).tolist()


def test_a_stratum_in_which_nothing_is_known_is_told():
    frame = frame_of(5).assign(weight=1.0)
    lacks = (frame["group"] == "330") & (frame["post"] == 1)
    frame.loc[lacks, "age"] = np.nan
    settings = CoarsenedExactSettings(**SETTINGS)
    found = match_table(plain_table(frame), settings, covariates=COVARIATES)
    told = f"Covariate age is missing in all {lacks.sum()} cases of group 330, post 1."
    assert told in found.warnings
    assert f"age is missing in {frame['age'].isna().sum()} of 1,500 cases" in found.sentence


@pytest.mark.parametrize(
    ("change", "settings", "error", "message"),
    [
        ({}, {"k2k": True}, SettingsError, "k2k needs the cases of a sample"),
        ({}, {"weights": "composite"}, SettingsError, "give what a case starts with as the column"),
        ({}, {"covariates": ("absent",)}, DataError, "no columns absent"),
        ({"treated": 2}, {}, DataError, "'treated' has 1500 values that are not 0 or 1"),
        ({"treated": 0.4}, {}, DataError, "'treated' has 1500 values that are not 0 or 1"),
        ({"treated": 1}, {}, DesignError, "cases of one side alone"),
        ({"weight": -1.0}, {}, DataError, "'weight' has 1500 values that are not 0 or more"),
        ({"weight": np.nan}, {}, DataError, "'weight' has 1500 values that are not 0 or more"),
        ({"weight": np.inf}, {}, DataError, "'weight' has 1500 values that are not 0 or more"),
        ({"group": None}, {}, DataError, "Column 'group' has gaps"),
        (
            {"sex": "male"},
            {"covariates": ("sex",)},
            DesignError,
            "none of the covariates sex varies",
        ),
    ],
)
def test_what_cannot_be_matched_is_refused_in_a_sentence(change, settings, error, message):
    frame = frame_of(6).assign(**change)
    if "group" in change:
        frame["group"] = frame["group"].astype("string")
    given = {**SETTINGS, **settings}
    with pytest.raises(error, match=message):
        match_table(
            plain_table(frame), CoarsenedExactSettings(**given), covariates=COVARIATES,
            weight="weight",
        )  # fmt: skip


def test_a_weight_that_is_no_number_is_refused_where_a_file_has_it(tmp_path):
    table = pa.Table.from_pandas(frame_of(6).drop(columns="weight"), preserve_index=False)
    nan = pa.array(np.full(len(table), np.nan), from_pandas=False)  # not a gap
    pq.write_table(table.append_column("weight", nan), tmp_path / "cases.parquet")
    with pytest.raises(DataError, match="'weight' has 1500 values that are not 0 or more"):
        match_table(
            tmp_path / "cases.parquet", CoarsenedExactSettings(), covariates=("sex",),
            weight="weight",
        )  # fmt: skip


def test_no_match_is_an_error_that_counts_both_sides():
    frame = frame_of(7).assign(weight=1.0)
    frame["sex"] = np.where(frame["treated"] == 1, "male", "female")
    with pytest.raises(DesignError, match=r"none of \d+ cases of pilots has one among"):
        match_table(plain_table(frame), CoarsenedExactSettings(), covariates=("sex", "plans"))


def test_covariates_that_say_nothing_are_told():
    frame = frame_of(8).assign(weight=1.0, flat="same", gone=np.nan)
    found = match_table(
        plain_table(frame), CoarsenedExactSettings(), covariates=("sex", "plans", "flat", "gone")
    )
    assert "The covariate flat does not vary and was left out." in found.sentence
    assert "Covariate gone is missing in all cases and was left out." in found.warnings


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_table_on_spark_is_matched_as_the_sample_is():
    backend = backends.as_backend("spark")
    session = backend.raw_sql("SELECT 1").sparkSession
    for name, value in QUICK.items():
        session.conf.set(name, value)
    frame = frame_of(9, 600)
    settings = CoarsenedExactSettings(**SETTINGS)
    table = backends.put(backend, "exact_cases", frame)
    try:
        found = match_table(table, settings, covariates=COVARIATES, weight="weight")
        assert_as_of_the_sample(found, frame, settings)
    finally:
        backends.drop(backend, ["exact_cases"])
