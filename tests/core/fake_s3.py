"""A store that speaks S3: PUT, GET and the deletion of many, each with a signature (version 4) that is checked."""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from xml.etree import ElementTree

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.core.clock import utc_now

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "very/secret+key"
REGION = "eu-central-1"
BUCKET = "treasure"
STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Kept:
    """An object with what it was sent with."""

    content: bytes
    content_type: str
    cache_control: str


@dataclass(slots=True)
class FakeS3:
    """One bucket; `breaks` has every request answered by 503, as a store that has enough does."""

    objects: dict[str, Kept] = field(default_factory=dict)
    breaks: bool = False
    ahead: timedelta = timedelta()

    def application(self) -> Starlette:
        """What is served."""
        return Starlette(
            routes=[
                Route(f"/{BUCKET}", self._delete, methods=["POST"]),
                Route(f"/{BUCKET}/{{key:path}}", self._object, methods=["PUT", "GET"]),
                Route("/{key:path}", self._elsewhere, methods=["PUT", "GET", "POST", "DELETE"]),
            ]
        )

    async def _object(self, request: Request) -> Response:
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        key = request.path_params["key"]
        if request.method == "PUT":
            headers = request.headers
            self.objects[key] = Kept(await request.body(), headers["content-type"], headers["cache-control"])
            return Response(headers={"ETag": '"1"'})
        kept = self.objects.get(key)
        if kept is None:
            return _error(404, "NoSuchKey")
        sent = {"ETag": '"1"', "Last-Modified": "Tue, 10 Mar 2026 00:00:00 GMT", "Cache-Control": kept.cache_control}
        return Response(kept.content, media_type=kept.content_type, headers=sent)

    async def _delete(self, request: Request) -> Response:
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        named = ElementTree.fromstring(await request.body()).iter("{http://s3.amazonaws.com/doc/2006-03-01/}Key")
        keys = [key.text or "" for key in named]
        for key in keys:
            self.objects.pop(key, None)
        done = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        return Response(f"<DeleteResult>{done}</DeleteResult>", media_type="application/xml")

    async def _elsewhere(self, _: Request) -> Response:
        return _error(404, "NoSuchBucket")

    async def _refusal(self, request: Request) -> Response | None:
        if self.breaks:
            return _error(503, "SlowDown")
        given = dict(request.query_params)
        return self._by_address(request, given) if "X-Amz-Signature" in given else await self._by_header(request)

    def _by_address(self, request: Request, given: dict[str, str]) -> Response | None:
        signature = given.pop("X-Amz-Signature")
        query = "&".join(f"{quote(name, safe='-_.~')}={quote(given[name], safe='-_.~')}" for name in sorted(given))
        names = given["X-Amz-SignedHeaders"].split(";")
        if signature != _signature(request, given["X-Amz-Date"], names, query, "UNSIGNED-PAYLOAD"):
            return _error(403, "SignatureDoesNotMatch")
        made_at = datetime.strptime(given["X-Amz-Date"], STAMP).replace(tzinfo=UTC)
        if made_at + timedelta(seconds=int(given["X-Amz-Expires"])) < utc_now() + self.ahead:
            return _error(403, "AccessDenied")
        return None

    async def _by_header(self, request: Request) -> Response | None:
        parts = dict(
            part.strip().split("=", 1) for part in request.headers["authorization"].partition(" ")[2].split(",")
        )
        digest = hashlib.sha256(await request.body()).hexdigest()
        query = "delete=" if request.url.query == "delete" else request.url.query
        names = parts["SignedHeaders"].split(";")
        signature = _signature(request, request.headers["x-amz-date"], names, query, digest)
        return None if signature == parts["Signature"] else _error(403, "SignatureDoesNotMatch")


def _signature(request: Request, stamp: str, names: list[str], query: str, digest: str) -> str:
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names)
    canonical = "\n".join([request.method, request.url.path, query, headers, ";".join(names), digest])
    scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET_KEY}".encode()
    for part in (stamp[:8], REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _error(status: int, code: str) -> Response:
    return Response(f"<Error><Code>{code}</Code></Error>", status_code=status, media_type="application/xml")
