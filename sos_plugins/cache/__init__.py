"""Finished steps on disk, keyed by what they rest on."""
