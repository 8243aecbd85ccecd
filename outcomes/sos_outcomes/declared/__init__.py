"""Outcomes that a study declares in its own file, without Python."""
