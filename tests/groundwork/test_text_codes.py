"""Large tidy tables: text as numbers, columns read as needed, every check kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sos_plugins import Sample
from sos_plugins.errors import DataError
from sos_plugins.groundwork.text_codes import categories, text_codes, whole_number_codes
from sos_plugins.tables import read_table as tidy_table
from sos_plugins.tables.file_columns import read_columns

COLUMNS = {"unit": "la", "id": "child", "period": "year", "cohort": "start", "value": "y"}


def table(n: int = 30) -> pd.DataFrame:
    child = np.repeat(np.arange(n), 4)
    la = child % 6
    return pd.DataFrame(
        {
            "la": [f" E0{u}" for u in la],
            "child": child,
            "year": np.tile(np.arange(2001, 2005), n),
            "start": np.where(la < 3, 0, 2003),
            "y": np.random.default_rng(0).normal(size=len(child)),
            "spare": ["not read"] * len(child),
        }
    )


def read(frame: pd.DataFrame, folder: Path, suffix: str = "parquet") -> tidy_table.TidySample:
    path = folder / f"table.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return tidy_table.read_sample(path, **COLUMNS)


@pytest.mark.parametrize("order", ["by child", "shuffled"])
def test_codes_number_texts_by_first_appearance(order: str) -> None:
    texts = pd.Series([f"x{i}" for i in np.repeat([3, 1, 2, 1], 3)], dtype="str")
    if order == "shuffled":
        texts = texts.sample(frac=1, random_state=0, ignore_index=True)
    np.testing.assert_array_equal(text_codes(texts), pd.factorize(texts)[0])
    assert list(categories(texts).astype(str)) == list(texts)
    assert len(text_codes(texts[:0])) == 0
    numbers = texts.str[1:].astype("int64").to_numpy()
    np.testing.assert_array_equal(whole_number_codes(numbers), text_codes(texts))


def test_the_hash_is_of_the_texts_however_they_are_held() -> None:
    frame = table().rename(columns={"la": "unit", "year": "period", "start": "cohort"})
    frame = frame.assign(value=frame["y"], weight=1.0, treated=0, post=0, cluster=frame["unit"])
    kinds = [frame.astype({"unit": kind, "cluster": kind}) for kind in ("str", object)]
    hashes = [Sample(held).data_hash for held in kinds]
    assert hashes[0] == hashes[1]
    assert Sample(frame.assign(cluster=frame["cluster"] + "'")).data_hash != hashes[0]
    whole = pd.util.hash_pandas_object(kinds[1], index=False)
    again = pd.util.hash_pandas_object(kinds[0], index=False)
    pd.testing.assert_series_equal(whole, again)


def test_a_table_of_either_kind_is_the_same_sample(tmp_path: Path) -> None:
    parquet, csv = (read(table(), tmp_path, suffix).sample for suffix in ("parquet", "csv"))
    pd.testing.assert_frame_equal(parquet.frame, csv.frame)
    assert parquet.data_hash == csv.data_hash
    assert set(parquet.frame["unit"]) == {f"E0{u}" for u in range(6)}
    assert list(parquet.frame["id"][:5]) == ["0", "0", "0", "0", "1"]


def test_columns_that_nobody_asks_for_are_not_read(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "t.parquet", index=False)
    columns = read_columns(tmp_path / "t.parquet", used={"y"})
    assert columns.n_rows == 120
    assert [column is None for column in columns.columns] == [True, True, True, True, False, True]
    with pytest.raises(DataError, match=r"no column 'z'.*Columns: la, child, year"):
        columns.raw("z")
    with pytest.raises(AssertionError, match="spare"):
        columns.raw("spare")


@pytest.mark.parametrize("order", ["by child", "shuffled"])
def test_checks_hold_in_any_order_of_rows(tmp_path: Path, order: str) -> None:
    frame = table()
    if order == "shuffled":
        frame = frame.sample(frac=1, random_state=0, ignore_index=True)
    twice = pd.concat([frame, frame[frame["child"] == 7][:1]], ignore_index=True)
    with pytest.raises(DataError, match=r"child '7' stands 2 times in year 200\d \(row \d+, row"):
        read(twice, tmp_path)
    moved = frame.assign(start=frame["start"].where(frame.index != 9, 2004))
    with pytest.raises(DataError, match=r"la 'E0\d' has the first treated periods .*1 such units"):
        read(moved, tmp_path)
    below = frame.assign(start=frame["start"].where(frame.index != 9, -1))
    with pytest.raises(DataError, match=r"'start': a first treated period .* found '-1' \(row 10"):
        read(below, tmp_path)
