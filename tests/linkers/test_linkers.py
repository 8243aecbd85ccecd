"""Links against who is truly who, and what linked children do to records and outcomes."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from sos_linkers.identifiers import Identifiers, IdentifierSettings
from sos_simulator import SimulatedSettings, simulate, write
from sos_sources.cin.census import CinCensus, CinCensusSettings
from sos_sources.ssda903.source import Ssda903, Ssda903Settings

from sos_plugins import Records, Session
from sos_plugins.authors import testing
from sos_plugins.contract.record_tables import PUPIL_NUMBERS, TABLES
from sos_plugins.errors import DataError
from sos_plugins.groundwork.pupil_numbers import pupil_number
from sos_plugins.study.linking import NOBODY, SAME, with_one_identifier
from sos_plugins.tables.merged_records import merged

pytestmark = [
    # PySpark 4.0 with pandas 3, and the Java bridge's sockets when it goes.
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CHILD = ["unit", "child"]
BORN = dt.date(2010, 5, 6)
HERE = {"unit": "1", "child": "a", "birth_date": BORN, "sex": "male"}
PUBLISHED = "H801200001001"
"""An example in guidance of the Department for Education."""


def with_numbers(session: Session, *rows: dict[str, Any]) -> Records:
    """Records of children with pupil numbers."""
    schema = TABLES["children"]
    for name in PUPIL_NUMBERS:
        schema = schema.append(pa.field(name, pa.string()))
    return Records({"children": session.table(pa.Table.from_pylist([*rows], schema=schema))})


def linked(session: Session, *rows: dict[str, Any]) -> tuple[set[tuple[str, ...]], dict[str, Any]]:
    """Who is linked by identifiers, as sets of children, and the figures."""
    found = Identifiers().link(with_numbers(session, *rows), IdentifierSettings(), session)
    same = found.same.to_pandas()
    groups = {tuple(sorted(part["unit"] + part["child"])) for _, part in same.groupby("person")}
    return groups, dict(zip(found.figures["figure"], found.figures["value"], strict=True))


@pytest.mark.parametrize("check", testing.linker_checks(Identifiers()), ids=str)
def test_identifiers_keep_the_contract(check: testing.Check) -> None:
    check()


def test_splink_keeps_the_contract() -> None:
    pytest.importorskip("splink")
    from sos_linkers.probabilistic import Splink

    testing.check_linker(Splink())


def test_the_check_letter_is_that_of_a_published_number() -> None:
    assert pupil_number(PUBLISHED[1:]) == PUBLISHED


def test_only_valid_numbers_link_and_never_an_identifier_of_another_authority() -> None:
    session, there = Session(), {**HERE, "unit": "2"}
    lower = PUBLISHED.lower()
    assert linked(session, {**HERE, "UPN": PUBLISHED}, {**there, "UPN": f" {lower}"})[0] == {
        ("1a", "2a")
    }
    for wrong in (f"A{PUBLISHED[1:]}", "H80120000100A", "H80120000100", None):
        groups, _ = linked(session, {**HERE, "UPN": wrong}, {**there, "UPN": wrong})
        assert groups == set(), wrong


def test_a_former_number_joins_two_numbers() -> None:
    later = pupil_number("901300002002")
    groups, _ = linked(
        Session(),
        {**HERE, "UPN": PUBLISHED},
        {**HERE, "unit": "2", "UPN": later, "FormerUPN": PUBLISHED},
        {**HERE, "unit": "3", "child": "b", "UPN": later},
    )
    assert groups == {("1a", "2a", "3b")}


@pytest.mark.parametrize("other", [{"birth_date": dt.date(2011, 5, 6)}, {"sex": "female"}])
def test_one_number_with_two_birth_dates_or_sexes_is_refused_and_counted(
    other: dict[str, Any],
) -> None:
    rows = ({**HERE, "UPN": PUBLISHED}, {**HERE, "unit": "2", "UPN": PUBLISHED, **other})
    groups, figures = linked(Session(), *rows)
    assert groups == set()
    assert figures["identifiers with two birth dates or sexes, not linked"] == 1


def test_records_without_numbers_are_refused_with_what_to_ask_for() -> None:
    session = Session()
    records = testing.example_records(session, n_children=2)
    with pytest.raises(DataError, match=r"extra = \[\"UPN\", \"FormerUPN\"\]"):
        Identifiers().link(records, IdentifierSettings(), session)


def test_identifiers_that_all_authorities_share_link_where_the_study_says_so() -> None:
    session = Session()
    given = with_numbers(session, HERE, {**HERE, "unit": "2"}, {**HERE, "unit": "2", "child": "b"})
    found = Identifiers().link(given, IdentifierSettings(everywhere=True), session)
    assert sorted(found.same.to_pandas()["unit"]) == ["1", "2"]


def test_linked_rows_are_merged_and_periods_of_care_numbered_anew() -> None:
    merges(Session())


@pytest.mark.spark
def test_linked_rows_are_merged_on_spark_alike(spark: Any) -> None:
    merges(Session(backend=spark))


@pytest.mark.spark
def test_children_of_two_sources_are_joined_on_spark(spark: Any) -> None:
    session = Session(backend=spark)
    first, second = (with_numbers(session, row) for row in ({**HERE, "sex": None}, HERE))
    (child,) = merged(first, second).table("children").to_pandas().to_dict("records")
    assert child["sex"] == "male"


def merges(session: Session) -> None:
    """One child under two identifiers in one authority, and a third in another."""

    def day(month: int, number: int) -> dt.date:
        return dt.date(2015, month, number)

    def row(child: str, **values: Any) -> dict[str, Any]:
        return {"unit": "1", "child": child, **values}

    def episode(child: str, start: dt.date, end: dt.date | None, period: int) -> dict[str, Any]:
        return row(child, start_date=start, end_date=end, period_of_care=period)

    records = testing.records_of(
        session,
        {
            "children": [
                row("a", sex="male"),
                row("b", birth_date=BORN, sex="female"),
                {"unit": "2", "child": "a", "sex": "male"},
                row("z"),
            ],
            "referrals": [
                row("a", referral_date=day(1, 1), return_year=2015, closure_reason="RC1"),
                row("b", referral_date=day(1, 1), return_year=2016, closure_reason="RC8"),
                row("z", referral_date=day(1, 1), return_year=2016),
            ],
            "episodes": [
                episode("a", day(1, 1), day(3, 1), 1),
                episode("b", day(3, 1), day(4, 1), 1),  # goes on under another identifier
                episode("b", day(4, 2), day(5, 1), 1),
                episode("a", day(7, 1), None, 2),  # a period of its own
                episode("z", day(1, 1), None, 4),
            ],
        },
    )
    same = pa.Table.from_pylist(
        [{"unit": u, "child": c, "person": "p"} for u, c in ("1a", "1b", "2a")], schema=SAME
    )
    made, merged = with_one_identifier(records, same, session)
    frames = {name: table.to_pandas() for name, table in made.tables.items()}
    children = frames["children"].set_index(CHILD).sort_index()
    assert list(children.index) == [("1", "1/z"), ("1", "linked/p"), ("2", "linked/p")]
    here = children.loc[("1", "linked/p")]
    assert (here["sex"], pd.Timestamp(here["birth_date"]).date()) == ("male", BORN)
    referrals = frames["referrals"].set_index("child")
    assert referrals.loc["linked/p", "closure_reason"] == "RC8"  # of the latest return
    episodes = frames["episodes"].sort_values("start_date")
    periods = episodes.groupby("child")["period_of_care"].agg(list)
    assert list(periods["linked/p"]) == [1, 1, 1, 2]
    assert list(periods["1/z"]) == [4]
    counted = merged.set_index("table")["n_merged"].to_dict()
    assert counted == {"children": 1, "referrals": 1, "episodes": 0}


# Simulated children who move ----------------------------------------------------------------------

MOVING = SimulatedSettings(
    preset="clean",
    authorities=6,
    pilots=2,
    external_pilots=1,
    comparators_per_pilot=1,
    first_year=2014,
    last_year=2017,
    first_window=dt.date(2015, 11, 1),
    last_window=dt.date(2016, 3, 1),
    referrals_per_year=150,
    care_starts_per_year=10,
    moves=0.5,
    pupil_numbers=True,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns of children half of whom move when they are referred again."""
    place = tmp_path_factory.mktemp("moves") / "simulated"
    write(simulate(MOVING), place)
    return place


def read(folder: Path, session: Session) -> Records:
    """Read both returns, pupil numbers included."""
    here = replace(session, base=folder)
    cin = CinCensus().read(CinCensusSettings(paths=("cin",), extra=("UPN",)), here)
    care = Ssda903Settings(paths=("ssda903",), authority="folder", extra=("UPN",))
    return merged(cin, Ssda903().read(care, here))


def true_pairs(folder: Path, children: pd.DataFrame) -> set[tuple[str, str]]:
    """Pairs of children in the records that are truly one."""
    people = pd.read_csv(folder / "true_people.csv", dtype=str)
    return pairs(children.merge(people, on=CHILD))


def pairs(frame: pd.DataFrame) -> set[tuple[str, str]]:
    """Pairs of children with the same ``person``."""
    named = frame.assign(key=frame["unit"] + "/" + frame["child"])[["person", "key"]]
    both = named.merge(named, on="person")
    both = both[both["key_x"] < both["key_y"]]
    return set(zip(both["key_x"], both["key_y"], strict=True))


def test_pupil_numbers_find_all_who_have_them_and_nobody_else(folder: Path) -> None:
    session = Session(seed=1)
    records = read(folder, session)
    children = records.table("children").select(*CHILD, "UPN").to_pandas()
    found = pairs(Identifiers().link(records, IdentifierSettings(), session).same.to_pandas())
    numbered = true_pairs(folder, children[children["UPN"].notna()])
    assert len(numbered) > 50
    assert found == numbered
    told = json.loads((folder / "truth.json").read_text())["moves"]
    assert told["children"] - told["people"] > 50


def test_probability_finds_the_others_as_surely_as_it_says() -> None:
    pytest.importorskip("splink")
    from sos_linkers.probabilistic import Splink, SplinkSettings

    session, settings = Session(seed=1), SplinkSettings(threshold=0.6)
    records = testing.example_moved_children(session, 2000)
    link = Splink().link(records, settings, session)
    figures = dict(zip(link.figures["figure"], link.figures["value"], strict=True))
    children = records.table("children").select(*CHILD, person="true").to_pandas()
    sure = pairs(Identifiers().link(records, settings, session).same.to_pandas())
    more, others = pairs(link.same.to_pandas()) - sure, pairs(children) - sure
    assert len(others) > 50
    told = [figures[name] for name in figures if name.startswith(("recall", "precision"))]
    right = len(more & others)
    assert told == pytest.approx([right / len(others), right / len(more)], abs=0.05)
    assert 0.9 < right / len(more) < 1  # birth dates are shared by chance
    weights = link.weights.set_index(["comparison", "level"])["weight"]
    assert weights["birth date", "Exact match on birth"] == pytest.approx(11.6, abs=0.2)
    again = Splink().link(records, settings, Session(seed=1))
    pd.testing.assert_frame_equal(again.figures, link.figures)
    pd.testing.assert_frame_equal(again.same.to_pandas(), link.same.to_pandas())


def test_without_numbers_to_learn_from_the_model_teaches_itself_and_says_so() -> None:
    pytest.importorskip("splink")
    from sos_linkers.probabilistic import Splink, SplinkSettings

    session = Session(seed=1)
    given = testing.example_moved_children(session, 1000)
    children = given.table("children")
    none = children.mutate(UPN=ibis.null("string"), district=children["true"])
    records = replace(given, tables={"children": none})
    link = Splink().link(records, SplinkSettings(compare=("district",)), session)
    true = children.select(*CHILD, person="true").to_pandas()
    assert pairs(link.same.to_pandas()) == pairs(true)
    assert "Too few pairs of children have pupil numbers" in link.warnings[0]
    assert "district" in set(link.weights["comparison"])
    figures = link.figures.set_index("figure")["value"]
    # A column that is compared is no pupil number.
    assert figures["pupil numbers with a wrong form or check letter, not used"] == 0
    with pytest.raises(DataError, match=r"has no column 'distict'\. Did you mean 'district'"):
        Splink().link(records, SplinkSettings(compare=("district", "distict")), session)


def test_twins_are_two_and_ambiguous_candidates_are_nobody() -> None:
    pytest.importorskip("splink")
    from sos_linkers.probabilistic import Splink, SplinkSettings

    session = Session(seed=1)
    records = testing.example_moved_children(session, 600)
    frame = records.table("children").to_pandas()
    lost = frame[frame["UPN"].isna()].index[0]
    twin = frame.loc[[lost]].assign(child="twin")  # in the authority that the child moved to
    both = pd.concat([frame, twin], ignore_index=True)
    schema = records.table("children").schema().to_pyarrow()
    tables = {"children": session.table(pa.Table.from_pandas(both, schema, preserve_index=False))}
    for given, linked in ((records, True), (replace(records, tables=tables), False)):
        found = Splink().link(given, SplinkSettings(threshold=0.6), session).same.to_pandas()
        named = set(found["unit"] + found["child"])
        assert (frame.loc[lost, "unit"] + frame.loc[lost, "child"] in named) is linked


STUDY = """
[study]
name = "moves"
title = "Children who move"
seed = 1
[[sources]]
plugin = "cin-census"
paths = ["cin/*.xml"]
extra = ["UPN"]
{link}
[design]
pilots = "pilots.csv"
[matching]
units = {{ plugin = "pre-outcomes-units", ratio = 1 }}
[[outcomes]]
plugin = "rereferral"
follow = "{follow}"
covariates = "none"
[[estimators]]
plugin = "did"
engines = ["python"]
[sensitivity]
families = ["not-linked"]
[rating]
plugin = "wwcsc"
"""
LINK = '[link]\nplugin = "identifiers"'


def run(folder: Path, link: str, follow: str) -> Any:
    from sos_plugins.host.registry import load_plugins
    from sos_plugins.study.study import Study

    text = STUDY.format(link=link, follow=follow)
    return Study.from_text(text, base=folder, registry=load_plugins()).run(workers=1)


def test_a_study_follows_linked_children_and_tells_what_that_changes(folder: Path) -> None:
    from sos_plugins.report import render_html

    plain, here, anywhere = (
        run(folder, *how) for how in (("", "authority"), (LINK, "authority"), (LINK, "anywhere"))
    )
    main = [result.outcomes[0].main for result in (plain, here, anywhere)]
    assert plain.link is None
    assert "identifiers" in here.references
    assert "identifiers" not in plain.references
    # Nobody has two identifiers in one authority: what stays there stays the same.
    assert main[1].estimate == main[0].estimate
    effect = anywhere.link.effect.iloc[0]
    assert effect["cases_with"] == effect["cases_without"]
    assert effect["mean_with"] > effect["mean_without"]
    assert here.link.effect["cells_changed"].tolist() == [0]
    assert effect["mean_without"] == here.link.effect["mean_without"].item()
    alone = [
        next(r for r in result.outcomes[0].runs if r.family == "not-linked").estimate
        for result in (here, anywhere)
    ]
    assert alone[0] == pytest.approx(main[1].estimate, abs=1e-12)
    assert alone[1] != pytest.approx(main[2].estimate, abs=1e-6)
    page = render_html(anywhere)
    assert "Linked children" in page
    assert "What the link changes in the outcomes" in page


def test_nobody_is_followed_without_a_link(folder: Path) -> None:
    result = run(folder, "", "anywhere").outcomes[0]
    assert 'follow = "anywhere" needs children that are linked' in result.error


def test_a_link_of_nobody_leaves_every_case_as_it_is() -> None:
    from sos_outcomes.escalation import Escalation, EscalationSettings
    from sos_outcomes.kinship_care import KinshipCare, KinshipCareSettings

    session = Session()
    records = testing.example_records(session)
    alone, _ = with_one_identifier(records, NOBODY, session)
    for outcome, settings in (
        (Escalation(), EscalationSettings()),
        (KinshipCare(), KinshipCareSettings()),
    ):
        frames = [
            outcome.derive(given, settings, session).frame.drop(columns="child")  # type: ignore[attr-defined]
            for given in (records, alone)
        ]
        columns = list(frames[0])
        first, second = (f.sort_values(columns, ignore_index=True) for f in frames)
        pd.testing.assert_frame_equal(first, second)
