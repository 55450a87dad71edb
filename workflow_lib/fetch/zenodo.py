"""What a record of Zenodo holds, from its API: names, sizes, sums and addresses of its files."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from workflow_lib.errors import UserError
from workflow_lib.fetch.connection import Session, check_host, read_small
from workflow_lib.fetch.lock import RemoteFile

MAX_BYTES = 32_000_000  # of an answer; real ones have some kB
SUM = re.compile(r"(?:md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})")


def read_record(session: Session, records_url: str, record: int) -> list[RemoteFile]:
    """Files of a record, in its order; UserError of one line where the answer is not that of a record."""
    url = f"{records_url.rstrip('/')}/{record}"
    body = read_small(session, url, MAX_BYTES)
    try:
        answer = json.loads(body)
    except ValueError:
        raise UserError(f"{url}: the answer is not JSON: check fetch.records_url and the proxy") from None
    files = [_file(record, url, entry) for entry in _entries(answer)]
    if not files:
        raise UserError(f"{url}: the record lists no files: it was withdrawn or is restricted; look at its page")
    for file in files:
        check_host(file.url, url, session.hosts)
    return files


def _entries(answer: object) -> list[Any]:
    """Entries of the field `files`: a list; in InvenioRDM's own format a mapping with the entries inside."""
    files = answer.get("files") if isinstance(answer, Mapping) else None
    if isinstance(files, Mapping):
        files = files.get("entries", files)
    if isinstance(files, Mapping):
        files = [{"key": name, **entry} if isinstance(entry, Mapping) else entry for name, entry in files.items()]
    return files if isinstance(files, list) else []


def _file(record: int, url: str, entry: Mapping[str, Any]) -> RemoteFile:
    """One file; the names of the fields are those of the public API, or of the deposit API."""
    entry = entry if isinstance(entry, Mapping) else {}
    name: Any = entry.get("key", entry.get("filename"))
    size: Any = entry.get("size", entry.get("filesize"))
    checksum = str(entry.get("checksum")).lower()
    checksum = checksum if ":" in checksum else f"md5:{checksum}"  # the deposit API writes bare digits
    proper = {
        "name": isinstance(name, str) and name and not set(name) & set('/\\\0"\n\r') and not name.startswith("."),
        "size": isinstance(size, int) and not isinstance(size, bool) and size >= 0,
        "checksum": SUM.fullmatch(checksum),
    }
    for field, is_proper in proper.items():
        if not is_proper:
            what = f"a file of the record has no proper {field}"
            raise UserError(f"{url}: {what}: the API has changed; ask the maintainers of this workflow")
    links = entry.get("links") or {}
    # `self` is the content in the public API, but the description in InvenioRDM's own format.
    known = [links[key] for key in ("content", "download", "self") if isinstance(links.get(key), str)]
    known.append(f"{url}/files/{quote(name)}/content")
    return RemoteFile(record, name, size, checksum, known[0])
