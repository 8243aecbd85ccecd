"""Unique pupil numbers: their form and their check letter.

A number is a check letter, three digits of the authority that gave it, two of the year, and six of
the school and pupil. A temporary number ends in a letter and is none to link by. The check letter
is told by the sum of the digits times 2 to 13, modulo 23 (Department for Education, Unique pupil
numbers: guidance for schools and local authorities).
"""

from __future__ import annotations

LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"
"""Check letters by remainder: I, O and S are none."""
FORM = f"[{LETTERS}][0-9]{{12}}"
TEMPORARY = f"[{LETTERS}][0-9]{{11}}[A-Z]"
N_DIGITS = 12


def normal(text: str) -> str:
    """Return SQL of a pupil number in capitals and without blanks; null for an empty one.

    Args:
        text: SQL of the text.
    """
    return f"nullif(upper(regexp_replace({text}, '\\s', '', 'g')), '')"


def valid(number: str) -> str:
    """Return SQL that tells whether a text is a permanent pupil number with its check letter.

    Args:
        number: SQL of the text, as from :func:`normal`.
    """
    terms = (f"{n + 1} * TRY_CAST({number}[{n + 1}] AS INT)" for n in range(1, N_DIGITS + 1))
    letter = f"'{LETTERS}'[({' + '.join(terms)}) % {len(LETTERS)} + 1]"
    return f"(regexp_full_match({number}, '{FORM}') AND {letter} = {number}[1])"


def temporary(number: str) -> str:
    """Return SQL that tells whether a text has the form of a temporary pupil number.

    Args:
        number: SQL of the text, as from :func:`normal`.
    """
    return f"regexp_full_match({number}, '{TEMPORARY}')"
