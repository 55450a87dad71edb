"""Names of DCASE 2023–2026 Task 2 clips, and the faults of files: standard library only."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath

from workflow_lib.errors import UserError

CLIP_SUFFIXES = (".wav", ".flac")
SPLITS = ("train", "test")
NO_ATTRIBUTE = "noAttribute"
EXPECTED_NAME = (
    "name it section_<2 digits>_<source|target>_<train|test>_<normal|anomaly>_<4 digits>_<noAttribute or key_value "
    "pairs>.wav, or section_<2 digits>_<4 digits>.wav for an unlabelled test clip"
)

# Every field has a fixed place, so that "target" in an attribute, a machine or a folder never decides a domain.
_FIELDS = (
    ("first word", r"section", "'section'"),
    ("section", r"[0-9]{2}", "two digits"),
    ("domain", r"source|target", "'source' or 'target'"),
    ("split", r"train|test", "'train' or 'test'"),
    ("label", r"normal|anomaly", "'normal' or 'anomaly'"),
    ("number", r"[0-9]{4,9}", "four digits or more"),
)
_LABELLED = re.compile("_".join(f"({pattern})" for _, pattern, _ in _FIELDS) + r"(?:_(.*))?")
_UNLABELLED = re.compile(r"section_([0-9]{2})_([0-9]{4,9})")
_STEM_AND_SUFFIX = re.compile(r"(.*)\.(wav|flac)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong with one file or folder; as text it is one line: path, problem, what to do."""

    path: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return one_line(f"{self.path}: {self.problem}: {self.remedy}")


class FaultError(UserError):
    """A fault met while a single name or file is read; `.fault` holds its parts."""

    def __init__(self, path: str | PurePath, problem: str, remedy: str) -> None:
        self.fault = Fault(str(path), problem, remedy)
        super().__init__(str(self.fault))


@dataclass(frozen=True)
class ClipName:
    """The parts of a clip's name; domain and label are None for an unlabelled evaluation clip.

    attributes keeps order and repetition, because a key such as `mic` occurs twice in one name (design, section 5).
    """

    section: str
    split: str
    domain: str | None
    label: str | None
    number: int
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def attribute_string(self) -> str:
        """The attributes in the spelling of the name, without empty ones; 'noAttribute' if there are none."""
        pairs = (f"{key}_{value}" for key, value in self.attributes)
        return "_".join(pairs).rstrip("_") or NO_ATTRIBUTE


def fold(text: str) -> str:
    """Text for comparisons, without letter case and with one encoding of accents.

    For attributes, too: `pro_y` is `pro_Y`, because spelling must not tell normal from anomaly.
    """
    return unicodedata.normalize("NFC", text).casefold()


def one_line(text: str) -> str:
    """Text for one line of any terminal: control characters and bytes that are no UTF-8 become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def parse_clip_name(name: str) -> ClipName:
    """Read the last part of a path as a clip name of the challenge, .wav or .flac in any letter case.

    Raises FaultError (a UserError) with one line: which part of the name is wrong, and the form expected.
    """
    base = PurePosixPath(name).name
    match = _STEM_AND_SUFFIX.fullmatch(base)
    if match is None:
        raise FaultError(name, "clip name does not end in .wav or .flac", EXPECTED_NAME)
    if not base.isprintable():
        raise FaultError(name, "clip name has characters that cannot be printed", EXPECTED_NAME)
    stem = match[1]
    if unlabelled := _UNLABELLED.fullmatch(stem):
        return ClipName(unlabelled[1], "test", None, None, int(unlabelled[2]))
    labelled = _LABELLED.fullmatch(stem)
    if labelled is None:
        raise FaultError(name, f"clip name cannot be parsed, {_first_wrong_field(stem)}", EXPECTED_NAME)
    _, section, domain, split, label, number, attributes = labelled.groups()
    return ClipName(section, split, domain, label, int(number), _parse_attributes(attributes or ""))


def _first_wrong_field(stem: str) -> str:
    fields = stem.split("_")
    if _UNLABELLED.fullmatch("_".join(fields[:3])):
        return f"{'_'.join(fields[3:])!r} follows the number of an unlabelled clip"
    for (field, pattern, expected), text in zip(_FIELDS, fields, strict=False):
        if not re.fullmatch(pattern, text):
            return f"{field} is {text!r}, not {expected}"
    return f"it ends before the {_FIELDS[len(fields)][0]}"


def _parse_attributes(text: str) -> tuple[tuple[str, str], ...]:
    if text.casefold() == NO_ATTRIBUTE.casefold():
        return ()
    pairs, tokens = [], iter(text.split("_"))
    for key in tokens:
        if key:  # names of 2024 can end in an empty attribute: ..._ac_0.03_.wav
            pairs.append((key, next(tokens, "")))
    return tuple(pairs)
