"""Values fit for JSON."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

_AS_THEY_ARE = frozenset((str, int, bool, type(None)))


def plain(value: Any) -> Any:
    """Make a value fit for JSON.

    Args:
        value: Anything. A frame becomes a list of its rows, a date ISO text, a missing value None,
            infinity the text ``"inf"`` or ``"-inf"``; all else stays.
    """
    if type(value) in _AS_THEY_ARE:
        return value
    if type(value) is float:
        return _finite(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, pd.DataFrame):
        return [plain(row) for row in value.to_dict("records")]
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray, pd.Series)):
        return [plain(v) for v in value]
    if isinstance(value, (np.bool_, bool)):
        return bool(value)
    if isinstance(value, (dt.date, pd.Timestamp)):
        return None if pd.isna(value) else (value.isoformat()[:10])
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return _finite(float(value))
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    return str(value) if isinstance(value, PurePath) else value


def _finite(number: float) -> float | str | None:
    if math.isfinite(number):
        return number
    return None if math.isnan(number) else ("inf" if number > 0 else "-inf")
