from workflow_lib.health import check_machine
from workflow_lib.job import run_job
from workflow_lib.manifest import read_manifest


def main(job):
    check_machine(read_manifest(job.input.manifest), job.output.clips, job.threads)


run_job(snakemake, main)
