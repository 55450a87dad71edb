from workflow_lib.dataset.clip_health import check_machine
from workflow_lib.dataset.manifest import read_manifest
from workflow_lib.job import run_job


def main(job):
    check_machine(read_manifest(job.input.manifest), job.output.clips, job.threads)


run_job(snakemake, main)
