"""What README.md shows works as it stands there."""

import re

import pytest
from clean_environment import REPOSITORY
from minimum_wage import MPDTA
from study_helpers import STUDY, write

README = REPOSITORY / "README.md"


def run_block(heading):
    """Run the one block of Python below a heading or a line of text, as it stands there."""
    part = README.read_text(encoding="utf-8").split(heading)
    assert len(part) == 2, heading
    block = re.search(r"```python\n(.*?)```", part[1], re.DOTALL)
    exec(compile(block[1], str(README), "exec"), {})


def test_all_python_of_the_readme_is_run_here():
    assert README.read_text(encoding="utf-8").count("```python\n") == 2


def test_a_study_from_python_runs(tmp_path, monkeypatch, capsys):
    plugin = 'plugin = "tidy-value"\n'
    text = STUDY.replace(plugin, plugin + 'name = "kinship-care"\n')
    write(tmp_path, text).rename(tmp_path / "my-study.toml")
    monkeypatch.chdir(tmp_path)
    run_block("\nFrom Python:\n")
    assert "evidence" in capsys.readouterr().out
    assert (tmp_path / "results" / "my-study" / "report.html").is_file()


@pytest.mark.r
def test_one_estimator_from_python_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "mpdta.csv").write_bytes(MPDTA.read_bytes())
    monkeypatch.chdir(tmp_path)
    run_block(" From Python, on a table of ")
    shown = capsys.readouterr().out
    assert all(f"engine {name}\n" in shown for name in ("python", "differences", "r"))
    assert "event=0" in shown
    assert (tmp_path / "event-study.svg").stat().st_size > 0
