from workflow_lib.job import run_job
from workflow_lib.manifest import discover_machines, index_to_file


def main(job):
    w = job.wildcards
    # The other machines are looked at only if this one has faults, so that the user sees all of them at once.
    siblings = discover_machines(job.params.root)
    index_to_file(job.output.manifest, job.params.root, w.machine, siblings, suite=w.suite, **job.params.reading)


run_job(snakemake, main)
