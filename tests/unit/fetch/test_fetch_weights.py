"""Weights from where they are published: the right file or none, licences accepted first, nothing unpickled."""

import hashlib
import io
import json
import pickle
import socket
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from fetch_server import running_site

from workflow_lib.errors import UserError
from workflow_lib.fetch import licence
from workflow_lib.fetch import published as facts
from workflow_lib.fetch.licence import OWN_FILE, RANDOM, licence_of
from workflow_lib.fetch.published import WEIGHT_SUFFIXES, Published, meant_by, restricted_encoders
from workflow_lib.fetch.weight_lock import LOCK, read_lock
from workflow_lib.fetch.weights import cached_file, fetch_weights

REAL = facts.published()
EAT, EAT_PRETRAINED = REAL["eat"]
CED, CED_PT = REAL["ced"]
M2D = REAL["m2d"][0]
SECTION = {"accept_licence": [], "hosts": [], "attempts": 2, "timeout_s": 5.0}
ACCEPTED = {**SECTION, "accept_licence": ["ced", "m2d"]}


def tensors(text: str = "eat") -> bytes:
    """A safetensors file; longer than one piece of the server."""
    body = text.encode() * 40_000
    entry = {"dtype": "U8", "shape": [len(body)], "data_offsets": [0, len(body)]}
    header = json.dumps({"__metadata__": {"of": text}, "weight": entry}).encode()
    return len(header).to_bytes(8, "little") + header + body


class Opened:
    """Leaves a trace if a pickle is loaded."""

    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


PICKLED = pickle.dumps(Opened())


def legacy_zip(name: str = M2D.file, folder: str = M2D.name, body: bytes = PICKLED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{folder}/{name}", body)
        archive.writestr(f"{folder}/README.txt", "about")
    return packed.getvalue()


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A server in place of Hugging Face, GitHub and Zenodo, and a folder of its own to run in."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)
    with running_site() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url("/hf"))
        publish(monkeypatch, m2d=[replace(M2D, archive=running.url("/m2d.zip"))])
        for file in (EAT, EAT_PRETRAINED, CED):
            running.put(hf_path(file), tensors(file.name))
        running.put("/m2d.zip", legacy_zip())
        yield running


def publish(monkeypatch, **files: list[Published]) -> None:
    """Lay other facts over the real ones."""
    changed = {**facts.published(), **files}
    for module in (facts, licence):
        monkeypatch.setattr(module, "published", lambda: changed)


def hf_path(file: Published) -> str:
    return f"/hf/{file.huggingface}/resolve/main/{file.file}"


def want(encoder: str, checkpoint: str) -> dict[str, str]:
    return {"model": encoder, "encoder": encoder, "checkpoint": checkpoint}


WANTED = {
    "eat": want("eat", "weights/eat/model.safetensors"),
    "ced": want("ced", "weights/ced/model.safetensors"),
    "m2d": want("m2d", f"weights/m2d/{M2D.name}"),
}


def fault(*entries: dict[str, str], section: dict = SECTION) -> list[str]:
    with pytest.raises(UserError) as caught:
        fetch_weights(entries, section)
    return str(caught.value).splitlines()


def names() -> set[str]:
    """Everything in the folder of the run but the server's own."""
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


# ---- the facts -------------------------------------------------------------------------------------------------------


def test_the_facts_of_every_published_file_are_whole():
    assert set(REAL) == {"eat", "ced", "m2d"}
    for file in (file for files in REAL.values() for file in files):
        assert sum(1 for source in (file.huggingface, file.archive, file.url) if source) == 1
        assert file.address.startswith("https://") and file.licence_url.startswith("https://")
        assert Path(file.file).suffix in WEIGHT_SUFFIXES
        assert file.megabytes > 0 and file.licence and file.title
    assert set(restricted_encoders()) == {"ced", "m2d"}
    assert EAT_PRETRAINED.sha256 == "8623072d09aac4f3ad1168b4fed3a24e4f68fe1da25b9fe733375efb237e5f48"


@pytest.mark.parametrize(
    ("encoder", "checkpoint", "name"),
    [
        ("eat", "weights/eat/model.safetensors", EAT.name),
        ("eat", "weights/eat", EAT.name),
        ("eat", "weights/EAT-base_epoch30_pretrain", EAT_PRETRAINED.name),
        ("eat", "weights/EAT-base_epoch30_pretrain/model.safetensors", EAT_PRETRAINED.name),
        ("eat", "weights/mine.safetensors", EAT.name),
        ("eat", "weights/mine.pt", None),
        ("ced", "weights/ced/audiotransformer_base_mAP_4999.pt", CED_PT.name),
        ("ced", "anywhere.pt", CED_PT.name),
        ("m2d", "weights/m2d_as_vit_base-80x608p16x16-240213", REAL["m2d"][1].name),
        ("huggingface", "weights/ast", None),
    ],
)
def test_a_checkpoint_names_the_published_file(encoder, checkpoint, name):
    found = meant_by(encoder, checkpoint)
    assert (found and found.name) == name


# ---- fetching --------------------------------------------------------------------------------------------------------


def test_weights_come_to_the_places_of_the_configuration(site, capsys):
    fetch_weights(WANTED.values(), ACCEPTED)
    assert Path("weights/eat/model.safetensors").read_bytes() == tensors(EAT.name)
    assert Path("weights/ced/model.safetensors").read_bytes() == tensors(CED.name)
    assert Path(f"weights/m2d/{M2D.name}/{M2D.file}").read_bytes() == PICKLED
    assert names() == {*read_lock(), str(LOCK)}
    seen = read_lock()["weights/ced/model.safetensors"]
    assert (seen.sha256, seen.size) == (sha256(tensors(CED.name)), len(tensors(CED.name)))
    assert (seen.published, seen.source) == (CED.name, site.url(hf_path(CED)))
    told = capsys.readouterr().out
    for file, path in zip((CED, EAT, M2D), read_lock(), strict=True):
        assert f"{file.title}: {file.licence}, {file.licence_url}" in told.split(f"{path}: fetched")[0]


def test_only_what_is_wanted_is_asked_for(site, capsys):
    fetch_weights([WANTED["eat"]], SECTION)
    assert {path for path, _ in site.requests} == {hf_path(EAT)}
    fetch_weights([], SECTION)
    assert "No weights are needed" in capsys.readouterr().out


def test_a_second_time_nothing_is_asked_for(site, capsys):
    fetch_weights(WANTED.values(), ACCEPTED)
    asked, lock = len(site.requests), LOCK.read_bytes()
    fetch_weights(WANTED.values(), SECTION)
    assert len(site.requests) == asked and LOCK.read_bytes() == lock
    assert capsys.readouterr().out.count("there already") == 3


def test_nothing_is_ever_unpickled(site):
    fetch_weights([WANTED["m2d"]], ACCEPTED)
    fetch_weights([WANTED["m2d"]], SECTION)
    licence_of("m2d", {"m2d": {"kind": "frozen", **WANTED["m2d"]}})
    assert not Path("unpickled").exists()


def test_restricted_licences_are_accepted_first_all_in_one_go(site):
    lines = fault(*WANTED.values())
    assert [line.split(":")[0] for line in lines] == ["models.ced.checkpoint", "models.m2d.checkpoint"]
    assert "GPL-3.0" in lines[0] and "https://github.com/RicherMans/CED" in lines[0]
    assert "NTT's evaluation licence" in lines[1] and lines[1].endswith("add m2d to fetch.accept_licence")
    assert not site.requests and not Path("weights").exists()


def test_a_file_on_disk_is_taken_and_recorded(site):
    path = Path("weights/m2d") / M2D.name / "mine.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x80mine")
    fetch_weights([WANTED["m2d"]], SECTION)
    assert not site.requests
    seen = read_lock()[path.as_posix()]
    assert (seen.sha256, seen.source, seen.published) == (sha256(b"\x80mine"), "on disk", None)


def test_a_file_that_changes_after_it_was_met_is_said(site):
    path = Path(WANTED["eat"]["checkpoint"])
    path.parent.mkdir(parents=True)
    path.write_bytes(tensors("one"))
    fetch_weights([WANTED["eat"]], SECTION)
    path.write_bytes(tensors("two"))
    (line,) = fault(WANTED["eat"])
    assert line.startswith(f"{path}: sha256 is {sha256(tensors('two'))}, when it was first met")
    assert path.read_bytes() == tensors("two")


def test_the_same_file_is_asked_of_the_server_again_after_it_was_lost(site):
    fetch_weights([WANTED["eat"]], SECTION)
    path = Path(WANTED["eat"]["checkpoint"])
    path.unlink()
    site.put(hf_path(EAT), tensors("another version"))
    (line,) = fault(WANTED["eat"])
    assert f"sha256 is {sha256(tensors('another version'))}" in line
    assert not path.exists()
    site.put(hf_path(EAT), tensors(EAT.name))
    fetch_weights([WANTED["eat"]], SECTION)
    assert path.read_bytes() == tensors(EAT.name)


def test_a_pinned_file_with_another_sum_is_removed(site):
    checkpoint = f"weights/{EAT_PRETRAINED.name}"
    (line,) = fault(want("eat", checkpoint))
    assert f"published is {EAT_PRETRAINED.sha256}" in line
    assert not names() - {str(LOCK)}
    assert not Path(checkpoint).exists()


def test_a_page_in_place_of_weights_is_no_weight_file(site):
    site.put(hf_path(EAT), b"<!DOCTYPE html><p>Please log in")
    (line,) = fault(WANTED["eat"])
    assert "no weight file, it begins with b'<!DOCTYPE'" in line
    assert not names() and not LOCK.exists()


@pytest.mark.parametrize("kept", [5000, 60])
def test_weights_that_are_cut_off_are_not_taken(site, kept):
    """As a server sends them that says no length and closes in the middle."""
    site.put(hf_path(EAT), tensors(EAT.name)[:kept], length=False)
    (line,) = fault(WANTED["eat"])
    assert "its header says" in line or "damaged or cut off" in line
    assert not names()


def test_a_zip_of_torch_that_is_cut_off_is_not_taken(site):
    whole = legacy_zip()
    site.put("/m2d.zip", legacy_zip(body=whole[: len(whole) // 2]))
    (line,) = fault(WANTED["m2d"], section=ACCEPTED)
    assert "the file is cut off" in line
    assert not names()


def test_a_damaged_file_in_the_cache_is_not_taken(site, tmp_path):
    cache(tmp_path / "huggingface" / "hub", CED, tensors("cached")[:-1])
    (line,) = fault(WANTED["ced"])
    assert line.startswith(str(cached_file(CED))) and "its header says" in line
    assert not [name for name in names() if name.startswith("weights")]
    assert cached_file(CED).exists()


def test_an_archive_without_the_file_leaves_nothing(site):
    site.put("/m2d.zip", legacy_zip(name="other.pth"))
    (line,) = fault(WANTED["m2d"], section=ACCEPTED)
    assert f"holds no {M2D.file}" in line
    assert not names()


def test_an_archive_that_leads_out_of_the_folder_leaves_nothing(site):
    site.put("/m2d.zip", legacy_zip(folder="../.."))
    (line,) = fault(WANTED["m2d"], section=ACCEPTED)
    assert "out of the folder" in line
    assert not names()


def test_a_connection_that_breaks_off_is_taken_up(site):
    page = site.put(hf_path(EAT), tensors(EAT.name), etag='"1"', steps=[{"drop": 20_000}])
    fetch_weights([WANTED["eat"]], SECTION)
    assert Path(WANTED["eat"]["checkpoint"]).read_bytes() == page.body
    assert site.asked(hf_path(EAT))[1]["Range"] == "bytes=20000-"


def test_a_run_that_was_killed_before_the_last_step_is_taken_up(site):
    """What a kill can leave: a whole download, a zip that is half unpacked, a copy from the cache that is cut off."""
    for folder in ("eat", "ced", f"m2d/.{M2D.name}.unpacked"):
        Path("weights", folder).mkdir(parents=True)
    Path("weights/eat", f".{EAT.name}.fetched").write_bytes(tensors(EAT.name))
    Path("weights/ced", f".{CED.name}.copied").write_bytes(tensors(CED.name)[:100])
    Path("weights/m2d", f".{M2D.name}.zip").write_bytes(legacy_zip())
    Path("weights/m2d", f".{M2D.name}.unpacked", M2D.file).write_bytes(b"half")
    fetch_weights(WANTED.values(), ACCEPTED)
    assert {path for path, _ in site.requests} == {hf_path(CED)}
    assert Path("weights/ced/model.safetensors").read_bytes() == tensors(CED.name)
    assert Path(f"weights/m2d/{M2D.name}/{M2D.file}").read_bytes() == PICKLED
    assert names() - {*read_lock(), str(LOCK)} <= {f"weights/ced/.{CED.name}.copied"}


def test_a_redirect_to_an_unlisted_host_is_refused_and_can_be_allowed(site):
    target = site.url("/elsewhere", host="localhost")
    site.put("/elsewhere", tensors(EAT.name))
    step = {"status": 302, "headers": {"Location": target}}
    site.put(hf_path(EAT), steps=[step, step])
    (line,) = fault(WANTED["eat"])
    assert "fetch.hosts" in line
    fetch_weights([WANTED["eat"]], {**SECTION, "hosts": ["localhost"]})
    assert Path(WANTED["eat"]["checkpoint"]).read_bytes() == tensors(EAT.name)


def test_a_proxy_of_the_environment_is_used(site, monkeypatch):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", site.url(""))
    monkeypatch.setenv("http_proxy", site.url(""))
    monkeypatch.setenv("HF_ENDPOINT", "http://huggingface.invalid")
    address = f"http://huggingface.invalid/{EAT.huggingface}/resolve/main/{EAT.file}"
    site.put(address, tensors(EAT.name))
    fetch_weights([WANTED["eat"]], SECTION)
    assert [path for path, _ in site.requests] == [address]


# ---- offline and cached ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_is_respected_and_said(site, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    lines = fault(WANTED["eat"], WANTED["m2d"], section=ACCEPTED)
    assert [line.split(":")[0] for line in lines] == ["models.eat.checkpoint", "models.m2d.checkpoint"]
    assert all(f"{variable} forbids connections" in line for line in lines)
    assert not site.requests


def cache(home: Path, file: Published, body: bytes) -> None:
    """A file as huggingface_hub keeps it: a blob, a link to it in a snapshot, and a branch that names the snapshot."""
    folder = home / f"models--{file.huggingface.replace('/', '--')}"
    for name in ("blobs", "snapshots/abc", "refs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "blobs" / "b10b").write_bytes(body)
    (folder / "snapshots" / "abc" / file.file).symlink_to(Path("../../blobs/b10b"))
    (folder / "refs" / "main").write_text("abc")


def test_the_cache_of_hugging_face_is_looked_into_first(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cache(tmp_path / "huggingface" / "hub", CED, tensors("cached"))
    fetch_weights([WANTED["ced"]], SECTION)
    path = Path(WANTED["ced"]["checkpoint"])
    assert path.read_bytes() == tensors("cached") and not path.is_symlink()
    assert not site.requests
    assert read_lock()[path.as_posix()].published == CED.name


def test_the_cache_is_where_the_environment_says(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub cache"))
    cache(tmp_path / "hub cache", CED, tensors("cached"))
    assert cached_file(CED) is not None
    monkeypatch.delenv("HF_HUB_CACHE")
    assert cached_file(CED) is None
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    cache(tmp_path / "xdg" / "huggingface" / "hub", CED, tensors("cached"))
    assert cached_file(CED) is not None


def test_the_hub_itself_reads_the_cache_in_the_same_place(site, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    cache(tmp_path / "huggingface" / "hub", CED, tensors("cached"))
    theirs = hub.try_to_load_from_cache(CED.huggingface, CED.file, cache_dir=tmp_path / "huggingface" / "hub")
    assert Path(theirs) == cached_file(CED)


def test_without_a_network_it_is_one_line(site, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
    (line,) = fault(WANTED["eat"], section={**SECTION, "attempts": 1})
    assert "no connection" in line
    assert not LOCK.exists()


# ---- what cannot be had ----------------------------------------------------------------------------------------------


def test_weights_published_nowhere_are_one_line(site):
    (line,) = fault(want("huggingface", "weights/ast"))
    assert line.startswith("models.huggingface.checkpoint: there is no weights/ast, and no published file is known")


def test_a_folder_with_several_weight_files_is_one_line(site):
    folder = Path(WANTED["m2d"]["checkpoint"])
    folder.mkdir(parents=True)
    for name in ("a.pth", "b.pth"):
        (folder / name).write_bytes(b"\x80")
    (line,) = fault(WANTED["m2d"])
    assert "holds several weight files" in line


def test_a_damaged_lock_is_one_line(site):
    LOCK.parent.mkdir()
    LOCK.write_text("{", encoding="utf-8")
    (line,) = fault(WANTED["eat"])
    assert line.startswith(f"{LOCK}: not a lock file of this version")


# ---- the licence of a model ------------------------------------------------------------------------------------------

MODELS = {
    "ae": {"kind": "autoencoder"},
    "eat": {"kind": "frozen", **WANTED["eat"]},
    "ced": {"kind": "frozen", **WANTED["ced"]},
    "drawn": {"kind": "frozen", "encoder": "eat", "checkpoint": "random"},
    "ast": {"kind": "frozen", "encoder": "huggingface", "checkpoint": "weights/ast"},
    "dualmic": {"kind": "adapted", "base": "eat"},
    "small": {"kind": "adapted", "base": "drawn"},
}


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("ae", "trained here"),
        ("eat", "EAT-Base, AS2M-finetuned, MIT"),
        ("ced", "CED-Base, GPL-3.0 (repository)"),
        ("drawn", RANDOM),
        ("ast", OWN_FILE),
        ("dualmic", "EAT-Base, AS2M-finetuned, MIT; adapted here"),
        ("small", RANDOM),
        ("external", ""),
    ],
)
def test_every_model_has_a_licence(site, model, wanted):
    assert licence_of(model, MODELS) == wanted


def test_a_file_with_another_sum_than_the_published_one_is_the_users_own(site):
    fetch_weights([WANTED["ced"]], ACCEPTED)
    assert licence_of("ced", MODELS) == "CED-Base, GPL-3.0 (repository)"
    Path(WANTED["ced"]["checkpoint"]).write_bytes(tensors("tuned at home"))
    assert licence_of("ced", MODELS) == OWN_FILE


def test_a_file_of_unknown_sum_is_what_its_place_says(site):
    path = Path(WANTED["ced"]["checkpoint"])
    path.parent.mkdir(parents=True)
    path.write_bytes(tensors("put here by hand"))
    fetch_weights([WANTED["ced"]], SECTION)
    assert licence_of("ced", MODELS) == "CED-Base, GPL-3.0 (repository)"


def test_a_known_sum_decides_over_the_place(site, monkeypatch):
    body = tensors(EAT_PRETRAINED.name)
    pinned = replace(EAT_PRETRAINED, sha256=sha256(body))
    publish(monkeypatch, eat=[EAT, pinned])
    path = Path(WANTED["eat"]["checkpoint"])
    path.parent.mkdir(parents=True)
    path.write_bytes(body)
    assert licence_of("eat", MODELS) == "EAT-Base, pretrained, MIT"
