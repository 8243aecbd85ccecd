"""Codes of the statutory returns, over all their years; a code outside is counted and kept.

Children in need census: the code sets of its schemas, returns of 2016 to 2026; Sex came in 2025 in
place of GenderCurrent, and from 2026 on N1 names exploitation beside abuse and neglect. Children
looked after (SSDA903): the code sets of the guides to the return and of its checks up to the return
of 2026, with those that earlier years used.
"""

from __future__ import annotations


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


ETHNICITY = _set(
    "WBRI WIRI WIRT WOTH WROM MWBC MWBA MWAS MOTH AIND APKN ABAN AOTH BCRB BAFR BOTH CHNE OOTH "
    "REFU NOBT"
)
ETHNICITY_NOT_STATED = _set("REFU NOBT")
DISABILITY = _set("NONE MOB HAND PC INC COMM LD HEAR VIS BEH CON AUT DDA")
NO_DISABILITY = "NONE"
REFERRAL_SOURCE = _set("1A 1B 1C 1D 2A 2B 3A 3B 3C 3D 3E 3F 4 5A 5B 5C 5D 6 7 8 9 10")
PRIMARY_NEED = _set("N0 N1 N2 N3 N4 N5 N6 N7 N8 N9")
CLOSURE_REASON = _set("RC1 RC2 RC3 RC4 RC5 RC6 RC7 RC8 RC9")
ABUSE_CATEGORY = _set("NEG PHY SAB EMO MUL")
SEX = {
    "1": "male",
    "M": "male",
    "2": "female",
    "F": "female",
    "9": "indeterminate",
    "I": "indeterminate",
    "0": None,
    "U": None,
}
"""GenderCurrent (1, 2, 0, 9) and Sex (M, F, U, I); None is unknown or not yet born."""

REASON_NEW_EPISODE = _set("S L P T B U")
LEGAL_STATUS = _set("C1 C2 D1 E1 V1 V2 V3 V4 L1 L2 L3 J1 J2 J3")
NEED_LOOKED_AFTER = _set("N1 N2 N3 N4 N5 N6 N7 N8")
PLACEMENT = _set(
    "A1 A2 A3 A4 A5 A6 F1 F2 F3 F4 F5 F6 H1 H2 H3 H4 H5 K1 K2 K3 M1 M2 M3 P1 P2 P3 Q1 Q2 R1 R2 R3 "
    "R4 R5 S1 T0 T1 T2 T3 T4 U1 U2 U3 U4 U5 U6 Z1 Z11 Z12 Z13 Z14"
)
PLACEMENT_UNTIL = {"Q1": 2015, "Q2": 2015, "H5": 2025, "P2": 2025, "Z1": 2025}
"""Placement codes that no episode has which starts on 1 April of this year or later."""
PLACEMENT_SINCE = {
    **dict.fromkeys(("U1", "U2", "U3", "U4", "U5", "U6"), 2015),
    "K3": 2023,
    **dict.fromkeys(("Z11", "Z12", "Z13", "Z14"), 2025),
}
"""Placement codes that no episode has which ended before 1 April of this year."""
TEMPORARY_PLACEMENT = _set("T0 T1 T2 T3 T4")
PLACED_FOR_ADOPTION = _set("A3 A4 A5 A6")
FOSTER_PLACEMENT = _set("Q1 Q2 U1 U2 U3 U4 U5 U6")
OTHER_PLACEMENT = _set("Z1 Z11 Z12 Z13 Z14")
WITHOUT_PROVIDER = TEMPORARY_PLACEMENT | OTHER_PLACEMENT
"""Placements for which a return names no provider."""
PLACEMENT_PROVIDER = _set("PR0 PR1 PR2 PR3 PR4 PR5")
REASON_CEASED = _set(
    "X1 E1 E2 E3 E4 E4A E4B E5 E6 E7 E8 E9 E11 E12 E13 E14 E15 E16 E17 E41 E43 E44 E45 E46 E47 E48"
)
ADOPTED = _set("E11 E12")
SPECIAL_GUARDIANSHIP = _set("E45 E46 E47 E48")
TO_FORMER_FOSTER_CARERS = _set("E45 E46")
SAME_CARE = "X1"
"""REC X1: the period of care goes on in a new episode on the same day."""
STARTS_CARE = "S"
"""RNE S: the child starts to be looked after."""
