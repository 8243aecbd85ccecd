"""What README.md promises to each kind of reader, done as they would do it, command by command."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from clean_environment import REPOSITORY
from minimum_wage import MPDTA

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SOS = Path(sys.executable).with_name("sos-plugins")


def shown(command: str) -> bool:
    """Whether the README shows a command."""
    return command in README


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [SOS, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "SOS_NO_R": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_analyst_gets_from_returns_and_a_spreadsheet_to_a_report_and_a_release(
    tmp_path: Path,
) -> None:
    small = (
        "preset=clean",
        "authorities=14",
        "pilots=3",
        "external_pilots=1",
        "care_starts_per_year=20",
        "referrals_per_year=120",
    )
    run(tmp_path, "simulate", "returns", *(f"--set={one}" for one in small))
    _pilots_as_a_spreadsheet(tmp_path / "returns" / "pilots.csv", tmp_path / "pilots.xlsx")
    for command in ("new study", "profile", "run", "report", "release"):
        assert shown(f"sos-plugins {command} "), command

    run(tmp_path, "new", "study", "my-study.toml")
    study = tmp_path / "my-study.toml"
    study.write_text(_filled_in(study.read_text(encoding="utf-8")), encoding="utf-8")
    assert "14 authorities" in run(tmp_path, "profile", "my-study.toml")
    run(tmp_path, "run", "my-study.toml")
    run(tmp_path, "report", "results/my-study")
    run(tmp_path, "release", "results/my-study")

    page = (tmp_path / "results" / "my-study" / "report.html").read_text(encoding="utf-8")
    result = json.loads((tmp_path / "results" / "my-study" / "result.json").read_text())
    (outcome,) = result["outcomes"]
    assert outcome["error"] in ("", None)
    assert outcome["rating"]["sentence"]
    assert "Re-referral after no further action" in page
    assert "simulated" in page
    decisions = tmp_path / "results" / "my-study-release" / "disclosure.csv"
    assert len(decisions.read_text(encoding="utf-8").splitlines()) > 1


def _pilots_as_a_spreadsheet(source: Path, target: Path) -> None:
    """Pilots with headings and dates as an analyst types them."""
    book = openpyxl.Workbook()
    book.active.append(["LA code", "Local authority", "From", "To"])
    for row in csv.DictReader(source.read_text(encoding="utf-8").splitlines()):
        days = (pd.Timestamp(row[key]).strftime("%d/%m/%Y") for key in ("start", "end"))
        book.active.append([int(row["unit"]), row["name"], *days])
    book.save(target)


def _filled_in(text: str) -> str:
    """Replace the sources, pilots and outcomes of a new study by one's own."""
    sources = '[[sources]]\nplugin = "cin-census"\npaths = ["returns/cin/*.xml"]\n\n'
    design = '[design]\npilots = "pilots.xlsx"\ndates = "day-first"\n' + (
        'pilot_columns = { unit = "LA code", name = "Local authority", start = "From", end = "To" }'
        '\npool = "all"\n\n'
    )
    outcome = '[[outcomes]]\nplugin = "rereferral"\nsmallest_effect = 3\n' + (
        'smallest_effect_reason = "fewer would change no caseload"\n\n'
    )
    for heading, own in (("[[sources]]", sources), ("[design]", design), ("[[outcomes]]", outcome)):
        text, n = re.subn(
            rf"^{re.escape(heading)}\n.*?(?=^\[)",
            own,
            text,
            count=1,
            flags=re.DOTALL | re.MULTILINE,
        )
        assert n == 1, heading
    return text.replace('families = "all"', 'families = ["drop-one-pilot"]')


def test_an_academic_gets_from_a_table_to_a_figure_and_a_table(tmp_path: Path) -> None:
    assert shown("--out FOLDER --figures svg,png,pdf --tables csv,xlsx,docx,tex,md")
    (tmp_path / "mpdta.csv").write_bytes(MPDTA.read_bytes())
    command = re.search(r"sos-plugins (estimate callaway-santanna .*?)\n```", README, re.DOTALL)
    arguments = command[1].replace("\\\n", " ").replace("--engine all", "").split()
    run(tmp_path, *arguments, "--out=files", "--figures=svg,pdf", "--tables=csv,docx,tex")
    made = {path.suffix for path in (tmp_path / "files").iterdir()}
    assert made >= {".svg", ".pdf", ".csv", ".docx", ".tex"}
    (document,) = (tmp_path / "files").glob("*.docx")
    with zipfile.ZipFile(document) as content:
        assert "0.0" in content.read("word/document.xml").decode()
