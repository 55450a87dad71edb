"""Slurm as this workflow meets it: the site's file, jobs that a dead run left, a watch that ends a hang.

Submission and status are the executor's own (snakemake-executor-plugin-slurm); nothing of it is rebuilt here.
"""
