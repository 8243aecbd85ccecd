"""A release as a whole: an attack on what was written, and what may be in it at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from result_factory import NAMES, make_result
from scipy.optimize import linprog

from sos_plugins.cli.main import main
from sos_plugins.errors import DataError
from sos_plugins.release import Release, ReleaseRules, release, write_release
from sos_plugins.release.earlier import Earlier
from sos_plugins.release.figures import charts
from sos_plugins.release.study_tables import WITHHELD, WITHHELD_OF_OUTCOMES
from sos_plugins.report.sections import page_of
from sos_plugins.study.result import OutcomeResult, StudyResult
from sos_plugins.system.output_folder import OutputError

RULES = ReleaseRules()
HIDDEN = "[c]"
TOLERANCE = 1e-6
"""Ends of intervals are whole numbers up to the tolerance of the solver, which is 1e-7."""


def with_small_counts(outcome: OutcomeResult) -> OutcomeResult:
    """Put small counts where a result has them: years, bins of scores, steps, groups, runs."""
    trends, sample = outcome.trends.copy(), outcome.sample.copy()
    trends.loc[[0, 3, len(trends) - 1], "n_cases"] = [4, 7, 3]
    sample.loc[[0, 4], "n_post"] = [6, 2]
    scores = pd.DataFrame(
        {
            "low": [0.2, 0.22, 0.24, 0.2, 0.22, 0.24],
            "high": [0.22, 0.24, 0.26, 0.22, 0.24, 0.26],
            "treated": [1, 1, 1, 0, 0, 0],
            "n_cases": [3, 51, 90, 2, 14, 300],
        }
    )
    attrition = pd.DataFrame(
        [("read", "", 900, 0, 900), ("known", "", 900, 4, 896), ("dated", "", 896, 396, 500)],
        columns=["step", "reason", "n_before", "n_dropped", "n_after"],
    )
    assert outcome.main is not None
    assert outcome.main.n_cases is not None
    fewer = replace(outcome.main, family="no-covariates", n_cases=outcome.main.n_cases - 3)
    runs = (*outcome.runs, fewer)
    return replace(
        outcome, trends=trends, sample=sample, overlap=scores, attrition=attrition, runs=runs
    )


@pytest.fixture(scope="module")
def result() -> StudyResult:
    made = make_result()
    binary = next(o for o in made.outcomes if o.info.binary)
    other = next(o for o in made.outcomes if not o.info.binary)
    return replace(made, outcomes=(with_small_counts(binary), with_small_counts(other)))


@pytest.fixture(scope="module")
def made(result: StudyResult) -> Release:
    return release(result)


@pytest.fixture(scope="module")
def folder(made: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(made, tmp_path_factory.mktemp("leaves") / "release").parent


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / f"{name}.csv", dtype=str, keep_default_na=False)


@dataclass
class Attack:
    """A reader with all tables of a release and the rules: knows nothing of how it was made."""

    low: list[float] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)
    rows: list[dict[int, float]] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    inside: list[tuple[int, int]] = field(default_factory=list)

    def cell(self, text: str) -> int:
        """Take in a cell as it is shown."""
        shown = text != HIDDEN
        self.low.append(max(float(text) - 2, 10) if shown else 0)
        self.high.append(float(text) + 2 if shown else None)
        return len(self.low) - 1

    def events(self, share: str, n: str, whole: int) -> int:
        """Multiply a percentage with its count."""
        text = HIDDEN if HIDDEN in (share, n) else str(round(float(share) * float(n) / 5) * 5)
        self.inside.append((self.cell(text), whole))
        return len(self.low) - 1

    def know(self, terms: Mapping[int, float], total: float) -> None:
        """Take in a sum that is known."""
        self.rows.append(dict(terms))
        self.totals.append(total)

    def interval(self, terms: Mapping[int, float]) -> tuple[float, float]:
        """Work out what a sum can be."""
        size = len(self.low)
        goal = np.zeros(size)
        goal[list(terms)] = list(terms.values())
        equal = np.zeros((len(self.rows), size))
        for n, row in enumerate(self.rows):
            equal[n, list(row)] = list(row.values())
        less = np.zeros((len(self.inside), size))
        for n, (part, whole) in enumerate(self.inside):
            less[n, [part, whole]] = [1, -1]
        ends = []
        for sign in (1, -1):
            found = linprog(
                sign * goal,
                A_eq=equal if self.rows else None,
                b_eq=self.totals or None,
                A_ub=less if self.inside else None,
                b_ub=np.zeros(len(less)) if self.inside else None,
                bounds=list(zip(self.low, self.high, strict=True)),
            )
            assert found.status in (0, 3), found.message
            ends.append(sign * found.fun if found.status == 0 else -sign * np.inf)
        return ends[0], ends[1]


def attacked(
    folder: Path, outcome: OutcomeResult, anchor: str
) -> list[tuple[str, int, float, float]]:
    """Attack all tables of an outcome at once; return each small number with its interval."""
    attack = Attack()
    targets: list[tuple[str, dict[int, float], int]] = []

    def small(name: str, terms: dict[int, float], true: int) -> None:
        if 0 <= true < RULES.min_count:
            targets.append((name, terms, true))

    _trends(attack, small, read(folder, f"{anchor}_trends"), outcome)
    _scores(attack, small, read(folder, f"{anchor}_scores-cases"), outcome)
    _steps(attack, small, read(folder, f"{anchor}_attrition"), outcome)
    _groups(attack, small, folder, outcome, anchor)
    return [(name, true, *attack.interval(terms)) for name, terms, true in targets]


def _trends(attack, small, shown, outcome) -> None:  # type: ignore[no-untyped-def]
    true = outcome.trends.set_index(["series", "period"])
    by_series: dict[str, list[tuple[int, int, int, int]]] = {}
    for row in shown.to_dict("records"):
        figures = true.loc[(row["series"], int(row["period"]))]
        n, name = int(figures["n_cases"]), f"{row['series']} {row['period']}"
        cell = attack.cell(row["n_cases"])
        small(name, {cell: 1}, n)
        events, k = cell, n
        if outcome.info.binary:
            events, k = attack.events(row["mean"], row["n_cases"], cell), round(figures["mean"] * n)
            small(f"{name} events", {events: 1}, k)
            small(f"{name} others", {cell: 1, events: -1}, n - k)
        by_series.setdefault(row["series"], []).append((cell, n, events, k))
    for cells in by_series.values():
        attack.know({c: 1 for c, *_ in cells}, sum(n for _, n, *_ in cells))
        attack.know({e: 1 for *_, e, _ in cells}, sum(k for *_, k in cells))


def _scores(attack, small, shown, outcome) -> None:  # type: ignore[no-untyped-def]
    true = {(r.treated, r.low): r.n_cases for r in outcome.overlap.itertuples()}
    for side, rows in shown.groupby("treated"):
        cells = {}
        for row in rows.to_dict("records"):
            cell = attack.cell(row["n_cases"])
            cells[cell] = true.get((int(side), float(row["low"])), 0)
            small(f"score {side} {row['low']}", {cell: 1}, cells[cell])
        attack.know(dict.fromkeys(cells, 1), sum(cells.values()))


def _steps(attack, small, shown, outcome) -> None:  # type: ignore[no-untyped-def]
    last = None
    for row, true in zip(shown.to_dict("records"), outcome.attrition.itertuples(), strict=True):
        before, dropped, after = (
            attack.cell(row[f"n_{x}"]) for x in ("before", "dropped", "after")
        )
        small(f"step {true.step}", {dropped: 1}, true.n_dropped)
        attack.know({before: 1, dropped: -1, after: -1}, 0)
        if last is not None:
            attack.know({before: 1, last: -1}, 0)
        last = after


def _groups(attack, small, folder, outcome, anchor) -> None:  # type: ignore[no-untyped-def]
    true = outcome.sample.set_index(["group", "unit"])
    for _, rows in read(folder, f"{anchor}_groups").groupby("group", sort=False):
        cells = {}
        for row in rows.to_dict("records"):
            for when in ("n_pre", "n_post"):
                cell = attack.cell(row[when])
                cells[cell] = int(true.loc[(row["group"], row["unit"]), when])
                small(f"{row['group']} {row['unit']} {when}", {cell: 1}, cells[cell])
        attack.know(dict.fromkeys(cells, 1), sum(cells.values()))
    runs = read(folder, f"{anchor}_runs")
    sizes = [attack.cell(text) for text in runs["n_cases"]]
    for n, family in enumerate(runs["family"]):
        if family == "no-covariates" and runs["n_cases"][n] != runs["n_cases"][0]:
            small("left out without covariates", {sizes[0]: 1, sizes[n]: -1}, 3)


def test_an_attack_on_all_tables_finds_no_small_number(folder: Path, result: StudyResult) -> None:
    for outcome in result.outcomes:
        found = attacked(folder, outcome, outcome.info.name)
        assert len(found) > 80
        told = [one for one in found if one[2] > TOLERANCE or one[3] < RULES.min_count - TOLERANCE]
        assert told == []


def test_the_attack_finds_what_only_small_counts_suppressed_would_give_away() -> None:
    attack = Attack()
    cells = [attack.cell(text) for text in (HIDDEN, "40", "50")]
    attack.know(dict.fromkeys(cells, 1), 94)
    low, high = attack.interval({cells[0]: 1})
    assert (low, high) == (0, 8)


def test_no_table_is_by_authority_and_year_and_levels_are_told(made: Release, folder: Path) -> None:
    index = pd.read_csv(folder / "index.csv").set_index("file")["level"]
    page = (folder / "about.md").read_text()
    for name, frame in made.tables.items():
        texts = frame.map(lambda cell: cell if isinstance(cell, str) else "")  # 305 is no code
        by_authority = texts.isin([*NAMES, *NAMES.values()]).any(axis=None)
        inside = texts.apply(
            lambda column: column.map(lambda cell: any(name in cell for name in NAMES.values()))
        )
        level = "authority" if by_authority or inside.any(axis=None) else "study"
        assert index[f"{name}.csv"] == level, name
        assert not (level == "authority" and {"period", "event"} & set(frame.columns))
        if level == "authority":
            assert name in page.split("## Other tables")[0]


@pytest.mark.long
def test_without_authorities_none_is_named(result: StudyResult, made: Release) -> None:
    fewer = release(result, authorities=False)
    assert fewer.authority_level == ()
    assert set(fewer.tables) < set(made.tables)
    text = "".join(frame.to_csv() for frame in fewer.tables.values())
    assert not [name for name in NAMES.values() if name in text]


def test_sentences_and_whole_results_stay(folder: Path, result: StudyResult) -> None:
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not names & {"result.json", "report.html", "study.toml"}
    assert not [name for name in names if name.endswith((".svg", ".html"))]
    text = "".join(path.read_text() for path in folder.rglob("*.csv"))
    for outcome in result.outcomes:
        assert outcome.rating is not None
        assert not [r.sentence for r in outcome.rating.reasons if r.sentence in text]
        assert not [warning for warning in outcome.warnings if warning in text]


def test_every_table_of_the_report_is_released_or_withheld_by_name(
    result: StudyResult, made: Release
) -> None:
    kept = {name.split("_")[-1] for name in made.tables}
    for table in page_of(result).tables:
        name = table.name.split("_")[-1]
        begun = name.startswith("event-study")
        assert begun or name in {*kept, *WITHHELD, *WITHHELD_OF_OUTCOMES}, table.name


def test_decisions_are_told_and_not_which_counts_are_small(folder: Path, made: Release) -> None:
    decisions = pd.read_csv(folder / "disclosure.csv")
    hidden = decisions[decisions["decision"] == "suppressed"]
    shown = sum((frame == HIDDEN).sum().sum() for frame in made.tables.values())
    assert len(hidden) == shown > 0
    counts = hidden[hidden["column"] == "n_cases"]
    assert counts["rule"].nunique() == 1


def test_charts_know_nothing_of_what_is_suppressed(result: StudyResult, made: Release) -> None:
    outcome = result.outcomes[0]
    trends = outcome.trends.copy()
    trends.loc[0, "mean"] = 1 - trends.loc[0, "mean"]
    other = release(replace(result, outcomes=(replace(outcome, trends=trends),)))
    name = f"{outcome.info.name}_trends"
    assert made.tables[name].loc[0, "mean"] == HIDDEN
    pictures = [dict(charts({name: r.tables[name]}, r.called)) for r in (made, other)]
    assert pictures[0] == pictures[1]


def test_an_earlier_release_keeps_what_it_hid_and_hides_small_changes(
    result: StudyResult, folder: Path
) -> None:
    outcome = result.outcomes[0]
    trends = outcome.trends.copy()
    trends.loc[[0, 1], "n_cases"] = [40, trends.loc[1, "n_cases"] + 6]
    changed = replace(result, outcomes=(replace(outcome, trends=trends),))
    name = f"{outcome.info.name}_trends"
    assert list(release(changed).tables[name]["n_cases"][:2] != HIDDEN) == [True, True]
    again = release(changed, earlier=Earlier.read(folder))
    assert list(again.tables[name]["n_cases"][:2]) == [HIDDEN, HIDDEN]


@pytest.mark.long
def test_an_earlier_release_with_other_rules_is_refused(result: StudyResult, folder: Path) -> None:
    with pytest.raises(DataError, match="other rules"):
        release(result, ReleaseRules(min_count=8), earlier=Earlier.read(folder))


def test_a_release_is_not_written_among_results(made: Release, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(OutputError, match="must not leave"):
        write_release(made, tmp_path)


def test_from_the_command_line(result: StudyResult, made: Release, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "result.json").write_text(result.to_json())
    command = ["release", str(tmp_path / "mine"), "--min-count", "10", "--round", "5"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    name = f"{result.outcomes[0].info.name}_trends"
    written = read(tmp_path / "mine-release", name)
    assert list(written["n_cases"]) == [str(n) for n in made.tables[name]["n_cases"]]
