"""Task-adapted dual-microphone anomalous sound detection: everything the workflow computes, importable without Snakemake."""

__version__ = "0.1.0"
