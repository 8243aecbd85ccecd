"""A threshold on the value of an outcome: yes or no in the place of a number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, model_validator

from sos_plugins.contract.settings import Settings
from sos_plugins.contract.types import Cases, OutcomeInfo
from sos_plugins.contract.types.cases import Expected
from sos_plugins.errors import StudyError, listing

WORDS = {"above": "above", "at_least": "at least", "below": "below", "at_most": "at most"}
"""What each bound is called in a sentence."""
OPPOSITE: dict[Expected, Expected] = {"increase": "decrease", "decrease": "increase"}


class Threshold(Settings):
    """A bound on the value: the case is 1 where the value is beyond it, else 0."""

    above: float | None = Field(None, description="1 where the value is above it")
    at_least: float | None = Field(None, description="1 where the value is this or above")
    below: float | None = Field(None, description="1 where the value is below it")
    at_most: float | None = Field(None, description="1 where the value is this or below")
    label: str = Field("", description="name in tables; made of the outcome's by default")
    phrase: str = Field("", description="name in a sentence; made of the outcome's by default")

    @model_validator(mode="after")
    def _one_bound(self) -> Threshold:
        given = [name for name in WORDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of {listing(WORDS)}; found {listing(given)}")
        return self

    @property
    def bound(self) -> tuple[str, float]:
        """Which bound it is, and where it lies, in the units of the value."""
        (found,) = [(n, getattr(self, n)) for n in WORDS if getattr(self, n) is not None]
        return found

    def info(self, info: OutcomeInfo, where: str) -> OutcomeInfo:
        """Describe the outcome of yes and no.

        Args:
            info: The outcome of which it is a threshold.
            where: What an error starts with.

        Raises:
            StudyError: If that is an outcome of yes and no already.
        """
        if info.binary:
            raise StudyError(
                f"{where}: '{info.name}' is an outcome of yes and no, so it can have no threshold. "
                "Leave threshold out."
            )
        name, value = self.bound
        said = f"{WORDS[name]} {value:g} {info.measure}"
        expected = info.expected
        if name in ("below", "at_most"):
            expected = OPPOSITE.get(expected, expected)
        phrase = self.phrase or f"{info.phrase} {said}"
        return replace(
            info,
            label=self.label or f"{info.label} {said}",
            phrase=phrase,
            question=f"What, if any, is the impact on the likelihood of {phrase}?",
            binary=True,
            measure="proportion",
            expected=expected,
            expected_note=info.expected_note if expected == info.expected else "",
        )

    def of(self, cases: Cases) -> Cases:
        """Return cases with 1 where the value is beyond the bound, else 0.

        Args:
            cases: Cases with values that are numbers.
        """
        name, bound = self.bound
        value: Any = cases.table["value"]
        beyond = {
            "above": value > bound,
            "at_least": value >= bound,
            "below": value < bound,
            "at_most": value <= bound,
        }[name]
        return replace(cases, table=cases.table.mutate(value=beyond.cast("float64")))
