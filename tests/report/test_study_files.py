"""Charts and tables of a report as files: what they hold, the same bytes, nobody's files lost."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace
from pathlib import Path

import docx
import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner
from lxml import etree
from result_factory import make_result

from sos_plugins.cli import main
from sos_plugins.errors import EngineUnavailableError, SettingsError
from sos_plugins.report import Further, study_files, table_files, write_report
from sos_plugins.report.write import OutputError, check_folder
from sos_plugins.study.result import StudyResult

CALLED = {
    "did": "Difference-in-differences",
    "event-study": "Event study",
    "callaway-santanna": "Callaway and Sant'Anna",
}
ALL = Further.of("svg,png,pdf", "csv,xlsx,docx,tex,md")


@pytest.fixture(scope="module")
def study() -> StudyResult:
    whole = replace(make_result(), called=CALLED)
    kept = whole.outcome("kinship-care")
    estimates = tuple(replace(named, headline="event=0") for named in kept.estimates)
    return replace(whole, outcomes=(replace(kept, estimates=estimates),))


@pytest.fixture(scope="module")
def folder(study: StudyResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report")
    write_report(study, place, further=ALL)
    return place


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(study_files).attempted > 0
    assert doctest.testmod(study_files).failed == 0


def test_the_same_result_is_the_same_bytes(
    study: StudyResult, folder: Path, tmp_path: Path
) -> None:
    write_report(study, tmp_path, further=ALL)
    listed = json.loads((folder / "manifest.json").read_text())["report"]
    assert json.loads((tmp_path / "manifest.json").read_text())["report"] == listed
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == {*listed, "manifest.json"}


def test_every_chart_of_the_page_is_a_file_of_each_kind(folder: Path) -> None:
    names = {path.stem for path in (folder / "figures").glob("*.svg")}
    wanted = ("trends", "event-study", "runs", "balance-units", "balance-cases", "completeness")
    assert {f"kinship-care_{part}" for part in wanted} <= names
    for kind, start in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        files = list((folder / "figures").glob(f"*.{kind}"))
        assert {path.stem for path in files} == names
        assert all(path.read_bytes().startswith(start) for path in files)
    index = pd.read_csv(folder / "figures" / "index.csv")
    assert set(index["file"]) == {f"{n}.{k}" for n in names for k in ALL.figures}
    assert index["finding"].str.len().min() > 0


def test_a_chart_of_simulated_records_says_so_and_another_does_not(
    study: StudyResult, folder: Path, tmp_path: Path
) -> None:
    real = replace(study, simulated=False, truth=None)
    write_report(real, tmp_path, further=Further.of("svg", "md"))
    name = "figures/kinship-care_trends.svg"
    roots = (etree.parse(place / name).getroot() for place in (folder, tmp_path))
    marked, plain = (" ".join(root.itertext()) for root in roots)
    assert "Simulated records." in marked
    assert "Simulated records." not in plain
    assert "Simulated records" in (folder / "tables" / "effects.md").read_text()
    assert "Simulated records" not in (tmp_path / "tables" / "effects.md").read_text()


def test_estimators_stand_side_by_side_under_their_names(study: StudyResult, folder: Path) -> None:
    document = docx.Document(str(folder / "tables" / "kinship-care_regression.docx"))
    (table,) = document.tables
    heads = [cell.text for cell in table.rows[0].cells]
    shown = study_files.first_of_each(study.outcomes[0])
    assert len(heads) == 1 + len(shown) > 2
    assert all(CALLED[one.estimator] in head for one, head in zip(shown, heads[1:], strict=True))
    first = shown[0].estimate.term(shown[0].headline)
    effect, error = (table.rows[n].cells[1].text for n in (1, 2))
    assert effect.replace("\u2212", "-") == f"{100 * first['estimate']:.1f}"
    assert error == f"({100 * first['std_error']:.1f})"
    said = " ".join(paragraph.text for paragraph in document.paragraphs)
    assert "Effects in percentage points; standard errors in brackets." in said


def test_the_workbook_has_every_figure_in_full(study: StudyResult, folder: Path) -> None:
    sheet = openpyxl.load_workbook(folder / "tables" / "effects.xlsx")["Figures"]
    head, *rows = sheet.iter_rows(values_only=True)
    read = pd.DataFrame(rows, columns=list(head))
    for named in study_files.first_of_each(study.outcomes[0]):
        own = read[(read["estimator"] == named.estimator) & (read["term"] == named.headline)]
        truth = named.estimate.term(named.headline)["estimate"]
        assert own["estimate"].iloc[0] == pytest.approx(truth, rel=1e-15)
    latex = (folder / "tables" / "effects.tex").read_text()
    assert "\u2212" not in latex


def test_files_that_are_not_asked_for_again_go_and_those_of_the_user_stay(
    study: StudyResult, tmp_path: Path
) -> None:
    write_report(study, tmp_path, further=Further.of("svg", "md"))
    mine = tmp_path / "figures" / "mine.svg"
    mine.write_text("mine")
    write_report(study, tmp_path)
    assert list((tmp_path / "figures").iterdir()) == [mine]
    assert not list((tmp_path / "tables").glob("*.md"))
    taken = tmp_path / "figures" / "kinship-care_trends.svg"
    taken.write_text("of the user")
    further = Further.of("svg")
    with pytest.raises(OutputError, match=r"figures/kinship-care_trends\.svg"):
        check_folder(tmp_path, None, ["kinship-care"], further=further)
    with pytest.raises(OutputError, match=r"figures/kinship-care_trends\.svg"):
        write_report(study, tmp_path, further=further)
    assert taken.read_text() == "of the user"


def test_what_cannot_be_written_is_told_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingsError, match=r"no figure of kind 'jpg'"):
        Further.of("jpg")
    monkeypatch.setattr(table_files, "missing_python", lambda name, mend: f"no '{name}' ({mend})")
    with pytest.raises(EngineUnavailableError, match=r"cannot be written here: no 'docx'"):
        Further.of((), "docx")


def test_a_result_that_was_written_before_gives_them(
    study: StudyResult, folder: Path, tmp_path: Path
) -> None:
    words = ["report", str(folder / "result.json"), "--out", str(tmp_path), "--tables", "md"]
    done = CliRunner().invoke(main, [*words, "--figures", "svg"])
    assert done.exit_code == 0, done.output
    for name in ("figures/kinship-care_runs.svg", "tables/kinship-care_regression.md"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    wrong = CliRunner().invoke(main, ["run", "no-such.toml", "--figures", "gif"])
    assert wrong.exit_code == 1
    assert "no figure of kind 'gif'" in wrong.stderr
