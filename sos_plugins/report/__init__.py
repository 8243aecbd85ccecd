"""The report of a study: one HTML file, its tables as CSV, the result as JSON and a manifest."""

from sos_plugins.report.page import render_html
from sos_plugins.report.write import ReportError, check_folder, write_report

__all__ = ["ReportError", "check_folder", "render_html", "write_report"]
