"""Settings of plugins, declared as data."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from sos_plugins.groundwork import own_names
from sos_plugins.groundwork.values import YEARS, possible_days, refuse_other_than_number

NAMES_COLUMNS = own_names.NAMES_COLUMNS
"""``json_schema_extra`` of a field that names columns of a sample, as text, a tuple of texts or the
keys of a table: an engine sees covariates under other names
(:mod:`sos_plugins.groundwork.own_names`), in this field as well."""
BRIDGES_EMPTY_PERIODS: dict[str, Any] = {"bridges_empty_periods": True}
"""``json_schema_extra`` of a field of an estimator that says how many periods before the first
treated one are not used. Where embedding windows leave periods without cases and nobody set the
field, a study sets it to how many these are, with a warning that says so."""
KEEPS_MISSING_NUMBERS: dict[str, Any] = {"keeps_missing_numbers": True}
"""``json_schema_extra`` of a field of an outcome, ``"drop"`` or ``"keep"``, that says what becomes
of cases without a number in a covariate. A study that imputes sets it to ``"keep"`` where nobody
set it."""
CASE_WEIGHTED = "CR2-cases"
"""Value that a field marked ``TAKES_CASE_WEIGHTS`` has where cases are matched."""
TAKES_CASE_WEIGHTS: dict[str, Any] = {"takes_case_weights": CASE_WEIGHTED}
"""``json_schema_extra`` of a field of an estimator that names its variance and can be
:data:`CASE_WEIGHTED`, errors of one variance a case. Where cases carry the weights of a matching
and nobody set the field, a study sets it to that, with a warning that says so: such weights are no
numbers of cases."""
AprilYear = Annotated[int, Field(ge=YEARS[0], le=YEARS[1])]
"""A year that a setting names, by the April in which it begins."""


class Settings(BaseModel):
    """Base of every plugin's settings: immutable, and no unknown name passes.

    Declare one field a setting, with a type, a default and, through ``pydantic.Field``, a
    description that ``sos-plugins show PLUGIN`` prints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _only_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what pydantic would turn into a number: ``true``, text, and 2.0 for 2."""
        field = cls.model_fields.get(info.field_name or "")
        if field is not None:
            refuse_other_than_number(field.annotation, value)
        return value

    @field_validator("*")
    @classmethod
    def _possible_days(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse dates and numbers of days with which no calendar can count."""
        return possible_days(value, info.field_name or "")

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        """Refuse days covered of which the last is before the first."""
        start, end = getattr(self, "start", None), getattr(self, "end", None)
        if isinstance(start, dt.date) and isinstance(end, dt.date) and start > end:
            raise ValueError(f"'start' ({start}) is after 'end' ({end})")
        return self
