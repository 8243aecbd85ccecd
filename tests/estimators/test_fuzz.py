"""Random small tables and settings through every estimator and engine, and the command line.

Each engine gives figures, or a sentence; engines that both give figures agree. The short profile
is the same on each run. The long one (``pytest --long -k fuzz``) draws anew each time, prints its
seed, takes ``SOS_FUZZ_SEED`` and the number of examples for each estimator from
``SOS_FUZZ_EXAMPLES``.
"""

from __future__ import annotations

import functools
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fuzz_tables import Example, examples, faults
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from sos_plugins.cli import main
from sos_plugins.host.registry import Registry, load_plugins

N_SHORT, N_LINES, N_LONG = 10, 4, 3000
QUIET: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
SHORT: dict[str, Any] = {**QUIET, "derandomize": True, "phases": [Phase.generate]}


@functools.cache
def registry() -> Registry:
    return load_plugins()


ESTIMATORS = registry().names("estimator")


def assert_sound(example: Example, folder: Path) -> None:
    wrong = faults(registry(), example, folder / "data.csv")
    assert not wrong, "\n".join([*wrong, repr(example)])


def assert_sound_in_the_shell(example: Example, folder: Path) -> None:
    file = folder / "data.csv"
    example.table().to_csv(file, index=False)
    done = CliRunner().invoke(main, example.words(file))
    if done.exit_code == 0:
        assert json.loads(done.stdout), repr(example)
        return
    assert done.exit_code == 1, (done.output, done.exception, repr(example))
    assert "Error: " in done.stderr, (done.output, repr(example))
    assert "Traceback" not in done.output, repr(example)


@pytest.mark.r
@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_engines_agree_on_random_tables_or_say_why_not(estimator: str, tmp_path: Path) -> None:
    @settings(max_examples=N_SHORT, **SHORT)
    @given(examples(registry(), estimator))
    def judge(example: Example) -> None:
        assert_sound(example, tmp_path)

    judge()


@pytest.mark.r
@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_command_line_ends_in_figures_or_an_error(estimator: str, tmp_path: Path) -> None:
    @settings(max_examples=N_LINES, **SHORT)
    @given(examples(registry(), estimator))
    def judge(example: Example) -> None:
        assert_sound_in_the_shell(example, tmp_path)

    judge()


@pytest.mark.r
@pytest.mark.long
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_engines_agree_on_many_random_tables(estimator: str, tmp_path: Path) -> None:
    drawn = int(os.environ.get("SOS_FUZZ_SEED", random.randrange(2**32)))
    print(f"SOS_FUZZ_SEED={drawn}")

    @seed(drawn)
    @settings(max_examples=int(os.environ.get("SOS_FUZZ_EXAMPLES", N_LONG)), **QUIET)
    @given(examples(registry(), estimator), st.integers(1, 10))
    def judge(example: Example, one_in_ten: int) -> None:
        assert_sound(example, tmp_path)
        if one_in_ten == 5:
            assert_sound_in_the_shell(example, tmp_path)

    judge()
