"""The rooms of the library: arrows between packages run one way, and the DAG parse imports next to nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

LIBRARY = ROOT / "workflow_lib"
# From what anybody may import to what stands on everything else; docs/design.md has one sentence on each.
GROUND_FLOOR = {"errors", "job", "digest", "files", "forked", "csv_rows", "progress", "metrics", "protocols"}
ORDER = [
    "fetch",
    "config",
    "channels",
    "dataset",
    "simulation",
    "plan",
    "encoders",
    "adaptation",
    "embedding",
    "scoring",
    "autoencoder",
    "fusion",
    "evaluation",
    "report",
    "studies",
    "submission",
    "run",
    "cluster",
]
DAG_PACKAGES = {"yaml", "jsonschema"}  # with what they import themselves, such as attrs


def imported_names(path: Path) -> set[str]:
    """Dotted names of this library that a module imports anywhere in its text, also inside functions."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {
        f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes), f"{path}: a relative import"
    return {name for name in names if name.startswith("workflow_lib.")}


def room(dotted: str) -> str:
    """Package, or module of the ground floor, that a dotted name lies in."""
    return dotted.split(".")[1]


def arrows(library: Path) -> dict[tuple[str, str], list[str]]:
    """(room, room that it imports) -> the modules that do."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(library.rglob("*.py")):
        relative = path.relative_to(library)
        here = relative.parts[0].removesuffix(".py")
        for name in imported_names(path):
            if here != room(name) and here != "__init__" and room(name) != "__version__":
                found.setdefault((here, room(name)), []).append(str(relative))
    return found


def wrong_arrows(library: Path) -> list[str]:
    """Arrows that run back up, or from the ground floor into a package, with the modules that draw them."""
    place = {name: number for number, name in enumerate(ORDER, 1)}
    return [
        f"{a} imports {b}: {', '.join(modules)}"
        for (a, b), modules in arrows(library).items()
        if (b in place and place[b] >= place.get(a, 0))
    ]


def test_every_module_and_folder_has_its_place():
    packages = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    assert packages == set(ORDER)
    assert {path.stem for path in LIBRARY.glob("*.py")} == GROUND_FLOOR | {"__init__"}
    tests = {path.name for path in (ROOT / "tests" / "unit").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert tests == set(ORDER)


def test_every_package_says_what_is_in_it():
    for name in ORDER:
        text = ast.get_docstring(ast.parse((LIBRARY / name / "__init__.py").read_text(encoding="utf-8")))
        assert text and text.split("\n")[0].endswith("."), name


def test_arrows_run_one_way():
    assert len(arrows(LIBRARY)) > 30
    assert not wrong_arrows(LIBRARY)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("scoring/late.py", "from workflow_lib.fusion.cross_fit import cross_fit"),
        ("files.py", "import workflow_lib.plan.paths"),
    ],
)
def test_an_arrow_that_runs_back_up_is_found(tmp_path, where, what):
    (tmp_path / "scoring").mkdir()
    (tmp_path / where).write_text(f"def f():\n    {what}\n", encoding="utf-8")
    assert len(wrong_arrows(tmp_path)) == 1


def test_the_dag_parse_imports_the_standard_library_yaml_and_jsonschema():
    """Every package outside the standard library that the modules named by Snakefile and rules load, by its file."""
    texts = [(ROOT / "Snakefile"), *sorted((ROOT / "rules").glob("*.smk"))]
    lines = [line for path in texts for line in path.read_text(encoding="utf-8").splitlines()]
    # Indented imports stand in onstart and the like, which a dry run does not execute.
    imports = [line for line in lines if line.startswith(("from workflow_lib", "import workflow_lib"))]
    assert len(imports) > 5
    code = "\n".join(
        [
            "import sys, sysconfig",
            "import yaml, jsonschema",
            "before = set(sys.modules)",
            *imports,
            "site = tuple({sysconfig.get_path('purelib'), sysconfig.get_path('platlib')})",
            "files = {n: getattr(m, '__file__', None) or '' for n, m in sys.modules.items() if n not in before}",
            "print(*sorted({n.split('.')[0] for n, f in files.items() if f.startswith(site)}))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - DAG_PACKAGES
    # jsonschema loads its own helpers when a schema is used first.
    assert loaded <= {"attr", "attrs", "referencing", "rpds", "jsonschema_specifications", "_distutils_hack"}


PUBLIC = {  # what other programs import and no torch is needed for
    "channels": "Cancellation cancel_far cancelled_spectrum channel_waveforms istft stft",
    "dataset": "ClipName parse_clip_name",
    "metrics": "MachineMetrics machine_metrics official_score",
    "scoring": "Conditioner ScoreTable domain_conditioned_score local_density_score read_scores write_scores",
    "fusion": "CrossFit Fold Fusion RobustSigmoid cross_fit fit_fusion simplex_grid",
    "encoders": "load_encoder",
    "embedding": "open_store read_residuals read_statistics",
    "evaluation": "Resampling compare leave_one_branch_out resample",
    "report": "build_report",
    "simulation": "machine_kinds",
}


def imports_in_a_new_process(public: dict[str, str], check: str) -> str:
    lines = [f"from workflow_lib.{name} import {', '.join(names.split())}" for name, names in public.items()]
    code = "; ".join(["import sys", *lines, check])
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_what_scores_without_weights_needs_no_torch():
    jobs = {"embedding.spectra": "embed_spectra", "encoders.logmel": "load_logmel", "scoring.job": "score_model"}
    assert imports_in_a_new_process(jobs, "load_logmel(); print('torch' in sys.modules)").split() == ["False"]


def test_public_names_come_from_their_packages_without_torch():
    assert imports_in_a_new_process(PUBLIC, "print('torch' in sys.modules)").split() == ["False"]


def test_the_autoencoder_is_public_too():
    names = "Autoencoder log_mel_vectors mahalanobis_score mse_score"
    assert imports_in_a_new_process({"autoencoder": names}, "print('torch' in sys.modules)").split() == ["True"]
