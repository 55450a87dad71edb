"""Figures of the report: from plain numbers to matplotlib figures, and from these to SVG and PNG."""
