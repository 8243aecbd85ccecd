"""Difference-in-differences: the classic design, the event study, group-time effects."""
