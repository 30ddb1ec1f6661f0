"""Named public files, fetched on first use and verified, never shipped; the table of them is `svlearn.public_files`."""

import gzip
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pooch
from requests import RequestException

from svlearn.files import replacing, sha256_of, user_path, writable
from svlearn.public_files import ASSETS, Asset
from svlearn.unpacking import measured_designs, only_text

FOLDER_VARIABLE = "SVLEARN_ASSETS"
CACHE_VARIABLE = "SVLEARN_CACHE"


def fetch(name: str, progress: bool = True) -> Path:
    """The file of that name, verified: from the folder in SVLEARN_ASSETS, else the cache, else its public address.

    name: one of `ASSETS`. progress: draw a bar while a file comes in.
    The cache is the folder in SVLEARN_CACHE, or the system's own for svlearn; ~ is the home folder in both.

    Raises ValueError for an unknown name (listing the known ones), for a file with the wrong SHA-256, and, before
    anything is downloaded, for a cache that is not known or cannot be written; ConnectionError, naming the address,
    where the file cannot be downloaded, and OSError where it cannot be kept.
    """
    if name not in ASSETS:
        raise ValueError(f"name: expected one of {', '.join(ASSETS)}, got {name!r}")
    asset = ASSETS[name]
    folder = _folder()
    if folder is not None and (folder / name).is_file():
        return _verified(asset, folder / name)
    path = cache_folder() / name
    if not (path.is_file() and asset.matches(path)):
        writable(path.parent, f"the cache of downloads (set {CACHE_VARIABLE})")
        _download(asset, path, progress)
    return _verified(asset, path)


def _folder() -> Path | None:
    try:
        return user_path(os.environ[FOLDER_VARIABLE]) if os.environ.get(FOLDER_VARIABLE) else None
    except ValueError as error:
        raise ValueError(f"{FOLDER_VARIABLE}: expected a folder of files, got another ({error})") from error


def cache_folder() -> Path:
    """Where downloads are kept: the folder in SVLEARN_CACHE, or the system's own for svlearn. Raises ValueError where
    none is known."""
    folder = os.environ.get(CACHE_VARIABLE)
    try:
        return user_path(folder or pooch.os_cache("svlearn"))
    except (ValueError, RuntimeError) as error:  # the latter of platformdirs' own, in later versions
        raise ValueError(
            f"{CACHE_VARIABLE}: expected a folder for downloads, since no home folder is known to have one ({error})"
        ) from error


def _download(asset: Asset, path: Path, progress: bool) -> None:
    """Download beside, and rename once the file is known to be what it must be."""
    try:
        with replacing(path) as beside:
            pooch.HTTPDownloader(progressbar=progress)(asset.address, str(beside), None)
            if asset.text_sha256 is not None:
                beside.write_bytes(gzip.compress(only_text(beside), mtime=0))
            if asset.measured is not None:
                with TemporaryDirectory(dir=path.parent) as folder:
                    _download(asset.measured, Path(folder) / "measured", progress)
                    beside.write_bytes(measured_designs(beside, Path(folder) / "measured"))
            if not asset.matches(beside):
                raise ValueError(
                    f"{asset.address}: the download is corrupt, it does not match the known hash: expected SHA-256 "
                    f"{asset.sha256}, got {sha256_of(beside)}"
                )
    except RequestException as error:
        raise ConnectionError(
            f"could not download {asset.address} ({error}); without a network, put the file into a folder as "
            f"{path.parent.name}/{path.name} and name that folder in {FOLDER_VARIABLE}"
        ) from error
    except OSError as error:
        raise OSError(f"{path}: could not be written ({error}); name another folder in {CACHE_VARIABLE}") from error


def _verified(asset: Asset, path: Path) -> Path:
    if not asset.matches(path):
        raise ValueError(f"{path}: the file is corrupt: expected SHA-256 {asset.sha256}, got {sha256_of(path)}")
    return path
