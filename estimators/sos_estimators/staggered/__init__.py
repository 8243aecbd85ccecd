"""What the estimators of staggered adoption by regression share.

``sun-abraham``, ``imputation``, ``two-stage`` and ``extended-twfe`` start from the same cells, give
the same averages of effects by cohort and period, and return the same columns.
"""
