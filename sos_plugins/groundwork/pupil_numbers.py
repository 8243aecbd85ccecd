"""The check letter of a unique pupil number.

A number is a check letter, three digits of the authority that gave it, two of the year, four of the
school and three of the pupil. The letter is told by the sum of the digits times 2 to 13, modulo 23
(Department for Education, Unique pupil numbers: guidance).
"""

from __future__ import annotations

CHECK_LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"
"""Check letters by remainder: I, O and S are none."""
N_DIGITS = 12


def pupil_number(digits: str) -> str:
    """Put the check letter before the digits of a pupil number.

    Args:
        digits: Twelve of them.

    >>> pupil_number("801200001001")
    'H801200001001'
    """
    total = sum(weight * int(digit) for weight, digit in enumerate(digits, 2))
    return f"{CHECK_LETTERS[total % len(CHECK_LETTERS)]}{digits}"
