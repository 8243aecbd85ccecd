"""Streaming parser of children in need census returns (XML).

A file is read child by child: a child's elements are turned into rows of text and freed at once.
Nothing is converted here; see :mod:`sos_sources.cin.tables`. Most files are read faster, by
:mod:`sos_sources.cin.fast_reader`, with the same result.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from lxml import etree

from sos_sources.cin.rows import N_KEYS, RAW, Rows, Sink, pack

IGNORED = -1
"""Slot of an element that is known and not used."""
PACK_EVERY = 20_000
"""Children between two packings of rows into Arrow."""

PARSING: dict[str, Any] = {
    "remove_blank_text": True,
    "remove_comments": True,
    "remove_pis": True,
    "resolve_entities": False,
    "no_network": True,
}
"""How a file is parsed: nothing is expanded or fetched."""


def _slots(table: str, tags: dict[str, str | None]) -> dict[str, int]:
    columns = RAW[table]
    return {
        tag: IGNORED if column is None else N_KEYS + columns.index(column)
        for tag, column in tags.items()
    }


IDENTIFIERS = _slots(
    "children",
    {
        "LAchildID": "id",
        "PersonBirthDate": "birth",
        "ExpectedPersonBirthDate": "expected",
        "GenderCurrent": "sex",
        "Sex": "sex",
        "UPN": None,
        "FormerUPN": None,
        "UPNunknown": None,
        "PersonDeathDate": None,
    },
)
CHARACTERISTICS = _slots("children", {"Ethnicity": "ethnicity", "Disabilities": "disabilities"})
DETAILS = _slots(
    "referrals",
    {
        "CINreferralDate": "referral",
        "ReferralSource": "source",
        "PrimaryNeedCode": "need",
        "CINclosureDate": "closure",
        "ReasonForClosure": "reason",
        "DateOfInitialCPC": "icpc",
        "ReferralNFA": "nfa",
        "CINPlanDates": None,
    },
)
MODULES: dict[str, tuple[str, dict[str, int]]] = {
    "Assessments": (
        "assessments",
        _slots(
            "assessments",
            {
                "AssessmentActualStartDate": "start",
                "AssessmentInternalReviewDate": "review",
                "AssessmentAuthorisationDate": "authorised",
                "FactorsIdentifiedAtAssessment": None,
            },
        ),
    ),
    "Section47": (
        "section47s",
        _slots(
            "section47s",
            {
                "S47ActualStartDate": "start",
                "InitialCPCtarget": "target",
                "DateOfInitialCPC": "icpc",
                "ICPCnotRequired": "not_required",
            },
        ),
    ),
    "ChildProtectionPlans": (
        "protection_plans",
        _slots(
            "protection_plans",
            {
                "CPPstartDate": "start",
                "CPPendDate": "end",
                "InitialCategoryOfAbuse": "initial",
                "LatestCategoryOfAbuse": "latest",
                "NumberOfPreviousCPP": "previous",
                "SeenSocialWorker": None,
                "Reviews": None,
            },
        ),
    ),
}
PARTS = {
    "ChildIdentifiers": ("children", IDENTIFIERS),
    "ChildCharacteristics": ("children", CHARACTERISTICS),
    "CINdetails": ("referrals", DETAILS),
    **MODULES,
}
"""The table of each part of a child, and what is read from it."""
DISABILITIES = CHARACTERISTICS["Disabilities"]
CHILD_ID, REFERRAL_DATE = IDENTIFIERS["LAchildID"], DETAILS["CINreferralDate"]


@dataclass(frozen=True)
class Oddity:
    """Something in a file that fits nowhere.

    ``check`` is ``unreadable`` (stray text), ``unknown-element`` or ``conflict`` (one element
    twice, with different contents); ``where`` the element it stands in, ``text`` its name.
    """

    check: str
    where: str
    text: str


@dataclass
class RawReturn:
    """One file as text.

    Attributes:
        path: The file.
        sha256: Digest of its bytes.
        root: Name of the root element, "" when there is none.
        header: Texts of Collection, Year, ReferenceDate and LEA, as far as given.
        n_rows: How many rows of each table of :data:`RAW` the file gave.
        oddities: How often each oddity occurs, and the first lines.
        extras: Parts of a child, and further elements that were asked for and found in them.
        broken: Where and why the XML breaks off, "" when it does not.
        broken_line: The line of the break.
    """

    path: Path
    sha256: str = ""
    root: str = ""
    header: dict[str, str] = field(default_factory=dict)
    n_rows: dict[str, int] = field(default_factory=dict)
    oddities: Counter[Oddity] = field(default_factory=Counter)
    lines: dict[Oddity, list[int]] = field(default_factory=dict)
    extras: set[tuple[str, str]] = field(default_factory=set)
    broken: str = ""
    broken_line: int = 0


class _Digesting:
    """A file that is hashed as it is read, and says how far the reading has come."""

    def __init__(self, file: BinaryIO, advance: Callable[[int], None]) -> None:
        self.file = file
        self.advance = advance
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self.file.read(size)
        self.hash.update(block)
        self.advance(len(block))
        return block


def parse_return(
    path: Path,
    sink: Sink,
    *,
    n_lines: int = 20,
    extras: Sequence[str] = (),
    advance: Callable[[int], None] = lambda _: None,
) -> RawReturn:
    """Read one file; a break in the XML ends the reading and is noted, never raised.

    Args:
        path: The file.
        sink: Where its rows go.
        n_lines: For how many occurrences of an oddity the line is kept.
        extras: Names of further elements whose texts are read.
        advance: Called with the number of bytes read.
    """
    with path.open("rb") as file:
        source = _Digesting(file, advance)
        reader = Reader(path, sink, n_lines, extras)
        try:
            with _no_garbage_collection():
                reader.read(source)
        except etree.XMLSyntaxError as error:
            reader.raw.broken = str(error.msg or "not XML").split(", line ")[0]
            reader.raw.broken_line = error.lineno or 0
        while source.read(1 << 20):
            pass
    raw = reader.finish()
    raw.sha256 = source.hash.hexdigest()
    return raw


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the search for cycles: rows make none, and it would walk over all of them again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Reader:
    """Turns the elements of one file into rows.

    The loops over elements are written out: they run once an element, millions of times a file.
    """

    def __init__(self, path: Path, sink: Sink, n_lines: int, extras: Sequence[str] = ()) -> None:
        self.raw = RawReturn(path)
        self.extras = {name: place for place, name in enumerate(extras)}
        self.n_lines = n_lines
        self.rows: dict[str, list[list[Any]]] = {name: [] for name in RAW}
        self.n_rows = dict.fromkeys(RAW, 0)
        self.out = Rows(sink)
        self.lines_before = 0

    def number_from(self, number: int, lines_before: int) -> None:
        """Number the rows of the next child from here; lines are those of its text and these."""
        self.n_rows = dict.fromkeys(RAW, number)
        self.lines_before = lines_before

    def finish(self) -> RawReturn:
        """Return what was found."""
        self.pack()
        self.out.finish()
        self.raw.n_rows = self.out.n
        return self.raw

    def read(self, source: Any) -> None:
        """Read a file, or what has its method ``read``."""
        events = etree.iterparse(source, events=("end",), tag=("{*}Child", "{*}Header"), **PARSING)
        for _, element in events:
            if not self.raw.root:
                self.raw.root = _local(element.getroottree().getroot().tag)
            if _local(element.tag) == "Header":
                self._header(element)
                continue
            self.child(element)
            self._free(element)
        root = events.root
        if root is not None:
            self.raw.root = _local(root.tag)
            self._outside(root)

    def pack(self) -> None:
        """Move the rows gathered so far into Arrow."""
        ids = {row[1]: row[CHILD_ID] for row in self.rows["children"]}
        dates = {row[2]: row[REFERRAL_DATE] for row in self.rows["referrals"]}
        for name, rows in self.rows.items():
            if rows:
                self.out.add(name, pack(name, rows, ids, dates))
                rows.clear()

    def _free(self, child: etree._Element) -> None:
        child.clear(keep_tail=True)
        previous = child.getprevious()
        while previous is not None:
            parent = child.getparent()
            assert parent is not None
            if previous.tail is not None:
                self._stray(previous.tail, parent, previous)
            if _local(previous.tag) != "Child":
                self._odd("unknown-element", parent, _local(previous.tag), previous)
            parent.remove(previous)
            previous = child.getprevious()
        if len(self.rows["children"]) >= PACK_EVERY:
            self.pack()

    def _outside(self, root: etree._Element) -> None:
        """Look at what stands around the header and the children."""
        for element in (root, *root):
            if element.text is not None:
                self._stray(element.text, element, element)
            if element is not root:
                if element.tail is not None:
                    self._stray(element.tail, root, element)
                if _local(element.tag) not in ("Header", "Children"):
                    self._odd("unknown-element", root, _local(element.tag), element)
        for element in root.iterchildren("{*}Children"):
            for left in element:
                if left.tail is not None:
                    self._stray(left.tail, element, left)
                if _local(left.tag) != "Child":
                    self._odd("unknown-element", element, _local(left.tag), left)

    def _header(self, header: etree._Element) -> None:
        for element in header.iter():
            name = _local(element.tag)
            text = (element.text or "").strip()
            if name in ("Collection", "Year", "ReferenceDate", "LEA") and text:
                before = self.raw.header.setdefault(name, text)
                if before != text:
                    self._odd("conflict", header, name, element)

    def _row(self, table: str, child_no: int, referral_no: int, element: Any) -> list[Any]:
        row: list[Any] = [None] * (N_KEYS + len(RAW[table]) + 1)
        row[0] = self.n_rows[table]
        row[1] = child_no
        row[2] = referral_no
        row[3] = (element.sourceline or 0) + self.lines_before
        self.n_rows[table] += 1
        self.rows[table].append(row)
        return row

    def child(self, child: etree._Element) -> None:
        """Make rows of a child."""
        row = self._row("children", self.n_rows["children"], 0, child)
        if child.text is not None:
            self._stray(child.text, child, child)
        for part in child:
            tag = part.tag
            if tag not in ("CINdetails", "ChildIdentifiers", "ChildCharacteristics"):
                tag = _local(tag)
            if tag == "CINdetails":
                self._details(part, row[1])
            elif tag == "ChildIdentifiers":
                self._leaves(part, IDENTIFIERS, row)
            elif tag == "ChildCharacteristics":
                self._leaves(part, CHARACTERISTICS, row)
            else:
                self._odd("unknown-element", child, tag, part)
            if part.tail is not None:
                self._stray(part.tail, child, part)

    def _details(self, details: etree._Element, child_no: int) -> None:
        row = self._row("referrals", child_no, self.n_rows["referrals"], details)
        for module in self._leaves(details, DETAILS, row):
            tag = module.tag if module.tag in MODULES else _local(module.tag)
            if tag in MODULES:
                table, slots = MODULES[tag]
                self._leaves(module, slots, self._row(table, child_no, row[0], module))
            else:
                self._odd("unknown-element", details, tag, module)

    def _leaves(
        self, part: etree._Element, slots: dict[str, int], row: list[Any]
    ) -> list[etree._Element]:
        """Write the texts of the elements in ``part`` into the row; return modules inside it."""
        modules: list[etree._Element] = []
        if part.text is not None:
            self._stray(part.text, part, part)
        for element in part:
            tag: Any = element.tag
            slot = slots.get(tag)
            if slot is None:
                slot = slots.get(_local(tag))
            if self.extras and _local(tag) in self.extras:
                self._extra(part, element, row)
            elif slot is None:
                if slots is DETAILS:
                    modules.append(element)
                else:
                    self._odd("unknown-element", part, _local(tag), element)
            elif slot >= 0:
                text = element.text
                if text is not None:
                    text = text.strip()
                if slot == DISABILITIES and slots is CHARACTERISTICS:
                    text = self._disabilities(element)
                elif len(element):
                    self._odd("unknown-element", element, _local(element[0].tag), element)
                if text:
                    if row[slot] is None:
                        row[slot] = text
                    elif row[slot] != text:
                        self._odd("conflict", part, _local(tag), element)
            if element.tail is not None:
                self._stray(element.tail, part, element)
        return modules

    def _extra(self, part: Any, element: Any, row: list[Any]) -> None:
        """Write the text of a further element into the row; of a list, its texts with commas."""
        name = _local(element.tag)
        leaves = [leaf for leaf in element.iter() if not len(leaf)]
        texts = [leaf.text.strip() for leaf in leaves if leaf.text and leaf.text.strip()]
        text, place = ",".join(texts), self.extras[name]
        self.raw.extras.add((_local(part.tag), name))
        if row[-1] is None:
            row[-1] = [""] * len(self.extras)
        if not row[-1][place]:
            row[-1][place] = text
        elif text and row[-1][place] != text:
            self._odd("conflict", part, name, element)

    def _disabilities(self, element: etree._Element) -> str:
        codes = []
        for item in element:
            if _local(item.tag) != "Disability":
                self._odd("unknown-element", element, _local(item.tag), item)
            elif item.text and (code := item.text.strip()):
                codes.append(code)
        return ",".join(codes)

    def _stray(self, text: str, parent: Any, element: Any) -> None:
        if text.strip():
            self._odd("unreadable", parent, "stray text", element)

    def _odd(self, check: str, parent: Any, text: str, element: Any) -> None:
        oddity = Oddity(check, _local(parent.tag), text)
        self.raw.oddities[oddity] += 1
        lines = self.raw.lines.setdefault(oddity, [])
        if len(lines) < self.n_lines:
            lines.append((element.sourceline or 0) + self.lines_before)


def _local(tag: Any) -> str:
    """Return the name without its namespace; an unresolved entity has no name."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else "entity"
