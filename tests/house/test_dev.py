"""The set-up script, on machines made up of a few commands: no network, nothing installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clean_environment import REPOSITORY
from threadpoolctl import threadpool_info

TOOLS = [
    "awk",
    "basename",
    "cat",
    "chmod",
    "cksum",
    "cp",
    "dirname",
    "env",
    "mkdir",
    "mktemp",
    "readlink",
    "rm",
    "sed",
    "sh",
    "tail",
    "touch",
]
PYTHON = """
case "$*" in
*version_info*) echo {version} ;;
*ensurepip*) {has_venv} ;;
*"-m venv"*)
    mkdir -p .venv/bin
    cp "$0" .venv/bin/python
    printf '#!/bin/sh\\necho "sos-plugins $* no_r=$SOS_NO_R"\\n' >.venv/bin/sos-plugins
    chmod +x .venv/bin/sos-plugins ;;
*"-m pip"*) echo "pip $*" >>calls ; {pip} ;;
*tests/support/mutate.py*) echo "mutate $*" ;;
*"-m pytest"*) echo "pytest $* no_r=$SOS_NO_R required=$SOS_REQUIRE_R" ;;
esac
"""


class Machine:
    """A machine with a few commands on its path and a clone of the project."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.clone = folder / "clone"
        self.bin.mkdir()
        self.clone.mkdir()
        for name in ("dev", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, self.clone)
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path, tool
            (self.bin / tool).symlink_to(path)
        self.command("id", "echo 1000")

    def command(self, name: str, script: str) -> None:
        """Put a command on the path."""
        file = self.bin / name
        file.unlink(missing_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def python(
        self, version: str = "3.11", *, name: str = "python3", venv: bool = True, pip: str = "true"
    ) -> None:
        """Put a Python of this version on the path."""
        has_venv = "true" if venv else "exit 1"
        self.command(name, PYTHON.format(version=version, has_venv=has_venv, pip=pip))

    def debian(self, *installed: str) -> None:
        """Make it a Debian with these packages; apt-get writes down what it is asked for."""
        lines = [f"{p}) echo 'install ok installed' ;;" for p in installed]
        self.command("dpkg-query", f'for last; do :; done\ncase "$last" in {" ".join(lines)} esac')
        self.command("apt-get", 'echo "apt-get $*" >>calls')

    def r(self, version: str) -> None:
        """Put an R of this version on the path, with every package installed."""
        self.command("R", f"[ \"$1\" != --version ] || echo 'R version {version} (2022-11-10)'")

    def dev(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return subprocess.run(
            ["./dev", *arguments],
            cwd=self.clone,
            env={"PATH": str(self.bin), "HOME": str(self.clone), "TMPDIR": str(self.clone)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        """What pip and apt-get were asked for."""
        file = self.clone / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_help_lists_the_commands(machine: Machine) -> None:
    done = machine.dev("help")
    assert done.returncode == 0
    for command in ("setup", "demo", "test", "lint", "bench", "mutate", "--no-r", "--no-spark"):
        assert command in done.stdout


def test_an_unknown_command(machine: Machine) -> None:
    done = machine.dev("tset")
    assert done.returncode == 1
    assert "dev: there is no command 'tset'." in done.stderr


def test_a_python_that_is_too_old(machine: Machine) -> None:
    machine.python("3.9")
    done = machine.dev("setup")
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed and was not found, python3 is 3.9." in done.stderr


def test_a_newer_python_beside_an_old_one_is_found(machine: Machine) -> None:
    machine.python("3.9")
    machine.python("3.12", name="python3.12")
    done = machine.dev("setup", "--no-r")
    assert done.returncode == 0, done.stderr
    assert "Making .venv with Python 3.12" in done.stderr


def test_no_python_at_all(machine: Machine) -> None:
    done = machine.dev("setup")
    assert done.returncode == 1
    assert "was not found (no python3)" in done.stderr
    assert "sudo apt-get install python3" in done.stderr


def test_no_venv_and_nobody_to_install_it(machine: Machine) -> None:
    machine.python(venv=False)
    machine.debian()
    done = machine.dev("setup")
    assert done.returncode == 1
    assert "an administrator must run: apt-get install -y python3.11-venv" in done.stderr
    assert "python3 lacks the module venv, which Debian packages as python3.11-venv." in done.stderr


def test_root_installs_what_is_missing_and_nothing_else(machine: Machine) -> None:
    machine.command("id", "echo 0")
    machine.python(venv=False)
    machine.debian("r-base-core", "r-cran-jsonlite")
    done = machine.dev("setup")
    assert done.returncode == 0, done.stderr
    asked = [call for call in machine.calls if call.startswith("apt-get install")]
    assert asked[0].endswith("--no-install-recommends python3.11-venv")
    assert (
        "r-cran-sandwich r-cran-clubsandwich r-cran-matchit r-cran-metafor r-cran-mice "
        "r-cran-mitml r-cran-nnet r-cran-quadprog r-cran-generics "
        "python3.11-dev" in asked[1]
    )
    assert "r-base-core" not in asked[1]


def test_without_r_the_rest_is_set_up(machine: Machine) -> None:
    machine.python()
    machine.debian()
    done = machine.dev("demo", "--out", "here")
    assert done.returncode == 0, done.stderr
    assert "an administrator must run: apt-get install -y r-base-core" in done.stderr
    assert "Going on without R" in done.stderr
    assert done.stdout == "sos-plugins demo --out here no_r=\n"


def test_no_r_is_taken_out_and_passed_on(machine: Machine) -> None:
    machine.python()
    machine.r("4.2.2")
    done = machine.dev("demo", "--no-r", "--out", "a folder")
    assert done.stdout == "sos-plugins demo --out a folder no_r=1\n"
    assert [call for call in machine.calls if "[r" in call] == []


@pytest.mark.parametrize(
    ("version", "extra"),
    [("4.2.2", ".[r-below-4-5]"), ("4.4.3", ".[r-below-4-5]"), ("4.5.0", ".[r]")],
)
def test_rpy2_fits_the_r_that_is_there(version: str, extra: str, machine: Machine) -> None:
    machine.python()
    machine.r(version)
    assert machine.dev("setup").returncode == 0
    assert machine.calls[-1].endswith(f" {extra}")


def test_an_r_that_is_too_old_is_left_alone(machine: Machine) -> None:
    machine.python()
    machine.r("4.1.2")
    done = machine.dev("setup")
    assert done.returncode == 0
    assert "R 4.1 is older than 4.2: going on without R." in done.stderr


def test_homebrew_brings_python_and_r(machine: Machine) -> None:
    machine.r("4.5.1")
    (machine.bin / "R").rename(machine.bin / "R.bottle")
    machine.python("3.12", name="python.bottle")
    machine.command(
        "brew",
        f"""echo "brew $*" >>calls
        case "$*" in
        "install r") cp {machine.bin}/R.bottle {machine.bin}/R ;;
        *python*) cp {machine.bin}/python.bottle {machine.bin}/python3.12 ;;
        esac""",
    )
    done = machine.dev("setup")
    assert done.returncode == 0, done.stderr
    assert [call for call in machine.calls if call.startswith("brew")] == [
        "brew install python@3.12",
        "brew install r",
    ]
    assert machine.calls[-1].endswith(" .[r]")


def test_a_second_run_installs_nothing(machine: Machine) -> None:
    machine.python()
    machine.r("4.2.2")
    machine.dev("setup")
    before = machine.calls
    done = machine.dev("setup")
    assert done.returncode == 0
    assert machine.calls == before
    assert done.stderr.splitlines() == [
        "Ready: .venv/bin/sos-plugins (try: .venv/bin/sos-plugins doctor)"
    ]


def test_a_changed_pyproject_is_installed_again(machine: Machine) -> None:
    machine.python()
    machine.dev("setup", "--no-r")
    with (machine.clone / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    machine.dev("setup", "--no-r")
    assert len(machine.calls) == 2


def test_a_failing_pip_shows_why(machine: Machine) -> None:
    machine.python(pip="echo 'no route to host'; exit 1")
    done = machine.dev("setup")
    assert done.returncode == 1
    assert "no route to host" in done.stderr
    assert "Is there a connection to a package index?" in done.stderr
    assert not (machine.clone / ".venv" / "python.stamp").exists()


def test_the_tests_need_r_unless_told_otherwise(machine: Machine) -> None:
    machine.python()
    done = machine.dev("test", "-q")
    assert done.returncode == 1
    assert "Without them: ./dev test --no-r" in done.stderr
    done = machine.dev("test", "--no-r", "-q")
    assert done.stdout == "pytest -m pytest -n 2 --dist worksteal -q no_r=1 required=\n"
    machine.r("4.2.2")
    done = machine.dev("test", "-q")
    assert done.stdout == "pytest -m pytest -n 2 --dist worksteal -q no_r= required=1\n"


@pytest.mark.parametrize(("cores", "at_once"), [(1, 2), (4, 4), (64, 6)])
def test_as_many_tests_run_at_once_as_there_are_cores(
    machine: Machine, cores: int, at_once: int
) -> None:
    machine.python()
    machine.command("getconf", f"echo {cores}")
    assert f"-n {at_once} " in machine.dev("test", "--no-r").stdout


def test_linear_algebra_of_a_test_and_of_its_processes_takes_one_thread() -> None:
    """Workers of pytest-xdist share the cores; more threads than cores wait for each other."""
    program = "import json, numpy, threadpoolctl as t; print(json.dumps(t.threadpool_info()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    for pools in (threadpool_info(), json.loads(done.stdout)):
        assert pools
        assert {pool["num_threads"] for pool in pools} == {1}


def test_cosmic_ray_is_installed_once_and_for_mutations_alone(machine: Machine) -> None:
    machine.python()
    machine.dev("test", "--no-r")
    assert not any("mutation" in call for call in machine.calls)
    done = machine.dev("mutate", "--no-r", "quality", "--sample", "5")
    assert done.stdout == "mutate tests/support/mutate.py quality --sample 5\n"
    machine.dev("mutate", "--no-r")
    assert [call for call in machine.calls if "mutation" in call] == [machine.calls[-1]]


def test_nothing_is_left_in_the_folder_of_temporary_files(machine: Machine) -> None:
    machine.python()
    machine.dev("demo", "--no-r")
    assert list(machine.clone.glob("tmp.*")) == []


def test_pyspark_and_java_are_installed_for_the_tests_alone(machine: Machine) -> None:
    machine.python()
    machine.debian()
    machine.command("id", "echo 0")
    machine.dev("setup", "--no-r")
    assert not [c for c in machine.calls if "spark" in c or "jre" in c]
    machine.dev("test", "--no-r", "--no-spark")
    assert not [c for c in machine.calls if "spark" in c or "jre" in c]
    machine.dev("test", "--no-r")
    machine.command("java", "true")
    machine.dev("test", "--no-r")
    assert len([c for c in machine.calls if c.endswith("-e .[spark]")]) == 1
    assert len([c for c in machine.calls if c.endswith("default-jre-headless")]) == 1
