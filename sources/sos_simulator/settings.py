"""Settings of the simulator: size, years, true effects, violations, shocks and dirt."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from sos_plugins.contract.settings import Settings
from sos_plugins.errors import did_you_mean
from sos_simulator.fault_kinds import CHOSEN, EVERY, SETTINGS_OF_THEIR_OWN

OUTCOMES = ("assessment-duration", "rereferral", "escalation", "kinship-care", "icpc")
"""Outcomes that the simulator knows the truth of, by the names of their plugins."""

_PREFIX = {
    "assessment-duration": "duration",
    "rereferral": "rereferral",
    "escalation": "escalation",
    "kinship-care": "kinship",
    "icpc": "icpc",
}

_CLEAN: dict[str, Any] = {
    "escalation_pretrend_pilots": 0,
    "duration_confounder_external": 0.0,
    "duration_confounder_others": 0.0,
    "missing_reason": 0.0,
    "missing_reason_worst": 0.0,
    "missing_reason_elsewhere": 0.0,
    "missing_closure_date": 0.0,
    "duplicates": 0.0,
    "impossible_dates": 0.0,
}

_NO_SHOCKS: dict[str, Any] = {"shock": 0.0, "rho": 0.0}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "seed": _NO_SHOCKS,
    "clean": _CLEAN,
    "null": {**_CLEAN, "kinship_effect": 0.0, "rereferral_effect": 0.0},
    "national": {
        "authorities": 152,
        "first_year": 2010,
        "referrals_per_year": 4_276.0,
        "care_starts_per_year": 250.0,
        "streams": "by-authority",
        "form": "parquet",
    },
}
"""What a preset replaces among the defaults; a setting that the user gives wins over both.

The demonstration alone has no shocks to rates. With shocks of the published size the effect of nine
pilots has a standard error of about 2 points, so -5 points would be found every second time or so,
and the demonstration is to show the verdicts of 2021 whatever the seed.
"""

SHOCK_SHARE = 0.25
"""Largest standard deviation of shocks to a rate, as a share of its level or of what is left to 1:
a rate of 9.5% cannot swing by 5 points a year and stay a rate."""


@dataclass(frozen=True)
class OutcomeTruth:
    """What is planted for one outcome, on its scale (a probability, or working days)."""

    name: str
    effect: float
    level: float
    pretrend_pilots: int
    pretrend_slope: float

    @property
    def binary(self) -> bool:
        """Whether the outcome is a probability."""
        return self.name != "assessment-duration"

    def shock(self, points: float) -> float:
        """Return the SD of shocks to the probability, where rates are shocked by some points.

        Args:
            points: SD in percentage points; at most :data:`SHOCK_SHARE` of the way to 0 or 1
                counts.
        """
        return min(points / 100, SHOCK_SHARE * self.level, SHOCK_SHARE * (1 - self.level))


def _share(default: float, description: str) -> Any:
    return Field(default, ge=0.0, le=1.0, description=description)


def _effect(default: float, description: str) -> Any:
    return Field(default, ge=-1.0, le=1.0, description=description)


def _pretrend(outcome: str, default: int = 0) -> Any:
    text = f"pilots whose {outcome} runs on another trend than their comparators' before the window"
    return Field(default, ge=0, description=text)


def _slope(outcome: str, default: float) -> Any:
    text = f"differential trend a year of {outcome} in those pilots, over pretrend_years"
    return Field(default, description=text)


class SimulatedSettings(Settings):
    """How the simulated authorities, children and records are made."""

    # Defaults are checked too: whether they fit depends on the other settings.
    model_config = ConfigDict(validate_default=True)

    preset: Literal["seed", "clean", "null", "national"] = Field(
        "seed",
        description="seed: the truth resembles the 2021 evaluation, without shocks to rates; "
        "clean: the same effects without dirt, confounders and diverging trends; null: clean and "
        "no effect at all; national: 152 authorities with 6.5 million referrals in ten years, to "
        "Parquet, otherwise as seed with shocks",
    )
    form: Literal["returns", "parquet"] = Field(
        "returns",
        description="what is written: returns (children in need census XML and SSDA903 CSV) or "
        "parquet (the record tables that a source would give)",
    )
    streams: Literal["joint", "by-authority"] = Field(
        "joint",
        description="joint: all authorities are drawn from one stream of random numbers, and at "
        "once; by-authority: each has its own, is drawn by itself, and memory does not grow with "
        "their number",
    )
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="processes that simulate authorities by-authority; the records do not depend "
        "on it",
    )
    seed: int = Field(2021, ge=0, description="seed of every random draw")
    first_year: int = Field(2009, ge=1995, le=2026, description="first April-year of the returns")
    last_year: int = Field(2019, ge=1995, le=2026, description="last April-year of the returns")
    authorities: int = Field(33, ge=3, le=152, description="number of authorities, pilots included")
    comparators_per_pilot: int = Field(2, ge=1, le=5, description="comparators planted per pilot")
    pilots: int = Field(9, ge=1, description="number of pilots")
    external_pilots: int = Field(
        4, ge=0, description="pilots with support from outside consultants"
    )
    first_window: dt.date = Field(
        dt.date(2014, 11, 1), description="start of the first pilot's embedding window"
    )
    last_window: dt.date = Field(
        dt.date(2017, 3, 1), description="start of the last pilot's embedding window"
    )
    window_months: tuple[int, int] = Field(
        (4, 12), description="shortest and longest embedding window, months"
    )
    referrals_per_year: float = Field(
        570.0, gt=0, le=20_000, description="mean referrals a year of an authority"
    )
    care_starts_per_year: float = Field(
        150.0,
        gt=0,
        le=5_000,
        description="mean starts of care under C1 or C2 a year of an authority",
    )
    size_spread: float = Field(
        0.08, ge=0, le=0.5, description="SD of the logarithm of the size of authorities"
    )
    level_spread: float = Field(
        1.0, ge=0, le=2, description="factor on the differences in level between authorities"
    )
    walk: float = Field(
        1.0, ge=0, le=5, description="factor on the random walks of authorities over years"
    )
    shock: float = Field(
        5.0,
        ge=0,
        le=20,
        description="SD of the shocks to each rate of an authority in a year, percentage points "
        "(published re-referral rates: 5); at most a quarter of the way from the level to 0 or 1",
    )
    rho: float = Field(
        0.6,
        ge=0,
        lt=1,
        description="correlation of an authority's shocks, of durations too, from one year to the "
        "next (published re-referral rates: 0.6)",
    )

    moves: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="share of the children with a later referral who are referred in another "
        "authority from one of them on, under an identifier of that authority",
    )
    pupil_numbers: bool = Field(
        False, description="write unique pupil numbers (UPN) into both returns"
    )
    missing_pupil_number: float = _share(
        0.1, "share of an authority's children whose pupil number it does not know"
    )
    factors: bool = Field(
        False, description="write the factors identified at assessments, which no outcome reads"
    )
    folder: str = Field(
        "",
        description="a folder that an earlier simulation wrote: it is read instead of simulating, "
        "and the other settings do not matter",
    )
    truth_only: bool = Field(
        False,
        description="give the truth and the names of authorities in that folder and no table, for "
        "studies that read its returns by sources of their own",
    )

    kinship_effect: float = _effect(-0.13, "true effect on the probability of kinship care")
    kinship_level: float = _share(0.40, "mean probability of kinship care")
    kinship_pretrend_pilots: int = _pretrend("kinship care")
    kinship_pretrend_slope: float = _slope("kinship care", 0.03)
    rereferral_effect: float = _effect(-0.05, "true effect on the probability of re-referral")
    rereferral_level: float = _share(0.29, "mean probability of re-referral within 183 days of NFA")
    rereferral_pretrend_pilots: int = _pretrend("re-referral")
    rereferral_pretrend_slope: float = _slope("re-referral", 0.03)
    escalation_effect: float = _effect(0.0, "true effect on the probability of escalation")
    escalation_level: float = _share(0.095, "mean probability that an NFA case escalates")
    escalation_pretrend_pilots: int = _pretrend("escalation", 7)
    escalation_pretrend_slope: float = _slope("escalation", -0.055)
    icpc_effect: float = _effect(0.0, "true effect on the probability of a conference in 90 days")
    icpc_level: float = _share(0.22, "mean probability of a conference within 90 days")
    icpc_pretrend_pilots: int = _pretrend("conferences")
    icpc_pretrend_slope: float = _slope("conferences", 0.02)
    duration_effect: float = Field(0.0, ge=-25, le=25, description="true effect, working days")
    duration_level: float = Field(31.0, ge=5, le=90, description="mean duration, working days")
    duration_pretrend_pilots: int = _pretrend("assessment duration")
    duration_pretrend_slope: float = _slope("assessment duration", 1.0)
    pretrend_years: float = Field(
        3.0, gt=0, description="years over which a differential trend runs"
    )
    pretrend_gap: float = Field(
        1.5,
        ge=0,
        description="years before the window at which it ends: later cases are still followed up "
        "when the window starts, and no test of leads sees them",
    )
    effect_spread: float = _share(0.1, "SD of pilots' effects as a share of the effect")

    duration_shock: float = Field(
        1.5, ge=0, le=10, description="SD of shocks to an authority's durations in a year, days"
    )
    duration_confounder_external: float = Field(
        -6.0,
        ge=-20,
        le=20,
        description="change of durations that coincides with the window in externally supported "
        "pilots and is no effect of the programme, days",
    )
    duration_confounder_others: float = Field(
        3.5, ge=-20, le=20, description="the same in the other pilots, days"
    )

    poor_authority_years: float = _share(0.85, "share of authority-years with poor recording")
    missing_reason: float = _share(
        0.36, "share of closed cases there whose closure reason and NFA flag are not recorded"
    )
    missing_reason_worst: float = _share(0.5, "the same in a third of the pilots")
    missing_reason_elsewhere: float = _share(0.03, "the same in the other authority-years")
    missing_closure_date: float = _share(0.04, "share of closed cases without a closure date")
    duplicates: float = _share(0.02, "share of referrals that stand twice in a return")
    impossible_dates: float = _share(0.01, "share of closed cases with an impossible closure date")
    faults: dict[str, float] = Field(
        default_factory=dict,
        description="further faults by name and the share of rows they strike, such as "
        '{ "cin:1103" = 0.01, "missing:ethnicity" = 0.05 }; "all" is every fault of single rows '
        "that is not named (names: docs/simulator.md)",
    )
    series_break_drop: float = _share(
        0.35, "share of referrals that are not returned any more after a series-break"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {**PRESETS.get(str(values.get("preset", "seed")), {}), **values}

    @field_validator("faults", mode="before")
    @classmethod
    def _known_faults(cls, value: Any) -> Any:
        for name, share in value.items() if isinstance(value, Mapping) else ():
            if name not in CHOSEN and name != EVERY:
                where = " It has a setting of its own." if name in SETTINGS_OF_THEIR_OWN else ""
                raise ValueError(
                    f"there is no fault '{name}'.{where or did_you_mean(str(name), CHOSEN)} "
                    f"Faults: {', '.join((*CHOSEN, EVERY))}."
                )
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ValueError(f"the share of '{name}' is a number from 0 to 1, not {share!r}.")
        return value

    @field_validator("last_year")
    @classmethod
    def _years_in_order(cls, value: int, info: ValidationInfo) -> int:
        first = info.data.get("first_year")
        if first is not None and value < first:
            raise ValueError(f"the last year ({value}) comes before first_year = {first}.")
        return value

    @field_validator("truth_only")
    @classmethod
    def _truth_of_a_folder(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("folder"):
            raise ValueError("the truth of which simulation? Set 'folder' too.")
        return value

    @field_validator("pilots")
    @classmethod
    def _enough_authorities(cls, value: int, info: ValidationInfo) -> int:
        given, each = info.data.get("authorities"), info.data.get("comparators_per_pilot")
        if given is None or each is None:
            return value
        if value * (1 + each) > given:
            raise ValueError(
                f"{value} pilots with {each} comparators each need {value * (1 + each)} "
                f"authorities, but authorities = {given}."
            )
        return value

    @field_validator("external_pilots")
    @classmethod
    def _no_more_external_than_pilots(cls, value: int, info: ValidationInfo) -> int:
        return _at_most_pilots(value, info)

    @field_validator("last_window")
    @classmethod
    def _windows_inside_the_data(cls, value: dt.date, info: ValidationInfo) -> dt.date:
        first = info.data.get("first_window")
        years = info.data.get("first_year"), info.data.get("last_year")
        if first is None or years[0] is None or years[1] is None:
            return value
        if value < first:
            raise ValueError(f"the last window ({value}) starts before first_window = {first}.")
        start, end = dt.date(years[0], 4, 1), dt.date(years[1] + 1, 3, 31)
        if first <= start or value >= end:
            raise ValueError(
                f"embedding windows start from {first} to {value}, but the returns cover {start} "
                f"to {end}. Set first_window and last_window between these days, or other years."
            )
        return value

    @field_validator("window_months")
    @classmethod
    def _months_in_order(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 36:
            raise ValueError(
                "give the shortest and the longest window, in order, from 1 to 36 months."
            )
        return value

    @field_validator(*(f"{prefix}_pretrend_pilots" for prefix in _PREFIX.values()))
    @classmethod
    def _no_more_trends_than_pilots(cls, value: int, info: ValidationInfo) -> int:
        return _at_most_pilots(value, info)

    @field_validator("kinship_level", "rereferral_level", "escalation_level", "icpc_level")
    @classmethod
    def _room_for_the_effect(cls, value: float, info: ValidationInfo) -> float:
        name = str(info.field_name).replace("_level", "_effect")
        effect = info.data.get(name)
        if (
            effect is not None
            and not 0.01 <= min(value, value + effect) <= max(value, value + effect) <= 0.95
        ):
            raise ValueError(
                f"level {value} with {name} = {effect} leaves the range from 0.01 to 0.95 that "
                "probabilities may have."
            )
        return value

    @field_validator("escalation_level")
    @classmethod
    def _escalation_needs_rereferral(cls, value: float, info: ValidationInfo) -> float:
        rereferral = info.data.get("rereferral_level")
        if rereferral is not None and value > rereferral / 2:
            raise ValueError(
                "only re-referred cases escalate: choose at most half of "
                f"rereferral_level = {rereferral}."
            )
        return value

    @model_validator(mode="after")
    def _moves_between_authorities_of_one_stream(self) -> SimulatedSettings:
        if (self.moves or self.pupil_numbers) and (
            self.streams != "joint" or self.form != "returns"
        ):
            raise ValueError(
                "moves and pupil_numbers need all authorities at once and returns to write them "
                'into: set streams = "joint" and form = "returns"'
            )
        return self

    def outcome(self, name: str) -> OutcomeTruth:
        """Return what is planted for an outcome of :data:`OUTCOMES`."""
        prefix = _PREFIX[name]
        return OutcomeTruth(
            name=name,
            effect=getattr(self, f"{prefix}_effect"),
            level=getattr(self, f"{prefix}_level"),
            pretrend_pilots=getattr(self, f"{prefix}_pretrend_pilots"),
            pretrend_slope=getattr(self, f"{prefix}_pretrend_slope"),
        )

    @property
    def years(self) -> range:
        """April-years of the returns."""
        return range(self.first_year, self.last_year + 1)


def _at_most_pilots(value: int, info: ValidationInfo) -> int:
    pilots = info.data.get("pilots")
    if pilots is not None and value > pilots:
        raise ValueError(f"{value} is more than pilots = {pilots}.")
    return value
