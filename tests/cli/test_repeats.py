"""The commands power and calibrate: answers, files, and errors that are sentences."""

import hashlib
import json
import shutil

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from click.testing import CliRunner
from lxml import etree
from result_factory import pictures
from study_helpers import STUDY, change, table, write

from sos_plugins.cli import main

ONE_ESTIMATOR = STUDY.replace(
    STUDY[STUDY.index('[[estimators]]\nplugin = "event-study"') : STUDY.index("[rating]")], ""
)
"""The study with its main estimator alone."""


def call(*words):
    return CliRunner().invoke(main, [str(w) for w in words])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write(tmp_path_factory.mktemp("power"), ONE_ESTIMATOR, table(effect=0, cases=6))


@pytest.fixture(scope="module")
def power(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "power"
    options = ("--effects=-3", "--repeats", 4, "--workers", 1, "--out", out)
    with pictures():
        return call("power", study, *options, "--json", "--quiet"), out


def test_power_finds_what_is_three_times_the_noise(power):
    result, _ = power
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert {row["effect"]: row["power"] for row in answer["power"]}[-3.0] == 1.0
    assert -3.0 <= answer["smallest"][0]["detectable"] < 0
    assert "moved back" in " ".join(answer["notes"])


@pytest.mark.pictures
def test_power_writes_a_page_its_figures_and_its_tables(power):
    result, out = power
    names = {"power.html", "power.json", "power.csv", "smallest.csv", "windows.csv"}
    charts = {f"power-tidy-value.{kind}" for kind in ("svg", "png")}
    names |= charts
    assert names | {"power-files.json"} == {file.name for file in out.iterdir()}
    page = (out / "power.html").read_text()
    assert "<svg" in page
    assert "Pilots were dealt by lot 4 times" in page
    written = pd.read_csv(out / "power.csv")
    told = json.loads(result.stdout)["power"]
    assert list(written["power"]) == [row["power"] for row in told]


def test_charts_are_pictures_of_their_own_too(power):
    _, out = power
    tree = etree.parse(out / "power-tidy-value.svg").getroot()
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert "Difference-in-differences" in " ".join(tree.itertext())
    width, height, *_ = plt.imread(out / "power-tidy-value.png").shape[1::-1]
    assert (width, height) == (1500, 740)  # 7.5 by 3.7 inches at 200 dots an inch


def test_charts_and_tables_that_are_not_written_again_are_removed(power, study, tmp_path):
    _, out = power
    again = tmp_path / "again"
    shutil.copytree(out, again)
    listed = json.loads((again / "power-files.json").read_text())
    for name in ("power-gone.png", "gone.csv"):
        (again / name).write_bytes(b"x")
        listed["files"][name] = hashlib.sha256(b"x").hexdigest()
    (again / "power-files.json").write_text(json.dumps(listed))
    options = ("--effects=-3", "--repeats", 2, "--workers", 1, "--out", again)
    assert call("power", study, *options).exit_code == 0
    assert {f.name for f in again.iterdir()} == {f.name for f in out.iterdir()}


def test_a_folder_of_ones_own_files_is_not_replaced(study, tmp_path):
    (tmp_path / "power.html").write_text("mine")
    result = call("power", study, "--repeats", 2, "--out", tmp_path)
    assert result.exit_code == 1
    assert (tmp_path / "power.html").read_text() == "mine"
    assert "power.html" in result.stderr


def test_calibrate_tells_how_often_each_verdict_comes(study, tmp_path):
    options = ("--effects=-3", "--repeats", 2, "--workers", 1, "--out", tmp_path / "out")
    result = call("calibrate", study, *options)
    assert result.exit_code == 0, result.output
    assert "studies that claim an effect on any outcome" in result.stdout
    shares = pd.read_csv(tmp_path / "out" / "verdicts.csv").groupby("truth")["share"].sum()
    assert shares.to_list() == pytest.approx([1.0, 1.0])
    assert "false alarm" in (tmp_path / "out" / "calibration.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--effects=-2,many",), "holds something that is no number"),
        (("--effects=-2,2",), "not both at once"),
        (("--outcome", "tidy-valu"), "no outcome 'tidy-valu'. Did you mean 'tidy-value'"),
    ],
)
def test_wrong_options_are_told(study, options, words):
    result = call("power", study, "--repeats", 2, *options)
    assert result.exit_code == 1
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_too_few_periods_before_the_programme_are_told(tmp_path):
    path = write(tmp_path, ONE_ESTIMATOR, table(effect=0, cases=6))
    change(path, 'pilots = "pilots.csv"', 'pilots = "pilots.csv"\nfirst_period = 2013')
    result = call("power", path, "--repeats", 2)
    assert result.exit_code == 1
    assert "needs at least 1 before and 1 after it" in " ".join(result.stderr.split())
