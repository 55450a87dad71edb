from workflow_lib.job import run_job
from workflow_lib.simulation.suite import simulate_machine


def main(job):
    simulate_machine(job.wildcards.machine, job.output.recordings, **job.params.settings)


run_job(snakemake, main)
