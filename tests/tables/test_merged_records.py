"""Tables of two sources: children that both know are one row, with the columns of either."""

from __future__ import annotations

import datetime as dt

import ibis
import pandas as pd
import pytest

from sos_plugins.contract.types import Records
from sos_plugins.errors import DataError
from sos_plugins.tables.merged_records import merged

BORN = dt.date(2010, 5, 1)


def children(session_backend: ibis.BaseBackend, name: str, **columns: list[object]) -> Records:
    frame = pd.DataFrame({"unit": ["330"] * len(columns["child"]), **columns})
    return Records({"children": session_backend.create_table(name, frame)})


def test_children_of_two_sources_are_one_row_the_first_value_winning() -> None:
    backend = ibis.duckdb.connect()
    census = children(backend, "a", child=["1", "2"], birth_date=[None, BORN], UPN=["x", None])
    care = children(backend, "b", child=["1", "3"], birth_date=[BORN, BORN], post=["p", "q"])
    made = merged(census, care).tables["children"].to_pandas().sort_values("child")
    assert made["child"].tolist() == ["1", "2", "3"]
    assert [pd.Timestamp(day).date() for day in made["birth_date"]] == [BORN] * 3
    assert made["UPN"].fillna("").tolist() == ["x", "", ""]
    assert made["post"].fillna("").tolist() == ["p", "", "q"]


def test_a_column_of_two_types_is_a_sentence() -> None:
    backend = ibis.duckdb.connect()
    one = children(backend, "a", child=["1"], sex=["f"])
    two = children(backend, "b", child=["1"], sex=[2])
    with pytest.raises(DataError, match="table 'children', and its column 'sex' holds string"):
        merged(one, two)
