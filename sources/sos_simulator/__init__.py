"""The simulator: authorities, children, referrals and care, written as real returns are.

:func:`simulate` makes everything in memory and gives the relational tables; :func:`write` puts the
returns, the design and the truth into a folder; :func:`simulate_into` does both part by part.
"""

from sos_simulator.folders import RECORDS, TRUTH, simulate_into, write
from sos_simulator.settings import OUTCOMES, PRESETS, SimulatedSettings
from sos_simulator.simulation import Simulation, simulate

__all__ = [
    "OUTCOMES",
    "PRESETS",
    "RECORDS",
    "TRUTH",
    "SimulatedSettings",
    "Simulation",
    "simulate",
    "simulate_into",
    "write",
]
