"""What the name of a published column means, whichever release it is from.

Releases name the same figure differently: ``Re_referrals_percent``, ``rereferral_percent``,
``percentage of re-referrals``. A meaning is the set of the words that tell figures apart, each in
one spelling; words that every name may have or lack ("number of", "in the year") are no part of it.
Two names are one when their meanings are equal: a word that is not known keeps names apart, so that
``referral_child_count`` is not taken for ``referral_count``.
"""

from __future__ import annotations

import re
from functools import lru_cache

Meaning = frozenset[str]

_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")
_SIGNS = re.compile(r"[^a-z0-9]+")
_PHRASES: tuple[tuple[str, str], ...] = (
    (r"per ?cent(age)?s?|pct|pc|proportion", "percent"),
    (r"(rates? )?per 10 ?(000|k)( children)?( aged 0 to 17)?|rateper10000|rates", "rate"),
    (r"re ?referrals?", "rereferral"),
    (r"referrals? within (12|twelve) months( of a previous referral)?", "rereferral"),
    (r"referrals", "referral"),
    (r"(section ?|s)47s?( enquir(y|ies))?", "section47"),
    (r"icpcs|(initial )?(child protection )?conferences?", "icpc"),
    (r"cpps|child protection plans?", "cpp"),
    (r"cins|children in need", "cin"),
    (r"clas?|children looked after|looked after children", "cla"),
    (r"nfas?|(closed with )?no further actions?", "nfa"),
    (r"(assessed as )?not( (children )?in need| cin)", "notinneed"),
    (r"(completed )?assessments?( completed)?", "assessment"),
    (r"(as )?(at|on) 31( ?st)?( march)?|31 march|at31( march)?", "at31"),
    (r"episodes", "episode"),
    (r"children", "child"),
    (r"start(s|ed|ing)", "start"),
    (r"local authority", "la"),
)
"""Spellings of one word, by pattern over whole words, in the order in which they are replaced."""
_IDLE = frozenset(
    re.findall(
        r"\w+",
        "a all an and count counts during each for in no number of that the their total was were "
        "which who with year",
    )
)
"""Words that tell no figures apart: what has no other sign is a number in the year."""
_REPLACED = tuple((re.compile(rf"\b(?:{pattern})\b"), to) for pattern, to in _PHRASES)


@lru_cache(maxsize=8192)
def meaning(name: str) -> Meaning:
    """Return what the name of a column, or a label in words, means.

    >>> sorted(meaning("Re_referrals_percent")), sorted(meaning("% of referrals: rereferral"))
    (['percent', 'rereferral'], ['percent', 'referral', 'rereferral'])
    >>> meaning("CPP_At31") == meaning("Number of child protection plans at 31 March")
    True
    """
    text = _SIGNS.sub(" ", _HUMPS.sub(" ", name).lower().replace("%", " percent "))
    for pattern, to in _REPLACED:
        text = pattern.sub(f" {to} ", text)
    return frozenset(text.split()) - _IDLE


def meanings(*names: str) -> tuple[Meaning, ...]:
    """Return the meanings of several names."""
    return tuple(meaning(name) for name in names)
