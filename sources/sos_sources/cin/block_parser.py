"""A block of children of a census return as rows, with operations on all of its tags at once.

Nearly every child of a return is *plain*: elements without attributes, ASCII text without
entities, each element once and where it belongs. Such children never become objects: positions of
tags are found in the bytes, names are numbers, and texts are cut out of the block by Arrow. A child
that is anything else is left to the parser of :mod:`sos_sources.cin.xml`; where the block itself is
in doubt, nothing of the file is read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sos_sources.cin.dates import date_array, read_dates
from sos_sources.cin.rows import BETWEEN, DATES, EXTRA, RAW, SCHEMAS, TEXT
from sos_sources.cin.tag_lookup import (
    COLUMNS_BITS,
    CONTAINER,
    FURTHER,
    ID,
    LIST,
    NOT_HERE,
    PADDING,
    UNKNOWN,
    Ids,
    Ints,
    Vocabulary,
)
from sos_sources.cin.xml import MODULES, PARTS

LT, GT, SLASH, AMPERSAND, BANG, QUESTION = b"<>/&!?"
SPACE, NEWLINE, RETURN, TAB = b" \n\r\t"
LAST_ASCII = 0x7F
DEEPEST = 12
"""A deeper nesting is left to the parser."""
CONTAINER_OF = {
    "children": "Child",
    "referrals": "CINdetails",
    **{table: name for name, (table, _) in MODULES.items()},
}
_PLACES = FURTHER - 1
"""The bits of an action that are the place of a further element."""
DISABILITIES = RAW["children"].index("disabilities")
ID_COLUMN, DATE_COLUMN = RAW["children"].index("id"), RAW["referrals"].index("referral")

Flags = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


class NotPlainError(Exception):
    """The file cannot be read block by block; the parser can."""


@dataclass(frozen=True)
class Odd:
    """A child left to the parser: where it starts in the file, its line and its bytes."""

    offset: int
    line: int
    data: bytes


@dataclass(frozen=True)
class Block:
    """What a block gave.

    Attributes:
        tables: Rows of plain children, see :data:`sos_sources.cin.xml.RAW`. Rows are numbered by
            where their elements start in the file, so numbers are not dense but in order.
        odd: Children left to the parser.
        further: Parts of a child, and further elements found in them.
    """

    tables: Mapping[str, pa.Table]
    odd: Sequence[Odd]
    further: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class _Tags:
    """All tags of a block, in order.

    Attributes:
        start: Where each ``<`` stands.
        end: Where each ``>`` stands.
        closing: Whether it is an end tag.
        empty: Whether it is an empty element.
        name: Number of its name.
        depth: How deep its element lies, 1 for a child.
        doubtful: End tags of which the parser must say whether they are in their place.
    """

    start: Ints
    end: Ints
    closing: Flags
    empty: Flags
    name: Ids
    depth: npt.NDArray[np.int32]
    doubtful: Ints


@dataclass(frozen=True)
class _Elements:
    """All elements of a block, in order.

    Attributes:
        tag: Which tag starts each.
        name: Number of its name.
        outer: Number of the name of what it stands in.
        action: What becomes of it.
        child: Which child of the block it belongs to.
        leaf: Whether it holds text alone.
    """

    tag: Ints
    name: Ids
    outer: Ints
    action: npt.NDArray[np.int16]
    child: Ints
    leaf: Flags


def read_block(data: bytes, known: Vocabulary, *, offset: int, line: int) -> Block:
    """Read the children in a block of bytes that ends with the end of a child.

    Args:
        data: The bytes.
        known: The names of elements, and what becomes of each.
        offset: Where they start in the file.
        line: The line that they start in.

    Raises:
        NotPlainError: If tags cannot be told from text, elements do not nest, or something stands
            between the children.
    """
    padded = data + PADDING
    raw = np.frombuffer(data, dtype=np.uint8)
    blanks = _blanks(raw)
    tags = _tags(padded, raw, known)
    elements = _elements(tags, known)
    first = _first_tags(tags, elements)
    bad = np.zeros(len(first), dtype=bool)
    bad[elements.child[elements.action == NOT_HERE]] = True
    bad[np.searchsorted(first, _unusual(data, raw, blanks, tags, elements), "right") - 1] = True
    maker = _Maker(padded, raw, known, tags, elements, first, bad, blanks.newlines, offset, line)
    return maker.block()


@dataclass(frozen=True)
class _Blanks:
    """Where a block has blanks of any kind, ends of lines, and returns."""

    all: Ints
    newlines: Ints
    returns: Ints


def _blanks(raw: Bytes) -> _Blanks:
    """Return where the blanks are; refuse characters that no XML may hold."""
    places = np.flatnonzero(raw <= SPACE)
    blank = raw[places]
    newline, carriage = blank == NEWLINE, blank == RETURN
    if not (newline | carriage | (blank == SPACE) | (blank == TAB)).all():
        raise NotPlainError
    return _Blanks(places, places[newline], places[carriage])


def _tags(padded: bytes, raw: Bytes, known: Vocabulary) -> _Tags:
    start, end = np.flatnonzero(raw == LT), np.flatnonzero(raw == GT)
    if len(start) != len(end) or not len(start):
        raise NotPlainError
    if (start >= end).any() or (end[:-1] >= start[1:]).any():
        raise NotPlainError
    second = raw[start + 1]
    if ((second == BANG) | (second == QUESTION)).any():
        raise NotPlainError
    closing = second == SLASH
    empty = (raw[end - 1] == SLASH) & ~closing
    begins = start + 1 + closing
    name = known.ids(padded, begins, end - empty - begins)
    change = np.where(empty, 0, np.where(closing, -1, 1)).astype(np.int8)
    open_after = np.cumsum(change, dtype=np.int32)
    depth = open_after + (closing | empty)
    if open_after[-1] != 0 or open_after.min() < 0 or depth.max() > DEEPEST:
        raise NotPlainError
    if raw[: start[0]].size and (raw[: start[0]] > SPACE).any():
        raise NotPlainError
    doubtful = _crossing(name, depth, empty)
    return _Tags(start, end, closing, empty, name, depth, doubtful)


def _crossing(name: Ids, depth: npt.NDArray[np.int32], empty: Flags) -> Ints:
    """Return end tags whose name may not be that of their start; refuse where it is not."""
    both = np.flatnonzero(~empty)
    # Among the tags of one depth a start and an end take turns: neighbours are a pair.
    pairs = both[np.argsort(depth[both].astype(np.uint8), kind="stable")]
    first, last = name[pairs[0::2]], name[pairs[1::2]]
    other = first != last
    unknown = (first == UNKNOWN) | (last == UNKNOWN)
    if (other & ~unknown).any():
        raise NotPlainError
    crossing: Ints = pairs[1::2][other]
    return crossing


def _elements(tags: _Tags, known: Vocabulary) -> _Elements:
    tag = np.flatnonzero(~tags.closing)
    name, depth = tags.name[tag], tags.depth[tag]
    numbers = np.arange(len(tag))
    outer = np.full(len(tag), known.top)
    for level in range(1, int(depth.max())):
        last = np.maximum.accumulate(np.where(depth == level, numbers, 0))
        inside = depth == level + 1
        outer[inside] = name[last[inside]]
    action = known.actions[outer, name]
    if (action[depth == 1] != CONTAINER).any():
        raise NotPlainError
    following = np.append(tags.closing[1:], False)[tag]
    leaf = ~tags.empty[tag] & following
    return _Elements(tag, name, outer, action, np.cumsum(depth == 1) - 1, leaf)


def _unusual(data: bytes, raw: Bytes, blanks: _Blanks, tags: _Tags, elements: _Elements) -> Ints:
    """Return the tags in which or after which something stands that the parser must see."""
    unusual = [tags.doubtful]
    text = np.zeros(len(tags.start), dtype=bool)
    text[elements.tag[elements.leaf]] = True
    if AMPERSAND in data:
        unusual.append(_tag_at(np.flatnonzero(raw == AMPERSAND), tags))
    if not data.isascii():
        unusual.append(_tag_at(np.flatnonzero(raw > LAST_ASCII), tags))
    if len(blanks.returns):  # in a text the end of a line becomes one character
        places = _tag_at(blanks.returns[blanks.returns > tags.start[0]], tags)
        unusual.append(places[text[places]])
    unusual.append(_loose(blanks.all, tags, text))
    return np.concatenate(unusual)


def _loose(blanks: Ints, tags: _Tags, text: Flags) -> Ints:
    """Return the tags that are followed by text that no element holds alone."""
    gaps = np.flatnonzero((tags.start[1:] - tags.end[:-1] > 1) & ~text[:-1])
    begin, beyond = tags.end[gaps] + 1, tags.start[gaps + 1]
    n_blank = np.searchsorted(blanks, beyond) - np.searchsorted(blanks, begin)
    loose = gaps[n_blank < beyond - begin]
    between = (tags.depth[loose] == 1) & (tags.closing[loose] | tags.empty[loose])
    if between.any():
        raise NotPlainError
    return loose


def _tag_at(places: Ints, tags: _Tags) -> Ints:
    """Return the tag that each place is in or follows."""
    tag = np.searchsorted(tags.start, places, "right") - 1
    if (tag < 0).any():
        raise NotPlainError
    return tag


def _first_tags(tags: _Tags, elements: _Elements) -> Ints:
    """Return the tag that starts each child."""
    firsts: Ints = elements.tag[tags.depth[elements.tag] == 1]
    return firsts


@dataclass
class _Maker:
    """Makes rows out of the elements of a block; ``bad`` are the children left to the parser."""

    data: bytes
    raw: Bytes
    known: Vocabulary
    tags: _Tags
    elements: _Elements
    first: Ints
    bad: Flags
    newlines: Ints
    offset: int
    line: int

    def block(self) -> Block:
        """Return the rows, and the children left over."""
        elements = self.elements
        texts = self._texts()
        kept = elements.action[texts]
        rows = {table: self._rows(table) for table in RAW}
        slots = {
            table: self._slots(table, number, texts, kept, rows[table])
            for number, table in enumerate(RAW)
        }
        listed = self._lists(texts, kept, rows["children"])
        self._cut(texts)
        further = self._further(texts, kept, rows)
        tables = {table: self._table(table, rows, slots, listed, further[table]) for table in RAW}
        odd = [self._odd(int(i)) for i in np.flatnonzero(self.bad)]
        return Block(tables, odd, self._found())

    def _texts(self) -> Ints:
        """Return the elements whose texts are wanted and not empty; note texts to be trimmed."""
        elements, tags = self.elements, self.tags
        some = np.flatnonzero((elements.action >= 0) & elements.leaf)
        start, end = tags.end[elements.tag[some]] + 1, tags.start[elements.tag[some] + 1]
        some, start, end = some[end > start], start[end > start], end[end > start]
        trimmed = (self.raw[start] <= SPACE) | (self.raw[end - 1] <= SPACE)
        self.bad[elements.child[some[trimmed]]] = True
        return some

    def _rows(self, table: str) -> Ints:
        """Return the elements that are rows of a table."""
        elements = self.elements
        name = ID[CONTAINER_OF[table]]
        return np.flatnonzero((elements.name == name) & (elements.action == CONTAINER))

    def _slots(
        self, table: str, number: int, texts: Ints, actions: npt.NDArray[np.int16], rows: Ints
    ) -> npt.NDArray[np.int32]:
        """Return for each row and column which of ``texts`` stands there, -1 for none.

        A text belongs to the last row before it, if that is of its own child. In a child that is
        left to the parser the row may be missing: its texts are passed over.
        """
        n = len(RAW[table])
        mine = np.flatnonzero((actions >> COLUMNS_BITS) == number)
        child = self.elements.child[texts[mine]]
        place = np.searchsorted(rows, texts[mine], "right") - 1
        owner = np.append(self.elements.child[rows], -1)[place]
        self.bad[child[owner != child]] = True
        sound = ~self.bad[child]
        mine, child, place = mine[sound], child[sound], place[sound]
        place = place * n + (actions[mine] & ((1 << COLUMNS_BITS) - 1))
        slots = np.full(len(rows) * n, -1, dtype=np.int32)
        slots[place] = mine
        self.bad[child[slots[place] != mine]] = True
        return slots.reshape(len(rows), n)

    def _lists(
        self, texts: Ints, actions: npt.NDArray[np.int16], rows: Ints
    ) -> tuple[Ints, npt.NDArray[np.int32]]:
        """Return which ``texts`` are disabilities, and where those of each child start."""
        elements = self.elements
        lists = elements.child[elements.name == ID["Disabilities"]]
        self.bad[lists[1:][lists[1:] == lists[:-1]]] = True
        mine = np.flatnonzero(actions == LIST)
        numbers = np.arange(len(rows) + 1)
        return mine, np.searchsorted(elements.child[texts[mine]], numbers).astype(np.int32)

    def _found(self) -> frozenset[tuple[str, str]]:
        """Return the parts and the further elements in them."""
        elements, names = self.elements, self.known.names
        which = np.flatnonzero((elements.action & ~_PLACES) == FURTHER)
        pairs = np.unique(np.stack([elements.outer[which], elements.name[which]]), axis=1)
        return frozenset((names[outer], names[name]) for outer, name in pairs.T)

    def _further(
        self, texts: Ints, actions: npt.NDArray[np.int16], rows: dict[str, Ints]
    ) -> dict[str, pa.Array]:
        """Return by table the texts of further elements of each row, null where it has none."""
        if not self.known.further:
            return {table: pa.nulls(len(rows[table]), pa.string()) for table in RAW}
        elements = self.elements
        given = np.flatnonzero((elements.action & ~_PLACES) == FURTHER)
        given = given[~self.bad[elements.child[given]]]
        mine = np.flatnonzero(actions >= FURTHER)
        mine = mine[~self.bad[elements.child[texts[mine]]]]
        starts = np.append(np.searchsorted(texts[mine], given), len(mine)).astype(np.int32)
        joined = self._listed(mine, starts)
        return {table: self._further_of(table, given, joined, rows[table]) for table in RAW}

    def _further_of(self, table: str, given: Ints, joined: pa.Array, rows: Ints) -> pa.Array:
        """Return the texts of one table; a child that gives one twice is left to the parser."""
        elements, n = self.elements, len(self.known.further)
        parts = [ID[part] for part, (of, _) in PARTS.items() if of == table]
        which = np.flatnonzero(np.isin(elements.outer[given], parts))
        own = given[which]
        place = (np.searchsorted(rows, own, "right") - 1) * n + (elements.action[own] & _PLACES)
        cells = np.full(len(rows) * n, -1, dtype=np.int64)
        cells[place] = which
        self.bad[elements.child[own[cells[place] != which]]] = True
        by_row = cells.reshape(len(rows), n)
        columns = [joined.take(pa.array(c, mask=c < 0)).fill_null("") for c in by_row.T]
        together = pc.binary_join_element_wise(*columns, BETWEEN)
        return pc.if_else(
            pa.array((by_row >= 0).any(axis=1)), together, pa.scalar(None, pa.string())
        )

    def _cut(self, texts: Ints) -> None:
        """Cut out the wanted texts, each followed by what lies before the next; read dates."""
        tag = self.elements.tag[texts]
        start, end = self.tags.end[tag] + 1, self.tags.start[tag + 1]
        edges = np.empty(2 * len(texts), dtype=np.int32)
        edges[0::2], edges[1::2] = start, end
        self.strings = pa.array([], pa.string())
        if len(texts):
            buffers = [None, pa.py_buffer(edges), pa.py_buffer(self.data)]
            self.strings = pa.Array.from_buffers(pa.string(), len(edges) - 1, buffers)
        self.start, self.length = start, end - start

    def _table(
        self,
        table: str,
        rows: dict[str, Ints],
        slots: dict[str, npt.NDArray[np.int32]],
        listed: tuple[Ints, npt.NDArray[np.int32]],
        further: pa.Array,
    ) -> pa.Table:
        elements, tags = self.elements, self.tags
        good = ~self.bad[elements.child[rows[table]]]
        mine = rows[table][good]
        child, start = elements.child[mine], tags.start[elements.tag[mine]]
        details = np.searchsorted(rows["referrals"], mine, "right") - 1
        owner = np.zeros(len(mine), dtype=np.int64)
        if table != "children":
            owner = tags.start[elements.tag[rows["referrals"][details]]] + self.offset
        columns = {
            "row_no": pa.array(start + self.offset),
            "child_no": pa.array(tags.start[self.first[child]] + self.offset),
            "referral_no": pa.array(owner),
            "line": pa.array(self.line + np.searchsorted(self.newlines, start)),
            EXTRA: further.filter(pa.array(good)),
        }
        if table != "children":
            columns["child"] = self._taken(slots["children"][child, ID_COLUMN])
        if table not in ("children", "referrals"):
            columns |= self._dates("referral", slots["referrals"][details, DATE_COLUMN])
        for number, column in enumerate(RAW[table]):
            which = slots[table][good, number]
            if table == "children" and number == DISABILITIES:
                columns[column] = self._joined(*listed).filter(pa.array(good))
            elif column in DATES[table]:
                columns |= self._dates(column, which)
            else:
                columns[column] = self._taken(which)
        return pa.table([columns[name] for name in SCHEMAS[table].names], SCHEMAS[table])

    def _taken(self, which: npt.NDArray[np.int32]) -> pa.Array:
        return self.strings.take(pa.array(2 * which, mask=which < 0))

    def _dates(self, column: str, which: npt.NDArray[np.int32]) -> dict[str, pa.Array]:
        """Return a column of dates, and the text of those that could not be read."""
        known = np.flatnonzero(which >= 0)
        some = which[known]
        days, read = np.zeros(len(which), dtype=np.int32), np.zeros(len(which), dtype=bool)
        days[known], read[known] = read_dates(self.data, self.start[some], self.length[some])
        left = np.where(read, -1, which)
        text = self._taken(left) if (left >= 0).any() else pa.nulls(len(which), pa.string())
        return {column: date_array(days, read), column + TEXT: text}

    def _joined(self, mine: Ints, starts: npt.NDArray[np.int32]) -> pa.Array:
        """Return the texts of each child joined with commas, null where it has none."""
        joined = self._listed(mine, starts)
        return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)

    def _listed(self, mine: Ints, starts: npt.NDArray[np.int32]) -> pa.Array:
        """Return texts joined with commas, those from each start to the next."""
        texts = self.strings.take(pa.array(2 * mine))
        return pc.binary_join(pa.ListArray.from_arrays(pa.array(starts), texts), ",")

    def _odd(self, child: int) -> Odd:
        start = int(self.tags.start[self.first[child]])
        beyond = self.first[child + 1] if child + 1 < len(self.first) else len(self.tags.start)
        end = int(self.tags.end[int(beyond) - 1]) + 1
        line = self.line + int(np.searchsorted(self.newlines, start))
        return Odd(start + self.offset, line, self.data[start:end])
