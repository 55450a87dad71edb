"""Data and weights from where they are published: each file is the right bytes, or is not there.

`download` gets one file; `records`, `lock` and `archive` know Zenodo's records, what was seen there first, and zips.
"""
