"""Task-adapted dual-microphone anomalous sound detection: all that the workflow computes, without Snakemake."""

__version__ = "0.1.0"
