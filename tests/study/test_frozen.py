"""What travels down the line is not written into on its way."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from study_helpers import write

from sos_plugins.cache.codec import encode
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract import interfaces, types
from sos_plugins.study import Study
from sos_plugins.study.pilots_and_pool import Design

TRAVEL = (
    *(types.Sample, types.Estimate, CollectedCases, Design, types.QualityProfile),
    *(types.Run, types.Agreement, types.Evidence, types.Rating),
    *(interfaces.UnitMatch, interfaces.CaseMatch),
)


def test_what_travels_is_at_the_end_what_it_was_when_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Any, str]] = []

    def content(value: Any) -> str:
        return hashlib.sha256(encode(value)).hexdigest()

    for cls in TRAVEL:

        def watched(self: Any, *args: Any, _init: Any = cls.__init__, **values: Any) -> None:
            _init(self, *args, **values)
            made.append((self, content(self)))

        monkeypatch.setattr(cls, "__init__", watched)
    result = Study.from_toml(write(tmp_path)).run()
    assert not any(outcome.error for outcome in result.outcomes)
    changed = [value for value, before in made if content(value) != before]
    assert {type(value) for value, _ in made} >= {types.Sample, types.Estimate, types.Evidence}
    assert not changed
