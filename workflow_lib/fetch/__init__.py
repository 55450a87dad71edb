"""Data and weights from where they are published: each file is the right bytes, or is not there.

`download` gets one file; `zenodo` reads its records, `lock` keeps what was seen first, `archive` unpacks zips.
"""
