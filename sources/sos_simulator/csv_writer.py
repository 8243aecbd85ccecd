"""Returns of looked-after children (SSDA903) as CSV, one folder an authority and year."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sos_simulator.children import LETTERS, Children
from sos_simulator.dates import NEVER, YEAR, Flags, Ints, date_of, year_end, year_start
from sos_simulator.orders import FIRST_YEAR
from sos_simulator.recording import Written

EPISODES = (
    "CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC,REASON_PLACE_CHANGE,HOME_POST,PL_POST,URN"
)
HEADER = "CHILD,SEX,DOB,ETHNIC,UPN,MOTHER,MC_DOB"
UASC = "CHILD,SEX,DOB,DUC"
DOLO = "CHILD,DOB,DOLO_START,DOLO_END"
LETTERS_SINCE = 2024
"""April-year of the first return that writes sex as a letter."""
_MOVE_PLANNED = "CARPL"

Text = Any


def write_returns(
    folder: Path,
    *,
    codes: Sequence[str],
    children: Children,
    episodes: pd.DataFrame,
    orders: pd.DataFrame,
    written: Written,
    years: range,
    advance: Callable[[int], Any] = lambda _: None,
) -> list[Path]:
    """Write ``<code>/<year>/episodes.csv``, ``header.csv``, ``uasc.csv``, and later ``dolo.csv``.

    A return holds every episode open at any time between 1 April and 31 March of the year it is
    named after (the year it ends in). An episode that goes on has neither DEC nor REC.

    Args:
        folder: Where the folders go.
        codes: Codes of the authorities.
        children: All children.
        episodes: As :func:`sos_simulator.care_model.episodes` returns them, in the order
            of unit, child and start.
        orders: As :func:`sos_simulator.orders.orders_of` returns them.
        written: What is written of children, episodes and orders.
        years: April-years.
        advance: Called with 1 after each year.
    """
    said = written.children_at_last
    texts = _day_texts(said, written, years)
    files: list[Path] = []
    for year in years:
        start, end = year_start(year), year_end(year)
        shown = (episodes["start"] <= end) & (episodes["end"] >= start)
        shown &= ~written.no_care[episodes["unit"].to_numpy(), year - years[0]]
        this_year = episodes[shown]
        child = this_year["child"].to_numpy()
        unit = this_year["unit"].to_numpy()
        once = np.append(True, child[1:] != child[:-1])[: len(child)]
        asylum = once & children.uasc[child]
        ages_out = (children.birth + np.round(18 * YEAR).astype(np.int64))[child]
        tables = {
            "episodes.csv": (
                EPISODES,
                unit,
                _episode_lines(this_year, written.episodes[shown], children, texts, end),
            ),
            "header.csv": (HEADER, unit[once], _header_lines(child[once], said, texts, year)),
            "uasc.csv": (
                UASC,
                unit[asylum],
                _uasc_lines(child[asylum], ages_out[asylum], said, texts, year),
            ),
        }
        if year >= FIRST_YEAR:
            tables["dolo.csv"] = _order_file(orders, written, said, texts, year)
        for name, (head, units, lines) in tables.items():
            # A list of asylum seekers is there even when it is empty: then there are none.
            for index in np.unique(unit):
                path = folder / codes[index] / str(year + 1) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                rows = lines.filter(pa.array(units == index)).to_pylist()
                path.write_text("\n".join([head, *rows, ""]), encoding="utf-8")
                files.append(path)
        advance(1)
    return files


class _DayTexts:
    """Days as dd/mm/yyyy."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        days = [date_of(d).strftime("%d/%m/%Y") for d in range(first, last + 1)]
        self.texts = pa.array(days)

    def __call__(self, days: Ints, shown: Flags | None = None) -> Text:
        hidden = days == NEVER if shown is None else ~shown | (days == NEVER)
        index = pa.array(np.where(hidden, 0, days - self.first), mask=hidden)
        return pc.fill_null(self.texts.take(index), "")


def _day_texts(children: Children, written: Written, years: range) -> _DayTexts:
    episodes = written.episodes
    days = [children.birth, episodes["start"].to_numpy(), episodes["end"].to_numpy()]
    days += [written.orders[column].to_numpy() for column in ("start", "end")]
    days.append(np.array([year_start(years[0] - 30), year_end(years[-1] + 20)]))
    known = np.concatenate([d[d < NEVER] for d in days])
    return _DayTexts(int(known.min()), int(known.max()))


def _join(*columns: Text | str) -> Text:
    return pc.binary_join_element_wise(*columns, ",")


def _episode_lines(
    frame: pd.DataFrame, said: pd.DataFrame, children: Children, texts: _DayTexts, end: int
) -> Text:
    ended = frame["end"].to_numpy() <= end

    def text(column: str, shown: Flags | None = None) -> Text:
        values = said[column].to_numpy(dtype=object)
        hidden = pd.isna(values) if shown is None else pd.isna(values) | ~shown
        return pa.array(np.where(hidden, "", values), pa.string())

    moves = np.isin(frame["reason_start"].to_numpy(dtype=object), ["P", "B"])
    return _join(
        _identifiers(frame["child"].to_numpy(), children),
        texts(said["start"].to_numpy()),
        text("reason_start"),
        text("legal_status"),
        text("cin"),
        text("placement"),
        text("placement_provider"),
        texts(said["end"].to_numpy(), ended),
        text("reason_end", ended),
        pa.array(np.where(moves, _MOVE_PLANNED, "").astype(object)),
        "",
        "",
        "",
    )


def _order_file(
    orders: pd.DataFrame, written: Written, children: Children, texts: _DayTexts, year: int
) -> tuple[str, Ints, Text]:
    start, end = orders["start"].to_numpy(), orders["end"].to_numpy()
    shown = (start <= year_end(year)) & (end >= year_start(year))
    some, said = orders[shown], written.orders[shown]
    child = some["child"].to_numpy()
    lines = _join(
        _identifiers(child, children),
        texts(children.birth[child]),
        texts(said["start"].to_numpy()),
        texts(said["end"].to_numpy(), end[shown] <= year_end(year)),
    )
    return DOLO, some["unit"].to_numpy(), lines


def _identifiers(child: Ints, children: Children) -> Text:
    return pa.array(children.identifier[child]).cast(pa.string())


def _sex(child: Ints, children: Children, year: int) -> Text:
    codes = children.sex[child]
    return pa.array(LETTERS[codes] if year >= LETTERS_SINCE else codes.astype(str), pa.string())


def _header_lines(child: Ints, children: Children, texts: _DayTexts, year: int) -> Text:
    return _join(
        _identifiers(child, children),
        _sex(child, children, year),
        texts(children.birth[child]),
        pc.fill_null(pa.array(children.ethnicity[child], pa.string()), ""),
        pa.array(children.number[child], pa.string()),
        "",
        "",
    )


def _uasc_lines(child: Ints, until: Ints, children: Children, texts: _DayTexts, year: int) -> Text:
    return _join(
        _identifiers(child, children),
        _sex(child, children, year),
        texts(children.birth[child]),
        texts(until),
    )
