"""Uploading: a small hub on this machine takes what the real client sends."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from qaclims_path.errors import QaclimsError, UsageError


class Hub(BaseHTTPRequestHandler):
    """Speaks as much of the hub's language as uploading one model takes."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        if "/refused/" in self.path:
            return self.send(403, {"error": "You may not write here"})
        if self.path == "/api/repos/create":
            self.server.created = json.loads(body)
            name = json.loads(body)["name"]
            return self.send(200, {"url": f"{self.server.address}/owner/{name}", "name": f"owner/{name}", "id": "1"})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            rows = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]
            return self.send(200, {"files": rows})
        if "/commit/" in self.path:
            for line in body.decode().splitlines():
                each = json.loads(line)
                if each["key"] == "file":
                    self.server.files[each["value"]["path"]] = base64.b64decode(each["value"]["content"])
            return self.send(200, {"commitUrl": f"{self.server.address}/owner/model/commit/1", "commitOid": "1"})
        return self.send(200, {"errors": [], "warnings": []})

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send(200, {"id": "owner/model", "sha": "a" * 40, "siblings": []})

    do_HEAD = do_GET  # noqa: N815 - the server's own name

    def send(self, status, content):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@contextmanager
def served():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.files, server.created = [], {}, {}
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_model_is_uploaded_with_its_card(make, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    segmenter = make()
    with served() as hub:
        page = segmenter.push_to_hub("owner/model", endpoint=hub.address)
        assert page == f"{hub.address}/owner/model"
    assert hub.created.get("visibility") == "private" or hub.created.get("private")  # two ages of the client
    segmenter.save_pretrained(tmp_path)
    assert hub.files == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_failed_upload_is_one_sentence(make, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    with served() as hub, pytest.raises(QaclimsError, match=r"owner/refused could not be uploaded.*may write there"):
        make().push_to_hub("owner/refused", endpoint=hub.address)
    with pytest.raises(QaclimsError, match="owner/model could not be uploaded"):  # nobody listens any more
        make().push_to_hub("owner/model", endpoint=hub.address)
    with pytest.raises(UsageError, match="neither a folder nor an id"):
        make().push_to_hub("no name")
