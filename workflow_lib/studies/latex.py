r"""A study as a LaTeX tabular with rules of booktabs: complete, escaped, and never without the protocol."""

import re
from collections.abc import Sequence

from workflow_lib.evaluation.evidence_rows import StudyRow, ends_of
from workflow_lib.studies.unmeasured_row import METRICS

# What LaTeX would take as a command, and signs that pdflatex does not know; one pass, so that nothing is escaped twice.
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "Ω": r"$\Omega$",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": r"$-$",
    "→": r"$\rightarrow$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "…": r"\dots{}",
    "μ": r"$\mu$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL)))


def escape(text: str) -> str:
    """Text as LaTeX shows it."""
    return _PATTERN.sub(lambda match: _SPECIAL[match[0]], " ".join(text.split()))


def latex_table(rows: Sequence[StudyRow]) -> str:
    """The tabular of a study; a comment line says whose it is. Columns that are empty in all rows are left out."""
    first = rows[0]
    columns = [column for column in _columns(rows) if column[0] == "Protocol" or any(column[1])]
    columns = columns if first.kind != "roles" else [column for column in columns if column[0] != "Protocol"]
    heads = " & ".join(head for head, _ in columns)
    align = "".join("r" if head.startswith(("ours", "paper")) and first.kind != "roles" else "l" for head, _ in columns)
    lines = [
        f"% {' '.join(first.title.split())}. Study {first.study}, suite {first.suite}. Needs \\usepackage{{booktabs}}.",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        rf"{heads} \\",
        *_body(rows, list(zip(*(cells for _, cells in columns), strict=True))),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def header(rows: Sequence[StudyRow]) -> str:
    """What stands above our numbers: the suite where it is not the paper's, and whether models were untrained."""
    shown = [row for row in rows if row.value is not None]
    untrained = [row.untrained for row in shown]
    parts = [shown[0].suite] if shown else []
    if any(untrained):
        parts.append("untrained" if all(untrained) else "* untrained")
    return f"ours ({', '.join(parts)})" if parts else "ours"


def _columns(rows: Sequence[StudyRow]) -> list[tuple[str, list[str]]]:
    """(head, cells) of every column there can be."""
    mixed = {row.untrained for row in rows if row.value is not None} == {True, False}
    metrics = {row.metric for row in rows}
    return [
        ("", [_once(rows, number) for number in range(len(rows))]),
        ("", [escape(row.detail) for row in rows]),
        ("Figure", [escape(METRICS[row.metric]) if metrics - {"omega", "text"} else "" for row in rows]),
        ("Protocol", [escape(row.protocol) for row in rows]),
        (escape(header(rows)), [_ours(row, mixed) for row in rows]),
        ("interval", [_interval(row) for row in rows]),
        ("paper", [_published(row) for row in rows]),
        ("Remark", [escape(row.remark) for row in rows]),
    ]


def _once(rows: Sequence[StudyRow], number: int) -> str:
    """The label, unless the row above carries it already as one and the same entry."""
    above = rows[number - 1] if number else None
    same = above is not None and above.row == rows[number].row and above.label == rows[number].label
    return "" if same else escape(rows[number].label)


def _body(rows: Sequence[StudyRow], cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines of the table; where the protocol changes a rule and a heading keep the parts apart."""
    several = len({row.protocol for row in rows}) > 1
    lines, protocol = [], None
    for row, texts in zip(rows, cells, strict=True):
        if row.protocol != protocol:
            lines.append(r"\midrule")
            if several:
                lines.append(rf"\multicolumn{{{len(texts)}}}{{l}}{{\emph{{{escape(row.protocol)}}}}} \\")
            protocol = row.protocol
        lines.append(" & ".join(texts) + r" \\")
    return lines


def _ours(row: StudyRow, mixed: bool) -> str:
    if row.value is None or isinstance(row.value, str):
        return escape(row.value or "")
    text = _signed(row, f"{row.value:.4f}")
    if row.sd is not None:
        text += rf" $\pm$ {row.sd:.4f} ({row.seeds} seeds)"
    return f"{text}*" if mixed and row.untrained else text


def _interval(row: StudyRow) -> str:
    return f"[{', '.join(_signed(row, f'{end:.4f}') for end in ends)}]" if (ends := ends_of(row)) else ""


def _published(row: StudyRow) -> str:
    """As the paper writes it, so far as a number in YAML keeps that."""
    if row.published is None or isinstance(row.published, str):
        return escape(row.published or "")
    digits = max(3, len(repr(float(row.published)).partition(".")[2]))
    return _signed(row, f"{row.published:.{digits}f}")


def _signed(row: StudyRow, text: str) -> str:
    """A change carries its sign, a minus of full length."""
    if row.metric != "change":
        return text
    return f"$-${text[1:]}" if text.startswith("-") else f"+{text}"
