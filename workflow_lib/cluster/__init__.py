"""Slurm: the site's settings, jobs left by a killed run, and a watch that restarts a run whose executor hangs.

Jobs are submitted and queried by Snakemake's own executor (snakemake-executor-plugin-slurm).
"""
