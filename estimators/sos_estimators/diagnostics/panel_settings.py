"""The arguments that the diagnostics of panels share."""

from __future__ import annotations

from pydantic import Field

from sos_estimators.sample.adoption import ABOUT_ALWAYS_TREATED, AlwaysTreated
from sos_estimators.sample.prepare import Form
from sos_plugins import Settings


class PanelSettings(Settings):
    """Arguments of ``panel-effects`` and ``serial-correlation``."""

    form: Form = Field(
        "twfe",
        description="whose periods have effects: twfe or pilot-post: those of all; stacked: those "
        "of each matched group",
    )
    always_treated: AlwaysTreated = Field("drop", description=ABOUT_ALWAYS_TREATED)
    conf_level: float = Field(0.95, gt=0, lt=1, description="level of confidence intervals")
