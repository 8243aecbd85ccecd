"""Data sets that many have analysed, and the figures that were printed for them.

The package ``causaldata`` (MIT licence) ships the data. Figures are compared with as many digits as
were printed.
"""

from __future__ import annotations

import causaldata
import numpy as np
import pandas as pd
import pytest

from sos_plugins import Sample
from sos_plugins.contract.types import Estimate
from sos_plugins.host.registry import load_plugins
from sos_plugins.study.estimate import run_engine

THREE_DECIMALS = 5.1e-4
"""Half of the last printed digit, and a little for the rounding of a rounded figure."""
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
    found = estimated("bacon", "python", castle)
    printed = {
        "treated_vs_never": (0.899, 0.078),
        "earlier_vs_later": (0.077, -0.029),
        "later_vs_earlier": (0.024, 0.046),
    }
    for kind, (weight, average) in printed.items():
        assert found.glance[f"weight_{kind}"] == pytest.approx(weight, abs=THREE_DECIMALS)
        assert found.glance[f"average_{kind}"] == pytest.approx(average, abs=THREE_DECIMALS)
    assert found.term("overall")["estimate"] == pytest.approx(0.069, abs=THREE_DECIMALS)


@pytest.mark.parametrize("engine", ["python", "pyfixest"])
def test_organ_donations(organ_donations: Sample, engine: str) -> None:
    """Huntington-Klein (2021), The Effect, ch. 18: two-way fixed effects, clustered by state."""
    found = estimated("did", engine, organ_donations, vcov="CR1").term("ATT")
    assert found["estimate"] == pytest.approx(-0.022, abs=THREE_DECIMALS)
    assert found["std_error"] == pytest.approx(0.006, abs=THREE_DECIMALS)


def test_organ_donations_by_quarter(organ_donations: Sample) -> None:
    """Huntington-Klein (2021), The Effect, ch. 18: effects by quarter against the last before."""
    found = estimated("event-study", "python", organ_donations, vcov="CR1")
    printed = {
        -3: (-0.003, 0.005),
        -2: (0.006, 0.002),
        0: (-0.022, 0.005),
        1: (-0.020, 0.004),
        2: (-0.022, 0.010),
    }
    for event, (effect, error) in printed.items():
        row = found.term(f"event={event}")
        assert row["estimate"] == pytest.approx(effect, abs=THREE_DECIMALS)
        assert row["std_error"] == pytest.approx(error, abs=THREE_DECIMALS, rel=CR1_AS_FIXEST)
