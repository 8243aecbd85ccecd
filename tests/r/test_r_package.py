"""The R package in ``r/sosplugins``: R's own check passes, and its figures are those of Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clean_environment import REPOSITORY
from minimum_wage import COLUMNS, MPDTA, SAME, stored_effects

import sos_plugins

pytestmark = pytest.mark.r

PACKAGE = REPOSITORY / "r" / "sosplugins"
WRITTEN = 1e-12
"""What 17 digits in a file and 15 in JSON leave of a double, relative."""


def run(command: list[str | Path], folder: Path, library: Path | None = None) -> str:
    environment = {
        **os.environ,
        "SOS_PLUGINS": str(Path(sys.executable).with_name("sos-plugins")),
        "SOS_MPDTA": str(MPDTA),
        "R_LIBS": os.pathsep.join(filter(None, [str(library or ""), os.environ.get("R_LIBS", "")])),
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as R builds it."""
    folder = tmp_path_factory.mktemp("built")
    run(["R", "CMD", "build", "--no-build-vignettes", PACKAGE], folder)
    (archive,) = folder.glob("sosplugins_*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def library(built: Path) -> Path:
    """A library that has the package."""
    folder = built.parent / "library"
    folder.mkdir()
    run(["R", "CMD", "INSTALL", "--no-test-load", "-l", folder, built], built.parent)
    return folder


def in_r(code: str, library: Path, folder: Path) -> str:
    return run(["Rscript", "--vanilla", "-e", code], folder, library)


def test_r_finds_nothing_to_say_about_the_package(built: Path) -> None:
    told = run(["R", "CMD", "check", "--no-manual", "--ignore-vignettes", built.name], built.parent)
    assert "Status: OK" in told, told


def test_it_is_as_old_as_the_program(built: Path) -> None:
    with tarfile.open(built) as archive:
        description = archive.extractfile("sosplugins/DESCRIPTION")
        assert description is not None
        lines = description.read().decode().splitlines()
    assert f"Version: {sos_plugins.__version__}" in lines


def test_what_r_gets_is_what_python_gives(library: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(MPDTA)
    fit = sos_plugins.estimate(frame, "callaway-santanna", **COLUMNS, aggregate="event")
    code = f"""
    library(sosplugins)
    data <- read.csv({json.dumps(str(MPDTA))})
    fit <- sos_estimate(data, "callaway-santanna", unit = "countyreal", id = "countyreal",
                        period = "year", cohort = "first.treat", value = "lemp",
                        aggregate = "event")
    write.csv(cbind(generics::tidy(fit), low = confint(fit)[, 1]), "tidy.csv", row.names = FALSE)
    write.csv(vcov(fit), "vcov.csv")
    write.csv(generics::glance(fit), "glance.csv", row.names = FALSE)
    """
    in_r(code, library, tmp_path)
    tidy = pd.read_csv(tmp_path / "tidy.csv").set_index("term")
    assert list(tidy.index) == list(fit.tidy["term"])
    np.testing.assert_allclose(tidy["estimate"], fit.coef(), rtol=WRITTEN)
    np.testing.assert_allclose(tidy["std.error"], fit.se(), rtol=WRITTEN)
    np.testing.assert_allclose(tidy["p.value"], fit.pvalue(), rtol=WRITTEN)
    np.testing.assert_allclose(tidy["low"], fit.confint().iloc[:, 0], rtol=WRITTEN)
    np.testing.assert_allclose(
        pd.read_csv(tmp_path / "vcov.csv", index_col=0), fit.vcov(), rtol=WRITTEN
    )
    assert pd.read_csv(tmp_path / "glance.csv")["n_cases"].tolist() == [2500]


def test_the_vignette_runs_and_both_languages_agree(library: Path, tmp_path: Path) -> None:
    shutil.copy(PACKAGE / "vignettes" / "minimum-wage.Rnw", tmp_path)
    code = """
    utils::Stangle("minimum-wage.Rnw", quiet = TRUE)
    source("minimum-wage.R", echo = TRUE)
    write.csv(as.data.frame(by_hand[c("term", "estimate", "std_error")]), "by-hand.csv")
    """
    told = in_r(code, library, tmp_path)
    assert "disagree" not in told
    assert told.count(" agree") >= 2
    by_hand = pd.read_csv(tmp_path / "by-hand.csv").set_index("term")
    rows = stored_effects()
    assert len(rows) == len(by_hand) == 8
    by_hand = by_hand.loc[rows.index]
    np.testing.assert_allclose(by_hand["estimate"], rows["estimate"], rtol=SAME)
    np.testing.assert_allclose(by_hand["std_error"], rows["std_error"], rtol=SAME)


def test_what_is_wrong_is_said_in_a_sentence(library: Path, tmp_path: Path) -> None:
    code = """
    library(sosplugins)
    said <- function(expr) cat(conditionMessage(tryCatch(expr, error = identity)), "\\n")
    data <- data.frame(unit = 1:4, year = 1, first = 0, y = 1:4)
    call <- function(estimator, ...) {
      sos_estimate(data, estimator, "unit", "year", "first", "y", ...)
    }
    said(call("did", vcov = "HC9"))
    said(sos_engine("none"))
    said(sos_engine("did")$did_fit(data))
    said(sos_engine("did")$did_fit(list(1)))
    """
    said = in_r(code, library, tmp_path)
    for words in (
        "setting 'vcov'",
        "no engine in R called 'none'",
        "no column 'value', 'weight', 'cluster'",
        "a data frame was expected, with the columns 'value'",
    ):
        assert words in said
    assert "Traceback" not in said
