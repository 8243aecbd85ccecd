"""Result files that are no result are refused in a sentence."""

import json

import pytest

from sos_plugins.errors import DataError
from sos_plugins.study.result import FORMAT, StudyResult

WHOLE = {
    "format": FORMAT,
    "name": "a",
    "title": "A",
    "programme": "a",
    "simulated": False,
    "outcomes": [],
    "pilots": {"columns": [], "rows": []},
    "record_quality": {"columns": [], "rows": []},
}


def test_a_result_without_outcomes_is_read():
    assert StudyResult.from_json(json.dumps(WHOLE)).outcomes == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"title": None, "name": None}, "the result lacks name, title"),
        ({"outcomes": [{}]}, "'outcomes' 1 lacks info"),
        ({"outcomes": [{"info": {"name": "x"}}]}, "'info' lacks binary, label, measure"),
        ({"outcomes": ["x"]}, "'outcomes' 1 is no table of names and values"),
        ({"outcomes": 3}, "'outcomes' is no list"),
        ({"pilots": {"rows": []}}, "'pilots' lacks columns"),
        ({"pilots": 1}, "'pilots' is no table of names and values"),
        ({"pilots": {"columns": ["a", {"b": []}], "rows": []}}, "'pilots': 'columns' is no list"),
        ({"pilots": {"columns": "a", "rows": []}}, "'pilots': 'columns' is no list of names"),
        ({"pilots": {"columns": ["a", "b"], "rows": [[1, 2], [3]]}}, "'pilots': 'rows' is no list"),
        ({"pilots": {"columns": ["a"], "rows": {"a": 1}}}, "'pilots': 'rows' is no list of rows"),
    ],
)
def test_a_damaged_result_is_a_sentence(changes, said):
    data = {key: value for key, value in {**WHOLE, **changes}.items() if value is not None}
    with pytest.raises(DataError) as error:
        StudyResult.from_json(json.dumps(data))
    assert str(error.value).startswith(f"The result file is damaged: {said}")
    assert "__init__" not in str(error.value)


def test_a_result_that_is_not_utf8(tmp_path):
    (tmp_path / "result.json").write_bytes(b"\xff{}")
    with pytest.raises(DataError, match=r"result\.json cannot be read"):
        StudyResult.read(tmp_path)
