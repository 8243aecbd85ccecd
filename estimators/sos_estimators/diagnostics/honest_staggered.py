"""Group-time effects with honest bounds: estimator ``honest-callaway-santanna``."""

from __future__ import annotations

from collections.abc import Callable

from sos_estimators.callaway_santanna import engine_python, engine_r
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings, GroupTimeSettings
from sos_estimators.diagnostics.honest_did import (
    SAME_BOUNDS,
    HonestDid,
    HonestSettings,
    bounded,
    term_of,
)
from sos_estimators.diagnostics.honest_r import honest_bounds_in_r
from sos_plugins import Engine, Estimate, Estimator, Sample, hookimpl
from sos_plugins.contract.interfaces import R_BASE


class HonestStaggeredSettings(GroupTimeSettings, HonestSettings):
    """Arguments of ``honest-callaway-santanna``."""

    @property
    def group_time(self) -> CallawaySantAnnaSettings:
        """The settings of the group-time effects inside: by event time, one base for all."""
        return CallawaySantAnnaSettings(
            control=self.control,
            method=self.method,
            base="universal",
            aggregate="event",
            min_event=self.min_event,
            max_event=self.max_event,
            conf_level=self.conf_level,
            few_clusters=self.few_clusters,
        )


def fit_python(sample: Sample, options: HonestStaggeredSettings) -> Estimate:
    """Bound the effects by event time of the engine ``python``."""
    return bounded(engine_python.fit(sample, options.group_time), options)


def fit_r(sample: Sample, options: HonestStaggeredSettings) -> Estimate:
    """Bound the effects of the engine ``r``, in R too."""
    return bounded(engine_r.fit(sample, options.group_time), options, honest_bounds_in_r)


class HonestStaggered(Estimator):
    """Robust confidence intervals where pilots adopt at several times and effects differ."""

    name = "honest-callaway-santanna"
    label = "Honest bounds of group-time effects: what if trends were not parallel"
    short_label = "Honest bounds, Callaway and Sant'Anna"
    Settings = HonestStaggeredSettings
    sample = "calendar"
    family = "honest-bounds"
    diagnostic = True
    figures = HonestDid.figures
    citation = (
        "Callaway and Sant'Anna (2021), Journal of Econometrics 225(2); bounds: "
        + HonestDid.citation
    )
    engines = (
        Engine(name="python", fit=fit_python, packages=("numpy", "scipy", "scikit-learn")),
        Engine(
            name="r",
            fit=fit_r,
            requires=(R_BASE,),
            tolerance_estimate=SAME_BOUNDS,
            tolerance_std_error=SAME_BOUNDS,
        ),
    )

    def headline(self, options: HonestStaggeredSettings) -> str:
        """Return the term of the first m."""
        return term_of(options.values[0])


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``honest-callaway-santanna``."""
    register(HonestStaggered())
