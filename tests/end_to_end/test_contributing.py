"""The examples of CONTRIBUTING.md and docs/encoders.md, run as printed: encoder, branch, scorer and study are added."""

import json
import os
import re

import yaml
from conftest import ROOT, SMALL, Workflow, copy_checkout


def blocks_of(page: str, language: str, below: str) -> list[str]:
    """The fenced blocks of a language in the section of a page that has the heading `below`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    section = text.split(f"## {below}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


class Checkout(Workflow):
    """A workflow that runs the code of a checkout of its own."""

    def environment(self):
        return {**os.environ, "PYTHONPATH": str(self.folder)}

    def command(self, *arguments):
        command = super().command(*arguments)
        return [part.replace(str(ROOT), str(self.folder)) if "/bin/" not in part else part for part in command]


def test_the_examples_run_as_printed(small_run, tmp_path):
    checkout = Checkout(small_run.copy(tmp_path / "clone").folder)
    copy_checkout(checkout.folder)
    (encoder,) = blocks_of("docs/encoders.md", "python", "An encoder of your own")
    (checkout.folder / "workflow_lib/encoders/mine.py").write_text(encoder, encoding="utf-8")
    (scorer,) = blocks_of("CONTRIBUTING.md", "python", "A scorer")
    (checkout.folder / "workflow_lib/scoring/scorers/nearest.py").write_text(scorer, encoding="utf-8")
    options, branch = blocks_of("CONTRIBUTING.md", "yaml", "A scorer")
    schema = checkout.folder / "workflow_lib/config/schema.yaml"
    schema.write_text(schema.read_text(encoding="utf-8").replace("$defs:\n", f"$defs:\n{options}", 1), encoding="utf-8")
    examples = {}
    for heading in ("A branch", "An encoder", "A study"):
        for block in blocks_of("CONTRIBUTING.md", "yaml", heading):
            examples |= yaml.safe_load(block)
    examples["branches"] |= yaml.safe_load(branch)["branches"]
    run = {**examples["run"], "suites": ["small"], "systems": [], "protocols": ["cross_fitted"]}
    run["branches"] = [*run["branches"], "mine_nearest", "ae_mse"]
    studies = {"contrast": {**examples["studies"]["contrast"], "suite": "small"}}
    added = {key: {**SMALL[key], **examples[key]} for key in ("models", "branches")}
    checkout.configure(**{**SMALL, "run": run, **added, "studies": studies})
    checkout.make()

    rows = {row["name"]: row for row in checkout.rows("small/tables/official.csv")}
    assert set(rows) == {"ae_mse", "mine_contrast", "mine_nearest"}
    assert 0 < float(rows["mine_contrast"]["omega"]) < 1 and 0 < float(rows["mine_nearest"]["omega"]) < 1
    notes = [
        json.loads(path.read_text(encoding="utf-8")) for path in checkout.folder.rglob("scores/*/*/mine_nearest.json")
    ]
    assert {note["normal_scores"] for note in notes} == {"each clip by its distance to the nearest other one"}
    assert rows["mine_contrast"]["untrained"] == "yes"
    table = checkout.rows("small/studies/contrast/contrast-cross_fitted.csv")
    study = {(row["label"], row["metric"]): row["value"] for row in table}
    assert study["Contrast", "omega"] == rows["mine_contrast"]["omega"]
    difference = float(rows["mine_contrast"]["omega"]) - float(rows["ae_mse"]["omega"])
    assert abs(float(study["Contrast", "change"]) - difference) < 1e-12
