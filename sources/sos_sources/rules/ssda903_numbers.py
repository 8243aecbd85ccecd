"""How rules of the return on children looked after are numbered, and where they are published."""

from __future__ import annotations

from sos_sources.rules.kinds import Numbering

SOURCE = "Department for Education, children looked after (SSDA903): validation checks"
CARE, ORDERS, CHILDREN = "episodes", "deprivation_orders", "children"
EPISODES = Numbering("ssda903", SOURCE, "check", {})
