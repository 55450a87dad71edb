"""Settings of a cluster, `profiles/slurm/site.yaml`: account, form of GPU requests, partitions.

Read while the DAG is built, whatever executor runs it, so it imports only the standard library, yaml and jsonschema.
The executor reads `partitions` of the same file (`slurm-partition-config` of the profile).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workflow_lib.config.faults import schema_faults
from workflow_lib.config.schema import filled
from workflow_lib.errors import UserError
from workflow_lib.files import read_yaml

SCHEMA = Path(__file__).with_name("site_schema.yaml")


@dataclass(frozen=True)
class Site:
    """The keys of site.yaml, which explains them; `partitions` are the executor's."""

    path: Path
    gpu: Mapping[str, Any]
    partitions: Mapping[str, Any]
    account: str | None
    qos: str | None
    cpu: Mapping[str, Any]
    check_s: float
    patience_s: float

    def mem_mb(self, amount: int) -> Callable[[Any, int], int]:
        """Megabytes that grow with the attempt, up to what the largest partition has."""
        return self._growing(amount, "max_mem_mb")

    def runtime(self, minutes: int) -> Callable[[Any, int], int]:
        """Minutes that grow with the attempt, up to what the largest partition allows."""
        return self._growing(minutes, "max_runtime")

    def _growing(self, amount: int, limit: str) -> Callable[[Any, int], int]:
        """Twice the amount at the first retry, three times at the second, up to the largest `limit` of all partitions.

        The first is never cut. No limit where a partition has none, or has it as a text such as 1-00:00:00.
        """
        limits = [partition.get(limit) for partition in self.partitions.values()]
        most = max(limits) if limits and all(isinstance(value, int) for value in limits) else None
        return lambda wildcards, attempt: max(amount, min(amount * attempt, most or amount * attempt))

    @property
    def cpu_job(self) -> dict[str, str | int]:
        """Resources of a job without GPU."""
        return _given(slurm_account=self.account, qos=self.qos, constraint=self.cpu.get("constraint"))

    @property
    def gpu_job(self) -> dict[str, str | int]:
        """Resources of a job with one GPU; at a site without GPUs those of any other job."""
        request = self.gpu["request"]
        if request == "none":
            return self.cpu_job
        asked = {"gres": self.gpu["gres"]} if request == "gres" else {"gpu": 1, "gpu_model": self.gpu.get("model")}
        return _given(slurm_account=self.account, qos=self.qos, constraint=self.gpu.get("constraint"), **asked)


def load_site(path: Path) -> Site:
    """The site's file, checked against its schema; UserError with all its faults, one line each."""
    try:
        found = read_yaml(path)
    except FileNotFoundError:
        raise UserError(f"config: compute.site: {path}: no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"config: compute.site: {path} cannot be read as YAML: {reason}") from None
    schema = read_yaml(SCHEMA)
    if faults := schema_faults(found, schema):
        raise UserError("\n".join(f"{path}: {fault}" for fault in faults))
    if found["gpu"]["request"] == "gres" and not found["gpu"].get("gres"):
        raise UserError(f"{path}: gpu.gres: request: gres needs it: write what your site takes, such as gpu:1")
    return Site(path, **filled({**found, "cpu": found.get("cpu") or {}}, schema))


def _given(**resources: Any) -> dict[str, Any]:
    return {name: value for name, value in resources.items() if value is not None}
