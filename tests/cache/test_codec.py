"""What is kept comes back exactly as it was, and bytes of others run nothing."""

from __future__ import annotations

import datetime as dt
import math
import pickle
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import result_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sos_plugins.cache.codec import CodecError, decode, encode
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract.session import Session
from sos_plugins.contract.settings import Settings
from sos_plugins.contract.types import MatchedGroup, OutcomeInfo, Pilot, Sample
from sos_plugins.study.pilots_and_pool import Design

TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
MOMENTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1))
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    TEXT,
    st.binary(max_size=4),
    st.dates(),
    MOMENTS,
    MOMENTS.map(pd.Timestamp),
    MOMENTS.map(lambda moment: pd.Timestamp(moment, tz="Europe/London")),
    st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999)).map(pd.Timedelta),
    st.just(pd.NA),
    st.just(pd.NaT),
    hnp.from_dtype(np.dtype("float32")),
    hnp.from_dtype(np.dtype("int8")),
    hnp.from_dtype(np.dtype(bool)),
    hnp.from_dtype(np.dtype("datetime64[D]"), min_value=0, max_value=9999),
    hnp.arrays(np.dtype("float64"), hnp.array_shapes(max_dims=3, max_side=3)),
)
KEYS = st.one_of(TEXT, st.integers(), st.tuples(st.integers(), TEXT))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.frozensets(KEYS, max_size=3),
        st.sets(KEYS, max_size=3),
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same in type and to the last bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a), list(b)) and same(list(a.values()), list(b.values()))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and str(a) == str(b))
    if a is pd.NA or a is pd.NaT:
        return a is b
    if isinstance(a, (pd.Timestamp, pd.Timedelta)) and a.unit != b.unit:
        return False
    return bool(a == b) and str(getattr(a, "tzinfo", "")) == str(getattr(b, "tzinfo", ""))


@given(VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:
    assert same(decode(encode(value)), value)


def test_a_mapping_that_cannot_be_changed_comes_back_as_a_table() -> None:
    assert decode(encode(MappingProxyType({"a": (1,)}))) == {"a": (1,)}


PLAIN = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
COLUMNS = st.one_of(
    *(
        st.lists(hnp.from_dtype(np.dtype(kind)), min_size=4, max_size=4).map(
            lambda values, kind=kind: pd.Series(np.array(values, dtype=kind))
        )
        for kind in ("bool", "int8", "int64", "uint16", "float32", "float64", ">i4", "m8[s]")
    ),
    st.lists(st.none() | MOMENTS, min_size=4, max_size=4).map(
        lambda values: pd.Series(pd.to_datetime(values))
    ),
    st.lists(MOMENTS, min_size=4, max_size=4).map(
        lambda values: pd.Series(pd.to_datetime(values, utc=True).tz_convert("Asia/Tokyo"))
    ),
    *(
        st.lists(st.none() | PLAIN, min_size=4, max_size=4).map(
            lambda values, dtype=dtype: pd.Series(values, dtype=dtype)
        )
        for dtype in ("str", "string[python]", "string[pyarrow]", "category", object)
    ),
    *(
        st.lists(st.none() | st.integers(0, 1), min_size=4, max_size=4).map(
            lambda values, dtype=dtype: pd.Series(values, dtype=dtype)
        )
        for dtype in ("Int64", "UInt8", "Float64", "boolean", "int64[pyarrow]")
    ),
    st.lists(LEAVES.filter(lambda v: not isinstance(v, np.ndarray)), min_size=4, max_size=4).map(
        lambda values: pd.Series(values, dtype=object)
    ),
)


INDEXES = st.lists(
    st.one_of(st.integers(0, 9), st.none() | MOMENTS, PLAIN, st.floats(0, 1)),
    min_size=4,
    max_size=4,
).map(pd.Series)


@given(st.lists(COLUMNS, max_size=4), st.none() | INDEXES, st.booleans())
@settings(deadline=None)
def test_frames_come_back_with_their_types_and_index(
    columns: list[pd.Series], index: pd.Series | None, deep: bool
) -> None:
    frame = pd.DataFrame(dict(enumerate(columns)), index=range(4)).add_prefix("c")
    if index is not None:
        frame.index = pd.Index(index.array, name="unit")
        if deep:
            frame.index = pd.MultiIndex.from_arrays([index.array, [1, 1, 2, 2]], names=["a", None])
    again = decode(encode(frame))
    pd.testing.assert_frame_equal(again, frame, check_exact=True, check_column_type="exact")
    assert [str(t) for t in again.dtypes] == [str(t) for t in frame.dtypes]
    for name in frame:
        pd.testing.assert_series_equal(decode(encode(frame[name])), frame[name], check_exact=True)


def test_categories_keep_their_order_and_those_that_nobody_has() -> None:
    column = pd.Categorical(["b", None, "a"], categories=["b", "x", "a"], ordered=True)
    again = decode(encode(pd.DataFrame({"c": column})))["c"].array
    assert list(again.categories) == ["b", "x", "a"]
    assert again.ordered
    assert list(again.codes) == [0, -1, 2]


def test_what_travels_down_the_line_comes_back() -> None:
    result = result_factory.make_result()
    for outcome in result.outcomes:
        for part in (outcome.info, outcome.main, *outcome.runs, *outcome.leads, outcome.rating):
            assert decode(encode(part)) == part
        for named in outcome.estimates:
            again = decode(encode(named))
            assert (again.estimator, again.engine) == (named.estimator, named.engine)
            assert same(dict(again.estimate.glance), dict(named.estimate.glance))
            assert again.estimate.warnings == named.estimate.warnings
            pd.testing.assert_frame_equal(
                again.estimate.tidy, named.estimate.tidy, check_exact=True
            )
    pilot = Pilot("1", dt.date(2014, 1, 1), None, 2015, attributes={"share": np.float64(0.1)})
    design = Design((pilot,), ("2", "3"), (MatchedGroup("1", ("2",)),))
    assert decode(encode(design)) == design


def test_what_stands_in_a_value_twice_is_kept_once_and_stays_the_same_object() -> None:
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(1000, 8)), columns=list("abcdefgh"))
    named = {"a": "value", "b": "weight", "c": "cohort", "d": "period"}
    frame = frame.rename(columns=named)
    frame = frame.assign(unit="1", cluster="1", treated=0, post=0)
    sample = Sample(frame)
    content = encode((sample, sample, frame))
    assert len(content) < 1.2 * len(encode(frame))
    first, second, own = decode(content)
    assert first is second
    assert first.frame is own
    assert first.data_hash == sample.data_hash


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 1, Session, Settings(), {"a": [Path("x")]}, np.array([("a",)], dtype="O,"),
     pd.DataFrame({"a": pd.period_range("2020", periods=2, freq="Y")})],
    ids=["object", "function", "class", "settings", "path", "structure", "periods"],
)  # fmt: skip
def test_what_does_not_travel_is_an_error_and_no_guess(value: Any) -> None:
    with pytest.raises(CodecError):
        encode(value)


def test_a_class_that_is_not_on_the_list_is_not_made() -> None:
    info = OutcomeInfo("a", "A", "a", "a?", binary=True, measure="proportion")
    content = encode(info)
    for other in (b"subprocess.Popen", b"sos_plugins.contract.session.Session"):
        name = b"sos_plugins.contract.types.cases.OutcomeInfo"
        assert name in content
        start, head = content[:8], content[8:].replace(name, other)
        start = len(head).to_bytes(8, "little")
        with pytest.raises(CodecError):
            decode(start + head)


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_is_no_program_here(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with pytest.raises(CodecError):
        decode(pickle.dumps(Planted(mark)))
    assert not mark.exists()


CASES = CollectedCases(
    pd.DataFrame({"unit": ["1", "2"], "value": [0.5, np.nan]}),
    OutcomeInfo("a", "A", "a", "a?", binary=False, measure="days"),
    ("sex",),
    pd.DataFrame(),
    pd.DataFrame(),
    {"window": 365},
)


@given(st.binary(max_size=60), st.integers(0, 4000), st.binary(max_size=3))
def test_damaged_bytes_are_an_error_or_a_value(content: bytes, place: int, change: bytes) -> None:
    whole = bytearray(encode(CASES))
    whole[place : place + len(change)] = change
    for damaged in (content, bytes(whole)):
        try:
            decode(damaged)
        except CodecError:
            continue
