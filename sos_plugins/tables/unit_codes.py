"""Authorities of England by any of their names and codes.

Codes are the three digits of the Department for Education and the nine characters of the Office for
National Statistics.
``english_authorities.csv`` has a row for each pair of codes that published figures have carried
since 2012, with the Aprils since and until which a code was in use where that is not always. An
authority that gave way to others has a code of its own and is never one of them.

Sources: the Department for Education's statistics "Children in need" and "Children looked after in
England" (Open Government Licence v3.0), and the orders that :data:`ORDERS` names.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from sos_plugins.errors import DataError, did_you_mean, listing
from sos_plugins.tables.file_columns import Columns

ORDERS = (
    "Structural Changes Orders: Bedfordshire 2008, Cheshire 2008, Buckinghamshire 2019, "
    "Bournemouth, Dorset and Poole 2018, Northamptonshire 2020, Cumbria 2022, North Yorkshire 2022 "
    "and Somerset 2022; boundary changes of Gateshead and Northumberland 2013, and of Barnsley and "
    "Sheffield 2025"
)
Codes = Literal["as-written", "dfe"]
"""What the authorities of a table are called in the records."""
CODES_HELP = (
    'What authorities are called in the records: "as-written", or "dfe": names and ONS codes '
    "(E06000005, Darlington) become the three-digit codes of the Department for Education (841)."
)
"""What a setting of this type says of itself."""
SHOWN = 3

_CODE = re.compile(r"(\d{3})(?:\.0)?")
_ONS = re.compile(r"[Ee]\d{8}")
_TITLES = re.compile(
    r"\b(the|council|county council|city council|borough council|metropolitan|borough|district|"
    r"london borough of|royal borough of|mbc|unitary authority|county of|city of|city|county)\b"
)
_OTHER_NAMES = {
    "bcp": "839",
    "banes": "800",
    "hull": "810",
    "kingston": "314",
    "richmond": "318",
}
"""Short names in use, folded."""
_LONDON = "201"
"""City of London, which no shortening makes ``London``."""


@dataclass(frozen=True)
class Authority:
    """An authority of England with children's services under one pair of codes.

    Attributes:
        code: Three-digit code of the Department for Education.
        ons: Nine-character code; empty where none was found.
        name: Its name.
        since: Year of the April since which it has these codes; None: of old.
        until: Year of the April from which it no longer has them; None: it has them still.
    """

    code: str
    ons: str
    name: str
    since: int | None
    until: int | None

    @property
    def told(self) -> str:
        """Name and codes, and how long it has had them."""
        spans = [
            *([f"since April {self.since}"] if self.since else []),
            *([f"until March {self.until}"] if self.until else []),
        ]
        return f"{self.code} {', '.join([self.name, *filter(None, [self.ons]), *spans])}"


@functools.cache
def authorities() -> tuple[Authority, ...]:
    """Return every authority, by its codes."""
    text = (files("sos_plugins.tables") / "english_authorities.csv").read_text(encoding="utf-8")
    return tuple(
        Authority(
            row["code"],
            row["ons"],
            row["name"],
            int(row["since"]) if row["since"] else None,
            int(row["until"]) if row["until"] else None,
        )
        for row in csv.DictReader(text.splitlines())
    )


@functools.cache
def _by_text() -> Mapping[str, frozenset[str]]:
    """Codes of authorities by ONS code and folded name."""
    found: dict[str, set[str]] = {}
    for one in authorities():
        for text in (one.ons.lower(), *_names(one)):
            if text:
                found.setdefault(text, set()).add(one.code)
    for name, code in _OTHER_NAMES.items():
        found.setdefault(name, set()).add(code)
    return {text: frozenset(codes) for text, codes in found.items()}


def _names(one: Authority) -> tuple[str, ...]:
    whole = _plain(one.name)
    return (whole,) if one.code == _LONDON else (whole, _short(whole))


def _plain(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", " ", name.casefold().replace("&", " and ").replace("'", ""))
    return " ".join(words.split())


def _short(plain: str) -> str:
    return " ".join(_TITLES.sub(" ", plain).split())


def codes_meant(text: str) -> frozenset[str]:
    """Return the three-digit codes of the authorities that a code or a name may mean.

    >>> sorted(codes_meant("Dorset Council")), sorted(codes_meant("E06000005"))
    (['835', '838'], ['841'])
    """
    if found := _CODE.fullmatch(text.strip()):
        known = {one.code for one in authorities()}
        return frozenset({found[1]} & known)
    if _ONS.fullmatch(text.strip()):
        return _by_text().get(text.strip().lower(), frozenset())
    plain = _plain(text)
    short = _short(plain)
    names = _by_text()
    if short in ("", "london"):
        return names.get(plain.removesuffix(" council").removesuffix(" corporation"), frozenset())
    return names.get(plain, frozenset()) or names.get(short, frozenset())


def described(codes: Collection[str]) -> str:
    """Say which authorities have these codes, and since or until when."""
    return "; ".join(one.told for one in authorities() if one.code in codes)


def same_authorities(units: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the units that are one authority in several forms, by its code."""
    forms: dict[str, list[str]] = {}
    for unit in sorted(set(units)):
        codes = codes_meant(unit)
        if len(codes) == 1:
            forms.setdefault(next(iter(codes)), []).append(unit)
    return {code: tuple(some) for code, some in forms.items() if len(some) > 1}


class UnclearUnitError(DataError):
    """A name or a code may mean several authorities."""


@dataclass(frozen=True)
class KnownUnits:
    """The authorities of some records, found by any of their names and codes.

    Attributes:
        units: As the records have them.
        names: Their names, as far as the records know them.
    """

    units: Collection[str]
    names: Mapping[str, str]

    def find(self, text: str) -> str | None:
        """Return the unit that a name or code means; None if the records have none.

        Args:
            text: Any name or code of an authority.

        Raises:
            UnclearUnitError: If it may mean several units of the records.
        """
        if text in self.units:
            return text
        plain = _plain(text)
        hits = {unit for unit in self.units if plain and _plain(self.names.get(unit, "")) == plain}
        meant = codes_meant(text)
        if not hits and meant:
            hits = {unit for unit in self.units if codes_meant(unit) & meant}
        if len(hits) > 1:
            raise UnclearUnitError(
                f"'{text}' may mean {listing(sorted(hits))} of the records ({described(meant)}). "
                "Write it as the records have it; where they have one authority in several forms, "
                'say codes = "dfe" in [[sources]], or mend them.'
                if meant
                else f"'{text}' is the name of {listing(sorted(hits))} in the records. Write the "
                "code."
            )
        return next(iter(hits), None)

    def is_misspelt(self, text: str) -> bool:
        """Whether a text is no name or code, and nearly that of an authority."""
        no_code = any(sign.isalpha() for sign in text) and not codes_meant(text)
        return no_code and bool(self.near(text))

    def near(self, text: str) -> str:
        """Return a sentence on what the records have that is like a text, with a blank before."""
        if (meant := codes_meant(text)) and not did_you_mean(text, self.units):
            return f" It is {described(meant)}, which the records have under no name or code."
        known = {*self.units, *self.names.values()}
        return did_you_mean(text, known) or did_you_mean(text, [one.name for one in authorities()])


def units_of(columns: Columns, name: str, codes: Codes) -> pa.Array:
    """Return a column of authorities as text, under what they are called in the records.

    Args:
        columns: The table.
        name: The column.
        codes: What they are called.

    Raises:
        DataError: If three-digit codes are asked for and a cell means no authority, or several.
    """
    text = columns.texts(name)
    if codes == "as-written":
        return text
    coded = text.dictionary_encode()
    written = [str(cell) for cell in coded.dictionary.to_pylist()]
    meant = {cell: sorted(codes_meant(cell)) for cell in written}
    for wrong, expected in (
        ([c for c in written if not meant[c]], _unknown),
        ([c for c in written if len(meant[c]) > 1], _unclear),
    ):
        if wrong:
            faulty = pc.fill_null(pc.is_in(text, value_set=pa.array(wrong, pa.string())), False)
            columns.refuse(name, faulty.to_numpy(zero_copy_only=False), expected(wrong))
    code_of = {cell: found[0] for cell, found in meant.items()}
    _note_merged(columns, name, code_of)
    return pa.array([code_of[cell] for cell in written], pa.string()).take(coded.indices)


def _unknown(wrong: Sequence[str]) -> str:
    names = [one.name for one in authorities()]
    near = "".join(did_you_mean(cell, names) for cell in wrong[:SHOWN])
    return f"a code or a name of an English authority with children's services was expected{near}"


def _unclear(wrong: Sequence[str]) -> str:
    told = described(codes_meant(wrong[0]))
    return f"a code was expected, since the name is that of several authorities ({told})"


def _note_merged(columns: Columns, name: str, code_of: Mapping[str, str]) -> None:
    forms: dict[str, list[str]] = {}
    for written, code in code_of.items():
        forms.setdefault(code, []).append(written)
    merged = [f"{', '.join(sorted(f))} as {code}" for code, f in forms.items() if len(f) > 1]
    if merged:
        more = f" and {len(merged) - SHOWN} more" if len(merged) > SHOWN else ""
        columns.note(
            f"{name} as codes",
            f"{columns.path.name}, column '{name}': several forms of one authority were read as "
            f"one: {'; '.join(merged[:SHOWN])}{more}.",
        )
