"""One check of a sample: what one estimator of staggered adoption refuses, all refuse alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sos_estimators import imputed, stacked, sun_abraham
from sos_estimators.callaway_santanna import CallawaySantAnna
from sos_estimators.sample.staggered import ClusterCounts

from sos_plugins import Estimator, Sample
from sos_plugins.errors import SosError

ESTIMATORS: tuple[Estimator, ...] = (
    CallawaySantAnna(),
    imputed.IMPUTATION,
    imputed.TWO_STAGE,
    stacked.Stacked(),
    sun_abraham.SunAbraham(),
)


def panel() -> pd.DataFrame:
    """Twelve authorities in six years; four adopt in year 4, four in year 9, after the last."""
    frame = pd.MultiIndex.from_product([range(12), range(1, 7)], names=["unit", "period"])
    frame = frame.to_frame(index=False)
    cohort = frame["unit"].map(lambda unit: (4, 0, 9)[unit % 3])
    value = np.sin(np.arange(len(frame))) + frame["unit"]
    treated = (cohort > 0).astype(int)
    return frame.assign(
        unit=frame["unit"].map("authority {}".format),
        cohort=cohort,
        value=value,
        weight=1.0,
        treated=treated,
        post=(treated == 1) & (frame["period"] >= cohort),
    ).assign(cluster=lambda f: f["unit"], id=lambda f: f["unit"])


def with_value(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(**{column: [value, *frame[column].iloc[1:]]})


FLAWS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing": (
        with_value("value", np.nan),
        "The column 'value' has 1 missing or infinite values in 72 cases; fill or drop them before "
        "estimating.",
    ),
    "infinite": (
        with_value("weight", np.inf),
        "The column 'weight' has 1 missing or infinite values in 72 cases; fill or drop them "
        "before estimating.",
    ),
    "negative": (
        with_value("weight", -1.0),
        "Weights must not be negative; the column 'weight' has negative values.",
    ),
    "weightless": (
        lambda frame: frame.assign(weight=0.0),
        "The sample has no case of positive weight.",
    ),
    "constant": (
        lambda frame: frame.assign(value=2.0),
        "The outcome has no variation: it is 2 in all cases.",
    ),
    "untreated": (
        lambda frame: frame.assign(cohort=0, treated=0, post=False),
        "The sample has no treated case: all cohorts are 0 (never treated).",
    ),
    "twice": (
        lambda frame: pd.concat([frame, frame.iloc[[7]]]),
        "The id 'authority 1' occurs more than once in period 2; a panel has one row an id and "
        "period. Without the column 'id' the cases count as repeated cross-sections.",
    ),
    "moved": (
        with_value("cluster", "elsewhere"),
        "The column 'cluster' changes within the id 'authority 0'; it must be the same in all its "
        "rows.",
    ),
}


def python(estimator: Estimator, frame: pd.DataFrame) -> Any:
    return estimator.engines[0].fit(Sample(frame.reset_index(drop=True)), estimator.Settings())


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.name)
@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_refused_in_the_same_sentence(flaw: str, estimator: Estimator) -> None:
    spoil, sentence = FLAWS[flaw]
    with pytest.raises(SosError) as refused:
        python(estimator, spoil(panel()))
    assert str(refused.value) == sentence


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.name)
def test_what_is_left_out_is_counted_in_the_same_sentence(estimator: Estimator) -> None:
    warnings = python(estimator, panel().assign(weight=[0.0, *[1.0] * 71])).warnings
    assert "1 cases of weight 0 are left out." in warnings
    assert (
        "The cohorts 9 are treated after the last period (6) and count as never treated."
        in warnings
    )


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.name)
def test_units_and_clusters_are_counted_the_same(estimator: Estimator) -> None:
    glance = python(estimator, panel()).glance
    counts = [glance[key] for key in ("n_units", "n_treated_units", "n_clusters")]
    assert counts == [12, 4, 12]


def test_clusters_are_counted_by_side_and_cohort() -> None:
    cohort, cluster = np.array([0, 0, 5, 5, 7, 7]), np.array([0, 1, 1, 2, 3, 3])
    counted = ClusterCounts.of(cohort, cluster)
    assert (counted.total, counted.treated, counted.never) == (4, 3, 2)
    assert counted.by_cohort == {0: 2, 5: 2, 7: 1}
    assert not counted.one_against_one(later=False)
    told = counted.warnings(3, [5, 7], never="never-treated", then="beware")
    assert told[0] == "There are few never-treated clusters (2, fewer than 3): beware."
    assert told[1].startswith("The cohorts 7 are one cluster each:")
    alone = ClusterCounts.of(np.array([0, 5, 7]), np.array([0, 1, 2]))
    assert alone.one_against_one(later=False)
    assert alone.by_cohort[5] == 1
