"""A small real HTTP server: it writes what it is sent to a file before it answers, and answers as it is told.

Run as a program it is the server; what it keeps in its folder outlives a kill.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

if __name__ != "__main__":
    from .processes import ServerProcess

    class HttpServer(ServerProcess):
        """The server, in a process of its own.

        Args:
            folder: Where its requests and what it is to answer are kept.
        """

        @property
        def url(self) -> str:
            """Where it listens."""
            return f"http://127.0.0.1:{self.port}"

        def command(self) -> list[str]:
            """Return the command that starts it."""
            return [sys.executable, "-I", __file__, str(self.port), str(self.folder)]

        def reset(self) -> None:
            """Forget all requests and answers; start it where it was killed."""
            for name in ("requests", "answers", "pages", "refused"):
                (self.folder / name).unlink(missing_ok=True)
            if self._process is None:
                self.start()

        def answer(self, *answers: tuple[int, dict[str, str], str]) -> None:
            """Answer the next requests so: status, headers, body; 200 after them."""
            (self.folder / "answers").write_text(json.dumps(answers))

        def refuse(self, texts: list[str]) -> None:
            """Answer 422 whatever has one of these texts in its body."""
            (self.folder / "refused").write_text(json.dumps(texts))

        def serve(self, pages: dict[str, tuple[dict[str, str], str]]) -> None:
            """Answer a GET of these paths with headers and a body; one with their ETag in hand gets 304."""
            (self.folder / "pages").write_text(json.dumps(pages))

        def requests(self) -> list[dict[str, Any]]:
            """Return what was asked so far: ``path``, ``method``, ``headers``, ``body`` and the ``status``."""
            path = self.folder / "requests"
            lines = path.read_text().splitlines() if path.exists() else []
            return [json.loads(line) for line in lines]

        def taken(self) -> list[Any]:
            """Return the bodies that were taken, decoded as JSON."""
            return [json.loads(one["body"]) for one in self.requests() if one["status"] == 200]


def _content(folder: Path, name: str, default: Any) -> Any:
    path = folder / name
    return json.loads(path.read_text() or "null") if path.exists() else default


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    lock = threading.Lock()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode("latin-1")
        with self.lock:
            status, headers, text = self._next_answer(body)
            self._keep(body, status)
        self._answer(status, headers, text)

    do_PUT = do_POST  # noqa: N815 - as http.server calls it

    def do_GET(self) -> None:
        with self.lock:
            headers, text = _content(self.folder, "pages", {}).get(self.path, ({}, ""))
            status = 200
            for mine, theirs in (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since")):
                if mine in headers and self.headers.get(theirs) == headers[mine]:
                    status, text = 304, ""
            if self._has_answers():
                status, headers, text = self._next_answer("")
            self._keep("", status)
        self._answer(status, headers, text)

    def _has_answers(self) -> bool:
        return bool(_content(self.folder, "answers", []))

    def _next_answer(self, body: str) -> tuple[int, dict[str, str], str]:
        answers = _content(self.folder, "answers", [])
        if answers:
            (self.folder / "answers").write_text(json.dumps(answers[1:]))
            return tuple(answers[0])
        if any(text in body for text in _content(self.folder, "refused", [])):
            return 422, {}, "not this one"
        return 200, {}, "{}"

    def _keep(self, body: str, status: int) -> None:
        kept = {"method": self.command, "path": self.path, "headers": dict(self.headers.items())}
        line = json.dumps({**kept, "body": body, "status": status}) + "\n"
        with (self.folder / "requests").open("a") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _answer(self, status: int, headers: dict[str, str], text: str) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Say nothing: what was asked is in the file."""


if __name__ == "__main__":
    _Handler.folder = Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
