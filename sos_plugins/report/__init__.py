"""The report of a study: one HTML file, its tables as CSV, the result as JSON and a manifest."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sos_plugins.report.page import render_html
    from sos_plugins.report.write import (
        NOTHING_FURTHER,
        Further,
        ReportError,
        check_folder,
        write_report,
    )

__all__ = [
    "NOTHING_FURTHER",
    "Further",
    "ReportError",
    "check_folder",
    "render_html",
    "write_report",
]

if not TYPE_CHECKING:  # a table is laid out without the charts

    def __getattr__(name: str) -> Any:
        """Import the page and the folder when they are first asked for."""
        if name in __all__:
            part = "page" if name == "render_html" else "write"
            return getattr(importlib.import_module(f"{__name__}.{part}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
