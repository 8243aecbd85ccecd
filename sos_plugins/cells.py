"""Compressed samples: rows that stand for many cases."""

COMPRESSED = ("n_cases", "weight_squares", "value_sums")
"""Columns that only a compressed sample has: how many cases a row stands for, the sum of their
squared weights and the sum of their values."""
