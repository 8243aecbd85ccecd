"""What travels down the line as bytes and back, exactly, and without a program among the bytes.

A pickle runs what it names when it is read. Here values are JSON, columns are Arrow, and a
dataclass is made again only if it is on the list of those that travel: its own checks run, nothing
else does.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract import interfaces as kinds
from sos_plugins.contract import types

FORMAT = 1
_LENGTH = 8
"""Bytes that hold the length of the JSON part."""
_SCALARS = "biufcmMSU"
"""Kinds of numpy values that are nothing but numbers, times or text."""

Class = TypeVar("Class", bound=type)

_travelling: dict[str, type] = {}


class CodecError(ValueError):
    """A value that does not travel, or bytes that are none of ours."""


def travels(cls: Class) -> Class:
    """Let a dataclass or an enumeration travel: a decorator."""
    _travelling[_name(cls)] = cls
    return cls


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


for _class in (
    *(types.AdjustedP, types.Agreement, CollectedCases, types.Estimate),
    *(types.Evidence, types.SmallestEffect),
    *(types.LeadTest, types.MatchedGroup, types.OutcomeInfo, types.Pilot, types.PooledEffects),
    *(types.QualityProfile, types.Rating, types.Reason, types.Records, types.Run, types.Sample),
    *(types.Tolerance, types.Imputed, kinds.CaseMatch, kinds.UnitMatch),
):
    travels(_class)


def encode(value: Any) -> bytes:
    """Make bytes of a value.

    Frames, arrays, numbers (with their type), text, dates, lists, tuples, sets, tables of names
    and the dataclasses given to :func:`travels`, those of :mod:`sos_plugins.contract.types`
    and those of matchers travel. What stands in a value twice is kept once.

    Raises:
        CodecError: If something in it does not travel.
    """
    writer = _Writer()
    try:
        root = writer.value(value)
        head = json.dumps(
            {"format": FORMAT, "root": root, "kept": writer.kept, "parts": writer.lengths}
        ).encode()
    except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CodecError(str(error)) from error
    return b"".join([len(head).to_bytes(_LENGTH, "little"), head, *writer.parts])


def decode(content: bytes) -> Any:
    """Make the value again of what :func:`encode` gave.

    Raises:
        CodecError: If the bytes are none of ours.
    """
    try:
        end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
        head = json.loads(content[_LENGTH:end])
        if head["format"] != FORMAT:
            raise CodecError(f"format {head['format']}")
        return _Reader(memoryview(content)[end:], head["parts"]).all(head["kept"], head["root"])
    except Exception as error:  # whatever bytes of others lead to
        raise CodecError(f"{type(error).__name__}: {error}") from error


class _Writer:
    """Collects the parts of one value."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.parts: list[bytes] = []
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []

    @property
    def lengths(self) -> list[int]:
        return [len(part) for part in self.parts]

    def value(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if kind is list:
            return [self.value(item) for item in value]
        if kind in (pd.DataFrame, pd.Series) or _name(kind) in _travelling:
            return {"same": self._once(value)}
        for name, (fits, write) in _WRITERS.items():
            if fits(value):
                return {name: write(self, value)}
        raise CodecError(f"a value of type {_name(kind)} does not travel")

    def part(self, content: bytes) -> int:
        self.parts.append(content)
        return len(self.parts) - 1

    def _once(self, value: Any) -> int:
        if id(value) not in self._numbers:
            made = self._whole(value)
            self._alive.append(value)
            self._numbers[id(value)] = len(self.kept)
            self.kept.append(made)
        return self._numbers[id(value)]

    def _whole(self, value: Any) -> Any:
        if isinstance(value, pd.DataFrame):
            return {"frame": self._frame(value)}
        if isinstance(value, pd.Series):
            name = self.value(value.name)
            frame = value.to_frame("value")
            return {"series": [self._frame(frame), name, self.value(value.attrs)]}
        if isinstance(value, enum.Enum):
            return {"member": [_name(type(value)), value.name]}
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        made = {name: self.value(getattr(value, name)) for name in fields}
        return {"dataclass": [_name(type(value)), made]}

    def _frame(self, frame: pd.DataFrame) -> Any:
        columns = [frame.iloc[:, n].array for n in range(frame.shape[1])]
        index = frame.index
        told: dict[str, Any] = {"columns": self.labels(frame.columns), "rows": len(frame)}
        if type(index) is pd.RangeIndex:
            told["index"] = self.labels(index)
        else:
            levels = [index.get_level_values(n) for n in range(index.nlevels)]
            if any(getattr(level, "freq", None) is not None for level in levels):
                raise CodecError("an index of regular dates does not travel")
            columns += [level.array for level in levels]
            told["levels"] = self.value(list(index.names))
            told["multi"] = isinstance(index, pd.MultiIndex)
        told["of"], told["part"] = self.arrays(columns)
        told["attrs"] = self.value(dict(frame.attrs))
        return told

    def labels(self, index: pd.Index[Any]) -> Any:
        """Write an index of a few labels."""
        name = self.value(index.name)
        if type(index) is pd.RangeIndex:
            return {"range": [index.start, index.stop, index.step], "name": name}
        if isinstance(index, pd.MultiIndex) or getattr(index, "freq", None) is not None:
            raise CodecError("columns of several levels, or of regular dates, do not travel")
        of, part = self.arrays([index.array])
        return {"of": of, "part": part, "name": name}

    def arrays(self, arrays: Sequence[Any]) -> tuple[list[Any], int | None]:
        """Write arrays of one length as one Arrow stream; return how each is read."""
        of, made = [], []
        for array in arrays:
            how, column = self._array(array)
            of.append(how)
            if column is not None:
                made.append(column.combine_chunks() if _is_chunked(column) else column)
        if not made:
            return of, None
        batch = pa.RecordBatch.from_arrays(made, names=[str(n) for n in range(len(made))])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        return of, self.part(sink.getvalue().to_pybytes())

    def _array(self, array: Any) -> tuple[Any, Any]:
        dtype = array.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            how = {"ordered": dtype.ordered, "categories": self.labels(dtype.categories)}
            return {"categorical": how}, pa.array(array.codes)
        if isinstance(dtype, pd.StringDtype):
            missing = "nan" if dtype.na_value is np.nan else "NA"
            return {"string": [dtype.storage, missing]}, pa.array(array, type=pa.large_string())
        if isinstance(dtype, pd.DatetimeTZDtype):
            return {"zoned": [dtype.unit, str(dtype.tz)]}, pa.array(array.asi8)
        if isinstance(dtype, pd.ArrowDtype):
            return {"arrow": None}, pa.array(array)
        if isinstance(dtype, (*_MASKED, pd.BooleanDtype)):
            return {"masked": dtype.name}, pa.array(array)
        plain = array.to_numpy() if isinstance(array, pd.arrays.NumpyExtensionArray) else array
        if not isinstance(plain.dtype, np.dtype):
            raise CodecError(f"a column of type {dtype} does not travel")
        return self._plain(np.asarray(plain))

    def _plain(self, array: np.ndarray) -> tuple[Any, Any]:
        if array.dtype.kind == "O":
            return self._objects(array)
        if array.dtype.kind not in "biufmM":
            raise CodecError(f"a column of type {array.dtype} does not travel")
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        numbers = native.view("int64") if native.dtype.kind in "mM" else native
        column = pa.array(np.ascontiguousarray(numbers), from_pandas=False)
        return {"numpy": array.dtype.str}, column

    def _objects(self, array: np.ndarray) -> tuple[Any, Any]:
        if all(value is None or type(value) is str for value in array):
            try:
                return {"texts": None}, pa.array(array, type=pa.large_string(), from_pandas=False)
            except UnicodeError:
                pass
        return {"objects": [self.value(value) for value in array]}, None


_MASKED = (
    *(pd.Int8Dtype, pd.Int16Dtype, pd.Int32Dtype, pd.Int64Dtype, pd.UInt8Dtype, pd.UInt16Dtype),
    *(pd.UInt32Dtype, pd.UInt64Dtype, pd.Float32Dtype, pd.Float64Dtype),
)


def _is_chunked(column: Any) -> bool:
    return isinstance(column, pa.ChunkedArray)


def _write_table(writer: _Writer, value: Mapping[Any, Any]) -> Any:
    if all(type(key) is str for key in value):
        return {key: writer.value(item) for key, item in value.items()}
    return [[writer.value(key), writer.value(item)] for key, item in value.items()]


def _write_members(writer: _Writer, value: Any) -> Any:
    return [writer.value(item) for item in value]


def _write_any_order(writer: _Writer, value: Any) -> Any:
    return sorted((writer.value(item) for item in value), key=json.dumps)


def _write_scalar(writer: _Writer, value: np.generic) -> Any:  # noqa: ARG001
    if value.dtype.kind not in _SCALARS:
        raise CodecError(f"a numpy value of type {value.dtype} does not travel")
    return [value.dtype.str, _text(value.tobytes())]


def _write_array(writer: _Writer, value: np.ndarray) -> Any:
    if value.dtype.kind == "O":
        return [None, list(value.shape), [writer.value(item) for item in value.ravel()]]
    if value.dtype.kind not in _SCALARS:
        raise CodecError(f"an array of type {value.dtype} does not travel")
    return [value.dtype.str, list(value.shape), writer.part(value.tobytes())]


def _write_moment(writer: _Writer, value: Any) -> Any:  # noqa: ARG001
    return [value.unit, int(value.asm8.view("int64"))]


def _write_zoned(writer: _Writer, value: pd.Timestamp) -> Any:  # noqa: ARG001
    return [value.unit, int(value.asm8.view("int64")), str(value.tz)]


def _write_index(writer: _Writer, value: pd.Index[Any]) -> Any:
    return writer.labels(value)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _exactly(*kinds_: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds_


_WRITERS: Mapping[str, tuple[Callable[[Any], bool], Callable[[_Writer, Any], Any]]] = {
    "nothing": (lambda value: value is pd.NA or value is pd.NaT, lambda _, value: str(value)),
    "table": (_exactly(dict, MappingProxyType), _write_table),
    "tuple": (_exactly(tuple), _write_members),
    "set": (_exactly(set), _write_any_order),
    "frozenset": (_exactly(frozenset), _write_any_order),
    "scalar": (lambda value: isinstance(value, np.generic), _write_scalar),
    "array": (_exactly(np.ndarray), _write_array),
    "day": (_exactly(dt.date), lambda _, value: value.isoformat()),
    "instant": (
        lambda value: type(value) is dt.datetime and value.tzinfo is None,
        lambda _, value: value.isoformat(),
    ),
    "timestamp": (lambda v: type(v) is pd.Timestamp and v.tz is None, _write_moment),
    "zoned": (_exactly(pd.Timestamp), _write_zoned),
    "duration": (_exactly(pd.Timedelta), _write_moment),
    "bytes": (_exactly(bytes), lambda _, value: _text(value)),
    "index": (lambda value: isinstance(value, pd.Index), _write_index),
}


class _Reader:
    """Makes a value again of its parts."""

    def __init__(self, content: memoryview, lengths: Sequence[int]) -> None:
        self._parts = []
        start = 0
        for length in lengths:
            self._parts.append(content[start : start + length])
            start += length
        if start != len(content):
            raise CodecError("too short or too long")
        self._kept: list[Any] = []

    def all(self, kept: Sequence[Any], root: Any) -> Any:
        for told in kept:
            self._kept.append(self._whole(told))
        return self.value(root)

    def value(self, told: Any) -> Any:
        if isinstance(told, list):
            return [self.value(item) for item in told]
        if not isinstance(told, dict):
            return told
        ((name, content),) = told.items()
        return _READERS[name](self, content)

    def same(self, number: int) -> Any:
        return self._kept[number]

    def part(self, number: int) -> memoryview:
        return self._parts[number]

    def _whole(self, told: Any) -> Any:
        ((name, content),) = told.items()
        if name == "frame":
            return self._frame(content)
        if name == "series":
            frame, label, attrs = content
            series = self._frame(frame)["value"].rename(self.value(label))
            series.attrs.update(self.value(attrs))
            return series
        cls = _travelling[content[0]]
        if name == "member":
            return cls[content[1]]  # type: ignore[index]
        return cls(**{key: self.value(item) for key, item in content[1].items()})

    def _frame(self, told: Any) -> pd.DataFrame:
        columns = self.labels(told["columns"])
        arrays = self.arrays(told["of"], told["part"])
        if "index" in told:
            index = self.labels(told["index"])
        else:
            names, levels = self.value(told["levels"]), arrays[len(columns) :]
            if told["multi"]:
                index = pd.MultiIndex.from_arrays(levels, names=names)
            else:
                index = _index(levels[0], names[0])
        series = [pd.Series(array, dtype=array.dtype) for array in arrays[: len(columns)]]
        frame = pd.DataFrame(dict(enumerate(series)), index=pd.RangeIndex(len(index)))
        frame.index, frame.columns = index, columns
        frame.attrs.update(self.value(told["attrs"]))
        return frame

    def labels(self, told: Any) -> pd.Index[Any]:
        name = self.value(told["name"])
        if "range" in told:
            start, stop, step = told["range"]
            return pd.RangeIndex(start, stop, step, name=name)
        (array,) = self.arrays(told["of"], told["part"])
        return _index(array, name)

    def arrays(self, of: Sequence[Any], part: int | None) -> list[Any]:
        columns = iter(())
        if part is not None:
            with pa.ipc.open_stream(pa.py_buffer(self.part(part))) as stream:
                columns = iter(stream.read_next_batch().columns)
        return [self._array(how, columns) for how in of]

    def _array(self, told: Any, columns: Any) -> Any:
        ((name, how),) = told.items()
        if name == "objects":
            made = np.empty(len(how), dtype=object)
            made[:] = [self.value(item) for item in how]
            return made
        column = next(columns)
        if name == "categorical":
            dtype = pd.CategoricalDtype(self.labels(how["categories"]), how["ordered"])
            return pd.Categorical.from_codes(_numbers(column), dtype=dtype)
        if name == "string":
            missing = np.nan if how[1] == "nan" else pd.NA
            return _from_arrow(pd.StringDtype(how[0], na_value=missing), column)
        if name == "zoned":
            utc = pd.DatetimeIndex(_numbers(column).view(f"M8[{how[0]}]")).tz_localize("UTC")
            return utc.tz_convert(how[1]).array
        if name == "arrow":
            return _from_arrow(pd.ArrowDtype(column.type), pa.chunked_array([column]))
        if name == "masked":
            return _from_arrow(pd.api.types.pandas_dtype(how), column)
        if name == "texts":
            made = np.empty(len(column), dtype=object)
            made[:] = column.to_pylist()
            return made
        dtype = np.dtype(how)
        if dtype.kind not in "biufmM":
            raise CodecError(f"a column of type {dtype}")
        numbers = _numbers(column)
        native = dtype.newbyteorder("=")
        return (numbers.view(native) if dtype.kind in "mM" else numbers).astype(dtype, copy=False)


def _index(array: Any, name: Any) -> pd.Index[Any]:
    return cast("pd.Index[Any]", pd.Index(array, name=name, dtype=array.dtype))


def _from_arrow(dtype: Any, column: Any) -> Any:
    return dtype.__from_arrow__(column)


def _numbers(column: pa.Array) -> np.ndarray:
    return cast(np.ndarray, column.to_numpy(zero_copy_only=False, writable=True))


def _read_table(reader: _Reader, content: Any) -> dict[Any, Any]:
    if isinstance(content, dict):
        return {key: reader.value(item) for key, item in content.items()}
    return {reader.value(key): reader.value(item) for key, item in content}


def _read_scalar(reader: _Reader, content: Any) -> Any:  # noqa: ARG001
    dtype, text = content
    return np.frombuffer(base64.b64decode(text), dtype=_simple(dtype))[0]


def _read_array(reader: _Reader, content: Any) -> np.ndarray:
    dtype, shape, held = content
    if dtype is None:
        made = np.empty(len(held), dtype=object)
        made[:] = [reader.value(item) for item in held]
        return made.reshape(shape)
    return np.frombuffer(reader.part(held), dtype=_simple(dtype)).reshape(shape).copy()


def _simple(text: str) -> np.dtype[Any]:
    dtype = np.dtype(text)
    if dtype.kind not in _SCALARS:
        raise CodecError(f"numpy values of type {dtype}")
    return dtype


def _read_moment(reader: _Reader, content: Any) -> pd.Timestamp:  # noqa: ARG001
    return pd.Timestamp(np.datetime64(content[1], content[0]))


def _read_zoned(reader: _Reader, content: Any) -> pd.Timestamp:
    return _read_moment(reader, content).tz_localize("UTC").tz_convert(content[2])


def _read_duration(reader: _Reader, content: Any) -> pd.Timedelta:  # noqa: ARG001
    return pd.Timedelta(np.timedelta64(content[1], content[0]))


_READERS: Mapping[str, Callable[[_Reader, Any], Any]] = {
    "same": lambda reader, content: reader.same(content),
    "nothing": lambda _, content: {"<NA>": pd.NA, "NaT": pd.NaT}[content],
    "table": _read_table,
    "tuple": lambda reader, content: tuple(reader.value(content)),
    "set": lambda reader, content: set(reader.value(content)),
    "frozenset": lambda reader, content: frozenset(reader.value(content)),
    "scalar": _read_scalar,
    "array": _read_array,
    "day": lambda _, content: dt.date.fromisoformat(content),
    "instant": lambda _, content: dt.datetime.fromisoformat(content),
    "timestamp": _read_moment,
    "zoned": _read_zoned,
    "duration": _read_duration,
    "bytes": lambda _, content: base64.b64decode(content),
    "index": lambda reader, content: reader.labels(content),
}
