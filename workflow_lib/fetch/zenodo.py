"""What a record of Zenodo holds, from its API: names, sizes, sums and addresses of its files."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from workflow_lib.errors import UserError
from workflow_lib.fetch.connection import Session, check_host, read_small
from workflow_lib.fetch.lock import RemoteFile

MAX_BYTES = 32_000_000  # of an answer; real ones have some kB
SUM = re.compile(r"(?:md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})")


def read_record(session: Session, records_url: str, record: int) -> dict[str, RemoteFile]:
    """Files of a record by name, in its order; UserError of one line where the answer is not that of a record."""
    url = f"{records_url.rstrip('/')}/{record}"
    body = read_small(session, url, MAX_BYTES)
    try:
        answer = json.loads(body)
    except ValueError:
        raise UserError(f"{url}: the answer is not JSON: check fetch.records_url and the proxy") from None
    files = {entry.name: entry for entry in _files(record, url, answer)}
    if not files:
        raise UserError(f"{url}: the record lists no files: it was withdrawn or is restricted; look at its page")
    for entry in files.values():
        check_host(entry.url, url, session.hosts)
    return files


def _files(record: int, url: str, answer: object) -> Iterator[RemoteFile]:
    for entry in _entries(answer):
        try:
            yield _file(record, url, entry)
        except (KeyError, TypeError, ValueError) as error:
            what = f"a file of the record has no proper {error.args[0]}"
            raise UserError(f"{url}: {what}: the API has changed; ask the maintainers of this workflow") from None


def _entries(answer: object) -> list[Any]:
    """Entries of the field `files`: a list; in InvenioRDM's own format a mapping with the entries inside."""
    files = answer.get("files") if isinstance(answer, Mapping) else None
    if isinstance(files, Mapping):
        files = files.get("entries", files)
    if isinstance(files, Mapping):
        files = [{"key": name, **entry} if isinstance(entry, Mapping) else entry for name, entry in files.items()]
    return files if isinstance(files, list) else []


def _file(record: int, url: str, entry: Mapping[str, Any]) -> RemoteFile:
    """Raises KeyError or ValueError with the name of the field at fault."""
    name = _first(entry, "key", "filename", word="name")
    size = _first(entry, "size", "filesize", word="size")
    checksum = str(_first(entry, "checksum", word="checksum")).lower()
    checksum = checksum if ":" in checksum else f"md5:{checksum}"  # the deposit API writes bare digits
    if not isinstance(name, str) or not name or set(name) & set('/\\\0"\n\r') or name.startswith("."):
        raise ValueError("name")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ValueError("size")
    if not SUM.fullmatch(checksum):
        raise ValueError("checksum")
    return RemoteFile(record, name, size, checksum, _link(url, name, entry))


def _first(entry: Mapping[str, Any], *keys: str, word: str) -> Any:
    for key in keys:
        if key in entry:
            return entry[key]
    raise KeyError(word)


def _link(url: str, name: str, entry: Mapping[str, Any]) -> str:
    """Address of the content: `self` is that in the public API, but the description in InvenioRDM's own format."""
    links = entry.get("links") or {}
    for key in ("content", "download", "self"):
        if isinstance(links.get(key), str):
            return links[key]
    return f"{url}/files/{quote(name)}/content"
