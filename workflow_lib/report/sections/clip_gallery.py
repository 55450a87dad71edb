"""The clips that a system gets most wrong, to see and hear: from the folder of `illustrate_clips` into the page."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_lib.errors import UserError
from workflow_lib.evaluation.evidence_rows import RankingRow
from workflow_lib.report.charts.drawing import drawn_before
from workflow_lib.report.page.content import Recording

INDEX = "clips.json"
MEDIA = {".png": "image/png", ".mp3": "audio/mpeg"}


@dataclass(frozen=True)
class Illustration:
    """One clip of the folder: its picture with its size in pixels, and its sounds by channel."""

    machine: str
    clip: str
    picture: str
    width: int
    height: int
    sounds: dict[str, str]


class ClipGallery:
    """The illustrated clips of a suite; each is handed out once, so that the page holds its sound once."""

    def __init__(self, folder: Path | None, key: str) -> None:
        """`folder` is None for a suite without recordings; `key` is the anchor of the suite."""
        self._folder = None if folder is None else Path(folder)
        clips = read_illustrations(self._folder) if self._folder else []
        self._clips = {(clip.machine, clip.clip): clip for clip in clips}
        self._anchors = {clip: f"{key}-clip-{place}" for place, clip in enumerate(self._clips, 1)}
        self._given: set[tuple[str, str]] = set()

    @property
    def filled(self) -> bool:
        """Whether there is anything to see and hear."""
        return bool(self._clips)

    def anchor(self, row: RankingRow) -> str:
        """Where the clip is on the page; nothing without recordings."""
        return self._anchors[self._key(row)] if self._folder else ""

    def take(self, wrong: Sequence[tuple[str, RankingRow]]) -> tuple[Recording, ...]:
        """Those of the clips, given with why they are shown, that are not on the page yet."""
        if self._folder is None:
            return ()
        fresh = [(why, row) for why, row in wrong if self._key(row) not in self._given]
        self._given |= {self._key(row) for _, row in fresh}
        return tuple(self._recording(self._folder, why, row) for why, row in fresh)

    def _key(self, row: RankingRow) -> tuple[str, str]:
        key = (row.machine, row.clip)
        if key not in self._clips:
            advice = "is not illustrated: remove the folder and make it again"
            raise UserError(f"{self._folder}: {row.clip} of {row.machine} {advice}")
        return key

    def _recording(self, folder: Path, why: str, row: RankingRow) -> Recording:
        clip = self._clips[self._key(row)]
        channels = " and ".join(clip.sounds) or "its channels"
        return Recording(
            key=self.anchor(row),
            title=f"{row.machine}: {why}",
            caption=f"{row.clip}{f', {row.domain}' if row.domain else ''}",
            picture=_data_uri(folder / clip.picture),
            description=f"Spectrogram of {row.clip} of {row.machine}, {channels}",
            width=clip.width,
            height=clip.height,
            sounds=tuple((name, _data_uri(folder / path)) for name, path in clip.sounds.items()),
        )


def read_illustrations(folder: Path) -> list[Illustration]:
    """What `illustrate_clips` wrote, in its order; UserError where it cannot be read."""
    path = Path(folder) / INDEX
    try:
        return [Illustration(**clip) for clip in json.loads(path.read_text(encoding="utf-8"))["clips"]]
    except (OSError, ValueError, TypeError, KeyError) as fault:
        advice = f"cannot be read ({fault}): remove the folder {folder} and make it again"
        raise UserError(f"{path}: {advice}") from None


def _data_uri(path: Path) -> str:
    return f"data:{MEDIA[path.suffix]};base64,{base64.b64encode(drawn_before(path)).decode('ascii')}"
