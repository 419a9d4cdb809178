"""The files of the page, read once at the start: what is not among them cannot be served, whatever a path says."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from .access import refused

MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


class Assets:
    """Files by the path that they are served at: ``/`` is ``index.html``, all others are below ``/assets/``.

    Args:
        root: The folder that they are in; what it links to outside, and files of other kinds, are left out.
    """

    def __init__(self, root: Path) -> None:
        self.files = found_in(root)

    async def index(self, _: Request) -> Response:
        """Answer with the page."""
        return self._answer("index.html", "this server has no page; its API is at /api/openapi.json")

    async def asset(self, request: Request) -> Response:
        """Answer with a file of the page."""
        return self._answer(request.path_params["path"], "there is no such file")

    def _answer(self, path: str, otherwise: str) -> Response:
        if path not in self.files:
            return refused(404, otherwise)
        return Response(self.files[path], media_type=MEDIA[Path(path).suffix])


def found_in(root: Path) -> Mapping[str, bytes]:
    """Return the files of a folder by their paths below it, without links."""
    if not root.is_dir():
        return {}
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.suffix in MEDIA and path.is_file() and not _is_linked(path, root)
    }


def _is_linked(path: Path, root: Path) -> bool:
    return path.resolve() != root.resolve() / path.relative_to(root)


def own_assets() -> Assets:
    """Return the files of the page that comes with headrace."""
    return Assets(Path(str(files(__package__))) / "static")


__all__ = ["MEDIA", "Assets", "found_in", "own_assets"]
