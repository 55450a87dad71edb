"""Submissions that sbatch refused: one line each, which names the key to change."""

import re
from collections.abc import Iterable
from pathlib import Path

REFUSED = re.compile(r"SLURM sbatch failed\. The error message was '(?P<text>.*?)'\.$", re.MULTILINE | re.DOTALL)
FAILED = re.compile(r"Job submission failed with exception: (?P<text>.*?)$", re.MULTILINE)
SITE = "profiles/slurm/site.yaml"
KEYS = {
    "account": f"account ({SITE})",
    "partition": f"partitions ({SITE})",
    "qos": f"qos ({SITE})",
    "gres": f"gpu.gres ({SITE})",
    "feature": f"gpu.constraint or cpu.constraint ({SITE})",
    "constraint": f"gpu.constraint or cpu.constraint ({SITE})",
    "time limit": f"partitions.<name>.max_runtime ({SITE}), or set-resources: <rule>: runtime of the profile",
    "memory": f"partitions.<name>.max_mem_mb ({SITE}), or set-resources: <rule>: mem_mb of the profile",
    "node configuration": f"gpu and the limits of partitions ({SITE}), or cores of the profile",
    "cpu count": f"partitions.<name>.max_threads ({SITE}), or cores of the profile",
    "job submit limit": "jobs of the profile: fewer at the same time",
    "submission script": "slurm-pass-command-as-script: true in the profile",
}


def refusal_lines(logs: Iterable[str | Path]) -> list[str]:
    """One line for each different refusal in the logs that Snakemake wrote of a run."""
    text = "\n".join(p.read_text(encoding="utf-8", errors="replace") for p in map(Path, logs) if p.is_file())
    found = [match["text"] for pattern in (REFUSED, FAILED) for match in pattern.finditer(text)]
    return list(dict.fromkeys(_explain(" ".join(text.split())) for text in found))


def _explain(text: str) -> str:
    reason = re.sub(r"sbatch: (error|fatal): ", "", text)
    key = next((key for word, key in KEYS.items() if word in reason.lower()), None)
    advice = f"change {key}" if key else "docs/cluster.md, What goes wrong"
    return f"Slurm refused a job: {reason}: {advice}"
