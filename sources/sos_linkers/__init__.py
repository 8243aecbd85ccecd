"""Linkers: which identifiers in the records are one child."""
