"""What must hold of effects that are pooled, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sos_plugins.contract.types import PilotEffects
from sos_plugins.errors import DataError, EstimationError, listing

Array = npt.NDArray[np.float64]


def same_length(effects: Array, std_errors: Array, names: Sequence[str]) -> None:
    """Refuse effects, errors and names that do not belong together.

    Args:
        effects: Effects, (k,).
        std_errors: Their standard errors.
        names: Names of the pilots.

    Raises:
        DataError: If they differ in length or are no lists.
    """
    shapes = {effects.shape, std_errors.shape, (len(names),)}
    if len(shapes) > 1:
        raise DataError(
            f"There are effects of shape {effects.shape}, standard errors of shape "
            f"{std_errors.shape} and {len(names)} names; expected one of each for every pilot."
        )


def usable(data: PilotEffects) -> tuple[Array, Array]:
    """Return the effects and standard errors of at least two pilots, each (k,).

    Args:
        data: The effects of the pilots.

    Raises:
        EstimationError: If there are fewer, or one has no finite effect with an error above zero.
    """
    values, errors = (data.frame[name].to_numpy(float) for name in ("estimate", "std_error"))
    if len(values) < 2:
        raise EstimationError(
            f"Effects are pooled from at least two pilots; there is {len(values) or 'none'}."
        )
    wrong = ~(np.isfinite(values) & np.isfinite(errors) & (errors > 0))
    if wrong.any():
        raise EstimationError(
            f"{listing(data.frame.loc[wrong, 'name'])}: an effect or its standard error is missing "
            "or the error is not above zero. Leave the pilot out, or give its error."
        )
    return values, errors


def some_error(std_error: float) -> None:
    """Refuse an error of zero, which effects that are all the same give without the safeguard.

    Args:
        std_error: Of the pooled effect.

    Raises:
        EstimationError: If it is zero.
    """
    if not std_error > 0:
        raise EstimationError(
            "The effects of the pilots are all the same, so that errors after Hartung and Knapp "
            'are zero. Set safeguard = true, or errors = "adhoc".'
        )
