"""Estimators and matchers, in Python and R."""
