"""The study of the published figures, against figures that were computed elsewhere."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sos_plugins.cli import main
from sos_plugins.host.registry import load_plugins
from sos_plugins.study.study import Study

STUDIES = Path(__file__).resolve().parents[2] / "studies"

PRINTED = 0.005
"""The figures compared with are printed to two decimals."""

WITHOUT_BRENT = ("801", "855", "925", "926", "935", "211", "384", "938", "872")

CHECK = """
[study]
name = "check"
title = "Re-referrals in published figures, without matching"

[[sources]]
plugin = "published"
folder = "."
measures = ["rereferral-rate"]

[design]
pilots = [{pilots}]

[matching]
units = {{ plugin = "whole-pool" }}

[[outcomes]]
plugin = "published-rereferral-rate"
first_period = 2012
last_period = 2018

[[estimators]]
plugin = "did"
form = "twfe"
vcov = "fixest"
sample = "calendar"
engines = ["python"]

[[estimators]]
plugin = "callaway-santanna"
aggregate = "event"
errors = "analytic"

[sensitivity]
families = ["staggered"]

[rating]
plugin = "wwcsc"
"""


@pytest.fixture(scope="module")
def checked(shared):
    rows = ", ".join(f'{{ unit = "{u}", cohort = 2014 }}' for u in WITHOUT_BRENT)
    text = CHECK.format(pilots=rows)
    study = Study.from_text(text, base=shared / "data" / "published", registry=load_plugins())
    return study.run().outcome("published-rereferral-rate")


def test_146_authorities_are_complete_with_eight_pilots(checked):
    assert checked.error == ""
    assert checked.main.n_units == 146
    assert checked.main.n_treated_units == 8


def test_two_way_fixed_effects_are_as_computed_elsewhere(checked):
    assert checked.main.estimate == pytest.approx(1.58, abs=PRINTED)
    assert checked.main.std_error == pytest.approx(1.93, abs=PRINTED)


def test_callaway_santanna_is_as_computed_elsewhere_in_every_engine_that_runs(checked):
    estimates = [e for e in checked.estimates if e.estimator == "callaway-santanna"]
    assert {e.engine for e in estimates} >= {"python", "differences"}
    for named in estimates:
        overall = named.estimate.term("overall")
        assert overall["estimate"] == pytest.approx(0.43, abs=PRINTED)
        assert overall["std_error"] == pytest.approx(1.28, abs=PRINTED)


def test_the_study_of_published_figures_runs_from_the_command_line(shared, tmp_path):
    data = shared / "data" / "published"
    words = ["run", STUDIES / "published.toml", "--data", data, "--out", tmp_path, "--no-r"]
    result = CliRunner().invoke(main, [str(w) for w in (*words, "--json", "-q")])
    assert result.exit_code == 0, result.output
    outcomes = json.loads(result.stdout)["outcomes"]
    assert len(outcomes) == 3
    assert all(row["strength"] in ("low", "moderate", "high") for row in outcomes)
    assert (tmp_path / "report.html").is_file()


def test_the_demonstration_study_is_the_one_the_simulator_writes():
    registry = load_plugins()
    settings = registry.settings("source", "simulated", {}, "test")
    written = registry.source("simulated").study(settings)
    assert (STUDIES / "demo.toml").read_text() == written
