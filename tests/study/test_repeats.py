"""The same work many times over in several processes: nothing is lost, nothing waits for ever."""

from __future__ import annotations

import threading

import pytest

from sos_plugins.study.repeats import repeated

PATIENCE = 90  # seconds; it takes about ten


@pytest.mark.slow
def test_a_process_that_is_replaced_for_its_memory_loses_no_result() -> None:
    """A process that keeps over 300 MB after a second of work is stopped while jobs are pending."""
    pytest.importorskip("psutil")

    def job(number: int) -> int:
        import sys
        import time

        time.sleep(1.2)
        if number == 4:
            sys.kept = [b"x" * 500_000_000]  # type: ignore[attr-defined]
        return number * number

    results: list[int] = []
    work = threading.Thread(
        target=lambda: results.extend(repeated(job, range(12), lambda *_: None, 2)), daemon=True
    )
    work.start()
    work.join(PATIENCE)
    assert results == [number * number for number in range(12)]
