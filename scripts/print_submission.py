from workflow_lib.job import run_job
from workflow_lib.submission.job import submission_lines


def main(job):
    for line in submission_lines(job.input.get("packages"), job.params.remarks):
        print(line, flush=True)


run_job(snakemake, main)
