"""The report: from the tables of suites to one self-contained HTML page and its figures, without torch."""

from workflow_lib.report.build import Material, build_report

__all__ = ["Material", "build_report"]
