"""What a shell offers when the tab key is pressed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from study_helpers import STUDY, write

from sos_plugins.cli import main
from sos_plugins.errors import SettingsError
from sos_plugins.host.registry import load_plugins
from sos_plugins.study.study import Study


def offered(*words: str, begun: str = "") -> set[str]:
    complete = ShellComplete(main, {}, "sos-plugins", "_SOS_PLUGINS_COMPLETE")
    return {item.value for item in complete.get_completions(list(words), begun)}


def test_commands_options_and_names_of_plugins_are_offered() -> None:
    assert {"run", "report", "doctor", "estimate"} <= offered()
    assert {"--figures", "--tables"} <= offered("run", begun="--")
    assert offered("estimate") == set(load_plugins().names("estimator"))
    assert offered("show", begun="call") == {"callaway-santanna"}
    assert {"estimators", "engines", "rating-rules"} <= offered("list")
    assert {"outcome", "study"} <= offered("new")


def test_the_outcomes_of_the_study_are_offered_and_nothing_where_it_cannot_be_read(
    tmp_path: Path,
) -> None:
    study = write(tmp_path, STUDY)
    assert offered("export", str(study)) == {"tidy-value"}
    assert offered("export", str(tmp_path / "none.toml")) == set()
    (tmp_path / "bad.toml").write_text("outcomes = 3 = 4")
    assert offered("export", str(tmp_path / "bad.toml")) == set()


def test_a_name_that_is_none_is_told_in_words(tmp_path: Path) -> None:
    study = write(tmp_path, STUDY)
    text = study.read_text()
    (name,) = [line for line in text.splitlines() if line.startswith("name =")][:1]
    study.write_text(text.replace(name, 'name = "My Study!"', 1))
    with pytest.raises(SettingsError) as raised:
        Study.from_toml(study)
    told = "a name is lower-case words joined by hyphens, such as 'my-study'"
    assert told in str(raised.value)
    assert "[a-z" not in str(raised.value)
