"""Randomisation of adoption dates over authorities, for the estimators of staggered adoption."""
