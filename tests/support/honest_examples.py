"""Event studies with known honest bounds, for the tests of both engines."""

from __future__ import annotations

import numpy as np
import pytest
from sos_estimators.diagnostics import EventCoefficients

GRID_STEPS = 1.5  # HonestDiD tests 1,000 values over 40 standard errors, and takes the critical
# value of its first stage from 1,000 draws, ours from 10,000: an end may lie a step or so apart


# value of its first stage from 1,000 draws, ours from 10,000: an end may lie a step or so apart
SIMULATED = 5e-5  # HonestDiD simulates the quantile of the folded normal; ours is exact


DRAWN = 0.02  # relative; 10,000 draws of a quantile far out


# The event study of the example of HonestDiD's README (insurance coverage and the expansion of
# Medicaid in 2014, states adopting in 2015 left out), recomputed from its public data.
MEDICAID = [
    -5.2853545327207e-03,
    -1.12973246481512e-02,
    -2.6759918117936e-03,
    -1.4193122521107e-03,
    3.396635189717e-04,
    4.64468541599455e-02,
    6.92061754790219e-02,
]


MEDICAID_COVARIANCE = [
    [7.4884836358977202e-05],
    [6.0398740956444177e-05, 7.2665006169970062e-05],
    [4.4446198184611789e-05, 3.7893302212881278e-05, 5.0520519401629302e-05],
    [3.3857647060892122e-05, 2.8665780251484883e-05, 2.6736794324839082e-05],
    [4.3280112547435929e-05, 4.5433206284037768e-05, 2.7781935676740617e-05],
    [4.7658804787779811e-05, 4.4288501193180891e-05, 3.0606441089055429e-05],
    [2.4251286997541362e-05, 2.8246550429846105e-05, 9.6375338826687303e-06],
]


MEDICAID_REST = [
    [],
    [],
    [],
    [4.0032220263377923e-05],
    [2.4128599757164024e-05, 5.4626622070542974e-05],
    [2.3808682090736045e-05, 3.6825310517431701e-05, 8.3756688246775275e-05],
    [
        2.9238781433636318e-06,
        9.7229475024180669e-06,
        6.3213979625337615e-05,
        1.0712352303004413e-04,
    ],
]


# m, lower and upper end, as stored with HonestDiD's README.
PUBLISHED_FIRST = [
    (0.5, 0.02413012223779434, 0.0672633015831286),
    (1.0, 0.01709372096304423, 0.0719629764814350),
    (1.5, 0.00858690780210172, 0.0795988279137052),
    (2.0, -0.00106702589708607, 0.0883472800330241),
]


PUBLISHED_AVERAGE = [
    (0.0, 0.04053046714881314, 0.0751225624901543),
    (0.5, 0.03214178319537053, 0.0798156016055951),
    (1.0, 0.01938431730559176, 0.0901485614853929),
    (1.5, 0.00582426487549143, 0.1035014948083135),
    (2.0, -0.00853837409493050, 0.1172486153551592),
]


PUBLISHED_SMOOTH = [
    (0.00, 0.02594147902742559, 0.0607257863763330),
    (0.01, 0.01319702515144735, 0.0786707425358153),
    (0.02, 0.00285699595143354, 0.0907160394065241),
    (0.03, -0.00714257640305339, 0.1007156117610110),
    (0.04, -0.01714257640222575, 0.1107156117601834),
    (0.05, -0.02714257640139812, 0.1207156117593558),
]


@pytest.fixture(scope="module")
def medicaid() -> EventCoefficients:
    rows = [[*a, *b] for a, b in zip(MEDICAID_COVARIANCE, MEDICAID_REST, strict=True)]
    lower = np.array([row + [0.0] * (7 - len(row)) for row in rows])
    return EventCoefficients.of([-6, -5, -4, -3, -2, 0, 1], MEDICAID, lower + np.tril(lower, -1).T)


def random_path(seed: int, n_pre: int = 4, n_post: int = 3) -> EventCoefficients:
    rng = np.random.default_rng(seed)
    p = n_pre + n_post
    root = rng.normal(size=(p, p + 3)) / 3
    return EventCoefficients(rng.normal(size=p) * 0.4, root @ root.T + 0.02 * np.eye(p), n_pre)
