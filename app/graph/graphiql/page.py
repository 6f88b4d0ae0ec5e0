"""The GraphiQL page: its settings, its content-security policy and its routes."""

import gzip
import hashlib
import html
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from string import Template

from graphql import OperationDefinitionNode, parse
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

PATH = "/graphiql"

_HERE = Path(__file__).parent
_BUNDLE = _HERE / "bundle"
_OWN_FILES = ("page.js", "page.css")
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}
_COMPRESSED_FROM_BYTES = 4096
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]+")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One tab of GraphiQL: a document with exactly one named operation, its variables and its HTTP headers.

    `name` is the title a person reads on the tab. `headers` fill the header editor; for a subscription they are the
    payload of `connection_init`. A header value holds printable ASCII without quotation marks and backslashes.
    """

    name: str
    query: str
    variables: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for header, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(header):
                raise ValueError(f"“{header}” in the example “{self.name}” is not a header name.")
            _check_value(value, of=f"{header} in the example “{self.name}”")
        if not self.operation_name:
            raise ValueError(f"The operation in the example “{self.name}” needs a name: GraphiQL titles its tab by it.")

    @property
    def operation_name(self) -> str:
        """The name of the document's one operation; empty where it is anonymous."""
        operations = [node for node in parse(self.query).definitions if isinstance(node, OperationDefinitionNode)]
        if len(operations) != 1:
            raise ValueError(f"The example “{self.name}” holds {len(operations)} operations; it must hold one.")
        name = operations[0].name
        return name.value if name else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSignIn:
    """One click that puts a token into the headers of every tab.

    `label` stands on the button; `authorization` is the whole value of the header, as `Bearer <token>`.
    """

    label: str
    authorization: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_value(self.authorization, of="Authorization of the demo")


def _check_value(value: str, *, of: str) -> None:
    # page.js finds these values again inside JSON text, so they may hold nothing that JSON escapes.
    if not _HEADER_VALUE.fullmatch(value) or '"' in value or "\\" in value:
        raise ValueError(f'The value of {of} must be printable ASCII without " and \\.')


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphiQL:
    """What the page is told: where the graph answers, the tabs it opens with, and whom one click signs in.

    Both endpoints are paths or URLs on the page's own host; the policy of the page forbids any other.
    """

    examples: Sequence[Example] = ()
    demo: DemoSignIn | None = None
    endpoint: str = "/graphql"
    subscription_endpoint: str = "/graphql"


def routes(page: GraphiQL) -> list[Route]:
    """The page at `/graphiql` and its files below `/graphiql/assets/<version>/`.

    The page may hold tokens: mount it in development only, and never below a CORS middleware that
    lets another origin read it.
    """

    def show_page(request: Request) -> Response:
        style_nonce = secrets.token_urlsafe(16)
        return HTMLResponse(
            _render(page, style_nonce),
            headers={
                **_GUARDS,
                "Cache-Control": "no-store",
                "Content-Security-Policy": content_security_policy(request.headers.get("host", ""), style_nonce),
                "Cross-Origin-Opener-Policy": "same-origin",
            },
        )

    return [
        Route(PATH, show_page, name="graphiql"),
        Route(PATH + "/assets/{version}/{file:path}", _show_asset, name="graphiql-asset"),
    ]


def redirect_browser(request: Request) -> Response | None:
    """A redirect to the page for a person who opened the endpoint in a browser, or None for a client of the graph."""
    is_visit = request.method == "GET" and "query" not in request.query_params
    if not is_visit or "text/html" not in request.headers.get("accept", ""):
        return None
    return RedirectResponse(PATH, status_code=307, headers={"Vary": "Accept", "Cache-Control": "no-store"})


def content_security_policy(host: str, style_nonce: str) -> str:
    """The policy of the page: everything from our own origin, no inline script, no eval.

    `host` is the request's Host header, named because not every browser counts a WebSocket to the same host as
    `'self'`; a malformed one is left out. `data:` is for the fonts and the three marks inside GraphiQL's style sheet.
    """
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{style_nonce}'",
            f"connect-src 'self'{sockets}",
            "font-src 'self' data:",
            "img-src 'self' data:",
            "worker-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    compressed: bytes | None
    media_type: str


@cache
def _asset_paths() -> Mapping[str, Path]:
    """Every file the page may load, by the last part of its URL: the manifest is the list, not the folder."""
    manifest = json.loads((_BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    served = [file["path"] for package in manifest["packages"] for file in package["files"] if file["served"]]
    return {path: _BUNDLE / path for path in served} | {name: _HERE / name for name in _OWN_FILES}


@cache
def assets_version() -> str:
    """A digest of every served file: a changed byte changes the URLs, so each may be cached for good."""
    digest = hashlib.sha256()
    for name, path in sorted(_asset_paths().items()):
        digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _asset(name: str) -> _Asset:
    path = _asset_paths()[name]
    content = path.read_bytes()
    compressed = gzip.compress(content, mtime=0) if len(content) >= _COMPRESSED_FROM_BYTES else None
    return _Asset(content, compressed, _MEDIA_TYPES[path.suffix])


def _show_asset(request: Request) -> Response:
    version, name = request.path_params["version"], request.path_params["file"]
    if version != assets_version() or name not in _asset_paths():
        return Response("There is no such file.", status_code=404, media_type="text/plain", headers=_GUARDS)
    asset = _asset(name)
    headers = {**_GUARDS, "Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    content = asset.content
    if asset.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = asset.compressed, "gzip"
    return Response(content, media_type=asset.media_type, headers=headers)


def _render(page: GraphiQL, style_nonce: str) -> str:
    settings = {
        "endpoint": page.endpoint,
        "subscriptionEndpoint": page.subscription_endpoint,
        "styleNonce": style_nonce,
        "demo": {"label": page.demo.label, "authorization": page.demo.authorization} if page.demo else None,
        "examples": [
            {
                "name": example.name,
                "operationName": example.operation_name,
                "query": example.query,
                "variables": dict(example.variables),
                "headers": dict(example.headers),
            }
            for example in page.examples
        ],
    }
    return _template().substitute(
        assets=f"{PATH}/assets/{assets_version()}",
        endpoint=html.escape(page.endpoint),
        settings=_escape_script_data(json.dumps(settings, ensure_ascii=False)),
    )


@cache
def _template() -> Template:
    return Template((_HERE / "page.html").read_text(encoding="utf-8"))


def _escape_script_data(document: str) -> str:
    """JSON that cannot end the script element it stands in: the same document with `<`, `>` and `&` as escapes."""
    return document.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
