"""Multiple imputation by chained equations, as a plugin."""

from __future__ import annotations

from collections.abc import Callable

from sos_estimators.multiple_imputation import engine_r
from sos_estimators.multiple_imputation.chains import run_chains
from sos_estimators.multiple_imputation.layout import Layout
from sos_estimators.multiple_imputation.sentence import sentence_of
from sos_estimators.multiple_imputation.settings import ChainedEquationsSettings
from sos_estimators.multiple_imputation.told import warnings_of
from sos_plugins import Engine, ImputationTask, Imputed, Imputer, Requirement, hookimpl

R_MICE = Requirement("r", "mice", "Debian: sudo apt-get install r-cran-mice")
R_NNET = Requirement("r", "nnet", "Debian: sudo apt-get install r-cran-nnet")


def fit_python(task: ImputationTask, settings: ChainedEquationsSettings) -> Imputed:
    """Impute by chained equations with the terms of authorities taken apart from the others.

    van Buuren (2018), Flexible Imputation of Missing Data, 2nd edition, section 4.5.

    Args:
        task: Cases with gaps in their covariates.
        settings: The settings.

    Returns:
        As many values for each gap as there are sets, the same for any order of the rows; the
        first sets of a larger number are those of a smaller one.

    Raises:
        DataError: If all values of a covariate are missing.
        EstimationError: If a model has no solution.
    """
    layout = Layout.of(task)
    chains = run_chains(layout, settings, task.seed)
    return Imputed(
        values=chains.drawn,
        n_sets=settings.sets,
        sentence=sentence_of(layout, settings),
        warnings=warnings_of(layout),
        chains=chains.trace,
    )


class ChainedEquations(Imputer):
    """Multiple imputation by chained equations.

    Predictive mean matching for numbers, logit for flags and multinomial logit for categories. Each
    model holds the outcome, the other covariates, every authority and year, and whether a case of a
    pilot lies within or after its embedding window.
    """

    name = "chained-equations"
    label = "Multiple imputation by chained equations"
    short_label = "chained equations"
    Settings = ChainedEquationsSettings
    citation = (
        "van Buuren (2018), Flexible Imputation of Missing Data, 2nd ed.; Little (1988), Journal "
        "of Business and Economic Statistics 6(3)"
    )
    engines = (
        Engine("python", fit_python, packages=("scipy",)),
        Engine("r", engine_r.fit, requires=(R_MICE, R_NNET)),
    )


@hookimpl
def register_imputers(register: Callable[[Imputer], None]) -> None:
    """Register imputation by chained equations."""
    register(ChainedEquations())
