"""How figures and findings are written: every number of the report passes through here."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sos_plugins.contract.types import OutcomeInfo
from sos_plugins.groundwork.plain import plain
from sos_plugins.study.result import OutcomeResult

MINUS = "\u2212"
MISSING = "\u2013"
"""Shown where there is no figure; tables that show it say so beneath."""

SMALLEST_P = 0.001
"""P values below this are shown as smaller than it, as journals do."""

SIGNIFICANT_DIGITS_OF_ERROR = 2
"""Effects that are no percentages show as many decimals as give their standard error two digits."""


def missing(value: Any) -> bool:
    """Return whether there is no value: null, not a number, or an empty text.

    >>> [missing(v) for v in (None, float("nan"), "", 0, "0")]
    [True, True, True, False, False]
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    return isinstance(value, float) and math.isnan(value)


def to_float(value: Any) -> float | None:
    """Return a finite or infinite number, or None for what is missing or no number."""
    if missing(value) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def text(value: Any) -> str:
    """Write a value as text without control characters; nothing becomes an en dash."""
    if missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return figure(value)
    return clean(str(value))


def clean(value: str) -> str:
    r"""Take out control characters, which neither HTML nor SVG can hold.

    >>> clean("a\x00b\tc")
    'ab c'
    """
    if value.isprintable():
        return value
    spaced = re.sub(r"[\t\n\r]+", " ", value)
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cs"))


def clean_lines(value: str) -> str:
    """Take out control characters and keep lines and tabs."""
    return "\n".join(clean(line.replace("\t", "    ")) for line in value.splitlines())


def number(value: Any, decimals: int = 0) -> str:
    """Write a number with a true minus sign and commas between thousands.

    >>> number(-1234.567, 1)
    '−1,234.6'
    >>> number(-0.01, 1)
    '0.0'
    >>> number(None)
    '–'
    """
    amount = to_float(value)
    if amount is None:
        return MISSING
    if math.isinf(amount):
        return "infinite" if amount > 0 else f"{MINUS}infinite"
    written = f"{abs(amount):,.{decimals}f}"
    negative = amount < 0 and any(digit in written for digit in "123456789")
    return f"{MINUS}{written}" if negative else written


def count(value: Any) -> str:
    """Write a number of cases, records or authorities: the one place every count passes.

    >>> count(12345)
    '12,345'
    """
    return number(value)


def figure(value: Any) -> str:
    """Write a number of unknown scale with about three significant digits.

    >>> [figure(v) for v in (0.12345, 1234.5, 3, -0.5, 0.000823, 0.0000123)]
    ['0.123', '1,234', '3', '−0.5', '0.000823', '1.23 × 10⁻⁵']
    """
    amount = to_float(value)
    if amount is None or math.isinf(amount):
        return number(value)
    if amount == int(amount):
        return number(amount)
    size = math.floor(math.log10(abs(amount)))
    if size < -4:
        return scientific(amount)
    written = number(amount, max(0, 2 - size))
    return written.rstrip("0").rstrip(".") if "." in written else written


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def scientific(value: Any) -> str:
    """Write a very small or very large number.

    >>> [scientific(v) for v in (3.2e-12, -1e-8, 0, 0.25, None)]
    ['3.2 × 10⁻¹²', '−10⁻⁸', '0', '0.25', '–']
    """
    amount = to_float(value)
    if amount is None or math.isinf(amount):
        return number(value)
    if amount == 0:
        return "0"
    if 0.001 <= abs(amount) < 1e6:
        return figure(amount)
    mantissa, exponent = f"{abs(amount):.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    body = power if mantissa == "1" else f"{mantissa} × {power}"
    return f"{MINUS}{body}" if amount < 0 else body


def share(value: Any, decimals: int = 1) -> str:
    """Write a share between 0 and 1 as a percentage.

    >>> share(0.4321)
    '43.2%'
    """
    amount = to_float(value)
    return MISSING if amount is None else f"{number(100 * amount, decimals)}%"


def whole_share(value: Any) -> str:
    """Write a share in whole per cent, where 0 and 100 mean none and all.

    >>> [whole_share(v) for v in (0.999, 1.0, 0.001, 0.5)]
    ['99', '100', '1', '50']
    """
    amount = to_float(value)
    if amount is None:
        return MISSING
    if 0 < amount < 1:
        return number(min(99, max(1, round(100 * amount))))
    return number(100 * amount)


def p_value(value: Any) -> str:
    """Write a p value as in a sentence.

    >>> [p_value(v) for v in (0.00001, 0.0349, 0.99999, None)]
    ['p < 0.001', 'p = 0.035', 'p > 0.999', '–']
    """
    amount = to_float(value)
    if amount is None:
        return MISSING
    if amount < SMALLEST_P:
        return f"p < {SMALLEST_P:.3f}"
    if amount > 1 - SMALLEST_P:
        return f"p > {1 - SMALLEST_P:.3f}"
    return f"p = {amount:.3f}"


def p_cell(value: Any) -> str:
    """Write a p value for a column that is headed p.

    >>> [p_cell(v) for v in (0.00001, 0.0349)]
    ['< 0.001', '0.035']
    """
    return p_value(value).removeprefix("p ").removeprefix("= ")


def date(value: Any) -> str:
    """Write a date, given as a date or as ISO text, as in '1 April 2014'."""
    if missing(value):
        return MISSING
    day = to_date(value)
    return clean(str(value)) if day is None else f"{day.day} {day:%B} {day.year}"


def to_date(value: Any) -> dt.date | None:
    """Read a date from a date or ISO text, or return None."""
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def plural(n: int, one: str, many: str = "") -> str:
    """Write a count with its noun.

    >>> plural(1, "pilot"), plural(2, "authority", "authorities")
    ('1 pilot', '2 authorities')
    """
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def joined(items: Iterable[str]) -> str:
    """Join words for a sentence.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    words = list(items)
    return (
        words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
    )


def end_sentence(sentence: str) -> str:
    """End a sentence with a full stop, once; start it with a capital letter and mend its signs.

    >>> end_sentence("no data at event -6"), end_sentence("event-study, engine r: no R")
    ('No data at event −6.', 'event-study, engine r: no R.')
    """
    trimmed = re.sub(r"(?<![\w)/.-])-(?=\d)", MINUS, clean(sentence).strip())
    if not trimmed:
        return ""
    return capital(trimmed if trimmed[-1] in ".!?" else f"{trimmed}.")


def capital(sentence: str) -> str:
    """Start with a capital letter, unless the first word is a name such as callaway-santanna.

    >>> capital("without Bristol"), capital("did, engine r")
    ('Without Bristol', 'did, engine r')
    """
    first = sentence.split(" ", 1)[0].rstrip(".")
    return sentence[:1].upper() + sentence[1:] if first.isalpha() else sentence


def slug(name: str) -> str:
    """Make a name fit for a file and an anchor.

    >>> slug("Kinship care (strict)")
    'kinship-care-strict'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "outcome"


def heading(key: str) -> str:
    """Make a column or setting name into a heading.

    >>> heading("external_support"), heading("n_authorities")
    ('External support', 'Number of authorities')
    """
    words = clean(key).replace("_", " ").replace("-", " ").strip()
    words = f"number of {words[2:]}" if words.startswith("n ") else words
    return words[:1].upper() + words[1:]


def setting(value: Any) -> str:
    """Write the value of a setting."""
    bare = plain(value)
    if bare is None:
        return "none"
    if isinstance(bare, bool):
        return "true" if bare else "false"
    if isinstance(bare, list) and all(isinstance(v, (str, int, float)) for v in bare):
        return ", ".join(clean(str(v)) for v in bare) or "none"
    if isinstance(bare, (dict, list)):
        return clean(json.dumps(bare, ensure_ascii=False))
    return clean(str(bare))


@dataclass(frozen=True)
class Scale:
    """How the values and effects of one outcome are shown.

    Attributes:
        factor: What a value is multiplied by: 100 for shares, else 1.
        decimals: Decimals of effects.
        unit: Unit of effects, such as "percentage points".
        level_unit: What follows a mean, such as "%" or " working days".
    """

    factor: float
    decimals: int
    unit: str
    level_unit: str

    def effect(self, value: Any) -> str:
        """Write an effect without its unit."""
        amount = to_float(value)
        return MISSING if amount is None else number(self.factor * amount, self.decimals)

    def with_unit(self, value: Any) -> str:
        """Write an effect with its unit."""
        return MISSING if missing(value) else f"{self.effect(value)} {self.unit}".strip()

    def size(self, value: float) -> str:
        """Write the size of an effect with its unit, without its sign."""
        return self.with_unit(abs(value))

    def interval(self, low: Any, high: Any) -> str:
        """Write a confidence interval, such as '−18.2 to −7.8'."""
        if to_float(low) is None or to_float(high) is None:
            return MISSING
        return f"{self.effect(low)} to {self.effect(high)}"

    def level(self, value: Any) -> str:
        """Write a mean of the outcome."""
        written = self.effect(value)
        return written if written == MISSING else f"{written}{self.level_unit}"

    def change(self, value: float) -> str:
        """Write an effect as a decrease or an increase of its size."""
        if self.effect(value) == self.effect(0.0):
            return f"no change (0 {self.unit})"
        return f"{'an increase' if value > 0 else 'a decrease'} of {self.size(value)}"


def scale_of(result: OutcomeResult) -> Scale:
    """Choose how an outcome's figures are shown, from its kind and its precision."""
    return scale_for(result.info, result.main.std_error if result.main else None)


def scale_for(info: OutcomeInfo, std_error: Any) -> Scale:
    """Choose how the figures of an outcome are shown whose effect has this standard error."""
    measure = clean(info.measure).strip()
    if info.in_points:
        return Scale(100.0, 1, "percentage points", "%")
    decimals = _decimals(std_error)
    if measure.lower().startswith(("percent", "per cent", "%")):
        return Scale(1.0, max(1, decimals), "percentage points", "%")
    return Scale(1.0, decimals, measure, f" {measure}" if measure else "")


def _decimals(std_error: Any) -> int:
    error = to_float(std_error)
    if error is None or error <= 0 or math.isinf(error):
        return SIGNIFICANT_DIGITS_OF_ERROR
    wanted = SIGNIFICANT_DIGITS_OF_ERROR - 1 - math.floor(math.log10(error))
    return min(6, max(0, wanted))


def confidence(result: OutcomeResult) -> str:
    """Return 'x% confidence interval' as the estimates say it, without a level when none does."""
    main = result.main
    levels = [
        (
            named.estimator == (main.estimator if main else ""),
            named.estimate.glance.get("conf_level"),
        )
        for named in result.estimates
    ]
    for _, level in sorted(levels, key=lambda item: not item[0]):
        amount = to_float(level)
        if amount is not None:
            return f"{figure(round(100 * amount, 6))}% confidence interval"
    return "confidence interval"


def excludes_zero(low: Any, high: Any) -> bool | None:
    """Return whether an interval lies on one side of zero; None when there is no interval."""
    below, above = to_float(low), to_float(high)
    return None if below is None or above is None else below > 0 or above < 0
