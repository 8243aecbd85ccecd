"""Answers of the Department for Education's statistics service, kept as JSON, as tables.

A query of a data set answers with results in which columns, places and categories are ids, and the
metadata of the data set say what these stand for. With ``debug=true`` the answer carries the words
beside the ids (``gIyO9 :: school_type``) and needs no metadata. Either becomes a table with the
columns of the CSV file of the same data set.

Source: explore education statistics API, version 1, "Query a data set" and "Get a data set's
metadata" (https://api.education.gov.uk/statistics/docs/).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sos_plugins.errors import DataError, listing
from sos_plugins.tables.csv_text import TextTable
from sos_plugins.tables.readable import readable

AUTHORITY_LEVEL = "LA"
BETWEEN = " :: "
"""What stands between an id and its words in answers with ``debug=true``."""
_PLACE = re.compile(r"(?P<name>.*) \(code = (?P<code>[^,]*), oldCode = (?P<old>[^)]*)\)")
_RESULT_KEYS = frozenset({"timePeriod", "geographicLevel", "values"})
_META_KEYS = frozenset({"indicators", "locations", "timePeriods"})
_HEAD = ("time_period", "time_identifier", "geographic_level")
_AUTHORITY = ("old_la_code", "new_la_code", "la_name")


@dataclass(frozen=True)
class ResultTable(TextTable):
    """Results as text, one row each; what others call the line of a row is its number."""

    def line_numbers(self) -> npt.NDArray[np.int64]:
        """Return the number of each result, from 1; (n,)."""
        return np.arange(1, self.n_rows + 1, dtype=np.int64)

    def lines(self, rows: Sequence[int]) -> list[int]:
        """Return the numbers of these rows, from 1."""
        return [row + 1 for row in rows]


@dataclass(frozen=True)
class Page:
    """One page of an answer: its number, and what all pages of the answer share, first how many."""

    number: int
    answer: tuple[Any, ...]


@dataclass(frozen=True)
class QueryResults:
    """The results of one file.

    Attributes:
        path: The file.
        results: The results, as the service gives them.
        pages: The pages that the file holds; none where it does not say.
        sha256: Digest of the file.
    """

    path: Path
    results: tuple[Mapping[str, Any], ...]
    pages: tuple[Page, ...]
    sha256: str

    def ids(self) -> frozenset[str]:
        """Return the ids that need metadata: of indicators, filters, their items and places."""
        found: set[str] = set()
        for one in self.results:
            filters = one.get("filters") or {}
            found.update(one["values"], filters, filters.values())
            found.update((one.get("locations") or {}).values())
        return frozenset(text for text in found if BETWEEN not in text)


@dataclass(frozen=True)
class Metadata:
    """What the ids of one data set stand for.

    Attributes:
        path: The file.
        columns: Names of the columns of indicators and filters, by id.
        items: Labels of the items of filters, by id.
        places: Old code, new code and name of local authorities, by id.
        others: Ids of all other places.
        sha256: Digest of the file.
    """

    path: Path
    columns: Mapping[str, str]
    items: Mapping[str, str]
    places: Mapping[str, tuple[str | None, str | None, str | None]]
    others: frozenset[str] = field(repr=False)
    sha256: str = ""

    def explains(self, ids: frozenset[str]) -> bool:
        """Whether every one of these ids is among its own."""
        return ids <= {*self.columns, *self.items, *self.places, *self.others}


def read_json(path: Path) -> QueryResults | Metadata | None:
    """Read a file of results or of metadata; None if it holds neither.

    Raises:
        DataError: If the file cannot be read, is no JSON, or its results lack what every result
            has.
    """
    with readable(path):
        content = path.read_bytes()
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON that can be read: {error}.") from None
    digest = hashlib.sha256(content).hexdigest()
    if isinstance(data, dict) and data.keys() >= _META_KEYS:
        return _metadata(path, data, digest)
    answers = data if isinstance(data, list) else [data]
    if not answers or not all(isinstance(one, dict) for one in answers):
        return None
    if all(isinstance(one.get("results"), list) for one in answers):
        results = tuple(result for one in answers for result in one["results"])
        pages = tuple(page for one in answers if (page := _page(one)) is not None)
    elif all(one.keys() >= _RESULT_KEYS for one in answers):
        results, pages = tuple(answers), ()
    else:
        return None
    for number, result in enumerate(results, 1):
        _refuse_incomplete(path, number, result)
    return QueryResults(path, results, pages, digest)


def first_pages(files: Sequence[QueryResults]) -> Mapping[Path, Path]:
    """Return the file of the first page of the answer to which the pages of each file belong.

    Raises:
        DataError: If pages of an answer are not there: their figures would be missing unnoticed.
    """
    by_answer: dict[tuple[Any, ...], dict[int, Path]] = {}
    for file in files:
        for page in file.pages:
            by_answer.setdefault(page.answer, {})[page.number] = file.path
    for answer, there in by_answer.items():
        missing = [n for n in range(1, answer[0] + 1) if n not in there]
        if missing:
            number, path = min(there.items())
            raise DataError(
                f"{path} is page {number} of {answer[0]} of an answer, and the folder lacks "
                f"{'page' if len(missing) == 1 else 'pages'} "
                f"{listing(str(n) for n in missing[:10])}{' ...' if len(missing) > 10 else ''}. "
                "Fetch every page, or the CSV file of the data set."
            )
    return {
        file.path: by_answer[file.pages[0].answer][1] if file.pages else file.path for file in files
    }


def as_table(file: QueryResults, metadata: Sequence[Metadata]) -> tuple[ResultTable, Path | None]:
    """Return results under the columns of the data set, and the metadata that explain them.

    Args:
        file: The results.
        metadata: All metadata of the folder.

    Raises:
        DataError: If no metadata explain the ids, or several do and differ; without the file.
    """
    ids = file.ids()
    if not ids:
        return _table(file, None), None
    explaining = [one for one in metadata if one.explains(ids)]
    if not explaining:
        raise DataError(
            "its columns and places are ids, and no file of metadata here explains them; put the "
            "answer of /meta for the same data set beside it as JSON, or query with debug=true"
        )
    tables = [_table(file, one) for one in explaining]
    if any(t.names != tables[0].names or t.columns != tables[0].columns for t in tables):
        raise DataError(
            f"its ids are explained differently by {listing(o.path.name for o in explaining)}; "
            "keep each data set in a folder of its own"
        )
    return tables[0], explaining[0].path


def _page(answer: Mapping[str, Any]) -> Page | None:
    paging = answer.get("paging")
    if not isinstance(paging, dict):
        return None
    number, of = paging.get("page"), paging.get("totalPages")
    if not (isinstance(number, int) and isinstance(of, int) and 0 < number <= of):
        return None
    shared = (paging.get("totalResults"), paging.get("pageSize"))
    first: Any = next(iter(answer["results"]), None)
    values = first.get("values") if isinstance(first, dict) else None
    return Page(number, (of, *shared, *sorted(values or ())))


def _refuse_incomplete(path: Path, number: int, result: Any) -> None:
    period = result.get("timePeriod") if isinstance(result, dict) else None
    if (
        not isinstance(period, dict)
        or not isinstance(result.get("values"), dict)
        or not isinstance(result.get("locations") or {}, dict)
        or not isinstance(result.get("filters") or {}, dict)
        or any(not isinstance(v, str) for v in (result.get("filters") or {}).values())
        or any(not isinstance(v, str) for v in (result.get("locations") or {}).values())
    ):
        raise DataError(
            f"{path}, result {number}: expected timePeriod, geographicLevel, locations, filters "
            "and values, as a query of the statistics service gives them."
        )


def _metadata(path: Path, data: Mapping[str, Any], digest: str) -> Metadata:
    columns, items, places, others = {}, {}, {}, set()
    try:
        for indicator in data["indicators"]:
            columns[indicator["id"]] = indicator.get("column") or indicator["label"]
        for one in data.get("filters") or ():
            columns[one["id"]] = one.get("column") or one["label"]
            items.update({item["id"]: item["label"] for item in one["options"]})
        for level in data["locations"]:
            for place in level["options"]:
                if level["level"]["code"] != AUTHORITY_LEVEL:
                    others.add(place["id"])
                    continue
                name = place.get("label") or place.get("name")
                places[place["id"]] = (place.get("oldCode"), place.get("code"), name)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: expected the metadata of a data set, whose indicators, filters and locations "
            f"have id and label; {error} is not there or of another kind."
        ) from None
    return Metadata(path, columns, items, places, frozenset(others), digest)


def _table(file: QueryResults, metadata: Metadata | None) -> ResultTable:
    rows = [dict(_cells(one, metadata)) for one in file.results]
    names = list(dict.fromkeys(name for row in rows for name in row))
    digests = file.sha256 + (metadata.sha256 if metadata else "")
    return ResultTable(
        path=file.path,
        names=tuple(names),
        columns=tuple(
            pa.chunked_array([pa.array([_text(row.get(name)) for row in rows], pa.string())])
            for name in names
        ),
        misfits=(),
        sha256=hashlib.sha256(digests.encode()).hexdigest(),
    )


def _cells(result: Mapping[str, Any], metadata: Metadata | None) -> Iterator[tuple[str, Any]]:
    period = result["timePeriod"]
    head = (period.get("period"), period.get("code"), result.get("geographicLevel"))
    yield from zip(_HEAD, head, strict=True)
    place = (result.get("locations") or {}).get(AUTHORITY_LEVEL)
    yield from zip(_AUTHORITY, _authority(place, metadata), strict=True)
    for column, item in (result.get("filters") or {}).items():
        yield _column(column, metadata), _item(item, metadata)
    for column, value in result["values"].items():
        yield _column(column, metadata), value


def _authority(
    place: str | None, metadata: Metadata | None
) -> tuple[str | None, str | None, str | None]:
    if place is None:
        return None, None, None
    if BETWEEN not in place:
        return metadata.places[place] if metadata and place in metadata.places else (None,) * 3
    _, _, words = place.partition(BETWEEN)
    parts = _PLACE.fullmatch(words)
    return (parts["old"], parts["code"], parts["name"]) if parts else (None, None, words)


def _column(text: str, metadata: Metadata | None) -> str:
    name, between, words = text.partition(BETWEEN)
    return words if between or metadata is None else metadata.columns.get(name, name)


def _item(text: str, metadata: Metadata | None) -> str:
    name, between, words = text.partition(BETWEEN)
    return words if between or metadata is None else metadata.items.get(name, name)


def _text(value: Any) -> str | None:
    return None if value is None else str(value).strip() or None
