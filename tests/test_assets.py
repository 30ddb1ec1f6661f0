"""svlearn.assets: which file is taken, and that a wrong one never is. Downloads come from a server in this process."""

import gzip
import hashlib
import io
import re
import resource
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from svlearn import assets as module
from svlearn.assets import fetch
from svlearn.public_files import ASSETS, Asset

NAME = "some/file.txt"
CONTENT = b"the right bytes\n"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def asset_at(address: str, content: bytes, text: bytes | None = None) -> Asset:
    class Local(Asset):
        address = property(lambda self: address)

    return Local(("owner/name", "0" * 40), "file.txt", sha256(content), "MIT", None if text is None else sha256(text))


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty folders: what the user holds, what is cached, and what the server gives."""
    made = {name: tmp_path / name for name in ("assets", "cache", "served")}
    for folder in made.values():
        folder.mkdir()
    monkeypatch.setenv("SVLEARN_ASSETS", str(made["assets"]))
    monkeypatch.setenv("SVLEARN_CACHE", str(made["cache"]))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return made


@pytest.fixture
def server(folders):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folders["served"])) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def register(monkeypatch):
    return lambda asset, name=NAME: monkeypatch.setitem(ASSETS, name, asset)


def write(folder, content: bytes, name: str = NAME):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def archive(*texts: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for index, text in enumerate(texts):
            member = tarfile.TarInfo(f"file{index}.txt")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return buffer.getvalue()


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"name: expected one of .*molecules/qm9_smiles\.csv.*got 'qm9'"):
        fetch("qm9")


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_names_a_fixed_version(name):
    asset = ASSETS[name]
    assert re.fullmatch(r"[0-9a-f]{64}", asset.sha256)
    assert re.fullmatch(r"https://raw\.githubusercontent\.com/[\w-]+/[\w.-]+/[0-9a-f]{40}/[\w./%-]+", asset.address)
    assert asset.licence


@pytest.mark.parametrize("name", ASSETS)
def test_the_files_at_hand_are_the_named_ones(name, assets):
    path = assets(name)
    assert fetch(name) == path
    assert sha256(path.read_bytes()) == ASSETS[name].sha256


def test_the_text_sum_is_that_of_the_packed_text(assets):
    name = "molecules/zinc250k_smiles.txt.gz"
    assert sha256(gzip.decompress(assets(name).read_bytes())) == ASSETS[name].text_sha256


def test_the_folder_of_the_user_comes_first(folders, register, server):
    register(asset_at(f"{server}/file.txt", CONTENT))
    write(folders["cache"], CONTENT)
    path = write(folders["assets"], CONTENT)
    assert fetch(NAME) == path


def test_a_corrupt_file_in_the_folder_is_refused(folders, register, server):
    register(asset_at(f"{server}/file.txt", CONTENT))
    write(folders["served"], CONTENT, "file.txt")
    write(folders["assets"], CONTENT[:-1])
    with pytest.raises(ValueError, match=f"corrupt: expected SHA-256 {sha256(CONTENT)}, got {sha256(CONTENT[:-1])}"):
        fetch(NAME)


def test_a_cached_file_needs_no_network(folders, register):
    register(asset_at("http://127.0.0.1:1/file.txt", CONTENT))
    path = write(folders["cache"], CONTENT)
    assert fetch(NAME) == path


@pytest.mark.parametrize("cached", [None, b"cut sho"])
def test_a_missing_or_corrupt_cached_file_is_downloaded(cached, folders, register, server):
    register(asset_at(f"{server}/file.txt", CONTENT))
    write(folders["served"], CONTENT, "file.txt")
    if cached is not None:
        write(folders["cache"], cached)
    path = fetch(NAME, progress=False)
    assert path == folders["cache"] / NAME
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("progress", [True, False])
def test_progress_draws_a_bar(progress, folders, register, server, capfd):
    register(asset_at(f"{server}/file.txt", CONTENT))
    write(folders["served"], CONTENT, "file.txt")
    fetch(NAME, progress=progress)
    assert ("100%" in capfd.readouterr().err) == progress


def test_a_download_with_other_bytes_is_refused_and_not_kept(folders, register, server):
    register(asset_at(f"{server}/file.txt", CONTENT))
    write(folders["served"], b"other bytes", "file.txt")
    with pytest.raises(ValueError, match="does not match the known hash"):
        fetch(NAME, progress=False)
    assert not (folders["cache"] / NAME).exists()


def test_without_a_network_the_error_names_address_and_folder(folders, register):
    register(asset_at("http://127.0.0.1:1/file.txt", CONTENT))
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:1/file\.txt .*some/file\.txt .*SVLEARN_ASSETS"):
        fetch(NAME, progress=False)


def test_a_missing_address_is_a_connection_error(folders, register, server):
    register(asset_at(f"{server}/absent.txt", CONTENT))
    with pytest.raises(ConnectionError, match="404"):
        fetch(NAME, progress=False)


def test_the_cache_is_the_systems_own_by_default(monkeypatch):
    monkeypatch.delenv("SVLEARN_CACHE", raising=False)
    assert module.cache_folder().name == "svlearn"


def test_an_archive_is_repacked_whatever_the_gzip_library(folders, register, server):
    name = "some/file.txt.gz"
    register(asset_at(f"{server}/file.tar.gz", b"packed by another library", text=CONTENT), name)
    write(folders["served"], archive(CONTENT), "file.tar.gz")
    path = fetch(name, progress=False)
    assert gzip.decompress(path.read_bytes()) == CONTENT
    assert list(path.parent.iterdir()) == [path]
    (folders["served"] / "file.tar.gz").unlink()
    assert fetch(name) == path


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (archive(b"another text"), "corrupt"),
        (archive(CONTENT, CONTENT), "an archive of one file, got one of 2"),
        (b"no archive at all", "expected a tar archive"),
    ],
)
def test_a_wrong_archive_is_refused(served, message, folders, register, server):
    register(asset_at(f"{server}/file.tar.gz", b"", text=CONTENT), "some/file.txt.gz")
    write(folders["served"], served, "file.tar.gz")
    with pytest.raises(ValueError, match=message):
        fetch("some/file.txt.gz", progress=False)


DESIGNS = b">a:1\nacg\nt\n>b\nTTTT\n>c\nGGGG\n"
MEASURED = "replicate\toligo_name\tlog2FoldChange\tn_bc\n1\tb\t0.5\t9\n1\ta:1\t-1\t3\n2\tb\t0.25\t4\n2\td\t1\t1\n"
JOINED = (
    b"name\tsequence\tlog2_rna_dna_mean\tn_replicates\tmin_barcodes\nb\tTTTT\t0.3750\t2\t4\na:1\tACGT\t-1.0000\t1\t3\n"
)


@pytest.mark.parametrize("number", ["n_bc", "barcodes"])
def test_a_table_is_made_of_designs_and_their_measurements(number, folders, register, server):
    packed = gzip.compress(MEASURED.replace("n_bc", number).encode())
    write(folders["served"], DESIGNS, "designs.fa")
    write(folders["served"], packed, "measured.tsv.gz")
    asset = asset_at(f"{server}/designs.fa", JOINED)
    object.__setattr__(asset, "measured", asset_at(f"{server}/measured.tsv.gz", packed))
    register(asset)
    if number != "n_bc":
        with pytest.raises(ValueError, match="expected a FASTA file and its measurements, got others"):
            fetch(NAME, progress=False)
        return
    path = fetch(NAME, progress=False)
    assert path.read_bytes() == JOINED
    assert list(path.parent.iterdir()) == [path]


def test_the_home_folder_in_either_variable(folders, register, monkeypatch, tmp_path):
    register(asset_at("http://127.0.0.1:1/file.txt", CONTENT))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SVLEARN_ASSETS", "~/assets")
    monkeypatch.setenv("SVLEARN_CACHE", "~/cache")
    path = write(folders["cache"], CONTENT)
    assert fetch(NAME) == path
    path = write(folders["assets"], CONTENT)
    assert fetch(NAME) == path


def test_without_a_home_the_error_names_the_variable(folders, register, monkeypatch, tmp_path):
    register(asset_at("http://127.0.0.1:1/file.txt", CONTENT))
    monkeypatch.delenv("SVLEARN_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user whom the system does not know
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match="SVLEARN_CACHE: expected a folder for downloads, since no home folder is known"
    ):
        fetch(NAME)
    assert not (tmp_path / "~").exists()


def test_a_cache_that_cannot_be_written_is_told_before_the_download(folders, register, monkeypatch, tmp_path):
    register(asset_at("http://127.0.0.1:1/file.txt", CONTENT))
    write(tmp_path, b"", "file")
    monkeypatch.setenv("SVLEARN_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        ValueError, match=r"set SVLEARN_CACHE\): expected a folder that can be written, got '.*file/some'"
    ):
        fetch(NAME)


def test_a_full_disk_names_the_variable(folders, register, server):
    register(asset_at(f"{server}/file.txt", CONTENT * 1000))
    write(folders["served"], CONTENT * 1000, "file.txt")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))  # a write beyond it fails, as on a full disk
    try:
        with pytest.raises(OSError, match=r"some/file.txt: could not be written \(.*SVLEARN_CACHE"):
            fetch(NAME, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((folders["cache"] / "some").iterdir())


@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: packed[:20] + b"\0" + packed[21:]])
def test_a_damaged_text_is_refused_whatever_is_wrong_with_it(damage, folders, register):
    register(asset_at("http://127.0.0.1:1/file.tar.gz", b"", text=CONTENT), "some/file.txt.gz")
    packed = gzip.compress(CONTENT * 10)
    write(folders["assets"], damage(packed), "some/file.txt.gz")
    with pytest.raises(ValueError, match=r"some/file.txt.gz: the file is corrupt"):
        fetch("some/file.txt.gz")


def test_a_folder_of_a_home_that_is_not_known_names_its_variable(monkeypatch):
    monkeypatch.setenv("SVLEARN_ASSETS", "~nobody_of_this_name/files")
    with pytest.raises(ValueError, match="SVLEARN_ASSETS: expected a folder of files, .*set HOME"):
        fetch("docking/parp1.pdbqt")
