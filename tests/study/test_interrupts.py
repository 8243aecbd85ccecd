"""Ctrl-C ends a run wherever it comes; it is never taken for something that failed."""

import duckdb
import pytest
from sos_sources.tables.records import _in_words
from study_helpers import table, write

from sos_plugins import backends
from sos_plugins.errors import EngineError, EstimationError
from sos_plugins.study.study import Study

BY_DUCKDB = RuntimeError("Query interrupted")
CAUSES = {
    "what DuckDB makes of it": BY_DUCKDB,
    "DuckDB's own error": duckdb.InterruptException("INTERRUPT Error: Interrupted!"),
}


def raising(*errors):
    """Return a function that raises the last error while it handles the ones before."""

    def fail(*_given, **_named):
        *before, last = errors
        if not before:
            raise last
        try:
            raising(*before)()
        except Exception as error:
            raise last from error

    return fail


@pytest.fixture
def study(tmp_path):
    return Study.from_toml(write(tmp_path, cases=table(cases=2)))


@pytest.mark.parametrize("plugin", ["did", "pre-outcomes-units"])
@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
@pytest.mark.parametrize("wrapped", [(), (EngineError("it failed"),), (EstimationError("none"),)])
def test_an_engine_that_is_interrupted_has_not_failed(study, plugin, cause, wrapped):
    engine = study.plan.registry.engine(plugin, "python")
    original = engine.fit
    object.__setattr__(engine, "fit", raising(cause, *wrapped))
    try:
        with pytest.raises(KeyboardInterrupt):
            study.run()
    finally:
        object.__setattr__(engine, "fit", original)


def test_an_engine_that_fails_is_still_a_sentence(study):
    engine = study.plan.registry.engine("did", "python")
    original = engine.fit
    object.__setattr__(engine, "fit", raising(ValueError("x"), RuntimeError("Query refused")))
    try:
        (outcome,) = study.run().outcomes
    finally:
        object.__setattr__(engine, "fit", original)
    assert "failed with RuntimeError: Query refused" in outcome.error


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_records_whose_reading_is_interrupted_are_not_damaged(cause):
    with pytest.raises(KeyboardInterrupt), backends.failures_in_words(), _in_words("cases"):
        raise cause


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_a_query_that_is_interrupted_is_ctrl_c(cause):
    with pytest.raises(KeyboardInterrupt), backends.failures_in_words():
        raise cause


def test_an_interrupt_while_tables_are_dropped_is_not_passed_over(monkeypatch):
    backend = backends.duckdb_backend()
    monkeypatch.setattr(type(backend), "drop_table", raising(ValueError("gone already")))
    backends.drop(backend, ["a"])
    monkeypatch.setattr(type(backend), "drop_table", raising(BY_DUCKDB))
    with pytest.raises(KeyboardInterrupt):
        backends.drop(backend, ["a"])


def test_a_chain_of_errors_that_turns_in_a_circle_has_an_end():
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert not backends.interrupted(first)
