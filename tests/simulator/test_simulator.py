"""The simulator: valid returns, linked records, and a truth that plain counting finds again."""

from __future__ import annotations

import datetime as dt
import filecmp
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulator_helpers as helpers
from lxml import etree
from sos_simulator import OUTCOMES, SimulatedSettings, Simulation, simulate, write
from sos_simulator.population import groups_table, populate
from sos_simulator.rates import make_rates
from sos_simulator.source import Simulated

from sos_plugins import Session
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.errors import DataError, SettingsError
from sos_plugins.host.settings import validate
from sos_plugins.study.study import Study

Z_LIMIT = 3.5
"""An average over nine pilots may lie this many standard errors off: once in 2,000 draws."""

SMALL = {
    "authorities": 6,
    "pilots": 2,
    "external_pilots": 1,
    "escalation_pretrend_pilots": 1,
    "referrals_per_year": 120,
    "care_starts_per_year": 25,
    "first_year": 2015,
    "last_year": 2023,
    "first_window": dt.date(2019, 1, 1),
    "last_window": dt.date(2020, 1, 1),
}
EFFECTS = {
    "kinship_effect": -0.13,
    "rereferral_effect": -0.05,
    "escalation_effect": 0.04,
    "icpc_effect": 0.08,
    "duration_effect": 4.0,
}
NO_SHOCKS = {"shock": 0.0, "duration_shock": 0.0}


@pytest.fixture(scope="module")
def small() -> Simulation:
    return simulate(SimulatedSettings(**SMALL))


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "records"
    write(small, path)
    return path


@pytest.fixture(scope="module")
def demo() -> tuple[Simulation, helpers.Frames, helpers.Frames]:
    """The default simulation: what is true, and what is recorded."""
    made = simulate(SimulatedSettings())
    return made, helpers.frames(made.tables()), helpers.frames(made.tables(faults=True))


@pytest.fixture(scope="module")
def clean() -> tuple[Simulation, helpers.Frames]:
    """Every outcome has an effect; nothing else differs between authorities and years."""
    settings = SimulatedSettings(
        preset="clean", seed=5, authorities=27, walk=0, **NO_SHOCKS, **EFFECTS
    )
    made = simulate(settings)
    return made, helpers.frames(made.tables())


# The returns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", range(2016, 2025))
def test_returns_validate_against_the_schema_of_their_year(folder, shared, year):
    layout = max(year, 2017)
    schema = etree.XMLSchema(
        etree.parse(shared / "data" / "cin_census" / "xsd" / f"CIN_schema_{layout}.xsd")
    )
    files = sorted((folder / "cin").glob(f"*_{year}.xml"))
    assert len(files) == SMALL["authorities"]
    for file in files:
        schema.assertValid(etree.parse(file))


def test_returns_with_factors_validate_too(shared, tmp_path):
    made = simulate(SimulatedSettings(**{**SMALL, "factors": True, "authorities": 6}))
    write(made, tmp_path / "records")
    file = sorted((tmp_path / "records" / "cin").glob("*_2024.xml"))[0]
    schema = etree.XMLSchema(
        etree.parse(shared / "data" / "cin_census" / "xsd" / "CIN_schema_2024.xsd")
    )
    tree = etree.parse(file)
    schema.assertValid(tree)
    assert tree.find(".//AssessmentFactors") is not None


def test_cin_plans_appear_when_the_schema_knows_them(folder):
    def has_plans(year: int) -> bool:
        files = (folder / "cin").glob(f"*_{year}.xml")
        return any(b"<CINPlanDates>" in file.read_bytes() for file in files)

    assert not has_plans(2021)
    assert has_plans(2022)


def test_codes_belong_to_no_authority_and_names_say_simulated(folder):
    table = pd.read_csv(folder / "authorities.csv", dtype=str)
    assert table["unit"].astype(int).between(501, 652).all()
    assert table["name"].str.fullmatch(r"Authority \d{3} \(simulated\)").all()
    assert table["region"].str.contains("simulated").all()
    assert "simulated" in (folder / "README.txt").read_text()


def _details(file: Path):
    for child in etree.parse(file).iter("Child"):
        for details in child.iter("CINdetails"):
            yield child.findtext("ChildIdentifiers/LAchildID"), details


def test_a_case_recurs_in_every_return_until_it_is_closed(folder, small):
    unit = small.population.codes[0]
    seen: dict[tuple[str, str], set[int]] = {}
    for year in small.settings.years:
        for child, details in _details(folder / "cin" / f"{unit}_{year + 1}.xml"):
            seen.setdefault((child, details.findtext("CINreferralDate")), set()).add(year)
    truth = helpers.frames(small.tables())["referrals"]
    truth = truth[truth["unit"] == unit]
    assert len(truth) == len(seen) > 300
    longest = 0
    for row in truth.itertuples():
        first = row.referral_date.year - (row.referral_date.month < 4)
        last = small.settings.last_year
        if not pd.isna(row.closure_date):
            last = row.closure_date.year - (row.closure_date.month < 4)
        expected = set(range(max(first, small.settings.first_year), last + 1))
        assert seen[row.child, row.referral_date.date().isoformat()] == expected
        longest = max(longest, len(expected))
    assert longest >= 3


def test_a_return_knows_nothing_of_later_years(folder, small):
    unit = small.population.codes[1]
    for year in (2017, 2020):
        end = f"{year + 1}-03-31"
        for _, details in _details(folder / "cin" / f"{unit}_{year + 1}.xml"):
            closure = details.findtext("CINclosureDate") or ""
            dates = [
                e.text for e in details.iter() if e.text and "Date" in etree.QName(e).localname
            ]
            assert all(d <= end for d in dates if d != closure)


def test_open_episodes_of_care_have_no_end_at_the_end_of_the_year(folder, small):
    unit, n_open = small.population.codes[0], 0
    for year in small.settings.years:
        path = folder / "ssda903" / unit / str(year + 1) / "episodes.csv"
        episodes = pd.read_csv(path, dtype=str, keep_default_na=False)
        ended = pd.to_datetime(episodes["DEC"], format="%d/%m/%Y", errors="coerce")
        assert (ended.isna() | (ended <= pd.Timestamp(year + 1, 3, 31))).all()
        assert ((episodes["DEC"] == "") == (episodes["REC"] == "")).all()
        n_open += int((episodes["DEC"] == "").sum())
    assert n_open > 50


# The records ------------------------------------------------------------------------------------


def test_tables_have_the_schema_of_the_project(small):
    tables = small.tables(faults=True)
    assert set(tables) == set(Simulated.gives) - {"deprivation_orders"}
    for name, table in tables.items():
        assert table.schema.equals(TABLES[name])
    for name, key in {
        "children": ["unit", "child"],
        "referrals": ["unit", "child", "referral_date"],
        "episodes": ["unit", "child", "start_date"],
    }.items():
        assert not tables[name].to_pandas()[key].duplicated().any()


def test_identifiers_are_unique_within_an_authority_only(small):
    children = small.tables()["children"].to_pandas()
    assert children["child"].duplicated().any()


def test_records_link_and_come_in_order(small):
    f = helpers.frames(small.tables())
    children = set(zip(f["children"]["unit"], f["children"]["child"], strict=True))
    key = ["unit", "child", "referral_date"]
    for name in ("assessments", "section47s", "protection_plans"):
        joined = f[name].merge(f["referrals"], on=key, how="left", indicator=True)
        assert (joined["_merge"] == "both").all()
        assert (joined["start_date"] >= joined["referral_date"]).all()
        assert not (joined["start_date"] > joined["closure_date"]).any()
    for name in ("referrals", "episodes"):
        assert set(zip(f[name]["unit"], f[name]["child"], strict=True)) <= children
    referrals = f["referrals"].sort_values(key)
    before = referrals.groupby(["unit", "child"])["closure_date"].shift()
    assert not (before >= referrals["referral_date"]).any()


def test_care_that_follows_a_referral_lies_inside_the_case(small):
    f = helpers.frames(small.tables())
    starts = f["episodes"][f["episodes"]["reason_start"] == "S"]
    pairs = starts.merge(f["referrals"], on=["unit", "child"])
    pairs = pairs[pairs["referral_date"] <= pairs["start_date"]]
    is_open = pairs["closure_date"].isna() | (pairs["start_date"] <= pairs["closure_date"])
    linked = pairs[is_open]
    assert len(linked) > 100
    assert not linked["nfa"].any()
    assert not (linked["closure_reason"] == "RC8").any()


def test_episodes_chain_into_periods_of_care(small):
    episodes = helpers.frames(small.tables())["episodes"]
    key = ["unit", "child", "period_of_care"]
    episodes = episodes.sort_values([*key, "start_date"])
    following = episodes.groupby(key)[["start_date", "reason_start"]].shift(-1)
    goes_on = following["start_date"].notna()
    assert (episodes.loc[goes_on, "reason_end"] == "X1").all()
    assert (episodes.loc[goes_on, "end_date"] == following.loc[goes_on, "start_date"]).all()
    assert following.loc[goes_on, "reason_start"].isin(["L", "P", "B"]).all()
    last = episodes[~goes_on]
    assert not (last["reason_end"] == "X1").any()
    assert goes_on.sum() > 200
    old = episodes["start_date"] < pd.Timestamp(2015, 4, 1)
    assert not episodes.loc[old, "placement"].str.startswith("U").any()


def test_the_reader_gives_the_records_back(small):
    """What is written in truth is read; with planted faults, what they leave readable."""
    settings = small.settings.model_copy(
        update={"duplicates": 0.05, "impossible_dates": 0.0, "missing_closure_date": 0.1}
    )
    made = simulate(settings)
    records = Simulated().read(settings, Session())
    assert records.simulated
    assert records.truth == json.loads(json.dumps(made.truth))
    assert records.start == dt.date(2015, 4, 1)
    assert records.end == dt.date(2024, 3, 31)
    for name, expected in made.tables(faults=True).items():
        order = [(c, "ascending") for c in expected.schema.names[:4] if c != "reason_start"]
        read = records.table(name).to_pyarrow().select(expected.schema.names).sort_by(order)
        frame, wanted = read.to_pandas(), expected.sort_by(order).to_pandas()
        pd.testing.assert_frame_equal(frame, wanted, check_dtype=False, obj=name)


# Faults -----------------------------------------------------------------------------------------


def test_planted_faults_are_counted_and_stand_in_the_files(folder, small):
    counts: Counter[str] = Counter()
    for file in sorted((folder / "cin").glob("*.xml")):
        end = f"{file.stem[-4:]}-03-31"
        rows = [
            (child, d.findtext("CINreferralDate"), d.findtext("CINclosureDate"),
             d.findtext("ReasonForClosure"))
            for child, d in _details(file)
        ]  # fmt: skip
        copies = sum(n - 1 for n in Counter(rows).values())
        counts["duplicate"] += copies
        for _, referred, closed, reason in set(rows):
            counts["missing-reason"] += closed is not None and reason is None
            counts["missing-closure-date"] += closed is None and reason is not None
            counts["impossible-date"] += closed is not None and not referred <= closed <= end
    planted = small.truth["dirt"]
    assert {kind: planted[kind]["planted"] for kind in planted} == dict(counts)
    assert all(counts.values())
    table = pd.read_csv(folder / "dirt.csv", dtype={"unit": str})
    assert table.groupby("fault")["n"].sum().to_dict() == dict(counts)


def test_faults_change_no_event(small):
    other = simulate(small.settings.model_copy(update={"missing_reason": 0.0, "duplicates": 0.5}))
    for name, table in small.tables().items():
        assert table.equals(other.tables()[name])


def test_the_clean_preset_plants_no_fault():
    made = simulate(
        SimulatedSettings(**{**SMALL, "preset": "clean", "escalation_pretrend_pilots": 0})
    )
    assert {kind["planted"] for kind in made.truth["dirt"].values()} == {0}
    assert made.tables(faults=True)["referrals"].equals(made.tables()["referrals"])


# The truth --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OUTCOMES)
def test_plain_difference_in_differences_finds_the_planted_effect(clean, name):
    made, f = clean
    effects = helpers.by_pilot(made, helpers.derive(made, name, f))
    told = made.truth["outcomes"][name]
    assert np.mean(list(told["effect_by_pilot"].values())) == pytest.approx(
        told["effect"], abs=1e-4
    )
    error = effects["estimate"] - effects["unit"].map(told["effect_by_pilot"])
    z = error.mean() / np.sqrt(effects["variance"].sum() / len(effects) ** 2)
    assert abs(z) < Z_LIMIT
    # And the effect is seen at all: the test could fail.
    assert abs(effects["estimate"].mean()) > Z_LIMIT * np.sqrt(effects["variance"].sum()) / len(
        effects
    )


PUBLISHED_SHOCK, PUBLISHED_RHO = 5.0, 0.6
SD_LIMIT, RHO_LIMIT = 0.09, 0.07
"""Four standard errors of a standard deviation, relative, and of a correlation, over 152
authorities and 14 years: worth 152 x 14 x (1 - 0.6^2) / (1 + 0.6^2) = 1,000 independent squares."""


def test_shocks_have_the_published_size_and_carry_over():
    """Without levels, walks and trends of their own, rates differ by the shocks alone."""
    settings = SimulatedSettings(preset="null", authorities=152, level_spread=0, walk=0)
    rates = make_rates(settings, populate(settings)).profiles
    shocks = rates["rereferral"].base - settings.rereferral_level
    assert shocks.std() == pytest.approx(PUBLISHED_SHOCK / 100, rel=SD_LIMIT)
    carried = np.corrcoef(shocks[:, :-1].ravel(), shocks[:, 1:].ravel())[0, 1]
    assert carried == pytest.approx(PUBLISHED_RHO, abs=RHO_LIMIT)
    quarter = settings.escalation_level / 4
    assert rates["escalation"].base.std() == pytest.approx(quarter, rel=SD_LIMIT)
    days = rates["assessment-duration"].base.std()
    assert days == pytest.approx(settings.duration_shock, rel=SD_LIMIT)


def test_the_demonstration_alone_has_no_shocks_to_rates():
    shocks = {p: SimulatedSettings(preset=p).shock for p in ("seed", "clean", "null", "national")}
    assert shocks == {"seed": 0.0, **dict.fromkeys(("clean", "null", "national"), PUBLISHED_SHOCK)}


def test_a_kinship_effect_of_nil_is_nil():
    """Each part draws its own random numbers: only kinship differs from the clean preset."""
    made = simulate(SimulatedSettings(preset="null", authorities=27, walk=0, seed=6, **NO_SHOCKS))
    effects = helpers.by_pilot(
        made, helpers.derive(made, "kinship-care", helpers.frames(made.tables()))
    )
    z = effects["estimate"].mean() / np.sqrt(effects["variance"].sum() / len(effects) ** 2)
    assert abs(z) < Z_LIMIT
    assert made.truth["outcomes"]["kinship-care"]["effect"] == 0


def test_the_demo_kinship_falls_in_every_pilot_under_both_definitions(demo):
    made, f, _ = demo
    start = pd.Timestamp(made.settings.first_year, 4, 1)
    wide = helpers.kinship(
        f,
        start,
        ("U1", "U2", "U3", "Q1", "P1"),
        ("E45", "E47", "E41", "E43", "E44", "E13", "E4A"),
    )
    wide = wide[wide["until"] <= pd.Timestamp(made.settings.last_year + 1, 3, 31)]
    for cases in (helpers.derive(made, "kinship-care", f), wide):
        effects = helpers.by_pilot(made, cases)
        assert (effects["estimate"] < 0).all()
        assert effects["estimate"].mean() == pytest.approx(-0.13, abs=0.045)
    per_year = f["episodes"].query("reason_start == 'S' and legal_status in ('C1', 'C2')")
    pilots = [made.population.codes[i] for i in made.population.pilots]
    years = len(made.settings.years)
    assert (per_year.groupby("unit").size()[pilots] / years >= 60).all()


def test_the_demo_rereferral_falls_and_much_cannot_be_judged(demo):
    made, true, recorded = demo
    cases = helpers.nfa_cases(true, pd.Timestamp(made.settings.first_year, 4, 1))
    a_year = cases.groupby("unit").size() / len(made.settings.years)
    assert a_year.mean() > 300
    assert a_year[[made.population.codes[i] for i in made.population.pilots]].min() > 250
    effects = helpers.by_pilot(made, helpers.derive(made, "rereferral", recorded))
    assert -0.09 < effects["estimate"].mean() < -0.02
    usable = len(helpers.nfa_cases(recorded, cases["referral_date"].min())) / len(cases)
    assert 0.55 < usable < 0.75


def test_the_demo_escalation_has_parallel_trends_for_two_pilots_only(demo):
    made, _, recorded = demo
    p_values = helpers.lead_p_values(made, helpers.derive(made, "escalation", recorded))
    told = made.truth["outcomes"]["escalation"]
    assert len(told["parallel_trends_hold"]) == 2
    assert len(told["parallel_trends_violated"]) == 7
    assert all(p_values[unit] < 0.01 for unit in told["parallel_trends_violated"])
    assert all(p_values[unit] > 0.05 for unit in told["parallel_trends_hold"])


def test_the_demo_trends_of_kinship_are_parallel(demo):
    made, f, _ = demo
    p_values = helpers.lead_p_values(made, helpers.derive(made, "kinship-care", f))
    assert sum(p < 0.05 for p in p_values.values()) <= 2


def test_the_demo_duration_hangs_on_the_externally_supported_pilots(demo):
    made, f, _ = demo
    effects = helpers.by_pilot(made, helpers.derive(made, "assessment-duration", f))
    told = made.truth["outcomes"]["assessment-duration"]
    assert told["effect"] == 0
    assert effects["external"].sum() == made.settings.external_pilots == 4
    assert effects["estimate"].mean() < 0 < effects.loc[~effects["external"], "estimate"].mean()
    for row in effects.itertuples():
        expected = -6.0 if row.external else 3.5
        assert told["confounder"]["by_pilot"][row.unit] == expected
    # The spread between pilots, not between children, makes the average uncertain.
    between = effects["estimate"].std() / np.sqrt(len(effects))
    assert abs(effects["estimate"].mean()) < 1.96 * between


def test_pilots_find_their_planted_comparators_before_the_window(demo):
    made, f, _ = demo
    cases = helpers.derive(made, "assessment-duration", f)
    before = cases[cases["until"] < pd.Timestamp(made.settings.first_window)]
    level = before.groupby("unit")["value"].mean()
    groups = groups_table(made.population)
    pool = level.drop(groups["pilot"].unique())
    planted = set(groups["comparator"])
    nearest = [
        set((pool - level[pilot]).abs().nsmallest(2).index) for pilot in groups["pilot"].unique()
    ]
    assert np.mean([len(pair & planted) / 2 for pair in nearest]) > 0.75
    own = groups.groupby("pilot")["comparator"].agg(set)
    gap_own = np.mean([abs(level[list(own[p])] - level[p]).mean() for p in own.index])
    gap_all = np.mean([abs(pool - level[p]).mean() for p in own.index])
    assert gap_own < gap_all / 2


def test_the_seed_decides_everything(small, folder, tmp_path):
    write(simulate(small.settings), tmp_path / "again")
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    _, different, wrong = filecmp.cmpfiles(
        folder, tmp_path / "again", [str(p) for p in files], shallow=False
    )
    assert not different
    assert not wrong
    other = simulate(small.settings.model_copy(update={"seed": 1}))
    assert not other.tables()["referrals"].equals(small.tables()["referrals"])


# The plugin -------------------------------------------------------------------------------------


def test_write_returns_the_truth_and_replaces_an_earlier_simulation(tmp_path):
    settings = SimulatedSettings(**SMALL)
    truth = Simulated().write(settings, tmp_path, Session())
    assert json.loads((tmp_path / "truth.json").read_text()) == json.loads(json.dumps(truth))
    assert truth["simulated"] is True
    fewer = SimulatedSettings(**{**SMALL, "last_year": 2020, "referrals_per_year": 60})
    Simulated().write(fewer, tmp_path, Session())
    assert not list((tmp_path / "cin").glob("*_2024.xml"))


def test_write_leaves_other_folders_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other files"):
        Simulated().write(SimulatedSettings(**SMALL), tmp_path, Session())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_read_takes_an_earlier_simulation(folder, small):
    whole = Simulated().read(SimulatedSettings(folder=str(folder)), Session())
    assert whole.simulated
    assert whole.truth["seed"] == small.settings.seed
    assert whole.unit_names["501"] == "Authority 501 (simulated)"
    bare = Simulated().read(SimulatedSettings(folder=str(folder), truth_only=True), Session())
    assert not bare.tables
    assert bare.truth == whole.truth


def test_read_of_a_folder_without_simulation_says_so(tmp_path):
    with pytest.raises(DataError, match=r"There is no truth\.json in .*no simulation"):
        Simulated().read(SimulatedSettings(folder=str(tmp_path)), Session())


def test_the_study_fits_the_number_of_pilots():
    text = Simulated().study(SimulatedSettings(**SMALL))
    assert "two simulated authorities" in text
    assert 'plugin = "kinship-care"' in text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"authorities": 20}, "9 pilots with 2 comparators each need 27 authorities"),
        ({"authorities": 153}, "less than or equal to 152"),
        ({"first_year": 2019, "last_year": 2012}, "comes before first_year = 2019"),
        ({"first_year": 2016}, "the returns cover 2016-04-01 to 2020-03-31. Set first_window"),
        ({"last_window": dt.date(2014, 1, 1)}, "starts before first_window = 2014-11-01"),
        ({"external_pilots": 10}, "10 is more than pilots = 9"),
        ({"escalation_pretrend_pilots": 12}, "12 is more than pilots = 9"),
        ({"kinship_effect": -0.5}, "kinship_effect = -0.5 leaves the range"),
        ({"rereferral_level": 0.1}, "at most half of rereferral_level = 0.1"),
        ({"window_months": (9, 3)}, "the shortest and the longest window"),
        ({"preset": "sed"}, "'seed', 'clean', 'null' or 'national'"),
        ({"kinship_efect": 0}, "Did you mean 'kinship_effect'?"),
        ({"truth_only": True}, "Set 'folder' too"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused_with_a_sentence(values, sentence):
    with pytest.raises(SettingsError) as error:
        validate(SimulatedSettings, values, where="--set (simulated)")
    assert sentence in str(error.value)
    assert str(error.value).startswith("--set (simulated): ")


def test_the_study_knows_that_its_records_are_simulated(tmp_path):
    settings = SimulatedSettings(**SMALL)
    Simulated().write(settings, tmp_path, Session())
    (tmp_path / "study.toml").write_text(Simulated().study(settings))
    records = Study.from_toml(tmp_path / "study.toml").read(Session(base=tmp_path))
    assert records.simulated
    assert records.truth["seed"] == settings.seed
    assert set(Simulated.gives) - {"deprivation_orders"} <= set(records.tables)
