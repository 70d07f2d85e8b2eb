"""Fetching from a server of our own that breaks off, lies, stalls or is not there."""

import hashlib
import http.server
import socket
import threading

import pytest

from cnn_jax.data.sources import download
from cnn_jax.data.sources.download import DownloadError, fetch

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as its server's `behaviour` says, and notes the ranges asked for."""

    def do_GET(self):
        behaviour = self.server.behaviour
        self.server.ranges.append(self.headers.get("Range"))
        first = len(self.server.ranges) == 1
        if behaviour == "missing":
            self.send_error(404)
            return
        if behaviour == "stalls":
            self.server.given_up.wait()
            return
        start = 0
        if self.headers.get("Range") and behaviour != "knows no ranges":
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        cut = behaviour in ("breaks off once", "knows no ranges") and first
        self.wfile.write(CONTENT[start : 30_000 if cut else None])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.behaviour, server.ranges, server.given_up = "works", [], threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.given_up.set()
    server.shutdown()
    thread.join()
    server.server_close()


def url(server):
    return f"http://127.0.0.1:{server.server_address[1]}/file.gz"


def test_it_arrives_whole(server, tmp_path):
    fetch(url(server), tmp_path / "file.gz", SHA256, len(CONTENT))
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.gz"]


def test_it_goes_on_where_it_broke_off(server, tmp_path):
    server.behaviour = "breaks off once"
    fetch(url(server), tmp_path / "file.gz", SHA256, len(CONTENT))
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=30000-"]


def test_another_process_goes_on_too(server, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:1000])
    fetch(url(server), tmp_path / "file.gz", SHA256, len(CONTENT))
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_server_without_ranges_sends_everything_again(server, tmp_path):
    server.behaviour = "knows no ranges"
    fetch(url(server), tmp_path / "file.gz", SHA256, len(CONTENT))
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(server, tmp_path):
    with pytest.raises(DownloadError, match="is not the published file: its SHA-256 differs"):
        fetch(url(server), tmp_path / "file.gz", "0" * 64, len(CONTENT))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_not_asked_for_again(server, tmp_path):
    server.behaviour = "missing"
    with pytest.raises(DownloadError, match="Not Found"):
        fetch(url(server), tmp_path / "file.gz", SHA256, len(CONTENT))
    assert len(server.ranges) == 1


def test_a_server_that_stalls(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.2)
    server.behaviour = "stalls"
    with pytest.raises(DownloadError, match="timed out"):
        fetch(url(server), tmp_path / "file.gz", SHA256, len(CONTENT))
    assert len(server.ranges) == 3


def test_no_server(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadError, match="refused"):
        fetch(f"http://127.0.0.1:{port}/file.gz", tmp_path / "file.gz", SHA256, len(CONTENT))
