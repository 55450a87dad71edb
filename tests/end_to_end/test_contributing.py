"""The examples of CONTRIBUTING.md and docs/encoders.md, run as printed: a branch, an encoder and a study are added."""

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
    examples = {}
    for heading in ("A branch", "An encoder", "A study"):
        for block in blocks_of("CONTRIBUTING.md", "yaml", heading):
            examples |= yaml.safe_load(block)
    run = {**examples["run"], "suites": ["small"], "systems": [], "protocols": ["cross_fitted"]}
    run["branches"] = [*run["branches"], "ae_mse"]
    studies = {"contrast": {**examples["studies"]["contrast"], "suite": "small"}}
    added = {key: {**SMALL[key], **examples[key]} for key in ("models", "branches")}
    checkout.configure(**{**SMALL, "run": run, **added, "studies": studies})
    checkout.make()

    rows = {row["name"]: row for row in checkout.rows("small/tables/official.csv")}
    assert set(rows) == {"ae_mse", "mine_contrast"}
    assert 0 < float(rows["mine_contrast"]["omega"]) < 1
    assert rows["mine_contrast"]["untrained"] == "yes"
    table = checkout.rows("small/studies/contrast/contrast-cross_fitted.csv")
    study = {(row["label"], row["metric"]): row["value"] for row in table}
    assert study["Contrast", "omega"] == rows["mine_contrast"]["omega"]
    difference = float(rows["mine_contrast"]["omega"]) - float(rows["ae_mse"]["omega"])
    assert abs(float(study["Contrast", "change"]) - difference) < 1e-12
