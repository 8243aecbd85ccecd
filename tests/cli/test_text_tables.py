"""Tables in a terminal: words whole and numbers in one line, down to 80 columns and below."""

from __future__ import annotations

import doctest
import re
from typing import Any

import pytest
from click.testing import CliRunner
from minimum_wage import MPDTA

from sos_plugins.cli import main, text_tables
from sos_plugins.cli.text_tables import render
from sos_plugins.contract.types import Agreement, Tolerance

COLUMNS = ["outcome", "estimator", "estimate", "reason"]
ROWS: list[list[Any]] = [
    ["re-referral", "augmented-synthetic-control", -0.0366667, "the same least squares, summed"],
    ["kinship-care", "did", 1.23457e-15, "other order of summation than in the reference engine"],
]


def narrow(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(text_tables, "width", lambda: columns)


def words_of(rows: list[list[Any]]) -> set[str]:
    """The parts of a table that must stay whole: words, and parts of names between hyphens."""
    texts = [text_tables.text_of(value) for row in rows for value in row]
    return {word for text in texts for word in re.split(r"\s+|(?<=[a-z]-)(?=[a-z])", text)}


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(text_tables).attempted > 0
    assert doctest.testmod(text_tables).failed == 0


@pytest.mark.parametrize("columns", [120, 80, 60, 45, 20])
def test_words_and_numbers_are_whole_at_every_width(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    narrow(monkeypatch, columns)
    lines = render(COLUMNS, ROWS, "What was found").splitlines()
    printed = {word for line in lines for word in re.split(r"\s+|(?<=[a-z]-)(?=[a-z])", line)}
    assert words_of(ROWS) <= printed
    if columns > 20:
        assert max(map(len, lines)) <= columns


def test_what_fits_is_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 120)
    assert len(render(COLUMNS, ROWS).splitlines()) == 2 + len(ROWS)


def test_crosscheck_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    from sos_plugins.cli import run

    monkeypatch.setattr(run, "width", lambda: 80)
    narrow(monkeypatch, 80)
    tolerance = Tolerance(1e-8, 1e-10, "the same least squares in double precision")
    reason = "random numbers differ between the engines, and so do their standard errors"
    checks = [
        {"outcome": "x", "estimator": "augmented-synthetic-control", "engine": "python"}
        | {"estimate": -0.123456789, "std_error": 0.0123456789}
        | run._reference(),
        {"outcome": "x", "estimator": "augmented-synthetic-control", "engine": "r-clubsandwich"}
        | {"estimate": -0.123456789, "std_error": 0.0123456789}
        | run._compared(agreement(tolerance, reason)),
    ]
    reasons = [row["reason"] for row in checks if row["reason"]]
    table = render(run.CHECKED, [run._check(row, reasons) for row in checks], "Of an outcome")
    assert max(map(len, table.splitlines())) <= 80
    whole = {"-0.123457", "(0.01235)", "1.2e-12", "1e-08", "(SE)", "augmented-", "disagree", "(1)"}
    assert whole <= set(table.split())


def agreement(tolerance: Tolerance, reason: str) -> Agreement:
    return Agreement(
        outcome="x",
        estimator="augmented-synthetic-control",
        reference="python",
        engine="r-clubsandwich",
        verdict="disagree",
        reason=reason,
        max_difference_estimate=1.23456e-12,
        max_difference_std_error=None,
        worst_term="ATT",
        tolerance_estimate=tolerance,
        tolerance_std_error=tolerance,
    )


def test_a_command_prints_whole_words_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 80)
    words = ["estimate", "did", "--data", str(MPDTA), "--unit", "countyreal", "--period", "year"]
    words += ["--cohort", "first.treat", "--value", "lemp", "--engine", "python"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "-0.0365" in done.stdout
    assert {"estimate", "std_error", "conf_low", "conf_high"} <= set(done.stdout.split())
