"""What the challenge takes: writing a submission package, and checking any package, ours or another team's.

`python -m workflow_lib.submission <zip or folder>` lists what is wrong with a package (docs/submission.md).
"""
