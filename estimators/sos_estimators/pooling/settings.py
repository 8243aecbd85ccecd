"""Settings of pooling by random effects."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError

from sos_plugins.contract.settings import Settings
from sos_plugins.errors import SettingsError

Errors = Literal["hartung-knapp", "adhoc", "wald"]
PredictionDf = Literal["k-2", "k-1"]


class RandomEffectsSettings(Settings):
    """How the error of the pooled effect is measured, and how intervals are made."""

    errors: Errors = Field(
        "hartung-knapp",
        description="standard error of the pooled effect: hartung-knapp with t(k - 1); adhoc, the "
        "same but never smaller than wald; wald with the normal distribution",
    )
    safeguard: bool = Field(
        True,
        description="never an interval that is narrower than that of a common effect: where "
        "pilots are alike by chance, hartung-knapp alone would give one",
    )
    prediction_df: PredictionDf = Field(
        "k-2", description="degrees of freedom of the prediction interval of k pilots"
    )
    conf_level: float = Field(0.95, gt=0, lt=1, description="level of the intervals")

    @classmethod
    def of(cls, **values: Any) -> RandomEffectsSettings:
        """Validate settings by name.

        Args:
            values: Settings by name.

        Raises:
            SettingsError: One sentence a mistake.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            wrong = [f"{item['loc'][0]}: {item['msg']}" for item in error.errors()]
            raise SettingsError(f"random_effects: {'; '.join(wrong)}.") from None
