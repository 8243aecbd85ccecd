"""Statistics of a main run under assignments of adoption that the outcomes of a study share."""

from __future__ import annotations

from sos_plugins.backends import refuse_interrupted
from sos_plugins.contract.interfaces import Estimator
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics, Run, Sample
from sos_plugins.errors import EstimationError, SosError
from sos_plugins.groundwork.own_names import hiding_own_names
from sos_plugins.host.registry import Registry
from sos_plugins.study.sensitivity import Specification
from sos_plugins.system.library_warnings import record_warnings

REPRODUCED = 1e-6
"""Share of its standard error by which an estimate may differ from that of the main run, computed
by another route or engine."""


def reassigned_statistics(
    registry: Registry, setup: Specification, draws: AssignmentDraws, main: Run
) -> DrawnStatistics:
    """Return the t statistic of a main run, and those under assignments by common lots.

    Args:
        registry: Who offers what.
        setup: What the main estimator works on.
        draws: The lots, common to the outcomes.
        main: The main run.

    Raises:
        EstimationError: If the estimator assigns no adoption anew here, or gives another estimate
            than the main run; the message is a clause.
    """
    plugin = registry.estimator(setup.estimator)
    reassigned = hiding_own_names(plugin.reassigned)
    try:
        with record_warnings(setup.estimator):
            found: DrawnStatistics = reassigned(_sample(plugin, setup), setup.options, draws)
    except SosError as error:
        raise EstimationError(str(error).removesuffix(".")) from None
    except Exception as error:
        refuse_interrupted(error)
        raise EstimationError(
            f"'{setup.estimator}' failed with {type(error).__name__}: {error}"
        ) from error
    apart = abs(found.estimate - (main.estimate or 0.0))
    if not apart <= REPRODUCED * (main.std_error or 0.0):
        raise EstimationError(
            f"'{setup.estimator}' gives another estimate where adoption is assigned anew "
            f"({found.estimate:.6g}, not {main.estimate or 0.0:.6g})"
        )
    return found


def _sample(plugin: Estimator, setup: Specification) -> Sample:
    """Take the cells where the reference engine does."""
    engine, cells = plugin.engines[0], setup.cells
    if cells is None or not engine.takes_cells or engine.limits(cells, setup.options):
        return setup.sample
    return cells
