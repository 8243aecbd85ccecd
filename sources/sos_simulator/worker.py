"""A process that simulates authorities for another: ``python -m sos_simulator.worker``."""

from __future__ import annotations

import contextlib
import sys

from sos_plugins.system.processes import follow_parent
from sos_simulator.parallel import work

if __name__ == "__main__":
    follow_parent(int(sys.argv[1]))
    with contextlib.suppress(BrokenPipeError):
        work(sys.stdin.buffer, sys.stdout.buffer)
