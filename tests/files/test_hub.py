"""Models by name: a small hub on this machine answers the real client, and every failure is one sentence."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.hub import loading, model_name, require_tokenizer, resolve, revision_of

COMMIT = "a" * 40
FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"a pickle",
    "vocab.txt": b"[PAD]",
    "onnx/config.json": b"{}",
}


class Hub(BaseHTTPRequestHandler):
    """Answers the requests of the hub that fetching one model needs."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        type(self).asked.append(self.path)
        if "/gone/" in self.path:
            return self.refuse(401, "RepoNotFound")
        if "nowhere" in self.path:
            return self.refuse(404, "RevisionNotFound")
        if self.path.startswith("/api/models/") and "/tree/" in self.path:
            rows = [{"type": "file", "path": n, "size": len(c), "oid": f"{n}-1"} for n, c in FILES.items()]
            return self.send(json.dumps(rows).encode())
        if self.path.startswith("/api/models/"):
            return self.send(json.dumps({"id": "owner/model", "sha": COMMIT, "siblings": []}).encode())
        if "/gated/" in self.path:
            return self.refuse(403, "GatedRepo")
        if "/ill/" in self.path:
            return self.refuse(500, "")
        return self.send(FILES[self.path.split(f"/resolve/{COMMIT}/")[1]])

    do_HEAD = do_GET  # noqa: N815 - the server's own name

    def send(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hash(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@contextmanager
def served():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Settings of the client, which it reads from the environment at import, for a local hub."""
    from huggingface_hub import constants

    Hub.asked = []
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served() as endpoint:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield constants


def folder_of(path, *names):
    path.mkdir()
    for name in names:
        (path / name).write_bytes(b"x")
    return path


def test_only_harmless_files_are_fetched_once_and_found_again_offline(hub, monkeypatch):
    folder = resolve("owner/model")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "vocab.txt"]
    assert not any("pytorch_model.bin" in path for path in Hub.asked)
    assert revision_of(folder) == COMMIT
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    assert resolve("hf-hub:owner/model", revision="main") == folder == resolve("owner/model", revision=COMMIT)


def test_an_unknown_revision_is_named(hub):
    with pytest.raises(UsageError, match=r"owner/model has no revision 'nowhere'. Give a branch, tag or commit"):
        resolve("owner/model", revision="nowhere")


def test_a_missing_model_may_be_private(hub):
    with pytest.raises(UsageError, match=r"no model gone/model on the hub, or it is private\. .* HF_TOKEN"):
        resolve("gone/model")


def test_a_gated_model_says_what_to_accept_and_where_the_token_goes(hub, monkeypatch):
    with pytest.raises(QaclimsError, match=r"gated/model is gated.*no token was found.*accept the terms.*HF_TOKEN"):
        resolve("gated/model")
    monkeypatch.setenv("HF_TOKEN", "hf_something")
    with pytest.raises(QaclimsError, match="must be accepted by the account of your token"):
        resolve("gated/model")


def test_offline_without_a_copy_says_so(hub, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    with pytest.raises(QaclimsError, match=r"owner/model at revision 'v1' is not in the cache .*HF_HUB_OFFLINE is set"):
        resolve("owner/model", revision="v1")


def test_an_unreachable_hub_says_so(hub, monkeypatch):
    with served() as closed:
        pass
    monkeypatch.setattr(hub, "ENDPOINT", closed)
    with pytest.raises(QaclimsError, match=r"not in the cache .*the hub cannot be reached. Fetch it where"):
        resolve("owner/model")


def test_an_incomplete_copy_is_refused(hub, monkeypatch):
    (resolve("owner/model") / "model.safetensors").unlink()
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    with pytest.raises(QaclimsError, match="only partly in the cache"):
        resolve("owner/model")


@pytest.mark.parametrize("model", ["a/b/c", "name", "hf-hub:name", "owner/na me", "../x", ""])
def test_a_name_that_is_neither_a_folder_nor_an_id_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QaclimsError, match=r"neither a folder nor an id|does not exist"):
        resolve(model)


def test_a_folder_is_taken_as_it_is(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "judge", "model.safetensors")
    assert resolve(str(folder)) == resolve(f"local-dir:{folder}") == folder
    assert model_name(f"local-dir:{folder}") == "judge"
    monkeypatch.chdir(folder)
    assert model_name(".") == "judge"
    with pytest.raises(UsageError, match="is a folder and has no revision 'main'"):
        resolve(str(folder), revision="main")
    with pytest.raises(BadFile, match="is a file, not a folder"):
        resolve(f"local-dir:{folder / 'model.safetensors'}")


def test_a_folder_of_pickles_is_refused(tmp_path):
    with pytest.raises(BadFile, match=r"only pickled weights \(pytorch_model.bin\).*Convert them to safetensors"):
        resolve(str(folder_of(tmp_path / "old", "pytorch_model.bin", "config.json")))
    with pytest.raises(BadFile, match="has no safetensors weights"):
        resolve(str(folder_of(tmp_path / "empty", "config.json")))


def test_the_hash_of_a_folder_depends_on_its_content_and_not_on_its_path(tmp_path):
    first, second = (folder_of(tmp_path / name, "model.safetensors", "vocab.txt") for name in ("one", "two"))
    assert revision_of(first) == revision_of(second)
    (second / "vocab.txt").write_bytes(b"y")
    assert revision_of(first) != revision_of(second)


def test_a_model_without_a_tokenizer_is_refused(tmp_path):
    folder = folder_of(tmp_path / "model", "model.safetensors")
    with pytest.raises(BadFile, match=r"here has no tokenizer .*save_pretrained"):
        require_tokenizer("here", folder)
    (folder / "vocab.txt").write_text("[PAD]")
    require_tokenizer("here", folder)


def test_every_error_of_a_library_becomes_a_sentence():
    with pytest.raises(BadFile, match=r"^m cannot be loaded as a judge: first line. Check that"), loading("m", "judge"):
        raise RuntimeError("first line.\nsecond")
    with pytest.raises(UsageError, match=r"^ours$"), loading("m", "judge"):
        raise UsageError("ours")


def test_a_mistyped_name_of_the_package_s_own_models_is_suggested() -> None:
    with pytest.raises(QaclimsError, match=r"'embeded' does not exist\. Did you mean 'embedded'\?"):
        resolve("embeded")
