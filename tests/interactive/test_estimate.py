"""One line from a table in memory to an estimate."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from clean_environment import REPOSITORY
from minimum_wage import COLUMNS, MPDTA, SAME, stored_effects

import sos_plugins
from sos_plugins.errors import DataError, EngineUnavailableError, SettingsError, SosError
from sos_plugins.interactive.fit import Fit

ENGINES = 1e-6
"""The widest relative tolerance that an engine of ``did`` declares: pyfixest iterates."""


@pytest.fixture(scope="module")
def counties() -> pd.DataFrame:
    return pd.read_csv(MPDTA)


@pytest.fixture(scope="module")
def fit(counties: pd.DataFrame) -> Fit:
    return sos_plugins.estimate(counties, "callaway-santanna", **COLUMNS, aggregate="event")


def test_one_line_gives_what_did_in_r_gives(fit: Fit) -> None:
    rows = stored_effects()
    assert len(rows) == len(fit.tidy) == 8
    np.testing.assert_allclose(fit.coef(), rows.loc[fit.tidy["term"], "estimate"], rtol=SAME)
    np.testing.assert_allclose(fit.se(), rows.loc[fit.tidy["term"], "std_error"], rtol=SAME)


def of_duckdb(frame: pd.DataFrame) -> duckdb.DuckDBPyRelation:
    return duckdb.from_df(frame)


@pytest.mark.parametrize(
    "form",
    [
        pl.from_pandas,
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
        of_duckdb,
        lambda frame: frame.to_dict("list"),
        lambda frame: frame.set_index(["countyreal", "year"]),
        lambda frame: frame.astype({"countyreal": "category"}),
        lambda frame: frame.astype({"first.treat": float}).replace({"first.treat": {0: np.inf}}),
        lambda frame: frame.assign(unused=[1, "b"] * (len(frame) // 2)),
    ],
    ids=["polars", "arrow", "duckdb", "mapping", "index", "categories", "infinite", "mixed-unused"],
)
def test_every_form_of_the_table_gives_the_figures_of_the_file(counties, form) -> None:
    of_file = sos_plugins.estimate(str(MPDTA), "did", **COLUMNS)
    pd.testing.assert_frame_equal(
        sos_plugins.estimate(form(counties), "did", **COLUMNS).tidy, of_file.tidy
    )


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda f: f.assign(lemp="high"), r"column 'lemp': a number was expected; found 'high'"),
        (lambda f: f.assign(lemp=[1, "b"] * (len(f) // 2)), r"column 'lemp' cannot be read"),
        (lambda f: f[:0], r"has no rows"),
        (lambda f: f.rename(columns={"lemp": "emp"}), r"no column 'lemp'.*Columns: year"),
        (lambda f: pd.concat([f, f[:1]]), r"stands 2 times in year"),
        (
            lambda f: f.assign(**{"first.treat": np.arange(len(f))}),
            r"has the first treated periods",
        ),
        (lambda _: 3, r"A table was expected .*this int cannot be read as one"),
    ],
    ids=["text", "mixed", "empty", "absent", "repeated", "changing", "no-table"],
)
def test_a_faulty_table_is_refused_by_row_and_column(counties, spoil, told: str) -> None:
    with pytest.raises(DataError, match=told):
        sos_plugins.estimate(spoil(counties), "did", **COLUMNS)


def test_a_wrong_setting_or_name_is_refused_in_a_sentence(counties: pd.DataFrame) -> None:
    with pytest.raises(SettingsError, match="agregate"):
        sos_plugins.estimate(counties, "callaway-santanna", **COLUMNS, agregate="event")
    with pytest.raises(SosError, match="callaway-santanna"):
        sos_plugins.estimate(counties, "callaway-santana", **COLUMNS)
    with pytest.raises(SosError, match="pythn"):
        sos_plugins.estimate(counties, "did", **COLUMNS, engine="pythn")


def test_all_engines_run_and_say_whether_they_agree(counties: pd.DataFrame) -> None:
    fit = sos_plugins.estimate(counties, "did", **COLUMNS, engine="all")
    assert fit.engines[0] == "python"
    assert {*fit.engines, *fit.not_run} >= {"python", "r", "pyfixest"}
    ran = [a for a in fit.agreements if a.verdict != "not run"]
    assert len(ran) == len(fit.engines) - 1
    assert "agree" in repr(fit)
    other = fit[fit.engines[-1]]
    assert other.engines == (fit.engines[-1],)
    np.testing.assert_allclose(other.coef(), fit.coef(), rtol=ENGINES)
    with pytest.raises(EngineUnavailableError, match="'stata' gave no estimate here"):
        fit["stata"]


def test_series_and_intervals_are_those_of_tidy(fit: Fit) -> None:
    tidy = fit.tidy.set_index("term")
    np.testing.assert_allclose(fit.tstat(), fit.coef() / fit.se())
    assert list(fit.confint().columns) == ["2.5%", "97.5%"]
    np.testing.assert_array_equal(fit.confint().to_numpy(), tidy[["conf_low", "conf_high"]])
    np.testing.assert_array_equal(fit.pvalue(), tidy["p_value"])
    np.testing.assert_allclose(np.sqrt(np.diag(fit.vcov())), fit.se()[fit.vcov().columns])


def test_of_one_term_the_covariance_is_its_squared_error(counties: pd.DataFrame) -> None:
    fit = sos_plugins.estimate(counties, "did", **COLUMNS)
    assert fit.vcov().loc["ATT", "ATT"] == pytest.approx(fit.se()["ATT"] ** 2)


def test_a_table_stands_fits_side_by_side(counties: pd.DataFrame, fit: Fit) -> None:
    did = sos_plugins.estimate(counties, "did", **COLUMNS)
    table = fit.table(did)
    assert list(table.columns) == [
        "(1) Callaway and Sant'Anna, Python",
        "(2) Difference-in-differences, Python",
    ]
    assert table.loc["ATT"].tolist() == ["", f"{did.coef()['ATT']:.4g}"]
    assert table.loc["Cases"].tolist() == ["2,500", "2,500"]
    below = table.iloc[table.index.get_loc("ATT") + 1]
    assert below.tolist() == ["", f"({did.se()['ATT']:.4g})"]


def test_what_is_shown_is_short_and_says_the_effect(fit: Fit, capsys) -> None:
    assert len(repr(fit)) < 250
    assert f"{fit.coef()['overall']:.4g}" in repr(fit)
    fit.summary()
    printed = capsys.readouterr().out
    assert all(str(term) in printed for term in fit.tidy["term"])
    assert "<table" in fit._repr_html_()


def test_a_figure_has_a_point_an_event_time_and_engines_alike_once(counties: pd.DataFrame) -> None:
    one = sos_plugins.estimate(counties, "callaway-santanna", **COLUMNS, aggregate="event")
    twice = Fit((one.named, one.named))
    for fit in (one, twice):
        (axes,) = fit.plot().axes
        points = [line for line in axes.lines if line.get_marker() == "o"]
        assert len(points) == 1
        assert list(points[0].get_xdata()) == [-3, -2, -1, 0, 1, 2, 3]
        np.testing.assert_allclose(points[0].get_ydata(), fit.coef().drop("overall"))


def test_terms_without_event_times_are_drawn_as_a_forest(counties: pd.DataFrame) -> None:
    (axes,) = sos_plugins.estimate(counties, "did", **COLUMNS).plot().axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ATT"]


def test_the_page_for_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (REPOSITORY / "docs" / "python.md").read_text()
    (tmp_path / "mpdta.csv").write_bytes(MPDTA.read_bytes())
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.M | re.S))
    exec(compile(code, "docs/python.md", "exec"), {})  # our own page
    assert (tmp_path / "event-study.svg").stat().st_size > 0
    assert pd.read_csv(tmp_path / "table.csv").shape[1] == 3
