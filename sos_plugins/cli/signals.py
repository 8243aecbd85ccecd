"""A command that is asked to end, by SIGTERM or a closed terminal, cleans up as on Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from sos_plugins.system import scratch
from sos_plugins.system.notices import say

GRACE = 10.0
"""Seconds in which a command may unwind before it is ended with what it has left."""
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass
class Stop:
    """What has asked a command to end.

    Attributes:
        signal: Its number; that of Ctrl-C until another one has come.
        asked: Whether another one has come.
    """

    signal: int = signal.SIGINT
    asked: bool = False

    @property
    def status(self) -> int:
        """The exit status, as shells have it: 128 and the number of the signal."""
        return 128 + self.signal

    @property
    def sentence(self) -> str:
        """What is said to the user."""
        if not self.asked:
            return "Stopped."
        return f"Stopped by {signal.Signals(self.signal).name}; what it held in memory is gone."

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Raise ``KeyboardInterrupt`` for the first signal; end after a while what stays."""
        if self.asked:
            return
        self.signal, self.asked = number, True
        last = threading.Timer(GRACE, self._give_up)
        last.daemon = True
        last.start()
        raise KeyboardInterrupt

    def _give_up(self) -> None:
        """End without unwinding: something does not let go."""
        if "sos_plugins.r.client" in sys.modules:
            sys.modules["sos_plugins.r.client"].end_now()
        say(self.sentence)
        scratch.remove_all()
        os._exit(self.status)


@contextmanager
def stopping() -> Iterator[Stop]:
    """Make signals that end a program raise ``KeyboardInterrupt`` in the block.

    A signal that is ignored, as SIGHUP under ``nohup``, stays ignored. The signals stay taken
    after one has come, so that a second one does not break off the cleaning up.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield stop
        return
    taken = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop.take)
    try:
        yield stop
    finally:
        if not stop.asked:
            for number in taken:
                signal.signal(number, signal.SIG_DFL)
