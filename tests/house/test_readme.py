"""What README.md shows works as it stands there."""

import re
from pathlib import Path

from study_helpers import STUDY, write

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    plugin = 'plugin = "tidy-value"\n'
    text = STUDY.replace(plugin, plugin + 'name = "kinship-care"\n')
    write(tmp_path, text).rename(tmp_path / "my-study.toml")
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks[0], str(README), "exec"), {})
    assert "evidence" in capsys.readouterr().out
    assert (tmp_path / "results" / "my-study" / "report.html").is_file()
