"""The process that holds R: takes calls on standard input, answers on standard output.

Started by :mod:`sos_plugins.r.client` as a plain file, so it imports nothing of the package; it is
the only place that imports rpy2. Messages are pickles of plain values and numpy arrays. Whatever R
or rpy2 print goes to standard error, never among the answers; when standard input closes, because
the parent is done or dead, the process ends at once, even in the middle of a computation.
"""

from __future__ import annotations

import os
import pickle
import queue
import select
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

BETWEEN_LOOKS = 0.25
"""Seconds between two looks at whether a process is there."""
INT_MAX = 2**31 - 1  # R's integers have 32 bits; the smallest one means NA

START_OPTIONS: Any = (
    "rpy2",
    "--quiet",
    "--no-save",
    "--no-restore-data",
    "--no-init-file",
    "--no-readline",
)
"""No start-up file of the user's folder may change a result."""

LIBRARIES = r"""
local({
  named <- c("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE")
  file <- Sys.getenv("SOS_R_ENVIRON_USER")
  if (file.exists(file)) {
    before <- Sys.getenv()
    readRenviron(file)
    folders <- Sys.getenv(named)
    Sys.unsetenv(setdiff(names(Sys.getenv()), names(before)))
    do.call(Sys.setenv, as.list(before))
    folders <- folders[folders != Sys.getenv(named)]
    expand <- get0(".expand_R_libs_env_var", baseenv(), ifnotfound = identity)
    folders <- unlist(strsplit(vapply(folders, expand, ""), .Platform$path.sep, fixed = TRUE))
    .libPaths(c(folders, .libPaths()))
  }
  for (p in c("methods", "datasets", "utils", "grDevices", "graphics", "stats")) {
    library(p, character.only = TRUE)
  }
})
"""
"""Of the user's .Renviron the library folders count, nothing else; all that R has by default is on,
whatever a variable says."""

RUN = r"""
local({
  loaded <- list()
  load_script <- function(path, stamp) {
    if (!identical(loaded[[path]]$stamp, stamp)) {
      scope <- new.env(parent = globalenv())
      sys.source(path, envir = scope, chdir = TRUE, keep.source = FALSE)
      loaded[[path]] <<- list(stamp = stamp, scope = scope)
    }
    loaded[[path]]$scope
  }
  as_frame <- function(columns) {
    attr(columns, "row.names") <- .set_row_names(length(columns[[1]]))
    class(columns) <- "data.frame"
    columns
  }
  # A call that names its inputs instead of holding them, so that an error can quote it.
  short_call <- function(name, columns, arguments, scope) {
    scope$.data <- if (length(columns)) as_frame(columns)
    scope$.arguments <- arguments
    further <- lapply(names(arguments), function(n) call("[[", quote(.arguments), n))
    as.call(c(list(as.name(name), quote(.data)), stats::setNames(further, names(arguments))))
  }
  plain <- function(x) {
    if (is.factor(x)) return(as.character(x))
    if (is.list(x)) return(lapply(x, plain))
    if (is.null(x) || is.numeric(x) || is.character(x) || is.logical(x)) return(x)
    stop("a value of class ", class(x)[1], " cannot be sent back; give numbers, text or logicals",
         call. = FALSE)
  }
  function(path, stamp, name, columns, arguments) {
    warned <- character()
    tryCatch(
      withCallingHandlers(
        {
          scope <- new.env(parent = load_script(path, stamp))
          if (!exists(name, envir = parent.env(scope), mode = "function", inherits = FALSE)) {
            stop("the script has no function '", name, "'", call. = FALSE)
          }
          value <- eval(short_call(name, columns, arguments, scope), scope)
          if (!is.list(value) || is.null(names(value))) {
            stop("the function must return a named list", call. = FALSE)
          }
          list(value = plain(value), warnings = unique(warned))
        },
        warning = function(w) {
          warned <<- c(warned, conditionMessage(w))
          invokeRestart("muffleWarning")
        },
        message = function(m) invokeRestart("muffleMessage")
      ),
      error = function(e) {
        place <- conditionCall(e)
        list(error = conditionMessage(e),
             place = if (is.call(place) && is.name(place[[1]])) as.character(place[[1]]) else "")
      }
    )
  }
})
"""

FACTOR = "function(codes, levels) structure(codes, levels = levels, class = 'factor')"

DESCRIBE = r"""
function(packages) {
  found <- vapply(packages, function(p) nzchar(system.file(package = p)), logical(1))
  version <- vapply(packages[found], function(p) as.character(utils::packageVersion(p)), "")
  list(packages = packages[found], versions = unname(version),
       R = paste(R.version$major, R.version$minor, sep = "."))
}
"""

BENEATH = r"""
local({
  fields <- c("Version", "Depends", "Imports", "LinkingTo")
  known <- list()
  told <- function(name) {
    if (is.null(known[[name]])) {
      found <- suppressWarnings(utils::packageDescription(name, fields = fields))
      known[[name]] <<- if (is.list(found)) found else list(Version = "not installed")
    }
    known[[name]]
  }
  needs <- function(name) {
    listed <- as.character(unlist(unclass(told(name))[fields[2:4]]))
    names <- trimws(sub("[(].*", "", unlist(strsplit(listed[!is.na(listed)], ","))))
    setdiff(names, c("R", ""))
  }
  of <- function(name) {
    found <- character()
    ahead <- name
    while (length(ahead) > 0) {
      found <- c(found, ahead)
      ahead <- setdiff(unique(unlist(lapply(ahead, needs))), found)
    }
    version <- vapply(sort(found), function(p) as.character(told(p)$Version), "")
    paste(c(R.version.string, R.version$platform, paste(sort(found), version)), collapse = "; ")
  }
  function(packages) {
    known <<- list()
    list(versions = vapply(packages, of, "", USE.NAMES = FALSE))
  }
})
"""


def _say_nothing(s: str) -> None:
    """Drop what R prints."""


def _empty_answer(prompt: str) -> str:  # noqa: ARG001
    """Answer a script that asks its user something."""
    return "\n"


def start_r() -> Any:
    """Start R in this process and return the module ``rpy2.rinterface``."""
    from rpy2.rinterface_lib import callbacks, embedded

    embedded.set_initoptions(START_OPTIONS)
    from rpy2 import rinterface

    rinterface.initr()
    callbacks.consolewrite_print = _say_nothing
    callbacks.consoleread = _empty_answer
    rinterface.evalr(LIBRARIES)
    rinterface.evalr("options(warn = 1, stringsAsFactors = FALSE, scipen = 0, OutDec = '.')")
    return rinterface


class Translator:
    """Between Python values and R vectors."""

    def __init__(self, rinterface: Any) -> None:
        self.r = rinterface
        self._as_factor = rinterface.evalr(FACTOR)

    def to_r(self, value: Any) -> Any:
        """Make an R vector, factor or list of what :func:`sos_plugins.r.client.call` takes."""
        if value is None or (isinstance(value, Sequence) and len(value) == 0):
            return self.r.NULL
        if isinstance(value, Mapping):
            if set(value) == {"codes", "levels"}:
                return self._factor(value["codes"], value["levels"])
            return self._list(value)
        if isinstance(value, np.ndarray):
            return self._array(value)
        values = [value] if isinstance(value, (str, bool, int, float)) else list(value)
        if all(isinstance(v, str) for v in values):
            return self.r.StrSexpVector(values)
        return self._array(np.asarray(values))

    def _list(self, values: Mapping[str, Any]) -> Any:
        items = self.r.ListSexpVector([self.to_r(v) for v in values.values()])
        items.do_slot_assign("names", self.r.StrSexpVector([str(k) for k in values]))
        return items

    def _factor(self, codes: np.ndarray, levels: Sequence[str]) -> Any:
        whole = np.where(codes < 0, -INT_MAX - 1, codes.astype(np.int64) + 1)
        vector = self.r.IntSexpVector.from_memoryview(whole.astype(np.int32).data)
        return self._as_factor(vector, self.r.StrSexpVector(list(levels)))

    def _array(self, array: np.ndarray) -> Any:
        if array.size == 0:
            return self.r.FloatSexpVector([])
        if array.dtype.kind == "b":
            return self.r.BoolSexpVector([bool(v) for v in array.ravel()])
        fits = array.dtype.kind in "iu" and array.min() >= -INT_MAX and array.max() <= INT_MAX
        kind = (np.int32, self.r.IntSexpVector) if fits else (np.float64, self.r.FloatSexpVector)
        flat = np.ascontiguousarray(array.ravel(order="F"), dtype=kind[0])
        vector = kind[1].from_memoryview(flat.data)
        if array.ndim > 1:
            vector.do_slot_assign("dim", self.r.IntSexpVector(list(array.shape)))
        return vector

    def to_python(self, value: Any) -> Any:
        """Make a numpy array, a list of text, a dictionary or None of an R value."""
        if value is self.r.NULL or isinstance(value, type(self.r.NULL)):
            return None
        if isinstance(value, self.r.ListSexpVector):
            names = list(value.names) if value.names is not self.r.NULL else range(len(value))
            return {str(n): self.to_python(v) for n, v in zip(names, value, strict=True)}
        if isinstance(value, self.r.StrSexpVector):
            return [None if v is self.r.NA_Character else str(v) for v in value]
        return self._reshape(self._numbers(value), value)

    def _numbers(self, value: Any) -> np.ndarray:
        if isinstance(value, self.r.FloatSexpVector):
            numbers = np.array(value.memoryview(), dtype=float) if len(value) else np.empty(0)
            numbers[np.isnan(numbers)] = np.nan  # R's NA is a signalling nan
            return numbers
        whole = (
            np.array(value.memoryview(), dtype=np.int64) if len(value) else np.empty(0, np.int64)
        )
        absent = whole == -INT_MAX - 1
        if absent.any():
            return np.where(absent, np.nan, whole)
        return whole.astype(bool) if isinstance(value, self.r.BoolSexpVector) else whole

    def _reshape(self, flat: np.ndarray, value: Any) -> np.ndarray:
        if "dim" not in list(value.list_attrs()):
            return flat
        return flat.reshape([int(d) for d in value.do_slot("dim")], order="F")


def answer(request: Mapping[str, Any], translator: Translator, run: Any, describe: Any) -> Any:
    """Carry out one request and return what goes back."""
    if request["do"] in ("describe", "beneath"):
        look = describe if request["do"] == "describe" else translator.r.evalr(BENEATH)
        return translator.to_python(look(translator.to_r(list(request["packages"]))))
    named = [translator.to_r(request[key]) for key in ("script", "stamp", "function")]
    columns = translator.to_r(request["columns"] or None)
    arguments = translator.to_r(request["arguments"] or None)
    return translator.to_python(run(*named, columns, arguments))


def listen(stream: IO[bytes], requests: queue.SimpleQueue[Any]) -> None:
    """Put every request into the queue; end the process when there will be no more."""
    while True:
        try:
            requests.put(pickle.load(stream))
        except (EOFError, OSError, pickle.UnpicklingError):
            end_all()


def end_all() -> None:
    """End this process, and what R has started, which is of its group."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def guard_group() -> None:
    """Start a process that ends what R has started, should this one die without doing so.

    It is no child of this process, which somebody may kill together with its children while what
    R has put in the background, and so is nobody's child, lives on.
    """
    if sys.platform == "win32" or os.getpgrp() != os.getpid():
        return
    leader = os.getpid()
    ours, theirs = os.pipe()
    between = os.fork()
    if between == 0:
        if os.fork() == 0:
            os.closerange(0, ours)
            os.closerange(ours + 1, theirs + 64)
            watch(leader, ours)
        os._exit(0)
    os.waitpid(between, 0)
    os.close(ours)  # the other end stays open for as long as this process lives


def watch(leader: int, pipe: int) -> None:
    """Wait until a process is gone, then end its group, and with it this process."""
    while not select.select([pipe], [], [], BETWEEN_LOOKS)[0]:
        try:  # the pipe may be held open by processes that R has forked
            os.kill(leader, 0)
        except ProcessLookupError:
            break
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Serve until standard input closes."""
    guard_group()
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def send(message: Any) -> None:
        pickle.dump(message, outgoing, protocol=5)
        outgoing.flush()

    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(incoming, requests), daemon=True).start()
    try:
        rinterface = start_r()
        translator = Translator(rinterface)
        run, describe = rinterface.evalr(RUN), rinterface.evalr(DESCRIBE)
    except Exception as error:  # whatever keeps R from starting is told to the parent
        send({"failed": f"{type(error).__name__}: {error}"})
        return
    send({"ready": True})
    while True:
        request = requests.get()
        try:
            send(answer(request, translator, run, describe))
        except Exception as error:
            send({"error": f"{type(error).__name__}: {error}", "place": ""})


if __name__ == "__main__":
    main()
