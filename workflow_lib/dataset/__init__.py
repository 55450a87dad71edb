"""Recordings: clip names, ground truth, survey of folders, audio, manifest, loader and quality of recordings.

Only the standard library at import: the DAG needs clip names.
"""

from workflow_lib.dataset.clip_name import ClipName, parse_clip_name

__all__ = ["ClipName", "parse_clip_name"]
