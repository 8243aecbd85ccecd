"""One set of comparators for all outcomes: authorities matched once, on the features of all.

The 2021 analysis chose comparators outcome by outcome. Results are then about different
comparisons, and each choice may follow the noise of one outcome; a common set is chosen by what the
outcomes have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from sos_plugins.contract.interfaces import UnitTask
from sos_plugins.errors import DesignError, SosError, listing
from sos_plugins.study.plan import Plan
from sos_plugins.study.preparation import OutcomeInput, Preparation
from sos_plugins.system.progress import NoProgress

SHARED = "x_"
"""What the names of features begin with that are the same for every outcome."""


def with_common_task(plan: Plan, inputs: Sequence[OutcomeInput]) -> list[OutcomeInput]:
    """Give every outcome the task of matching authorities for all of them, if the study asks so.

    Args:
        plan: The study.
        inputs: Its outcomes. One whose authorities cannot be described has no part in the task; it
            fails with the reason when it is analysed.

    Raises:
        DesignError: If no pilot, or no authority of the pool, has features in every outcome.
    """
    if plan.file.matching.comparators != "common":
        return list(inputs)
    tasks: dict[str, UnitTask] = {}
    for given in inputs:
        if isinstance(given.cases, str):
            continue
        try:
            tasks[given.info.name] = Preparation(plan, given, NoProgress()).described(given.cases)
        except SosError:
            continue
    if not tasks:
        return list(inputs)
    common = common_task(tasks)
    return [replace(given, common=common) for given in inputs]


def common_task(tasks: Mapping[str, UnitTask]) -> UnitTask:
    """Join the tasks of several outcomes: pilots and pool that all have, features of each.

    Features of an outcome are named after it, such as ``outcome_pre_2012 of kinship-care``; those
    of the file of authorities stand once.

    Args:
        tasks: Task by name of the outcome.

    Raises:
        DesignError: If nobody is left on one side.
    """
    first, *others = tasks.values()
    pilots = [p for p in first.pilots if all(p in task.pilots for task in others)]
    pool = [unit for unit in first.pool if all(unit in task.pool for task in others)]
    if not pilots or not pool:
        side = "pilot" if not pilots else "authority of the pool"
        raise DesignError(
            f"[matching] comparators = 'common': no {side} has features in all of the outcomes "
            f"{listing(tasks)}. Set comparators = 'per-outcome', or leave an outcome out."
        )
    units = [*sorted(p.unit for p in pilots), *pool]
    left_out = {unit: why for task in tasks.values() for unit, why in task.left_out.items()}
    for name, task in tasks.items():
        missing = set(first.features.index) - set(task.features.index)
        left_out |= dict.fromkeys(missing, f"it has no features for {name}")
    return replace(
        first,
        pilots=tuple(pilots),
        features=_joined({name: task.features for name, task in tasks.items()}).loc[units],
        sampling=_joined({name: task.sampling for name, task in tasks.items()}).reindex(units),
        left_out={unit: why for unit, why in left_out.items() if unit not in units},
        outcome="",
    )


def _joined(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = []
    for n, (outcome, frame) in enumerate(frames.items()):
        own = [c for c in frame.columns if n == 0 or not str(c).startswith(SHARED)]
        names = {c: c if str(c).startswith(SHARED) else f"{c} of {outcome}" for c in own}
        parts.append(frame[own].rename(columns=names))
    return pd.concat(parts, axis=1, join="inner")
