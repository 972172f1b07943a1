"""Download published files into a cache, whole and verified or not at all.

The file appears under its own name only after its hash has been checked, or where none is
published, after it could be read. A download with a known hash that breaks off is kept beside its
target, `NAME.part`, and resumes the next time.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdissect.networks.weights.files import open_weights, sha256

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``: called with what is downloaded, and its MiB."""

CHUNK = 1 << 20
TIMEOUT = 30.0
CACHE_VARIABLE = "JAXDISSECT_CACHE"


class PublishedFile(NamedTuple):
    """A file on a server.

    Attributes:
        url: Where it is.
        name: Its name in the cache.
        sha256: Beginning of its SHA-256 hash, as far as it is published, or None.
        megabytes: About how large it is (four bytes per parameter), or None where that is unknown.
    """

    url: str
    name: str
    sha256: str | None = None
    megabytes: float | None = None


def cache_folder() -> Path:
    """Folder of downloads: `$JAXDISSECT_CACHE`, or the user's cache folder of the system."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    import pooch

    return Path(pooch.os_cache("jaxdissect"))


def download(
    file: PublishedFile, folder: Path, *, progress: Progress = lambda what, done, total: None
) -> Path:
    """Return the path of a published file, after downloading it if it is not there.

    Args:
        file: What to get.
        folder: Where it goes.
        progress: Called with what is downloaded, its MiB so far, and its MiB in all.

    Raises:
        OSError: If the file can neither be found nor downloaded; the message names the URL, and
            where to put the file by hand.
        ValueError: If the file is there or was downloaded, but is not the published one.
    """
    from filelock import FileLock

    target = folder / file.name
    if target.exists():
        if file.sha256 is not None:
            _verify(target, file)
        return target
    # Of several processes, one downloads, and the others wait for it.
    lock = FileLock(folder / f".{file.name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as problem:
        raise OSError(f"{target} cannot be written ({problem}), to hold {file.url}") from problem
    try:
        if not target.exists():
            _download(file, folder, progress)
    finally:
        lock.release()
    return target


def _download(file: PublishedFile, folder: Path, progress: Progress) -> None:
    import pooch
    from requests import RequestException

    partial = folder / f"{file.name}.part"
    if file.sha256 is None:
        # Nothing could show whether the rest belongs to what is there.
        partial.unlink(missing_ok=True)

    def partial_progress(done: int, total: int) -> None:
        progress(f"{file.name} (MiB)", done >> 20, total >> 20)

    def receive(url: str, unfinished: Any, _: Any) -> None:
        _receive(url, partial, partial_progress)
        try:
            _verify(partial, file)
        except ValueError:
            partial.unlink()
            raise
        partial.replace(unfinished)

    downloader: Any = receive
    pooch.get_logger().setLevel("WARNING")  # it would advise the user to pin the hash
    try:
        pooch.retrieve(file.url, None, fname=file.name, path=folder, downloader=downloader)
    except (RequestException, OSError) as problem:
        kept = partial.exists() and file.sha256 is not None
        raise OSError(
            f"{file.url} cannot be downloaded ({_reason(problem)})."
            + (" What has arrived is kept, and the next attempt resumes there." if kept else "")
            + f" Or download it in another way and put it at {folder / file.name}"
        ) from problem


def _receive(url: str, partial: Path, progress: Callable[[int, int], None]) -> None:
    """Append to `partial` what is missing of a file; `progress` gets done and total bytes."""
    import requests

    done = partial.stat().st_size if partial.exists() else 0
    # Unpacked on the way, bytes could not be counted.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if done and response.status_code == requests.codes.requested_range_not_satisfiable:
            # Nothing is left to send, or the file on the server is another one: the hash decides.
            return
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        done = done if resumed else 0
        total = done + int(response.headers.get("Content-Length", 0))
        with open(partial, "ab" if resumed else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, max(done, total))


def _verify(path: Path, file: PublishedFile) -> None:
    """Compare the hash, or where none is published, make sure that the file can be read."""
    if file.sha256 is not None:
        found = sha256(path)
        if not found.startswith(file.sha256):
            raise ValueError(
                f"{path} is not what was published as {file.url}: its SHA-256 begins with "
                f"{found[: len(file.sha256)]}, not {file.sha256}; delete it and try again"
            )
        return
    try:
        if file.name.endswith(".json"):
            json.loads(path.read_text(encoding="utf-8"))
        else:
            with open_weights(path, name=file.name) as arrays:
                for array in arrays.values():
                    np.asarray(array)
    except ValueError as problem:
        raise ValueError(f"what {file.url} gives is not what was published: {problem}") from problem


def _reason(problem: Exception) -> str:
    response = getattr(problem, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    return f"{type(problem).__name__}: {str(problem):.200}"
