"""Gaps in covariates filled several times over: estimators' samples made complete."""
