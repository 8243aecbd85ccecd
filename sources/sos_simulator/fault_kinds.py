"""The faults that can be planted: their names, and what each is."""

from __future__ import annotations

from collections.abc import Mapping

CIN_RULES: Mapping[str, str] = {
    "cin:1103": "an assessment starts before the referral",
    "cin:1104": "the conference after an enquiry is dated before the referral",
    "cin:1105": "a protection plan starts before the referral; breaks cin:2885 too",
    "cin:2884": "the same conference stands in the enquiry and in the details of the case",
    "cin:2885": "a protection plan starts on another day than the conference was held",
    "cin:8608": "an assessment is authorised before it starts",
    "cin:8630": "a case is closed before it was referred",
    "cin:8670": "an assessment begun more than 45 working days before the end of the year is not "
    "authorised",
    "cin:8805": "a closure date without a reason",
    "cin:8810": "a closure reason without a date",
    "cin:8820": "a case is closed after the child's next referral: the two overlap",
    "cin:8831": "a referral with no further action has an assessment",
    "cin:8832": "a referral with no further action has a protection plan; breaks cin:8831 too",
}
CARE_RULES: Mapping[str, str] = {
    "ssda903:142": "an episode has no end although another follows; breaks ssda903:433 too where "
    "that one goes on",
    "ssda903:148": "an episode has an end and no reason for it",
    "ssda903:356": "an episode ends before it starts",
    "ssda903:380": "a period of care starts in a temporary placement",
    "ssda903:381": "a period of care ends in a temporary placement",
    "ssda903:388": "an episode ends because a new one begins, and none does",
    "ssda903:431": "a child starts to be looked after on the day the last episode ended",
    "ssda903:432": "care goes on after it had ended; breaks ssda903:433 too",
    "ssda903:433": "an episode that goes on from another does not start when that one ended; "
    "breaks ssda903:388 too",
    "ssda903:434": "a change of legal status alone, and the status is the same",
    "ssda903:435": "a change of placement alone, and the legal status is another",
    "ssda903:436": "a change of placement and legal status, and the status is the same",
}
ORDER_RULES: Mapping[str, str] = {
    "ssda903:702": "an order that deprives of liberty ends on the day on which it starts",
    "ssda903:705": "such an order starts before the child's last one ends",
    "ssda903:707": "such an order ends after the child has left care",
    "ssda903:709": "during such an order the child is in a placement that is not expected",
    "ssda903:710": "during such an order the child is in a secure home; breaks ssda903:709 too",
}
"""Of returns from 2026-27 on."""
MISSING: Mapping[str, str] = {
    "missing:referral_source": "referrals",
    "missing:primary_need": "referrals",
    "missing:initial_category": "protection_plans",
    "missing:latest_category": "protection_plans",
    "missing:birth_date": "children",
    "missing:sex": "children",
    "missing:ethnicity": "children",
    "missing:disabled": "children",
    "missing:legal_status": "episodes",
    "missing:cin": "episodes",
    "missing:placement": "episodes",
    "missing:placement_provider": "episodes",
}
"""The record table of each column that can be left out."""
SLIPS: Mapping[str, str] = {
    "lower-case-code": "primary need, ethnicity or placement in lower case",
    "misspelt-code": "primary need, ethnicity or placement with its first letter twice",
}
CONFLICTS: Mapping[str, str] = {
    "conflicting-birth-date": "the last return has another date of birth than the ones before",
    "conflicting-gender": "the last return has another sex than the ones before",
    "conflicting-ethnicity": "the last return has another ethnicity than the ones before",
    "conflict-between-years": "the last return has another referral source than the ones before",
}
XML_ONLY: Mapping[str, str] = {
    "stray-text": "text between the elements of a case",
    "unknown-element": "an element that no schema knows in the details of a case",
}
BREAKS: Mapping[str, str] = {
    "missing-year": "an authority has no return for a year (rate: share of authority-years)",
    "series-break": "from a year on an authority returns fewer referrals (rate: share of "
    "authorities)",
}
SETTINGS_OF_THEIR_OWN: Mapping[str, str] = {
    "missing-reason": "closure reason left out, and the NFA flag false whatever is true",
    "missing-closure-date": "closure date left out of a case that is closed",
    "impossible-date": "closure date before the referral, or a hundred years late",
    "duplicate": "the same referral twice in one return",
}
"""Faults of the demonstration: their rates are settings with other names."""

CHOSEN: Mapping[str, str] = {
    **CIN_RULES,
    **CARE_RULES,
    **ORDER_RULES,
    **{kind: f"nothing in this column of {table}" for kind, table in MISSING.items()},
    **SLIPS,
    **CONFLICTS,
    **XML_ONLY,
    **BREAKS,
}
"""Faults whose rates are given by name."""
EVERY = "all"
"""Name of the rate of every fault of single rows that has none of its own."""
BEYOND_SCHEMA = frozenset((*SLIPS, *XML_ONLY))
"""Faults with which a return does not validate any more."""


def rate(faults: Mapping[str, float], kind: str) -> float:
    """Return the rate of a fault."""
    usual = 0.0 if kind in BREAKS else faults.get(EVERY, 0.0)
    return faults.get(kind, usual)
