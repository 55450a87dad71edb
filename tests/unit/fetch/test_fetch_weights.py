"""Weights from where they are published: the right file or none, licences accepted first, nothing unpickled."""

import hashlib
import json
import pickle
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from fetch_server import Page, Site, fill_hub_cache, zipped
from huggingface_hub import constants

from workflow_lib.errors import UserError
from workflow_lib.fetch import licence
from workflow_lib.fetch import published as facts
from workflow_lib.fetch.licence import OWN_FILE, RANDOM, licence_of
from workflow_lib.fetch.lock import WEIGHTS_LOCK as LOCK
from workflow_lib.fetch.lock import seen_weights
from workflow_lib.fetch.published import WEIGHT_SUFFIXES, Published, meant_by, restricted_encoders
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
    return zipped({f"{folder}/{name}": body, f"{folder}/README.txt": b"about"})


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def site(site, tmp_path, monkeypatch):
    """A server in place of Hugging Face, GitHub and Zenodo, and a folder of its own to run in."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))  # read from the environment at import
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    set_endpoint(monkeypatch, site.url("/hf"))
    publish(monkeypatch, m2d=[replace(M2D, archive=site.url("/m2d.zip"))])
    for file in (EAT, EAT_PRETRAINED, CED):
        put(site, file, tensors(file.name))
    site.put("/m2d.zip", legacy_zip())
    return site


def put(site: Site, file: Published, body: bytes, **settings) -> Page:
    return site.put_weights(file.huggingface, file.file, body, **settings)


def set_endpoint(monkeypatch, url: str) -> None:
    """What HF_ENDPOINT does before the import."""
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


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


def put_here(path: str | Path, body: bytes) -> Path:
    """A file in the folder of the run."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(body)
    return Path(path)


def fault(*entries: dict[str, str], section: dict = SECTION) -> list[str]:
    with pytest.raises(UserError) as caught:
        fetch_weights(entries, section)
    return str(caught.value).splitlines()


def names() -> set[str]:
    """Everything in the folder of the run but the server's own."""
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def assert_all_fetched() -> None:
    """The files of WANTED are there, and nothing beside them but the lock."""
    assert Path("weights/eat/model.safetensors").read_bytes() == tensors(EAT.name)
    assert Path("weights/ced/model.safetensors").read_bytes() == tensors(CED.name)
    assert Path(f"weights/m2d/{M2D.name}/{M2D.file}").read_bytes() == PICKLED
    assert names() == {*seen_weights(), str(LOCK)}


# ---- the facts -------------------------------------------------------------------------------------------------------


def test_the_facts_of_every_published_file_are_whole():
    assert set(REAL) == {"eat", "ced", "m2d"}
    for file in (file for files in REAL.values() for file in files):
        assert len([source for source in (file.huggingface, file.archive, file.url) if source]) == 1
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
    assert_all_fetched()
    seen = seen_weights()["weights/ced/model.safetensors"]
    assert (seen.sha256, seen.size) == (sha256(tensors(CED.name)), len(tensors(CED.name)))
    assert (seen.published, seen.source) == (CED.name, site.url(hf_path(CED)))
    told = capsys.readouterr().out
    for file, path in zip((CED, EAT, M2D), seen_weights(), strict=True):
        assert f"{file.title}: {file.licence}, {file.licence_url}" in told.split(f"{path}: fetched")[0]


def test_only_what_is_wanted_is_asked_for_and_a_second_time_nothing(site, capsys):
    fetch_weights([WANTED["eat"]], SECTION)
    assert {path for path, _ in site.requests} == {hf_path(EAT)}
    fetch_weights([], SECTION)
    assert "No weights are needed" in capsys.readouterr().out
    fetch_weights(WANTED.values(), ACCEPTED)
    capsys.readouterr()
    asked, lock = len(site.requests), LOCK.read_bytes()
    fetch_weights(WANTED.values(), SECTION)
    assert len(site.requests) == asked and LOCK.read_bytes() == lock
    assert capsys.readouterr().out.count("there already") == 3
    assert licence_of("m2d", {"m2d": {"kind": "frozen", **WANTED["m2d"]}}).startswith(M2D.title)
    assert not Path("unpickled").exists()


def test_restricted_licences_are_accepted_first_all_in_one_go(site):
    ced, m2d = fault(*WANTED.values())
    assert ced.startswith("models.ced.checkpoint: ") and m2d.startswith("models.m2d.checkpoint: ")
    assert "GPL-3.0" in ced and "https://github.com/RicherMans/CED" in ced
    assert "NTT's evaluation licence" in m2d and m2d.endswith("add m2d to fetch.accept_licence")
    assert not site.requests and not Path("weights").exists()


def test_a_file_on_disk_is_taken_and_recorded_and_must_not_change(site):
    path = put_here(f"weights/m2d/{M2D.name}/mine.pth", b"\x80mine")
    fetch_weights([WANTED["m2d"]], SECTION)
    assert not site.requests
    seen = seen_weights()[path.as_posix()]
    assert (seen.sha256, seen.source, seen.published) == (sha256(b"\x80mine"), "on disk", None)
    changed = put_here(path, b"\x80other").read_bytes()
    (line,) = fault(WANTED["m2d"])
    assert line.startswith(f"{path}: sha256 is {sha256(changed)}, when it was first met {seen.sha256}")


def test_the_same_file_is_asked_of_the_server_again_after_it_was_lost(site):
    fetch_weights([WANTED["eat"]], SECTION)
    path = Path(WANTED["eat"]["checkpoint"])
    path.unlink()
    put(site, EAT, tensors("another version"))
    (line,) = fault(WANTED["eat"])
    assert f"sha256 is {sha256(tensors('another version'))}" in line
    assert not path.exists()
    put(site, EAT, tensors(EAT.name))
    fetch_weights([WANTED["eat"]], SECTION)
    assert path.read_bytes() == tensors(EAT.name)


HALF_PICKLE = legacy_zip(body=legacy_zip()[: len(legacy_zip()) // 2])


@pytest.mark.parametrize(
    ("encoder", "body", "words"),
    [
        ("eat", b"<!DOCTYPE html><p>Please log in", "no weight file, it begins with b'<!DOCTYPE'"),
        ("eat", tensors(EAT.name)[:5000], "no whole safetensors file"),
        ("eat", tensors(EAT.name)[:60], "no whole safetensors file"),
        ("m2d", HALF_PICKLE, "the file is cut off"),
        ("m2d", legacy_zip(name="other.pth"), f"holds 0 files {M2D.file}"),
        ("m2d", legacy_zip(folder="../.."), "out of the folder"),
        ("eat", None, "404"),
    ],
)
def test_what_is_no_whole_weight_file_is_not_taken(site, encoder, body, words):
    """A page of a proxy, a file that ends too early, an archive of something else."""
    place = hf_path(EAT) if encoder == "eat" else "/m2d.zip"
    if body is None:
        del site.pages[place]
    else:
        site.pages[place].body = body
    (line,) = fault(WANTED[encoder], section=ACCEPTED)
    assert words in line
    (line,) = fault(want("eat", f"weights/{EAT_PRETRAINED.name}"))  # its sum is another than the pinned one
    assert f"expected is {EAT_PRETRAINED.sha256}" in line
    assert not names() and not Path(f"weights/{EAT_PRETRAINED.name}").exists()


def test_a_damaged_file_in_the_cache_is_not_taken(site, tmp_path):
    fill_hub_cache(tmp_path / "hub", CED.huggingface, CED.file, tensors("cached")[:-1])
    (line,) = fault(WANTED["ced"])
    assert line.startswith(str(cached_file(CED))) and "no whole safetensors file" in line
    assert not [name for name in names() if name.startswith("weights")]
    assert cached_file(CED).exists()


def test_a_connection_that_breaks_off_is_resumed(site, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr("time.sleep", lambda _: None)
    page = put(site, EAT, tensors(EAT.name), steps=[{"drop": 20_000}])
    fetch_weights([WANTED["eat"]], SECTION)
    assert Path(WANTED["eat"]["checkpoint"]).read_bytes() == page.body
    assert site.requests[-1][1]["Range"] == "bytes=20000-"


def test_a_run_that_was_killed_before_the_last_step_is_taken_up(site):
    """What a kill can leave: a whole download, a zip that is half unpacked, a copy from the cache that is cut off."""
    put_here(f"weights/eat/.{EAT.name}.folder/half.incomplete", tensors(EAT.name)[:100])
    put_here(f"weights/ced/.{CED.name}.fetched", tensors(CED.name)[:100])
    put_here(f"weights/m2d/.{M2D.name}.zip", legacy_zip())
    put_here(f"weights/m2d/.{M2D.name}.unpacked/{M2D.file}", b"half")
    fetch_weights(WANTED.values(), ACCEPTED)
    assert {path for path, _ in site.requests} == {hf_path(EAT), hf_path(CED)}
    assert_all_fetched()


def test_a_redirect_to_an_unlisted_host_is_refused_and_can_be_allowed(site):
    site.put("/elsewhere", tensors(EAT.name))
    put(site, EAT, tensors(EAT.name), redirect=site.url("/elsewhere", host="localhost"))
    (line,) = fault(WANTED["eat"])
    assert "add localhost to fetch.hosts" in line and not site.asked("/elsewhere")
    fetch_weights([WANTED["eat"]], {**SECTION, "hosts": ["localhost"]})
    assert Path(WANTED["eat"]["checkpoint"]).read_bytes() == tensors(EAT.name)


def test_a_proxy_of_the_environment_is_used(site, monkeypatch):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", site.url(""))
    monkeypatch.setenv("http_proxy", site.url(""))
    set_endpoint(monkeypatch, "http://huggingface.invalid")
    address = f"http://huggingface.invalid/{EAT.huggingface}/resolve/main/{EAT.file}"
    site.pages[address] = site.pages[hf_path(EAT)]
    fetch_weights([WANTED["eat"]], SECTION)
    assert {path for path, _ in site.requests} == {address}


def test_offline_is_respected_and_said_and_the_cache_of_hugging_face_is_looked_into_first(site, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    lines = fault(WANTED["eat"], WANTED["m2d"], section=ACCEPTED)
    assert [line.split(":")[0] for line in lines] == ["models.eat.checkpoint", "models.m2d.checkpoint"]
    assert all("HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids connections" in line for line in lines)
    fill_hub_cache(tmp_path / "hub", CED.huggingface, CED.file, tensors("cached"))
    fetch_weights([WANTED["ced"]], SECTION)
    path = Path(WANTED["ced"]["checkpoint"])
    assert path.read_bytes() == tensors("cached") and not path.is_symlink()
    assert not site.requests
    assert seen_weights()[path.as_posix()].published == CED.name


def test_without_a_network_it_is_one_line(site, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        set_endpoint(monkeypatch, f"http://127.0.0.1:{closed.getsockname()[1]}")
    monkeypatch.setattr("time.sleep", lambda _: None)
    (line,) = fault(WANTED["eat"])
    assert "the connection failed (Connection refused)" in line
    assert not LOCK.exists()


def test_weights_published_nowhere_folders_with_several_and_a_damaged_lock_are_one_line_each(site):
    for name in ("a.pth", "b.pth"):
        put_here(f"{WANTED['m2d']['checkpoint']}/{name}", b"\x80")
    nowhere, several = fault(want("huggingface", "weights/ast"), WANTED["m2d"])
    assert nowhere.startswith("models.huggingface.checkpoint: there is no weights/ast, and no published file is known")
    assert "holds several weight files" in several
    put_here(LOCK, b"{")
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


def test_every_model_has_a_licence(site):
    wanted = {
        "ae": "trained here",
        "eat": "EAT-Base, AS2M-finetuned, MIT",
        "ced": "CED-Base, GPL-3.0 (repository)",
        "drawn": RANDOM,
        "ast": OWN_FILE,
        "dualmic": "EAT-Base, AS2M-finetuned, MIT; adapted here",
        "small": RANDOM,
        "external": "",
    }
    assert {model: licence_of(model, MODELS) for model in wanted} == wanted


def test_a_file_with_another_sum_than_the_published_one_is_the_users_own(site):
    fetch_weights([WANTED["ced"]], ACCEPTED)
    assert licence_of("ced", MODELS) == "CED-Base, GPL-3.0 (repository)"
    put_here(WANTED["ced"]["checkpoint"], tensors("tuned at home"))
    assert licence_of("ced", MODELS) == OWN_FILE
    LOCK.unlink()  # of a file of unknown sum its place decides
    fetch_weights([WANTED["ced"]], SECTION)
    assert licence_of("ced", MODELS) == "CED-Base, GPL-3.0 (repository)"


def test_a_known_sum_decides_over_the_place(site, monkeypatch):
    body = tensors(EAT_PRETRAINED.name)
    pinned = replace(EAT_PRETRAINED, sha256=sha256(body))
    publish(monkeypatch, eat=[EAT, pinned])
    put_here(WANTED["eat"]["checkpoint"], body)
    assert licence_of("eat", MODELS) == "EAT-Base, pretrained, MIT"
