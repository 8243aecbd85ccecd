"""Sentences about settings: one for each mistake, in the words of the file."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import pytest
from pydantic import Field, model_validator
from study_helpers import STUDY

from sos_plugins.contract.settings import Settings
from sos_plugins.errors import SettingsError
from sos_plugins.host.settings import validate
from sos_plugins.study.file import PilotRow, parse_study


class Example(Settings):
    """Settings of every kind."""

    whole: int = Field(1, ge=0)
    number: float = 1.0
    either: int | None = None
    several: tuple[int, ...] = ()
    words: str | int = ""
    day: dt.date | None = None
    share: Literal["auto"] | float = "auto"
    low: int = 0

    @model_validator(mode="after")
    def _ordered(self) -> Example:
        if self.low > self.whole:
            raise ValueError("low is above whole.")
        return self


def said(**values):
    with pytest.raises(SettingsError) as error:
        validate(Example, values, where="here")
    return str(error.value)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"whole": True}, "here: setting 'whole': expected whole number. True was given."),
        ({"whole": "3"}, "here: setting 'whole': expected whole number. '3' was given."),
        ({"whole": 2.0}, "here: setting 'whole': expected whole number. 2.0 was given."),
        ({"number": False}, "here: setting 'number': expected number. False was given."),
        ({"either": True}, "here: setting 'either': expected whole number | none. True was given."),
        ({"several": [1, True]}, "here: setting 'several': expected whole number. [1, True]"),
        ({"words": 1.5}, "here: setting 'words': expected text | whole number. 1.5 was given."),
        ({"share": "x"}, "here: setting 'share': expected auto | number. 'x' was given."),
        ({"day": "2015-13-01"}, "here: setting 'day': expected a date as yyyy-mm-dd, such as"),
        ({"low": 2}, "here: low is above whole."),
        (
            {"several": 3},
            'here: setting \'several\': expected a list in square brackets, such as ["a", "b"]. '
            "3 was given.",
        ),
    ],
)
def test_one_sentence_for_a_value(changed, text):
    assert said(**changed).startswith(text)
    assert said(**changed).count("here") == 1


def test_a_whole_number_is_a_number_and_true_may_be_text():
    settings = validate(Example, {"number": 2, "several": [1, 2], "words": 3, "share": 1}, where="")
    assert (settings.number, settings.several, settings.words, settings.share) == (
        2.0,
        (1, 2),
        3,
        1.0,
    )


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("seed = 1", "seed = true", "setting 'study.seed': expected whole number. True was given."),
        (
            "seed = 1",
            "sead = 1",
            "unknown setting 'study.sead'. Did you mean 'seed'? Known settings of 'study': "
            "backend, collect, memory, name, programme, seed, title.",
        ),
        (
            "[design]",
            "[design]\npoool = 1",
            "unknown setting 'design.poool'. Did you mean 'pool'? Known settings of 'design': ",
        ),
        (
            "[design]",
            "[design]\npool = 3",
            "setting 'design.pool': expected all | list of text. 3 was given.",
        ),
        ("[design]", "[design]\npool = [3]", "setting 'design.pool.0': input should be a valid s"),
        (
            'engines = ["python"]\ncovariates',
            "engines = []\ncovariates",
            "setting 'estimators.2.engines': list should have at least 1 item",
        ),
        (
            'covariates = "none"',
            "covariates = 4",
            "setting 'estimators.2.covariates': expected all | none | list of text. 4 was given.",
        ),
        (
            'pilots = "pilots.csv"',
            'pilots = [{ unit = "1", start = "2015-13-01" }]',
            "setting 'design': a date such as 2015-03-31 or 31/03/2015 was expected, on a day that "
            "there is; found '2015-13-01' (pilots 1, column 'start').",
        ),
        (
            'pilots = "pilots.csv"',
            "pilots = 3",
            "setting 'design.pilots': expected text | list of table. 3 was given.",
        ),
    ],
)
def test_a_study_file_is_told_in_its_own_words(old, new, text):
    assert old in STUDY
    with pytest.raises(SettingsError) as error:
        parse_study(STUDY.replace(old, new), where="s.toml")
    assert str(error.value).startswith(f"s.toml: {text}")
    assert str(error.value).count("s.toml") == 1


def test_a_pilot_of_a_table_has_dates_in_one_form():
    with pytest.raises(SettingsError, match="setting 'start': expected a date as yyyy-mm-dd"):
        validate(PilotRow, {"unit": "1", "start": "01/04/2015"}, where="pilots.csv, line 2")


def test_keys_that_stand_beside_the_settings_are_known_too():
    with pytest.raises(SettingsError, match=r"Did you mean 'engines'\? Known .*: day, either, eng"):
        validate(Example, {"engins": "all"}, where="[[estimators]] 1", beside=["engines"])
