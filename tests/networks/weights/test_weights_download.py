"""Downloads from a local server: whole and verified, or not at all."""

import concurrent.futures
import functools
import hashlib
import http.server
import threading
import time

import numpy as np
import pytest

from jaxdissect.networks.weights.download import CACHE_VARIABLE, PublishedFile, cache_folder
from jaxdissect.networks.weights.download import download as fetch_file

CONTENT = np.random.RandomState(0).bytes(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, with ranges, as the path asks."""

    def __init__(self, log, *arguments):
        self.log = log
        super().__init__(*arguments)

    def do_GET(self):
        begin = self.headers.get("Range")
        self.log.append((self.path, begin))
        if self.path == "/absent.bin":
            return self.send_error(404)
        first = int(begin.removeprefix("bytes=").removesuffix("-")) if begin else 0
        if "norange" in self.path:
            first = 0
        if first >= len(CONTENT):
            return self.send_error(416)
        body = CONTENT[first:]
        if "slow" in self.path:
            time.sleep(0.3)
        self.send_response(206 if first else 200)
        if "nolength" not in self.path:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if "truncated" in self.path or ("interrupted" in self.path and not begin):
            body = body[:1_500_000]
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


@pytest.fixture
def server():
    """Base URL of a server, and the requests it has seen."""
    log = []
    handler = functools.partial(Handler, log)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", log
        running.shutdown()
        thread.join()


def files(folder):
    return sorted(entry.name for entry in folder.iterdir() if entry.suffix != ".lock")


def test_good_weights_arrive_once(server, tmp_path):
    url, log = server
    file = PublishedFile(f"{url}/good.bin", "good.bin", DIGEST)
    reports = []
    path = fetch_file(file, tmp_path / "new", progress=lambda *report: reports.append(report))
    assert path.read_bytes() == CONTENT
    assert files(path.parent) == ["good.bin"]
    assert reports[-1] == ("good.bin (MiB)", len(CONTENT) >> 20, len(CONTENT) >> 20)
    assert fetch_file(file, tmp_path / "new") == path
    assert log == [("/good.bin", None)]


def test_truncated_weights_are_kept_aside_and_the_url_named(server, tmp_path):
    url, _ = server
    with pytest.raises(OSError, match=rf"{url}/truncated.bin cannot be downloaded.*put it at"):
        fetch_file(PublishedFile(f"{url}/truncated.bin", "t.bin", DIGEST), tmp_path)
    assert not (tmp_path / "t.bin").exists()
    kept = (tmp_path / "t.bin.part").read_bytes()
    assert kept and CONTENT.startswith(kept)


def test_truncated_weights_without_a_length_fail_by_their_hash(server, tmp_path):
    url, _ = server
    with pytest.raises(ValueError, match=f"not {DIGEST}"):
        fetch_file(PublishedFile(f"{url}/truncated_nolength.bin", "t.bin", DIGEST), tmp_path)
    assert files(tmp_path) == []


def test_interrupted_weights_are_taken_up_where_they_stopped(server, tmp_path):
    url, log = server
    file = PublishedFile(f"{url}/interrupted.bin", "i.bin", DIGEST)
    with pytest.raises(OSError, match="the next attempt resumes there"):
        fetch_file(file, tmp_path)
    there = (tmp_path / "i.bin.part").stat().st_size
    assert 0 < there < len(CONTENT)
    assert fetch_file(file, tmp_path).read_bytes() == CONTENT
    assert log[-1] == ("/interrupted.bin", f"bytes={there}-")
    assert files(tmp_path) == ["i.bin"]


def test_a_server_without_ranges_sends_weights_again(server, tmp_path):
    url, _ = server
    (tmp_path / "n.bin.part").write_bytes(CONTENT[:1000])
    file = PublishedFile(f"{url}/norange.bin", "n.bin", DIGEST)
    assert fetch_file(file, tmp_path).read_bytes() == CONTENT


def test_weights_that_were_complete_but_not_yet_named_need_no_more_bytes(server, tmp_path):
    url, _ = server
    (tmp_path / "c.bin.part").write_bytes(CONTENT)
    file = PublishedFile(f"{url}/complete.bin", "c.bin", DIGEST)
    assert fetch_file(file, tmp_path).read_bytes() == CONTENT


def test_weights_with_the_wrong_hash_are_thrown_away(server, tmp_path):
    url, _ = server
    with pytest.raises(ValueError, match=f"begins with {DIGEST}, not 00000000"):
        fetch_file(PublishedFile(f"{url}/good.bin", "w.bin", "00000000"), tmp_path)
    assert files(tmp_path) == []


def test_weights_that_are_absent_or_offline_name_url_and_place(server, tmp_path):
    url, _ = server
    with pytest.raises(OSError, match="the server answers 404 Not Found") as problem:
        fetch_file(PublishedFile(f"{url}/absent.bin", "a.bin", DIGEST), tmp_path)
    assert f"{url}/absent.bin" in str(problem.value) and str(tmp_path / "a.bin") in str(
        problem.value
    )
    unreachable = PublishedFile("http://127.0.0.1:9/a.bin", "a.bin", DIGEST)
    with pytest.raises(OSError, match="http://127.0.0.1:9/a.bin cannot be downloaded"):
        fetch_file(unreachable, tmp_path)
    assert not (tmp_path / "a.bin").exists()


def test_weights_without_a_published_hash_must_be_readable(server, tmp_path):
    url, log = server
    for name, message in (("a.json", "is not what was published"), ("a.pth", "no file of PyTorch")):
        (tmp_path / f"{name}.part").write_bytes(b"stale")
        with pytest.raises(ValueError, match=message):
            fetch_file(PublishedFile(f"{url}/{name}", name), tmp_path)
    assert files(tmp_path) == []
    assert [begin for _, begin in log] == [None, None]


def test_of_several_processes_one_downloads_the_weights(server, tmp_path):
    url, log = server
    file = PublishedFile(f"{url}/slow.bin", "s.bin", DIGEST)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch_file(file, tmp_path), range(4)))
    assert {path.read_bytes() == CONTENT for path in paths} == {True}
    assert log == [("/slow.bin", None)] and files(tmp_path) == ["s.bin"]


def test_weights_cannot_go_where_a_file_is(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="cannot be written") as problem:
        fetch_file(PublishedFile("http://127.0.0.1:9/a.bin", "a.bin"), tmp_path / "taken")
    assert "cannot be downloaded" not in str(problem.value)


def test_weights_put_there_by_hand_are_verified(tmp_path):
    unreachable = PublishedFile("http://127.0.0.1:9/a.bin", "a.bin", DIGEST)
    (tmp_path / "a.bin").write_bytes(CONTENT)
    assert fetch_file(unreachable, tmp_path) == tmp_path / "a.bin"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]  # folders may be read-only
    (tmp_path / "a.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match="is not what was published"):
        fetch_file(unreachable, tmp_path)


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder().name == "jaxdissect"
