"""Coarsened exact matching (Iacus, King and Porro 2012): cut points, strata, weights, imbalance.

``bins`` chooses cut points, ``coarsen`` turns covariates into whole numbers, ``weights`` and
``imbalance`` compute on those, whatever made them: ``sample`` from cases in memory, ``tables`` from
a table in a database.
"""
