"""Changes the code in small ways and asks whether a test notices: ``./dev mutate``.

The changes are those of Cosmic Ray that a slip of the pen could make (:data:`OPERATORS`), and names
of functions that a slip swaps (:data:`SWAPS`). Files stay as they are: each mutant runs in a forked
process that imports its code in place of the module's. ``mutants.toml`` says which tests answer
for which module, and explains each mutant that survives. Works where processes fork (not on
Windows).
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

import cosmic_ray.plugins
import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGURATION = REPOSITORY / "tests" / "mutants.toml"
MOST = 0.05
"""Share of the mutants of a run that may survive."""
PATIENCE = 5.0
"""A mutant is stopped, and counts as noticed, after so many times what the tests take."""

SWAPS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "first": "last",
    "last": "first",
    "greatest": "least",
    "least": "greatest",
    "notnull": "isnull",
    "isnull": "notnull",
    "floor": "ceil",
    "ceil": "floor",
    "sum": "max",
    "mean": "sum",
    "abs": "float",
    "isna": "notna",
    "notna": "isna",
}
"""Names that are called, and what a slip would call."""

_COMPARED = ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_Gt", "Gt_Lt", "LtE_GtE", "GtE_LtE")
_EQUAL = ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")
_BINARY = (
    *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul"),
    *("BitAnd_BitOr", "BitOr_BitAnd"),
)
OPERATORS = (
    *(f"core/ReplaceComparisonOperator_{pair}" for pair in (*_COMPARED, *_EQUAL)),
    *(f"core/ReplaceBinaryOperator_{pair}" for pair in _BINARY),
    *(f"core/ReplaceUnaryOperator_Delete_{name}" for name in ("Not", "Invert", "USub")),
    *("core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue", "core/ReplaceAndWithOr"),
    *("core/ReplaceOrWithAnd", "core/ReplaceBreakWithContinue", "core/ReplaceContinueWithBreak"),
    *("core/AddNot", "core/NumberReplacer", "core/ZeroIterationForLoop"),
)
PRELOADED = (
    *("duckdb", "holidays", "ibis", "ibis.backends.duckdb", "joblib", "numpy"),
    *("pandas", "pluggy", "pyarrow", "pydantic", "pytest", "rich", "scipy.stats", "sklearn"),
    *("matplotlib.pyplot", "differences"),
)
"""What every test imports and no mutant changes: imported once, before the processes fork."""


class SwapName(Operator):  # type: ignore[misc] # cosmic_ray has no types
    """Calls the function that a slip of the pen would call."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Yield the name of each call that has a twin."""
        after = node.get_next_leaf() if node.type == "name" else None
        if after is not None and after.value == "(" and node.value in SWAPS:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Write the twin."""
        del index
        node.value = SWAPS[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Show one."""
        return (Example("min(x)", "max(x)"),)


@dataclass(frozen=True)
class Mutant:
    """One change: the line as it was and as it is, and the code of the whole module."""

    module: str
    line: int
    was: str
    becomes: str
    code: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.module}:{self.line}\n    - {self.was}\n    + {self.becomes}"


@dataclass(frozen=True)
class Target:
    """A module that is changed, and the tests that answer for it."""

    name: str
    path: Path
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        """Name by which it is imported."""
        parts = self.path.relative_to(REPOSITORY).with_suffix("").parts
        return ".".join(parts[1:] if parts[0] in ("outcomes", "ratings", "sources") else parts)


@dataclass(frozen=True)
class Configuration:
    """What ``mutants.toml`` says."""

    targets: dict[str, Target]
    explained: dict[tuple[str, str, str], str]
    """By module, line and changed line, why no test can or need notice."""

    @classmethod
    def read(cls, path: Path = CONFIGURATION) -> Configuration:
        """Read the file."""
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        targets = {
            name: Target(name, REPOSITORY / table["path"], tuple(table["tests"]))
            for name, table in given["modules"].items()
        }
        explained = {
            (row["module"], row["was"], row["becomes"]): row["why"]
            for row in given.get("survivors", [])
        }
        return cls(targets, explained)


def mutants(target: Target) -> list[Mutant]:
    """Return every mutant of a module that is other code, each once."""
    source = target.path.read_text(encoding="utf-8")
    seen = {_meaning(source)}
    made = []
    kinds = [(cosmic_ray.plugins.get_operator(name)(), name) for name in OPERATORS]
    for operator, _ in [*kinds, (SwapName(), "swap")]:
        for occurrence in range(_occurrences(source, operator)):
            code = mutate_code(source, operator, occurrence)
            meaning = _meaning(code) if code else None
            if code is None or meaning is None or meaning in seen:
                continue
            seen.add(meaning)
            made.append(_described(target, source, code))
    return sorted(made, key=lambda mutant: mutant.line)


def _occurrences(source: str, operator: Any) -> int:
    tree = parso.parse(source)
    return sum(len(list(operator.mutation_positions(node))) for node in ast_nodes(tree))


def _meaning(code: str) -> str | None:
    """Return what code says, types and kinds of parameters apart; None if it is broken."""
    try:
        tree = ast.parse(code)
        compile(code, "mutant", "exec")
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.arguments):
            node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
            node.defaults += [default for default in node.kw_defaults if default is not None]
            node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def _described(target: Target, source: str, code: str) -> Mutant:
    pairs = zip(source.splitlines(), code.splitlines(), strict=False)
    line, (was, becomes) = next((n, p) for n, p in enumerate(pairs, 1) if p[0] != p[1])
    return Mutant(target.name, line, was.strip(), becomes.strip(), code)


class InPlace(importlib.abc.MetaPathFinder):
    """Finds one module with other code than its file has."""

    def __init__(self, target: Target, code: str) -> None:
        self.target, self.code = target, code

    def find_spec(self, name: str, path: Any = None, wanted: Any = None) -> Any:
        """Find the module that is changed, and no other."""
        del path, wanted
        if name != self.target.module:
            return None
        loader = _Changed(name, str(self.target.path), self.code)
        return importlib.util.spec_from_file_location(name, self.target.path, loader=loader)


class _Changed(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, code: str) -> None:
        super().__init__(name, path)
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return compile(self.code, self.path, "exec", dont_inherit=True)


def _child(target: Target, code: str, scratch: str) -> int:
    """Run the tests in a process of their own; returns its number."""
    if pid := os.fork():
        return pid
    status = 70
    try:
        os.setsid()
        log = os.open(f"{scratch}/log", os.O_WRONLY | os.O_CREAT)
        for stream in (1, 2):
            os.dup2(log, stream)
        sys.meta_path.insert(0, InPlace(target, code))
        import pytest

        quiet = ["-x", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider"]
        own = [f"--basetemp={scratch}/tmp", "-p", "no:xdist", "-m", "not spark and not browser"]
        status = int(pytest.main([*quiet, *own, *target.tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run(target: Target, codes: Sequence[str], workers: int, limit: float) -> Iterator[Any]:
    """Run the tests once for each code; yields its number, the exit status and the log.

    The status is None where the tests took longer than the limit.
    """
    ahead = list(enumerate(codes))[::-1]
    running: dict[int, tuple[int, float, str]] = {}
    while ahead or running:
        while ahead and len(running) < workers:
            number, code = ahead.pop()
            scratch = tempfile.mkdtemp(prefix="mutant-")
            running[_child(target, code, scratch)] = (number, time.monotonic(), scratch)
        time.sleep(0.02)
        for pid, (number, begun, scratch) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            late = time.monotonic() - begun > limit
            if not done and late:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            if done or late:
                del running[pid]
                log = Path(scratch, "log")
                text = log.read_text(errors="replace") if log.exists() else ""
                shutil.rmtree(scratch, ignore_errors=True)
                yield number, os.waitstatus_to_exitcode(status) if done else None, text


def survivors(target: Target, chosen: Sequence[Mutant], workers: int) -> list[Mutant]:
    """Return the mutants that no test notices.

    Raises:
        SystemExit: If the tests fail without any change.
    """
    begun = time.monotonic()
    ((_, status, log),) = run(target, [target.path.read_text(encoding="utf-8")], 1, 3600.0)
    if status != 0:
        raise SystemExit(f"{log}\n{target.name}: the tests fail before anything is changed.")
    taken = time.monotonic() - begun
    alive = []
    codes = [mutant.code for mutant in chosen]
    for number, status, _ in run(target, codes, workers, PATIENCE * taken + 30):
        print("." if status else "S", end="", flush=True)
        if status == 0:
            alive.append(chosen[number])
    print()
    return sorted(alive, key=lambda mutant: mutant.line)


@dataclass(frozen=True)
class Count:
    """What became of the mutants of a module: how many there were, survive, and are explained."""

    name: str
    mutants: int
    survived: int
    explained: int

    @property
    def row(self) -> str:
        """The counts under the heads of :data:`HEADS`, with the share that survives."""
        share = f"{self.survived / max(self.mutants, 1):.1%}"
        killed = self.mutants - self.survived
        return COLUMNS.format(self.name, self.mutants, killed, self.survived, self.explained, share)

    @classmethod
    def of_all(cls, counted: Sequence[Count]) -> Count:
        """Add those of several modules up."""
        return cls(
            "all",
            sum(count.mutants for count in counted),
            sum(count.survived for count in counted),
            sum(count.explained for count in counted),
        )


HEADS = ("module", "mutants", "killed", "survived", "explained", "share")
COLUMNS = "{:<20} {:>8} {:>8} {:>8} {:>9} {:>7}"


def report(target: Target, alive: Sequence[Mutant], n: int, why: dict[Any, str]) -> Count:
    """Print the survivors of a module; returns the counts."""
    print(f"{target.name}: {len(alive)} of {n} mutants survive ({len(alive) / max(n, 1):.1%})")
    explained = 0
    for mutant in alive:
        reason = why.get((mutant.module, mutant.was, mutant.becomes))
        explained += reason is not None
        print(f"  {mutant}\n    {'explained: ' + reason if reason else 'NOT EXPLAINED'}")
    return Count(target.name, n, len(alive), explained)


def verdict(counted: Sequence[Count]) -> int:
    """Print the table of all modules; 1 where too many survive, or one is not explained."""
    total = Count.of_all(counted)
    print(COLUMNS.format(*HEADS), *(count.row for count in (*counted, total)), sep="\n")
    print(f"At most {MOST:.0%} may survive, and every survivor must be explained.")
    return int(total.survived > MOST * total.mutants or total.explained < total.survived)


def arguments(targets: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="./dev mutate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(targets)}")
    parser.add_argument("--sample", type=int, metavar="N", help="at most N mutants of each module")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    given = parser.parse_args()
    if unknown := set(given.modules) - set(targets):
        parser.error(f"no module {', '.join(sorted(unknown))}; there are {', '.join(targets)}")
    return given


def main() -> int:
    """Run, print the survivors; 1 where more survive than :data:`MOST`, or one is not explained."""
    os.chdir(REPOSITORY)
    configuration = Configuration.read()
    given = arguments(list(configuration.targets))
    for name in PRELOADED:
        importlib.import_module(name)
    counted: list[Count] = []
    for name in given.modules or configuration.targets:
        target = configuration.targets[name]
        chosen = mutants(target)
        if given.sample and given.sample < len(chosen):
            print(f"{name}: {given.sample} of {len(chosen)} mutants, drawn with seed {given.seed}")
            chosen = random.Random(given.seed).sample(chosen, given.sample)
        if given.list:
            print(*chosen, sep="\n")
            continue
        alive = survivors(target, chosen, given.workers)
        counted.append(report(target, alive, len(chosen), configuration.explained))
    return verdict(counted) if counted else 0


if __name__ == "__main__":
    sys.exit(main())
