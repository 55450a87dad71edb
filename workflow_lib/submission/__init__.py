"""Submission to the challenge: writing a package, and checking any package, ours or another team's.

`python -m workflow_lib.submission <zip or folder>` lists what is wrong with a package (docs/submission.md).
"""
