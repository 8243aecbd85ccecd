"""Matchers: authorities to pilots (``units``, ``given``) and cases to cases (``cases``).

Everywhere distances are compared in steps of 1e-8, and what is equally far at that resolution is a
tie. Between authorities a tie goes to the lower authority code; between cases to the first in a
fixed arbitrary order that knows nothing of the outcome.
"""
