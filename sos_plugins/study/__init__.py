"""A study: from its file to its result. ``from sos_plugins.study import Study``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sos_plugins.study.study import Study

__all__ = ["Study"]

if not TYPE_CHECKING:  # a step of a study is imported without all the others

    def __getattr__(name: str) -> Any:
        """Import the study when it is first asked for."""
        if name == "Study":
            from sos_plugins.study.study import Study

            return Study
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
