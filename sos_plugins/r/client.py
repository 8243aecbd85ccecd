"""R, in a worker process of its own.

A crash, a hang or a ``quit()`` in R is an :class:`~sos_plugins.errors.EngineError` here and not the
end of a study: R runs in :mod:`sos_plugins.r.worker`, which is kept between calls and started anew
after a failure. This process never imports rpy2.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.metadata
import importlib.util
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sos_plugins.errors import EngineError, EngineUnavailableError
from sos_plugins.system.notices import say
from sos_plugins.system.scratch import remove, scratch_folder

MEND_RPY2 = (
    "pip install 'sos-plugins[r]'; with an R older than 4.5: pip install 'sos-plugins[r-below-4-5]'"
)
MEND_R = {
    "win32": "Windows: install R and set R_HOME to its folder",
    "darwin": "macOS: brew install r",
}.get(sys.platform, "Debian: sudo apt-get install r-base-core")
START_TIMEOUT = 60.0
"""Seconds that R may take to start, a cold disk included."""
SLOW_START = 15.0
"""Seconds after which it is said that R is slow to start."""
LOOK_TIMEOUT = 40.0
"""Seconds that R may take to say which packages it has."""

STEADY_ENVIRONMENT = {
    "LC_COLLATE": "C",
    "LC_MESSAGES": "C",
    "LC_MONETARY": "C",
    "LC_NUMERIC": "C",
    "LC_TIME": "C",
    "LANGUAGE": "en",
    "TZ": "UTC",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONIOENCODING": "utf-8",
}
"""What makes R sort, print and add up alike everywhere: C collation, one thread."""
LIBRARIES = ("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE")
"""Where the user's R packages are: lists of folders."""
R_VARIABLES = ("R_HOME", *LIBRARIES)
"""The variables of R that the worker gets; others, such as ``R_PROFILE``, change what R does."""
PYTHON_VARIABLES = ("PYTHONSTARTUP", "PYTHONINSPECT")
"""Variables of Python that the worker does not get."""
USER_FILE = "SOS_R_ENVIRON_USER"
"""Names to the worker the user's ``.Renviron``, of which it takes the library folders alone."""


class _StoppedError(Exception):
    """The worker ended before it answered."""


class _Worker:
    """One R process and the pipes to it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        try:
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
            self._folder = scratch_folder()
        except OSError as error:
            raise EngineError(
                f"R needs a folder for temporary files: {error.strerror or error}. Name one that "
                "can be written to in TMPDIR."
            ) from None
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-u", str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=self._folder,  # nothing of the folder that the user works in is picked up
            env=_environment(self._folder),
            start_new_session=True,
        )

    def alive(self) -> bool:
        """Whether the process runs and belongs to this process (not to the one it forked from)."""
        return self.owner == os.getpid() and self._process.poll() is None

    def exchange(
        self, request: Mapping[str, Any] | None, timeout: float, patience: float | None = None
    ) -> dict[str, Any]:
        """Send a request (or none) and wait for one answer.

        Args:
            request: What to send.
            timeout: Seconds to wait.
            patience: Seconds after which it is said that R is slow.

        Raises:
            TimeoutError: If no answer comes in time; the process still runs.
            _StoppedError: If the process ends first.
        """
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._talk, args=(request, answers), daemon=True).start()
        try:
            answer = _waited(answers, timeout, patience)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(answer, Exception):
            raise _StoppedError(self._how_it_ended()) from answer
        return dict(answer)

    def _talk(self, request: Mapping[str, Any] | None, answers: queue.SimpleQueue[Any]) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            if request is not None:
                pickle.dump(request, self._process.stdin, protocol=5)
                self._process.stdin.flush()
            answers.put(pickle.load(self._process.stdout))
        except (OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            answers.put(error)

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        told = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        line = self._last_words()
        return f"{told}; it last said: {line}" if line else told

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read()[-4000:].decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def end(self) -> None:
        """End the process at once and close the pipes."""
        if self.owner == os.getpid():
            if self._process.poll() is None:
                _kill(self._process)
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        remove(self._folder)


def _waited(answers: queue.SimpleQueue[Any], timeout: float, patience: float | None) -> Any:
    """Wait for an answer, and say so when it takes longer than ``patience``."""
    if patience is None or patience >= timeout:
        return answers.get(timeout=timeout)
    try:
        return answers.get(timeout=patience)
    except queue.Empty:
        say(
            f"R has not started after {patience:g} seconds; it is waited for until {timeout:g} "
            "have passed. --no-r does without it."
        )
    return answers.get(timeout=timeout - patience)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and whatever R started: it leads a session of its own where there are any."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _environment(folder: Path) -> dict[str, str]:
    """Return the variables of the worker: no start-up file or habit of R's comes with them.

    Relative folders of libraries and modules mean what they mean here.
    """
    hidden = {"LC_ALL", "LANG", *PYTHON_VARIABLES}
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in hidden and (k in R_VARIABLES or not k.startswith(("R_", "_R_")))
    }
    for name in (*LIBRARIES, "PYTHONPATH"):
        if name in kept:
            folders = filter(None, kept[name].split(os.pathsep))
            kept[name] = os.pathsep.join(map(_from_here, folders))
    if sys.platform == "linux":
        kept["LC_CTYPE"] = "C.UTF-8"
    return {
        **kept,
        **STEADY_ENVIRONMENT,
        "R_ENVIRON_USER": os.devnull,
        "R_PROFILE_USER": os.devnull,
        USER_FILE: _from_here(os.environ.get("R_ENVIRON_USER") or "~/.Renviron"),
        "TMPDIR": str(folder),
    }


def _from_here(path: str) -> str:
    """Make a path that means the same from another folder; ``%V`` and its like stay for R."""
    if path.startswith("%"):
        return path
    return str(Path(os.path.expanduser(path)).absolute())  # noqa: PTH111 (raises without a home)


class _State:
    """The worker of this process and what is known about its R."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.worker: _Worker | None = None
        self.cannot_start = ""
        self.packages: dict[str, str | None] = {}
        self.beneath: dict[str, str] = {}


_state = _State()


def disabled() -> bool:
    """Whether R is switched off: environment variable ``SOS_NO_R`` set to 1."""
    return os.environ.get("SOS_NO_R", "").strip().lower() not in ("", "0", "false", "no")


def available() -> bool:
    """Whether R can be called here."""
    return missing("base", MEND_R) is None


def missing(package: str, mend: str) -> str | None:
    """Say in a sentence why an R package cannot be used, or return None when it can.

    Args:
        package: Name of the R package; ``"base"`` asks for R alone.
        mend: The line that installs the package.
    """
    if disabled():
        return "R is switched off (by --no-r or the environment variable SOS_NO_R)"
    if importlib.util.find_spec("rpy2") is None:
        return f"the Python package 'rpy2' is not installed ({MEND_RPY2})"
    try:
        _look_up([package])
    except EngineError as error:
        return f"R is not installed or does not start ({MEND_R}): {error}"
    if _state.packages[package] is None:
        return f"the R package '{package}' is not installed ({mend})"
    return None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of R (key ``"R"``), rpy2 and the named R packages.

    A package that is not installed has the version ``"not installed"``.

    Raises:
        EngineError: If R cannot start.
    """
    names = list(packages)
    _look_up(names)
    told = {name: _state.packages[name] or "not installed" for name in names}
    return {"R": str(_state.packages[""]), "rpy2": importlib.metadata.version("rpy2"), **told}


def beneath(packages: Iterable[str]) -> dict[str, str]:
    """Return, by R package, the versions of R, of the package and of all that it rests on.

    Raises:
        EngineError: If R cannot start.
    """
    names = list(packages)
    with _state.lock:
        unknown = [name for name in names if name not in _state.beneath]
        if unknown:
            request = {"do": "beneath", "packages": unknown}
            told = _ask(request, START_TIMEOUT, "looking for packages")["versions"]
            _state.beneath.update(zip(unknown, told, strict=True))
        return {name: _state.beneath[name] for name in names}


def _look_up(packages: Sequence[str]) -> None:
    with _state.lock:
        unknown = [p for p in ("base", *packages) if p not in _state.packages]
        if not unknown:
            return
        request = {"do": "describe", "packages": unknown}
        try:
            answer = _ask(request, LOOK_TIMEOUT, "looking for packages")
        except EngineError as error:
            if not _state.packages:  # it has never answered: nobody waits for it again
                _state.cannot_start = str(error)
            raise
        there = dict(zip(answer["packages"] or [], answer["versions"] or [], strict=True))
        _state.packages.update({name: there.get(name) for name in unknown}, **{"": answer["R"][0]})


def call(
    script: Path,
    function: str,
    columns: Mapping[str, Any],
    arguments: Mapping[str, object] | None = None,
    *,
    timeout: float = 300,
) -> dict[str, Any]:
    """Call ``function(data, ...)`` of an ``.R`` file.

    The file is sourced once, with its folder as working directory (so it may ``source()`` a
    neighbour), and again when it or a neighbour has changed.

    Args:
        script: The ``.R`` file.
        function: Name of a function in it that takes a data frame first and returns a named list.
        columns: Columns of the data frame: one-dimensional numeric, whole-number or boolean arrays
            of one length, or a ``pandas.Categorical``, which becomes a factor. Without any column
            ``data`` is ``NULL``.
        arguments: Further arguments by name: text, numbers, booleans, None (``NULL``), arrays,
            lists of one kind (an empty one is ``NULL``), a ``Categorical``, or mappings of these.
        timeout: Seconds after which R is ended.

    Returns:
        The list that the function returned: numbers as arrays (whole numbers and logicals with NA
        as floats with nan), matrices in their shape, text and factors as lists (NA is None),
        lists as dictionaries, ``NULL`` as None; and ``"warnings"``, a list of R's warnings.

    Raises:
        EngineUnavailableError: If R is switched off or not installed.
        EngineError: If R raises an error, stops in the middle, or takes too long. The next call
            then gets a fresh R.
    """
    script = Path(script).resolve()
    if not script.is_file():
        raise EngineError(f"The R script {script} does not exist.")
    place = f"function '{function}' of {script.name}"
    sent = {str(name): _sendable(column, name) for name, column in columns.items()}
    lengths = {_length(column) for column in sent.values()}
    if len(lengths) > 1:
        raise EngineError(f"The columns for {place} differ in length: {sorted(lengths)} rows.")
    request = {
        "do": "call",
        "script": str(script),
        "stamp": _stamp(script.parent),
        "function": function,
        "columns": sent,
        "arguments": {str(name): _sendable(v, name) for name, v in (arguments or {}).items()},
    }
    answer = _ask(request, timeout, place)
    if "error" in answer:
        message, within = _text(answer["error"]), _text(answer["place"])
        where = f" (in {within})" if within not in ("", function) else ""
        raise EngineError(f"R raised an error in {place}: {message.strip()}{where}")
    return {**answer["value"], "warnings": answer["warnings"] or []}


def _stamp(folder: Path) -> str:
    """When the R files of a folder were last changed."""
    files = sorted(folder.glob("*.R"))
    return "|".join(f"{file.name}:{file.stat().st_mtime_ns}" for file in files)


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else " ".join(value)


def _length(column: Any) -> int:
    return len(column["codes"] if isinstance(column, dict) else column)


def _sendable(value: Any, name: object) -> Any:
    """Make plain values and arrays of a column or an argument: the worker knows no pandas."""
    if isinstance(value, (pd.Series, pd.Index)):
        value = value.array if isinstance(value.dtype, pd.CategoricalDtype) else value.to_numpy()
    if isinstance(value, pd.Categorical):
        return {"codes": np.asarray(value.codes), "levels": [str(c) for c in value.categories]}
    if isinstance(value, Mapping):
        return {str(key): _sendable(item, name) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise EngineError(
                f"The column or argument '{name}' has the type {value.dtype}; R gets numbers, "
                "booleans, or text as a pandas Categorical."
            )
        return np.ascontiguousarray(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_sendable(item, name) for item in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise EngineError(f"The argument '{name}' of type {type(value).__name__} cannot be sent to R.")


def _ask(request: Mapping[str, Any], timeout: float, place: str) -> dict[str, Any]:
    with _state.lock:
        worker = _ready_worker()
        try:
            return worker.exchange(request, timeout)
        except TimeoutError:
            _drop_worker()
            raise EngineError(
                f"R did not finish {place} within {timeout:g} seconds and was ended. "
                "Give it more time, or fewer cases."
            ) from None
        except _StoppedError as stopped:
            _drop_worker()
            raise EngineError(f"R stopped in the middle of {place} ({stopped}).") from None
        except BaseException:  # Ctrl-C: the answer would be taken for that of the next call
            _drop_worker()
            raise


def _ready_worker() -> _Worker:
    if disabled():
        raise EngineUnavailableError("R is switched off (by --no-r or SOS_NO_R).")
    if _state.worker is not None and _state.worker.alive():
        return _state.worker
    _drop_worker()
    if _state.cannot_start:
        raise EngineUnavailableError(_state.cannot_start)
    _state.worker = worker = _Worker()
    try:
        greeting = worker.exchange(None, START_TIMEOUT, SLOW_START)
    except TimeoutError:
        greeting = {
            "failed": f"R did not start within {START_TIMEOUT:g} seconds and was ended; see "
            "whether 'R --version' answers, or do without R: --no-r"
        }
    except _StoppedError as error:
        greeting = {"failed": f"R did not start ({error})"}
    except BaseException:
        _drop_worker()
        raise
    if "failed" in greeting:
        _drop_worker()
        _state.cannot_start = f"the R worker reports: {greeting['failed']}."
        raise EngineUnavailableError(_state.cannot_start)
    return worker


def _drop_worker() -> None:
    if _state.worker is not None:
        _state.worker.end()
        _state.worker = None


def stop() -> None:
    """End R, if it runs, and forget what was known about it; the next call starts it anew."""
    with _state.lock:
        _drop_worker()
        _state.cannot_start = ""
        _state.packages.clear()
        _state.beneath.clear()


def end_now() -> None:
    """End R without waiting for a call that another thread may still be in."""
    if _state.worker is not None:
        _state.worker.end()


atexit.register(end_now)
