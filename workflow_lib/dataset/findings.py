"""Summaries of the health of clips: figures by sort of clip, and findings that a person should look at."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median

from workflow_lib.csv_rows import grouped, read_rows, write_rows
from workflow_lib.dataset.clip_name import NO_ATTRIBUTE, SPLITS
from workflow_lib.dataset.health_table import REMAKE, ClipHealth, Finding, HealthRow

ODD_LEVEL_DB = 20.0  # from the machine's usual level: a factor of ten
# Of near's energy, the median of normal clips. In 1,260 pairs of simulated channels (machine -5 to 10 dB above the rest
# at near, at far -30 to 0 dB of its level at near or not at all, diffuse noise), cancelling took 3 dB or more of the
# machine from 56 of the 58 with a larger share. A smaller share can be a machine that leaks into far, or an interferer
# that should go: of real motors, 0.64 to 0.75 are removed, and detection gains (docs/channels.md).
REMOVED_BY_FAR = 0.8
USUAL_DIFFERENCE_DB = 3.0  # least usual difference of near and far for which a swap can be recognised


def write_health(clip_tables: Iterable[str | Path], suite: str, folder: Path) -> None:
    """Write health.csv and findings.csv of a suite into a new folder, from the clip tables of its machines."""
    folder.mkdir(parents=True)
    clips = [clip for path in sorted(map(str, clip_tables)) for clip in read_rows(Path(path), ClipHealth, REMAKE)]
    write_rows(folder / "health.csv", HealthRow, _groups(suite, clips))
    findings = [Finding(suite, *row) for row in _findings(clips)]
    write_rows(folder / "findings.csv", Finding, findings)


# ---- figures by sort of clip -----------------------------------------------------------------------------------------


def _groups(suite: str, clips: Sequence[ClipHealth]) -> Iterator[HealthRow]:
    doubles = {clip.place for clip, _ in _duplicates(clips)}
    sorts = grouped(clips, lambda clip: (clip.machine, SPLITS.index(clip.split), clip.domain, clip.label))
    for (machine, split, domain, label), members in sorted(sorts.items()):
        seconds = [clip.seconds for clip in members]
        differences = _known(members, "near_minus_far_db")
        yield HealthRow(
            *(suite, machine, SPLITS[split], domain, label, len(members), min(seconds), max(seconds)),
            channels=" or ".join(str(count) for count in sorted({clip.channels for clip in members})),
            near_dbfs=_median(members, "near_dbfs"),
            far_dbfs=_median(members, "far_dbfs"),
            near_minus_far_db=_median(members, "near_minus_far_db"),
            near_minus_far_min=min(differences, default=None),
            near_minus_far_max=max(differences, default=None),
            coherence=_median(members, "coherence"),
            removed_by_far=_median(members, "removed_by_far"),
            clipped=sum(clip.clipped > 0 for clip in members),
            silent=sum(clip.silent != "" for clip in members),
            duplicates=sum(clip.place in doubles for clip in members),
            attributes=len(_attributes(members)),
        )


def _attributes(clips: Iterable[ClipHealth]) -> set[str]:
    return {clip.attributes.casefold() for clip in clips} - {"", NO_ATTRIBUTE.casefold()}


def _known(clips: Iterable[ClipHealth], figure: str) -> list[float]:
    return [value for clip in clips if (value := getattr(clip, figure)) is not None]


def _median(clips: Iterable[ClipHealth], figure: str) -> float | None:
    values = _known(clips, figure)
    return median(values) if values else None


# ---- findings --------------------------------------------------------------------------------------------------------

Found = tuple[str, str, str, str]  # machine, finding, clip, detail


def _findings(clips: Sequence[ClipHealth]) -> list[Found]:
    """Odd clips and machines; what is usual is the median of the machine's own clips."""
    found: list[Found] = [
        (clip.machine, f"the same sound in {' and '.join(SPLITS)}", clip.clip, f"{clip.split}, as {other.place}")
        for clip, other in _duplicates(clips)
    ]
    for machine, members in grouped(clips, lambda clip: clip.machine).items():
        found += [(machine, *oddity) for oddity in _oddities(members)]
        if not _attributes(clip for clip in members if clip.split == "train"):
            found.append((machine, "no attributes", "", "no training clip says more than noAttribute"))
        removed = _median((clip for clip in members if clip.split == "train"), "removed_by_far")
        if removed is not None and removed > REMOVED_BY_FAR:
            detail = (
                f"cancelling removes {removed:.0%} of near in normal clips: use `view: [near]` instead of cancelled"
            )
            found.append((machine, "far is like near", "", detail))
    return sorted(found)


def _duplicates(clips: Iterable[ClipHealth]) -> list[tuple[ClipHealth, ClipHealth]]:
    """(clip, its first double in the other split); silent clips, which all sound the same, are no duplicates."""
    audible = (clip for clip in clips if clip.silent.split() != ["near", "far"][: clip.channels])
    pairs = []
    for same in grouped(audible, lambda clip: clip.digest).values():
        first = {clip.split: clip for clip in reversed(same)}
        if len(first) == len(SPLITS):
            pairs += [(clip, next(other for s, other in first.items() if s != clip.split)) for clip in same]
    return pairs


def _oddities(clips: Sequence[ClipHealth]) -> Iterator[tuple[str, str, str]]:
    """(finding, clip, detail) of odd clips: whatever the others are, and compared with the others of the machine."""
    audible = [clip for clip in clips if not clip.silent]
    length = median(clip.seconds for clip in clips)
    level, usual = _median(audible, "near_dbfs"), _median(audible, "near_minus_far_db")
    for clip in clips:
        if clip.silent:
            yield "silent", clip.clip, clip.silent.replace(" ", " and ")
        if clip.clipped:
            yield "clipped", clip.clip, f"{clip.clipped:.4%} of the samples"
        if clip.same_channels:
            yield "near and far are the same", clip.clip, "one microphone was recorded twice"
        if clip.seconds < length / 2:
            yield "short", clip.clip, f"{clip.seconds:g} s where {length:g} s are usual"
    for clip in audible:
        near, difference = clip.near_dbfs, clip.near_minus_far_db
        if near is not None and level is not None and abs(near - level) > ODD_LEVEL_DB:
            yield "odd level", clip.clip, f"near {near:.1f} dBFS where {level:.1f} dBFS is usual"
        if difference is None or usual is None or abs(usual) < USUAL_DIFFERENCE_DB:
            continue
        if difference * usual < 0 and abs(difference) >= abs(usual) / 2:
            detail = f"near minus far {difference:+.1f} dB where {usual:+.1f} dB is usual"
            yield "near and far swapped?", clip.clip, detail
