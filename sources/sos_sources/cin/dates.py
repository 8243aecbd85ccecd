"""Dates in a block of bytes, read all at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sos_sources.cin.tag_lookup import WORD, Ints, Words

LENGTH = len("yyyy-mm-dd")
FIRST_YEAR, LAST_YEAR = 1900, 2199
"""Dates of other years are left as text."""
_FORM = np.uint64(int.from_bytes(b"0000-00-", "little"))
_ROOM = np.uint64(int.from_bytes(bytes([0x76] * 4 + [0x7F] + [0x76] * 2 + [0x7F]), "little"))
"""What may be added to each byte, once the form is taken away, before its highest bit is set."""
_HIGH = np.uint64(0x8080808080808080)
_NINE = 9
_YEAR = ((0, 1000), (1, 100), (2, 10), (3, 1))
_MONTH = ((5, 10), (6, 1))


def _months() -> tuple[Ints, Ints]:
    first = np.arange(f"{FIRST_YEAR}-01", f"{LAST_YEAR + 1}-02", dtype="datetime64[M]")
    days = first.astype("datetime64[D]").astype(np.int64)
    return days[:-1], np.diff(days)


_FIRST_DAY, _N_DAYS = _months()


def read_dates(
    data: bytes, starts: Ints, lengths: Ints
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return dates as days since 1970, and which of the texts are dates ``yyyy-mm-dd``.

    Args:
        data: The block, with room for a word after the last text.
        starts: Where each text starts.
        lengths: How long each is.
    """
    words: Words = np.ndarray((len(data) - WORD + 1,), "<u8", data, strides=(1,))
    start = words[starts] ^ _FORM
    end = words[starts + LENGTH - WORD] >> np.uint64(8 * (WORD - 2))
    tens, ones = (end & np.uint64(0xFF)).astype(np.int64), (end >> np.uint64(8)).astype(np.int64)
    tens, ones = tens - ord("0"), ones - ord("0")
    good = (lengths == LENGTH) & (((start | (start + _ROOM)) & _HIGH) == 0)
    good &= (tens >= 0) & (tens <= _NINE) & (ones >= 0) & (ones <= _NINE)
    year, month, day = _number(start, _YEAR), _number(start, _MONTH), 10 * tens + ones
    place = (year - FIRST_YEAR) * 12 + month - 1
    good &= (month >= 1) & (month <= 12) & (place >= 0) & (place < len(_FIRST_DAY))
    place = np.where(good, place, 0)
    good &= (day >= 1) & (day <= _N_DAYS[place])
    return (_FIRST_DAY[place] + day - 1).astype(np.int32), good


def _number(digits: Words, places: tuple[tuple[int, int], ...]) -> Ints:
    total = np.zeros(len(digits), dtype=np.int64)
    for byte, worth in places:
        total += ((digits >> np.uint64(8 * byte)) & np.uint64(0xFF)).astype(np.int64) * worth
    return total


def date_array(days: npt.NDArray[np.int32], known: npt.NDArray[np.bool_]) -> pa.Array:
    """Return days as Arrow dates, null where they are not known."""
    return pa.array(days, mask=~known).view(pa.date32())
