"""How rules of the children in need census are numbered, and where they are published."""

from __future__ import annotations

from sos_sources.rules.kinds import Numbering

SOURCE = "Department for Education, children in need census: validation rules"
FIRST_CENSUS = 2008
"""April-year of the first census of this form: children in need in 2008-09."""
CENSUS = Numbering("cin", SOURCE, "rule", {"first_year": FIRST_CENSUS})
CHILDREN, REFERRALS = "children", "referrals"
ASSESSMENTS, ENQUIRIES, PLANS = "assessments", "section47s", "protection_plans"
