"""The classes that the heads learn, from the training clips alone (paper section 2.3)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from workflow_lib.dataset.clip_name import fold
from workflow_lib.dataset.manifest import Clip
from workflow_lib.errors import UserError

Proxy = tuple[str, str, str]


@dataclass(frozen=True)
class ClassMap:
    """Sorted classes: machines, domains, and one ArcFace proxy per (machine, domain, case-folded attribute string)."""

    machines: tuple[str, ...]
    domains: tuple[str, ...]
    proxies: tuple[Proxy, ...]

    @classmethod
    def from_clips(cls, clips: Sequence[Clip]) -> Self:
        """Collect the classes of the given clips; raises `UserError` for fewer than two proxies."""
        proxies = tuple(sorted({proxy_of(clip) for clip in clips}))
        if len(proxies) < 2:
            raise UserError(
                f"adaptation: the {len(clips)} training clips have {len(proxies)} combination of machine, domain and "
                "attributes, so there is nothing to tell apart; give more machines or leave the adapted branch out"
            )
        return cls(
            tuple(sorted({machine for machine, _, _ in proxies})),
            tuple(sorted({domain for _, domain, _ in proxies})),
            proxies,
        )

    def targets(self, clips: Sequence[Clip]) -> NDArray[np.int64]:
        """Class numbers of clips: (n, 3) int64, columns proxy, machine, domain; `KeyError` for an unknown class."""
        proxy_number = {proxy: number for number, proxy in enumerate(self.proxies)}
        machine_number = {machine: number for number, machine in enumerate(self.machines)}
        domain_number = {domain: number for number, domain in enumerate(self.domains)}
        rows = [(proxy_number[p], machine_number[p[0]], domain_number[p[1]]) for p in map(proxy_of, clips)]
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def write(self, path: Path) -> None:
        """Write the map as JSON, classes in the order of their numbers."""
        proxies = [{"machine": m, "domain": d, "attributes": a} for m, d, a in self.proxies]
        content = {"machines": self.machines, "domains": self.domains, "proxies": proxies}
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        proxies = tuple((p["machine"], p["domain"], p["attributes"]) for p in content["proxies"])
        return cls(tuple(content["machines"]), tuple(content["domains"]), proxies)


def proxy_of(clip: Clip) -> Proxy:
    """(machine, domain, attributes) of a clip; attributes are case-folded, because the data spell them in both ways."""
    return clip.machine, str(clip.domain), fold(clip.attributes)


def check_training_clips(clips: Sequence[Clip], held_out: Sequence[str] = ()) -> list[Clip]:
    """Return the clips sorted by machine and name; refuse what an adapter may not see (`UserError`, a line per fault).

    Allowed are normal two-channel training clips of a known domain, each once, of machines that are not held out.
    """
    if not clips:
        raise UserError("adaptation: no training clips; check the manifest and the held-out machines")
    first: dict[tuple[str, str], int] = {}  # machine and name -> place in the list
    faults = [
        ("of a held-out machine", [c for c in clips if c.machine in held_out]),
        ("not of the train split", [c for c in clips if c.split != "train"]),
        ("not labelled normal", [c for c in clips if c.label != "normal"]),
        ("of no known domain", [c for c in clips if c.domain not in ("source", "target")]),
        ("without two channels (near and far are both needed)", [c for c in clips if c.channels != 2]),
        ("given twice", [c for n, c in enumerate(clips) if first.setdefault((c.machine, c.clip), n) != n]),
    ]
    lines = [
        f"adaptation: {len(found)} clip(s) {what}, for example {found[0].machine}/{found[0].clip}; leave them out"
        for what, found in faults
        if found
    ]
    if lines:
        raise UserError("\n".join(lines))
    return sorted(clips, key=lambda clip: (clip.machine, clip.clip))
