"""Rules that returns must keep."""
