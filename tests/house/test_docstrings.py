"""Docstrings that serve: a function that others call says what each of its arguments is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from clean_environment import REPOSITORY

WHOLE = ("sos_plugins/contract", "sos_plugins/authors")
"""What authors of plugins read: no argument without a word."""
LEAST = {
    "estimators/sos_estimators": 0.83,
    "estimators/sos_estimators/inference": 1.0,
    "estimators/sos_estimators/regression": 1.0,
}
"""Share of documented functions reached elsewhere. It only ever rises: whoever documents more puts
the new share here, rounded down."""
ENTRY = r"^ {{4}}\*{{0,2}}{name}:"
SECTIONS = "Returns|Raises|Yields|Attributes|Note|Example"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(body: list[ast.stmt]) -> Iterator[Function]:
    """Every function of a module, and method of its classes, that others may call."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, Function) and not node.name.startswith("_"):
            yield node


def parameters(function: Function) -> list[str]:
    args = function.args
    every = (*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg)
    return [arg.arg for arg in every if arg is not None and arg.arg not in ("self", "cls")]


def undocumented(function: Function) -> list[str]:
    """Parameters that the section Args does not name."""
    section = re.search(
        rf"^Args:\n(.*?)(?=^(?:{SECTIONS}):|\Z)", ast.get_docstring(function) or "", re.M | re.S
    )
    text = section.group(1) if section else ""
    return [n for n in parameters(function) if not re.search(ENTRY.format(name=n), text, re.M)]


def is_check(function: Function) -> bool:
    """Whether a function is a check of an author's kit: all take one subject, as ``check`` says."""
    marks = [ast.unparse(mark) for mark in function.decorator_list]
    return marks == ["check"] and parameters(function) == ["subject"]


def functions_of(folder: str) -> Iterator[tuple[str, Function]]:
    """Public functions with parameters of a package, with file and line; templates apart."""
    for file in sorted((REPOSITORY / folder).rglob("*.py")):
        if "templates" not in file.parts:
            place = file.relative_to(REPOSITORY)
            for function in public_functions(ast.parse(file.read_text("utf-8")).body):
                if parameters(function) and not is_check(function):
                    yield f"{place}:{function.lineno}", function


def lacking(folder: str) -> list[str]:
    return [
        f"{place} {function.name}: {', '.join(missing)}"
        for place, function in functions_of(folder)
        if (missing := undocumented(function))
    ]


@pytest.mark.parametrize("folder", WHOLE)
def test_every_argument_that_authors_meet_is_described(folder: str) -> None:
    assert len(list(functions_of(folder))) > 0
    missing = lacking(folder)
    assert not missing, "Add a line to Args for each of\n" + "\n".join(missing)


@pytest.mark.parametrize("folder", LEAST)
def test_no_fewer_functions_describe_their_arguments_than_before(folder: str) -> None:
    missing, n = lacking(folder), len(list(functions_of(folder)))
    share = 1 - len(missing) / n
    assert share >= LEAST[folder], (
        f"{share:.1%} of {n} functions describe their arguments, it was "
        f"{LEAST[folder]:.0%} before. Add a line to Args for each argument; these lack some:\n"
        + "\n".join(missing)
    )


SAMPLE = '''
class Public:
    def method(self, first, *rest, key=1):
        """Do it.

        Args:
            first: Named,
                on two lines with key: inside.

        Returns:
            key: Not here.
        """

    def _own(self, left_out): ...

class _Private:
    def method(self, left_out): ...

def bare(value): ...
'''


def test_arguments_are_found_in_the_section_of_arguments_only() -> None:
    missing = {f.name: undocumented(f) for f in public_functions(ast.parse(SAMPLE).body)}
    assert missing == {"method": ["rest", "key"], "bare": ["value"]}
