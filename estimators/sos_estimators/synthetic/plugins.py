"""Estimators ``synthetic-did`` and ``augmented-synthetic-control``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from sos_estimators.references import ARKHANGELSKY_2021, BEN_MICHAEL_2021, BEN_MICHAEL_2022
from sos_estimators.regression.fit import python_engine
from sos_estimators.staggered.plugin import StaggeredEstimator
from sos_estimators.synthetic import engine_diff_diff, engine_r
from sos_estimators.synthetic.measured import measure, weigh_augmented, weigh_did
from sos_estimators.synthetic.result import Method, estimate
from sos_estimators.synthetic.settings import AugmentedSettings, SyntheticDidSettings
from sos_plugins import Estimate, Estimator, Sample, hookimpl

FIGURES = ("fit_before_rmse", "fit_before_explained", "fit_before_p")


def fit_did(sample: Sample, options: SyntheticDidSettings) -> Estimate:
    """Estimate ``synthetic-did`` with numpy.

    Arkhangelsky, Athey, Hirshberg, Imbens and Wager (2021).

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Settings.

    Returns:
        The term ``overall`` and those of ``aggregate``, in units of the value.

    Raises:
        DataError, EstimationError: As :func:`sos_estimators.synthetic.result.estimate`.
    """
    return estimate(sample, options, Method(partial(measure, weigh_did), weigh_did))


def fit_augmented(sample: Sample, options: AugmentedSettings) -> Estimate:
    """Estimate ``augmented-synthetic-control`` with numpy; otherwise as :func:`fit_did`.

    Ben-Michael, Feller and Rothstein (2021, 2022).
    """
    return estimate(sample, options, Method(partial(measure, weigh_augmented), weigh_augmented))


class Synthetic(StaggeredEstimator):
    """An estimator of this folder; an instance is a plugin that offers itself."""

    figures: ClassVar[tuple[str, ...]] = FIGURES

    @hookimpl
    def register_estimators(self, register: Callable[[Estimator], None]) -> None:
        """Offer the estimator.

        Args:
            register: Takes the estimator.
        """
        register(self)


class SyntheticDid(Synthetic):
    """Weights on authorities and on earlier periods, for each date of adoption."""

    name = "synthetic-did"
    label = "Synthetic difference-in-differences (Arkhangelsky et al. 2021)"
    short_label = "Synthetic difference-in-differences"
    Settings = SyntheticDidSettings
    citation = (
        "Arkhangelsky, D., Athey, S., Hirshberg, D. A., Imbens, G. W. and Wager, S. (2021), "
        "Synthetic difference-in-differences, American Economic Review 111(12), 4088-4118; "
        "several dates of adoption: Clarke, D., Pailanir, D., Athey, S. and Imbens, G. (2024), On "
        "synthetic difference-in-differences and related estimation methods in Stata, Stata "
        "Journal 24(4), 557-598"
    )
    references = (ARKHANGELSKY_2021,)
    engines = (
        python_engine(fit_did),
        engine_r.engine(engine_r.fit_did),
        engine_diff_diff.engine(),
    )


class AugmentedSyntheticControl(Synthetic):
    """Weights that follow each pilot and their mean, and a ridge regression for what is left."""

    name = "augmented-synthetic-control"
    label = "Augmented, partially pooled synthetic control (Ben-Michael et al. 2021, 2022)"
    short_label = "Augmented synthetic control"
    Settings = AugmentedSettings
    citation = (
        "Ben-Michael, E., Feller, A. and Rothstein, J. (2022), Synthetic controls with staggered "
        "adoption, Journal of the Royal Statistical Society B 84(2), 351-381; ridge: Ben-Michael, "
        "E., Feller, A. and Rothstein, J. (2021), The augmented synthetic control method, Journal "
        "of the American Statistical Association 116(536), 1789-1803"
    )
    references = (
        BEN_MICHAEL_2022,
        BEN_MICHAEL_2021,
    )
    engines = (python_engine(fit_augmented), engine_r.engine(engine_r.fit_augmented))


SYNTHETIC_DID, AUGMENTED = SyntheticDid(), AugmentedSyntheticControl()
"""What the entry points name."""
