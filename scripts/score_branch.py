from workflow_lib.job import run_job
from workflow_lib.scoring.job import score_branch
from workflow_lib.scoring.score_file import write_scores


def main(job):
    scores = score_branch(job.input.source, job.params.branch, job.params.kind, job.input.get("normal"))
    write_scores(job.output.scores, scores.table)
    write_scores(job.output.normal_scores, scores.normal)
    scores.write_notes(job.output.notes)


run_job(snakemake, main)
