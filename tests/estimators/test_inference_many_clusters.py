"""CR2 and AHT with a cluster for every case: as in R, without a matrix of pairs of clusters."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from did_samples import matched
from sos_estimators import did as classic
from sos_estimators import event_study
from sos_estimators.did import DidSettings
from sos_estimators.event_study import EventStudySettings
from sos_estimators.inference.aht import approximate_hotelling
from sos_estimators.inference.cluster_products import ClusterProducts, by_cluster
from sos_estimators.inference.cr2 import adjust, bias_reduced, total_variance
from sos_estimators.regression.design_matrix import regression
from sos_estimators.regression.least_squares import Regression
from sos_estimators.sample.prepare import prepare

from sos_plugins import Sample

SAME = 1e-9  # relative; sums over pairs of clusters come from one matrix of columns
NEARLY = 1e-9  # relative; the definition itself loses as many digits as 1 - leverage has zeros
MANY = 20_000
MEGABYTES = 300  # a matrix of MANY by MANY numbers has 3,200


def by_case(n: int) -> Sample:
    frame = matched(n, seed=3).frame
    return Sample(frame.assign(cluster=np.arange(n)), ("age", "ethnicity"))


def clusters(n: int) -> ClusterProducts:
    fitted = regression(
        prepare(by_case(n), "twfe"), "twfe", ["D"], lambda c: (c[["D"]].to_numpy(float), ("ATT",))
    )
    return by_cluster(fitted)


@pytest.mark.r
def test_did_as_in_r() -> None:
    options = DidSettings(form="twfe")
    here, there = (fit(by_case(250), options) for fit in (classic.fit_python, classic.fit_r))
    for name in ("estimate", "std_error", "df", "p_value"):
        np.testing.assert_allclose(here.tidy[name], there.tidy[name], rtol=SAME, err_msg=name)


@pytest.mark.r
def test_event_study_as_in_r() -> None:
    options = EventStudySettings(form="twfe", min_event=-3, max_event=2)
    fits = (event_study.fit_python, event_study.fit_r)
    here, there = (fit(by_case(250), options) for fit in fits)
    for name in ("estimate", "std_error", "df"):
        np.testing.assert_allclose(here.tidy[name], there.tidy[name], rtol=SAME, err_msg=name)
    for name in ("leads_statistic", "leads_df_den", "leads_p_value"):
        assert here.glance[name] == pytest.approx(there.glance[name], rel=SAME)


def test_hc2_written_out() -> None:
    """With one row a cluster, CR2 is HC2: squared residuals over one less the leverage."""
    products = clusters(400)
    root = np.sqrt(products.regression.weight)[:, None]
    rows = products.columns * root
    hat = rows @ products.bread @ rows.T
    direction = (rows @ products.directions)[:, 0]
    left = 1 - np.diag(hat)
    squared = (direction * root[:, 0] * products.residuals) ** 2 / left
    a = np.diag(direction / np.sqrt(left))
    p = a @ (np.eye(len(hat)) - hat) @ a
    reduced = bias_reduced(products, np.eye(1))
    assert reduced.covariance[0, 0] == pytest.approx(squared.sum(), rel=SAME)
    assert reduced.df[0] == pytest.approx(np.trace(p) ** 2 / np.square(p).sum(), rel=SAME)


def test_pairs_of_clusters_are_not_held() -> None:
    products = clusters(MANY)
    tracemalloc.start()
    try:
        reduced = bias_reduced(products, np.eye(1))
        test = approximate_hotelling(products, np.eye(1))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(adjust(products, np.eye(1)).scores) == MANY
    assert reduced.df[0] == pytest.approx(test.df, rel=SAME)
    assert peak < MEGABYTES * 1e6


def test_clusters_that_are_fitted_almost_exactly() -> None:
    """Where sums over pairs would cancel, pairs are taken one by one: written out."""
    rng = np.random.default_rng(5)
    g, k, q = 12, 4, 3
    adjusted = adjust(_nearly_fitted(rng), np.eye(1))
    assert (np.einsum("gss->gs", adjusted.aHa / adjusted.aa) > 1 - 1e-5).any()
    combined = adjusted.combined(rng.normal(size=(q, 1)))
    assert combined.Xa.shape == (g, k, q)
    p = -np.einsum("gks,kl,hlt->sgth", combined.Xa, combined.B, combined.Xa)
    each = np.arange(g)
    p[:, each, :, each] += combined.aa
    alone = np.einsum("sgsh->gh", p)
    expected = np.square(alone).sum() + np.einsum("sgth,tgsh->", p, p)
    assert total_variance(combined) == pytest.approx(expected, rel=NEARLY)


def _nearly_fitted(rng: np.random.Generator) -> ClusterProducts:
    """Make a regression of 12 clusters in which one holds nearly all that tells a column."""
    n = 60
    cluster = np.repeat(np.arange(12), 5)
    x = rng.normal(size=(n, 3))
    x[:, 2] = np.where(cluster == 3, x[:, 2], 1e-3 * x[:, 2])
    term = x[:, 2:] + 1e-4 * rng.normal(size=(n, 1))
    return by_cluster(
        Regression(
            value=rng.normal(size=n),
            weight=rng.uniform(0.5, 2.0, n),
            n_cases=n,
            effects=(np.zeros(n, dtype=np.int64),),
            cluster=cluster,
            covariates=x[:, :2],
            covariate_names=("a", "b"),
            terms=term,
            term_names=("ATT",),
        )
    )
