"""Whose ``plugins.toml`` is read, and that nobody's Python runs unsaid."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import study_helpers
from variants import some_now

from sos_plugins.host.registry import load_plugins

PLANTED = """
from pathlib import Path
from sos_plugins import Engine, hookimpl
(Path(__file__).parent / "ran").touch()

@hookimpl
def register_engines(register):
    register("did", Engine("stranger", lambda sample, options: None))
"""
REPOSITORY = Path(__file__).parents[2]


def plant(folder: Path, settings: str = "") -> Path:
    """Put a plugins.toml there whose Python leaves a mark; return where the mark would be."""
    folder.mkdir(exist_ok=True)
    (folder / "stranger.py").write_text(PLANTED)
    (folder / "plugins.toml").write_text(f'[plugins]\npaths = ["stranger.py"]\n{settings}')
    return folder / "ran"


def command(cwd: Path, *arguments: str | Path, **further: str) -> subprocess.CompletedProcess[str]:
    hidden = {k: v for k, v in os.environ.items() if k != "SOS_PLUGINS_TOML"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "sos_plugins", *map(str, arguments)],
        cwd=cwd,
        env={**hidden, **further},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    some_now(
        [
            ["list", "outcomes"],
            ["show", "did"],
            ["doctor", "--no-r"],
            ["profile", "{study}"],
            ["run", "{study}", "--no-stations", "--no-r", "--out", "out"],
            ["simulate", "made", "--set", "preset=clean", "--set", "first_year=2012"],
        ],
        0,
        4,
    ),
)
def test_python_of_the_folder_worked_in_is_not_run(tmp_path: Path, arguments: list[str]) -> None:
    study = study_helpers.write(tmp_path / "study")
    ran = plant(tmp_path / "here", "[settings.wwcsc]\nno_such_setting = 1\n")
    done = command(tmp_path / "here", *(part.format(study=study) for part in arguments))
    assert done.returncode == 0, done.stderr
    assert not ran.exists()
    assert done.stderr.count("is not read: only one beside the study") == 1
    assert f"{tmp_path / 'here' / 'plugins.toml'} is not read" in done.stderr
    assert "--plugins plugins.toml" in done.stderr


def test_quiet_says_nothing_of_it(tmp_path: Path) -> None:
    plant(tmp_path)
    assert command(tmp_path, "list", "outcomes", "-q").stderr == ""


@pytest.mark.parametrize("how", some_now(["option", "variable", "beside the study"], 0, 2))
def test_what_the_user_names_is_run_and_said_until_it_changes(tmp_path: Path, how: str) -> None:
    study = study_helpers.write(tmp_path)
    ran = plant(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    named, variable = tmp_path / "plugins.toml", {}
    arguments: tuple[str | Path, ...] = ("list", "outcomes", "-q")
    if how == "option":
        arguments = (*arguments, "--plugins", named)
    elif how == "variable":
        variable = {"SOS_PLUGINS_TOML": str(named)}
    else:
        arguments = ("profile", study, "-q")

    def said() -> str:
        done = command(tmp_path / "elsewhere", *arguments, **variable)
        assert done.returncode == 0, done.stderr
        assert ran.exists()
        ran.unlink()
        return done.stderr

    first = said()
    assert f"plugins.toml runs Python: {tmp_path / 'stranger.py'}" in first
    assert said() == ""
    (tmp_path / "stranger.py").write_text(PLANTED + "# changed\n")
    assert said() == first


def test_it_is_said_before_the_python_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path)
    (tmp_path / "stranger.py").write_text("import sys\nprint('I ran', file=sys.stderr)\n1 / 0\n")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        load_plugins(tmp_path / "plugins.toml")
    said = capsys.readouterr().err
    assert said.index("runs Python") < said.index("I ran")


def test_what_was_said_is_remembered_for_the_user_alone(tmp_path: Path) -> None:
    plant(tmp_path)
    load_plugins(tmp_path / "plugins.toml")
    (folder,) = Path(os.environ["XDG_STATE_HOME"]).iterdir()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {0o700, 0o600}
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("memory", ["{", "3", '[1, "x"]', "caf\udce9"])
def test_a_damaged_memory_is_no_hindrance(
    tmp_path: Path, memory: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(os.environ["XDG_STATE_HOME"]) / "sos-plugins"
    folder.mkdir(parents=True)
    (folder / "python-run.json").write_bytes(memory.encode("utf-8", "surrogateescape"))
    plant(tmp_path)
    load_plugins(tmp_path / "plugins.toml")
    assert "runs Python" in capsys.readouterr().err


def test_the_projects_own_plugins_toml_changes_nothing(tmp_path: Path) -> None:
    """A study of the repository that is run from it has the settings that it had with the file."""
    ours, none = load_plugins(REPOSITORY / "plugins.toml"), load_plugins()
    assert set(ours.plugins) == set(none.plugins)
    for name in ours.config.settings:
        (offer,) = ours.find(name)
        given = ours.settings(offer.kind, name, {}, "test")
        assert given == none.settings(offer.kind, name, {}, "test")
    assert ours.config.tolerances == none.config.tolerances
