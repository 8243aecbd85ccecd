"""The outcomes that docs/outcome-without-python.md declares, as a study file has them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from sos_plugins.study.file import OutcomeChoice

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "outcome-without-python.md").read_text()
_BLOCKS = [tomllib.loads(text) for text in re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)]
CHOICES: dict[str, OutcomeChoice] = {
    str(choice.name): choice
    for block in _BLOCKS
    for choice in map(OutcomeChoice.model_validate, block.get("outcomes", []))
}
"""Every outcome of the page by its name."""


def _settings() -> dict[str, dict[str, Any]]:
    declared = {n: dict(c.settings) for n, c in CHOICES.items() if c.plugin == "declared"}
    escalation = declared["declared-escalation"]
    event = {key: value for key, value in escalation["event"].items() if key != "then"}
    return declared | {"declared-rereferral": {**escalation, "event": event}}


BY_NAME = _settings()
"""Settings of each declared outcome of the page, and of the re-referral that it speaks of."""
