"""Builds wheels and makes environments outside the repository that have nothing but them.

No network is needed: what the project depends on is taken from the running environment, by a path
entry that comes after the new environment's own packages. An editable install of the running
environment is not visible there, because path files within a path entry are not read.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class CleanEnvironment:
    """A virtual environment and a working folder, both outside the repository."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Its own folder of installed packages."""
        lib = self.folder / "venv" / "lib"
        return lib / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    def run(self, *command: str | Path) -> str:
        """Run a command in the working folder and return what it printed; it must succeed."""
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        hidden = ("PYTHONPATH", "SOS_PLUGINS_TOML", "VIRTUAL_ENV")
        done = subprocess.run(
            [str(part) for part in command],
            cwd=work,
            env={k: v for k, v in os.environ.items() if k not in hidden},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def python_says(self, code: str) -> str:
        """Run a Python program and return what it printed."""
        return self.run(self.python, "-c", code).strip()

    def script(self, name: str, *arguments: str) -> str:
        """Run an installed console script and return what it printed."""
        return self.run(self.python.with_name(name), *arguments)

    def install(self, *what: str | Path) -> None:
        """Install with pip, without an index and without dependencies."""
        self.run(
            *(sys.executable, "-m", "pip", "--python", self.python),
            *("install", "-q", "--no-index", "--no-deps", "--no-build-isolation", *what),
        )


def make_environment(folder: Path) -> CleanEnvironment:
    """Make an environment that sees the packages of the running one, but not the project."""
    environment = CleanEnvironment(folder)
    venv.create(folder / "venv", with_pip=False)
    seen = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (environment.packages / "dependencies.pth").write_text("".join(f"{p}\n" for p in seen))
    return environment


def build_wheel(project: Path, out: Path) -> Path:
    """Build the wheel of a project, without network."""
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, project],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel
