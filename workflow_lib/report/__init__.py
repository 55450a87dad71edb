"""The report: from the tables of suites to one self-contained HTML page and its figures, without torch."""

from workflow_lib.report.page.build import ReportInputs, build_report

__all__ = ["ReportInputs", "build_report"]
