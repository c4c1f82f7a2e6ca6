"""A hub for tests: the part of the Hugging Face HTTP API that loading and pushing models uses, on this machine.

The real `huggingface_hub` client talks to it when HF_ENDPOINT is its address, so a test covers what a user would see:
revisions, private and gated repositories, caching, uploads. Files travel as they are, without LFS and Xet.
"""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    """Files of every commit, and which commit each branch is at."""

    token: str | None = None  # needed to read it
    gated: bool = False  # its existence is known, access has to be asked for
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Put `files` over those of the branch and return the new commit's hash."""
        merged = {**self.commits.get(self.branches.get(branch, ""), {}), **files}
        digest = hashlib.sha1(repr((len(self.commits), sorted(merged))).encode()).hexdigest()
        self.commits[digest] = merged
        self.branches[branch] = digest
        return digest


class HubServer:
    """Use as a context manager; `url` is what HF_ENDPOINT must be.

    Attributes:
        repositories: by id, "owner/name".
        requests: every request so far, as "METHOD path".
        write_token: token that may create repositories and commit.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.write_token = "hf_write"
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo_id: str, folder: Path, *, branch: str = "main", **access) -> str:
        """Publish the files of `folder` and return the commit's hash. `access`: fields of `Repository`."""
        repository = self.repositories.setdefault(repo_id, Repository(**access))
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return repository.commit(files, branch)


class _HubError(Exception):
    def __init__(self, status: int, code: str, commit: str | None = None) -> None:
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": code}
        if commit:  # lets the client remember that this commit does not have the file
            self.headers["X-Repo-Commit"] = commit


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(f"{self.command} {path}")
        try:
            content, headers = self._route(path.split("/"), body)
            self._send(200, content, headers)
        except _HubError as error:
            self._send(error.status, b"{}", error.headers)

    def _route(self, parts: list[str], body: bytes) -> tuple[bytes, dict[str, str]]:
        # A Space is told from a model by where it is asked for; what can be done with its files is the same.
        if parts[0] == "spaces" or parts[:2] == ["api", "spaces"]:
            parts = ["api", "models", *parts[2:]] if parts[0] == "api" else parts[1:]
        match parts:
            case ["api", "whoami-v2"]:
                return _json({"name": "tester", "type": "user", "auth": {"accessToken": {"role": "write"}}})
            case ["api", "validate-yaml"]:
                return _json({"errors": [], "warnings": []})
            case ["api", "repos", "create"]:
                return self._create(json.loads(body))
            case ["api", "models", owner, name]:
                return self._info(f"{owner}/{name}", "main")
            case ["api", "models", owner, name, "revision", revision]:
                return self._info(f"{owner}/{name}", revision)
            case ["api", "models", owner, name, "tree", revision, *folder]:
                return self._tree(f"{owner}/{name}", revision, "/".join(folder))
            case ["api", "models", owner, name, "preupload", _]:
                self._require_write(f"{owner}/{name}")
                files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
                return _json({"files": [file | {"shouldIgnore": False} for file in files]})
            case ["api", "models", owner, name, "commit", branch]:
                return self._commit(f"{owner}/{name}", branch, body)
            case [owner, name, "resolve", revision, *file]:
                return self._resolve(f"{owner}/{name}", revision, "/".join(file))
        raise _HubError(404, "RepoNotFound")

    def _create(self, request: dict) -> tuple[bytes, dict[str, str]]:
        self._require_write()
        repo_id = f"{request.get('organization') or 'tester'}/{request['name']}"
        self.hub.repositories.setdefault(repo_id, Repository()).commit({})
        return _json({"url": f"{self.hub.url}/{repo_id}", "name": repo_id, "id": repo_id})

    def _info(self, repo_id: str, revision: str) -> tuple[bytes, dict[str, str]]:
        commit, files = self._files(repo_id, revision)
        siblings = [{"rfilename": name} for name in files]
        facts = {"id": repo_id, "modelId": repo_id, "sha": commit, "private": False, "tags": [], "siblings": siblings}
        return _json(facts)

    def _tree(self, repo_id: str, revision: str, folder: str) -> tuple[bytes, dict[str, str]]:
        _, files = self._files(repo_id, revision)
        found = {name: content for name, content in files.items() if name.startswith(folder and f"{folder}/")}
        if folder and not found:
            raise _HubError(404, "EntryNotFound")
        return _json([{"type": "file", "path": n, "size": len(c), "oid": _etag(c)} for n, c in found.items()])

    def _resolve(self, repo_id: str, revision: str, name: str) -> tuple[bytes, dict[str, str]]:
        commit, files = self._files(repo_id, revision)
        if name not in files:
            raise _HubError(404, "EntryNotFound", commit)
        return files[name], {"ETag": f'"{_etag(files[name])}"', "X-Repo-Commit": commit}

    def _commit(self, repo_id: str, branch: str, body: bytes) -> tuple[bytes, dict[str, str]]:
        self._require_write(repo_id)
        entries = [json.loads(line) for line in body.splitlines() if line]
        files = {
            entry["value"]["path"]: base64.b64decode(entry["value"]["content"])
            for entry in entries
            if entry["key"] == "file"
        }
        commit = self.hub.repositories[repo_id].commit(files, branch)
        url = f"{self.hub.url}/{repo_id}/commit/{commit}"
        return _json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    def _files(self, repo_id: str, revision: str) -> tuple[str, dict[str, bytes]]:
        repository = self.hub.repositories.get(repo_id)
        allowed = repository and (repository.token is None or repository.token == self._token())
        if repository and repository.gated and not allowed:
            raise _HubError(403 if self._token() else 401, "GatedRepo")
        if not allowed:  # the hub does not tell whether a private repository exists
            raise _HubError(404 if self._token() else 401, "RepoNotFound")
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            raise _HubError(404, "RevisionNotFound")
        return commit, repository.commits[commit]

    def _require_write(self, repo_id: str | None = None) -> None:
        if self._token() != self.hub.write_token:
            raise _HubError(401, "Unauthorized")
        if repo_id is not None and repo_id not in self.hub.repositories:
            raise _HubError(404, "RepoNotFound")

    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _json(value) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), {"Content-Type": "application/json"}


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
