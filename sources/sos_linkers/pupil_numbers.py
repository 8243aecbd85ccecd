"""Which texts are unique pupil numbers, in SQL; a temporary one, with a letter last, is none."""

from __future__ import annotations

from sos_plugins.groundwork.pupil_numbers import CHECK_LETTERS, N_DIGITS

FORM = f"[{CHECK_LETTERS}][0-9]{{12}}"
TEMPORARY = f"[{CHECK_LETTERS}][0-9]{{11}}[A-Z]"


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
    letter = f"'{CHECK_LETTERS}'[({' + '.join(terms)}) % {len(CHECK_LETTERS)} + 1]"
    return f"(regexp_full_match({number}, '{FORM}') AND {letter} = {number}[1])"


def temporary(number: str) -> str:
    """Return SQL that tells whether a text has the form of a temporary pupil number.

    Args:
        number: SQL of the text, as from :func:`normal`.
    """
    return f"regexp_full_match({number}, '{TEMPORARY}')"
