"""What the effects of pilots have in common: pooling by random effects."""

from sos_estimators.pooling.fit import random_effects

__all__ = ["random_effects"]
