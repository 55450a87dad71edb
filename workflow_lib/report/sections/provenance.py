"""What the page says of the packages that made its numbers."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("snakemake", "numpy", "scipy", "scikit-learn", "torch", "timm", "transformers", "peft", "pulp", "soundfile")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers come from; one that is not installed is left out."""
    return {"Python": platform.python_version(), **{name: found for name in PACKAGES if (found := _version(name))}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
