"""What all tests share: where the reference data lie, a session, and what R and a browser cost.

A test marked ``r``, ``spark`` or ``browser`` is skipped where R, Spark or Chromium is missing, and
says why. With ``SOS_REQUIRE_R=1``, ``SOS_REQUIRE_SPARK=1`` or ``SOS_REQUIRE_BROWSER=1`` (as
``./dev test`` and ``.ci/run`` set them) it fails instead.
"""

from __future__ import annotations

import collections
import gc
import os
import shutil
import sys
from pathlib import Path
from typing import Any

# Before NumPy is loaded, for the processes that tests start as well: matrices are small here, and
# threads that wait for each other on busy cores take several times the work of one.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

# Compiled once and kept, whatever the environment says (empty means so): else every process that a
# test starts compiles the whole project first, and pytest rewrites the assertions anew each time.
os.environ["PYTHONDONTWRITEBYTECODE"] = ""

import matplotlib

matplotlib.use("Agg")

import pytest
from clean_environment import REPOSITORY, build_wheel
from variants import AT_NIGHT, SHARE

from sos_plugins import Session
from sos_plugins.backends import as_backend, missing_spark
from sos_plugins.cache.store import FOLDER_VARIABLE
from sos_plugins.host import announced
from sos_plugins.r import client as r
from sos_plugins.report.charts import CHARTS

sys.dont_write_bytecode = False

SMALL_SPARK = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
}
"""For a few hundred rows, making and compiling plans is what takes long."""
SMALL_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""It ends before what a better compiler, or several collectors, would gain."""
MANY = 6
"""With more variants than these, a test runs a third of them, and all with ``--long``."""
RARER = 10
"""How many times as rarely as usual cycles of objects are searched for while tests run."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def _reason_without_browser() -> str | None:
    if not any(shutil.which(name) for name in BROWSERS):
        return "Chromium is not installed (Debian: sudo apt-get install chromium chromium-driver)"
    if not shutil.which("chromedriver"):
        return "chromedriver is not installed (Debian: sudo apt-get install chromium-driver)"
    return None


def _demand(reason: str | None, variable: str) -> None:
    """Skip with the reason; fail with it where the environment says the thing must be there."""
    if reason is None:
        return
    if os.environ.get(variable, "") == "1":
        pytest.fail(f"{variable}=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that asks for the tests that take minutes to hours."""
    parser.addoption("--long", action="store_true", help="run the tests marked 'long' as well")


def pytest_configure(config: pytest.Config) -> None:
    """Let decorators of tests know whether there is a night."""
    if config.getoption("--long"):
        os.environ[AT_NIGHT] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out long tests unless they are asked for, and those of CRAN packages that are not here.

    No Debian package has these, so they are part of no set-up; what they would give is compared
    with stored results by other tests. Modules with tests on Spark come first: where two processes
    share the tests, one of them has all of these, and starts Java alone.
    """
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        long += [item for item in _one_of_many(items) if not item.get_closest_marker("long")]
        if long:
            config.hook.pytest_deselected(items=long)
            items[:] = [item for item in items if item not in long]
    wanted = {mark.args[0] for item in items for mark in item.iter_markers("cran")}
    absent = {package for package in wanted if r.missing(package, "")}
    gone = [i for i in items if any(m.args[0] in absent for m in i.iter_markers("cran"))]
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]
    on_spark = {item.path for item in items if item.get_closest_marker("spark")}
    items.sort(key=lambda item: item.path not in on_spark)


def pytest_collection_finish() -> None:
    """Take what was imported and collected out of the search for cycles.

    It stays to the end, and was searched again and again: a tenth of the time of all tests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(RARER * gc.get_threshold()[0])


def _one_of_many(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return two of three variants of a test that has many, but for rules on every module.

    All variants of what others have published and stored are tested each time.
    """
    variants = collections.defaultdict(list)
    for item in items:
        if "[" in item.name and item.path.parent.name != "house" and "stored" not in item.name:
            variants[item.nodeid.partition("[")[0]].append(item)
    return [
        item
        for several in variants.values()
        if len(several) > MANY
        for place, item in enumerate(several)
        if place % SHARE
    ]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for R, Spark and Chromium only when a test that needs them is about to run.

    Reports have pictures where a test asks for them: they are nine tenths of a report's time.
    """
    wanted = item.get_closest_marker("pictures") or item.get_closest_marker("browser")
    os.environ[CHARTS] = "" if wanted else "none"
    if item.get_closest_marker("r"):
        _demand(r.missing("base", r.MEND_R), "SOS_REQUIRE_R")
    if item.get_closest_marker("spark"):
        _demand(missing_spark(), "SOS_REQUIRE_SPARK")
    if item.get_closest_marker("browser"):
        _demand(_reason_without_browser(), "SOS_REQUIRE_BROWSER")


@pytest.fixture(autouse=True)
def _own_stations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no test go on from what another one finished."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path.with_name(f"{tmp_path.name}-stations")))


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no test remember what another one, or the user, was told."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path.with_name(f"{tmp_path.name}-state")))
    monkeypatch.setattr(announced, "_told", set())


@pytest.fixture(autouse=True)
def _r_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put SOS_NO_R back after each test: the command line sets it for --no-r."""
    before = os.environ.get("SOS_NO_R")
    monkeypatch.setenv("SOS_NO_R", before or "")
    if before is None:
        monkeypatch.delenv("SOS_NO_R")


@pytest.fixture(scope="session")
def from_r() -> Path:
    """The folder of results from R, with the data they were computed on."""
    return REPOSITORY / "tests" / "reference"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Public data that are not in the repository: ``$SOS_SHARED``, else ``shared`` beside it."""
    folder = Path(os.environ.get("SOS_SHARED") or REPOSITORY.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"the public data are not here: no folder {folder} (set SOS_SHARED)")
    return folder


@pytest.fixture
def session() -> Session:
    """A session with an empty DuckDB of its own."""
    return Session()


@pytest.fixture(scope="session")
def spark() -> Any:
    """A Spark on this machine that is quick with little: the backend, which ``"spark"`` finds."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SPARK_SUBMIT_OPTS", SMALL_JVM)
        backend = as_backend("spark")
    session = backend.raw_sql("SELECT 1").sparkSession
    for name, value in SMALL_SPARK.items():
        session.conf.set(name, value)
    return backend


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project, built once."""
    return build_wheel(REPOSITORY, tmp_path_factory.mktemp("wheel"))
