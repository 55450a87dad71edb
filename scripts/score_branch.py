from workflow_lib.branch import score_branch
from workflow_lib.job import run_job
from workflow_lib.tables import write_scores


def main(job):
    scores = score_branch(job.input.source, job.params.branch, job.params.kind)
    write_scores(job.output.scores, scores.table)
    scores.write_notes(job.output.notes)


run_job(snakemake, main)
