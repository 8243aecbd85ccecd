"""Estimates as files: what the readers of each kind find, the same bytes each time."""

from __future__ import annotations

import io
import json
from pathlib import Path

import docx
import numpy as np
import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner
from lxml import etree
from minimum_wage import COLUMNS, MPDTA

import sos_plugins
from sos_plugins.cli import main
from sos_plugins.errors import EngineUnavailableError, SettingsError
from sos_plugins.interactive.fit import Fit
from sos_plugins.report import table_files as files

SIXTEEN_DIGITS = 1e-15
"""What the writer of workbooks keeps of a number, relative."""
ALL = {"figures": files.FIGURES, "tables": files.TABLES}
NAMES = {
    *(f"callaway-santanna.{kind}" for kind in files.FIGURES),
    *(f"callaway-santanna-table.{kind}" for kind in files.TABLES),
    "callaway-santanna-figures.csv",
}


@pytest.fixture(scope="module")
def fit() -> Fit:
    data = pd.read_csv(MPDTA)
    return sos_plugins.estimate(
        data, "callaway-santanna", **COLUMNS, aggregate="event", engine="python"
    )


@pytest.fixture(scope="module")
def other() -> Fit:
    return sos_plugins.estimate(pd.read_csv(MPDTA), "did", **COLUMNS, engine="python")


@pytest.fixture(scope="module")
def folder(fit: Fit, other: Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("files") / "new"
    assert {path.name for path in fit.save(place, other, **ALL)} == NAMES
    return place


def of(folder: Path, kind: str) -> Path:
    return folder / f"callaway-santanna-table.{kind}"


def test_the_same_estimates_are_the_same_bytes(
    fit: Fit, other: Fit, folder: Path, tmp_path: Path
) -> None:
    fit.save(tmp_path, other, **ALL)
    for name in NAMES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_figures_in_full_precision_come_back(fit: Fit, other: Fit, folder: Path) -> None:
    read = pd.read_csv(folder / "callaway-santanna-figures.csv")
    both = pd.concat([fit.tidy, other.tidy], ignore_index=True)
    assert read["term"].tolist() == both["term"].tolist()
    for column in ("estimate", "std_error", "p_value", "df"):
        np.testing.assert_array_equal(read[column], both[column])


def test_a_workbook_has_numbers_and_no_formula(fit: Fit, folder: Path) -> None:
    book = openpyxl.load_workbook(of(folder, "xlsx"))
    assert book.sheetnames == ["Table", "Figures"]
    head, *rows = book["Figures"].iter_rows(values_only=True)
    table = pd.DataFrame(rows, columns=list(head))
    given = table["estimate"][: len(fit.tidy)].astype(float)
    np.testing.assert_allclose(given, fit.tidy["estimate"], rtol=SIXTEEN_DIGITS, atol=0)
    assert table["df"][0] == "inf"
    kinds = {cell.data_type for sheet in book for row in sheet.iter_rows() for cell in row}
    assert "f" not in kinds
    assert book["Table"]["B2"].value == "-0.07724"


def test_texts_that_look_like_formulas_or_signs_stay_texts(fit: Fit, tmp_path: Path) -> None:
    evil = "=1+1 & 50% of a_b | {x}\\"
    named = fit.named
    term = named.estimate.tidy.assign(term=[evil, *named.estimate.tidy["term"][1:]])
    changed = type(named.estimate)(term, named.estimate.glance, named.estimate.provenance, (evil,))
    twin = Fit((type(named)(named.estimator, named.engine, changed),))
    twin.save(tmp_path, **ALL)
    sheet = openpyxl.load_workbook(of(tmp_path, "xlsx"))["Table"]
    assert (sheet["A2"].value, sheet["A2"].data_type) == (evil, "s")
    assert pd.read_csv(of(tmp_path, "csv"))["term"][0] == f"'{evil}"
    assert r"=1+1 \& 50\% of a\_b | \{x\}\textbackslash{} &" in of(tmp_path, "tex").read_text()
    assert "| =1+1 & 50% of a_b &#124; {x}\\ |" in of(tmp_path, "md").read_text()
    assert docx.Document(str(of(tmp_path, "docx"))).tables[0].cell(1, 0).text == evil


def test_a_document_is_a4_without_an_author(folder: Path) -> None:
    document = docx.Document(str(of(folder, "docx")))
    page, about = document.sections[0], document.core_properties
    assert (round(page.page_width.mm), round(page.page_height.mm)) == files.A4
    assert (about.author, about.last_modified_by, about.comments) == ("", "", "")
    (table,) = document.tables
    assert [cell.text for cell in table.rows[1].cells] == ["overall", "-0.07724", ""]
    beneath = [paragraph.text for paragraph in document.paragraphs if paragraph.text]
    assert beneath[0].startswith("Estimand: (1) average over times since adoption")
    assert "(2) average effect on the treated" in beneath[0]


def test_latex_and_markdown_have_every_row(folder: Path) -> None:
    latex, markdown = of(folder, "tex").read_text(), of(folder, "md").read_text()
    assert r"event=0 & -0.01993 &  \\" in latex
    assert latex.count(r"\begin{tabular}{lrr}") == latex.count(r"\end{tabular}") == 1
    assert "| ATT |  | -0.03655 |" in markdown


def test_figures_are_what_their_names_say(folder: Path) -> None:
    starts = {"png": b"\x89PNG", "pdf": b"%PDF"}
    for kind, start in starts.items():
        assert (folder / f"callaway-santanna.{kind}").read_bytes().startswith(start)
    tree = etree.parse(io.BytesIO((folder / "callaway-santanna.svg").read_bytes()))
    assert tree.getroot().tag.endswith("svg")


def test_kinds_that_there_are_not_are_told(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no figure of kind 'jpg'.*Kinds: pdf, png, svg"):
        fit.save(tmp_path, figures="jpg")
    with pytest.raises(SettingsError, match=r"no table of kind 'xls'\. Did you mean 'xlsx'"):
        fit.save(tmp_path, tables=["xls"])


def test_a_kind_whose_package_is_missing_is_told(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "missing_python", lambda name, mend: f"no '{name}' ({mend})")
    with pytest.raises(EngineUnavailableError, match=r"cannot be written here: no 'docx'"):
        fit.save(tmp_path, tables="docx")
    assert not list(tmp_path.iterdir())


def test_files_from_the_command_line(tmp_path: Path) -> None:
    words = ["estimate", "did", "--data", str(MPDTA), "--unit", "countyreal", "--period", "year"]
    words += ["--cohort", "first.treat", "--value", "lemp", "--engine", "python", "--json"]
    out = tmp_path / "out"
    done = CliRunner().invoke(main, [*words, "--out", str(out), "--tables", "md,csv"])
    assert done.exit_code == 0, done.output
    written = {"did.svg", "did-table.md", "did-table.csv", "did-figures.csv"}
    assert {path.name for path in out.iterdir()} == written
    assert json.loads(done.stdout)["tidy"][0]["term"] == "ATT"
    done = CliRunner().invoke(main, [*words, "--figures", "png"])
    assert done.exit_code == 1
    assert "say where to, with --out" in done.stderr
    done = CliRunner().invoke(main, [*words, "--out", str(out), "--figures", "gif"])
    assert done.exit_code == 1
    assert "no figure of kind 'gif'" in done.stderr
