"""The adaptation of the full demo, four machines and two seeds: it generalises to machines not used for training."""

from conftest import ROOT, Workflow

FOLDER = "demo/adapters/dualmic_untrained@full-seed13711"


def test_the_attribute_head_knows_withheld_normal_clips_of_the_demo(tmp_path):
    """At least twice chance, which is what naming the commonest class would get."""
    workflow, config = Workflow(tmp_path), ("--configfile", str(ROOT / "tests/end_to_end/full_demo.yaml"))
    planned = workflow.make("-n", *config)
    assert all(f"Adapt dualmic_untrained@full-seed{seed} " in planned for seed in (13711, 2026))
    workflow.make(*config, "--", f"results/{FOLDER}")
    last = workflow.rows(f"{FOLDER}/validation.csv")[-1]
    assert int(last["clips"]) >= 50
    assert float(last["accuracy_attribute"]) >= 2 * float(last["chance"])
    losses = [float(row["loss"]) for row in workflow.rows(f"{FOLDER}/training_log.csv")]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])  # 0.77 with an interferer that prevails
