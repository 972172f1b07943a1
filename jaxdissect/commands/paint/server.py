"""The server of the painting page: answers this machine alone, and only who knows the token.

The page holds what was painted and sends all of it with every change, so the server keeps nothing:
tabs cannot disturb each other, and what is undone was never there. Refused requests get a status of
4xx and ``{"error": "..."}``.
"""

import secrets
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING

from jaxdissect.commands.paint.studio import Studio, as_answer, png_of
from jaxdissect.painting.json_document import from_json

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 4 * 2**20
"""Bytes of a request; the longest painting that is allowed fits."""

FILES = {
    "": ("page.html", "text/html"),
    "style.css": ("style.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "board.js": ("board.js", "text/javascript"),
    "history.js": ("history.js", "text/javascript"),
}
"""What the page is made of, by address."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


def create_app(studio: Studio, token: str, port: int) -> "Starlette":
    """Make the application.

    Args:
        studio: Renders paintings.
        token: First part of the path of every address.
        port: Where it will be served; requests to other hosts or from other origins are refused.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse, RedirectResponse, Response
    from starlette.routing import Route

    page = resources.files("jaxdissect.commands.paint")
    contents = {address: page.joinpath(name).read_bytes() for address, (name, _) in FILES.items()}

    async def file(request: "Request") -> Response:
        address = request.path_params.get("address", "")
        if address not in FILES:
            raise HTTPException(404, f"there is nothing at {address!r}")
        return Response(contents[address], media_type=FILES[address][1])

    async def with_slash(request: "Request") -> Response:
        return RedirectResponse(f"/{token}/")

    async def session(request: "Request") -> Response:
        return JSONResponse(studio.describe())

    async def sample(request: "Request") -> Response:
        name = request.path_params["example"]
        # Python refuses to read a number of thousands of digits.
        example = int(name) if name.isdecimal() and len(name) < 10 else None
        if example is None or example >= studio.num_samples:
            raise HTTPException(404, f"there is no sample {name}")
        found = await run_in_threadpool(lambda: png_of(studio.render(studio.blank(example)).image))
        return Response(found, media_type="image/png")

    async def render(request: "Request") -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json":
            raise HTTPException(415, f"a painting must be application/json, not {kind!r}")
        body = await _body(request)
        try:
            answer = await run_in_threadpool(lambda: as_answer(studio.render(from_json(body))))
        except ValueError as problem:
            raise HTTPException(422, str(problem)) from problem
        return JSONResponse(answer)

    async def refused(request: "Request", problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        return JSONResponse({"error": problem.detail}, problem.status_code, problem.headers)

    async def failed(request: "Request", problem: Exception) -> Response:
        error = f"a bug in jaxdissect: {type(problem).__name__}; the terminal says more"
        return JSONResponse({"error": error}, 500, HEADERS)  # the guard does not see it

    app = Starlette(
        routes=[
            Route("/{token}", with_slash),
            Route("/{token}/session.json", session),
            Route("/{token}/samples/{example}.png", sample),
            Route("/{token}/render", render, methods=["POST"]),
            Route("/{token}/", file),
            Route("/{token}/{address}", file),
        ],
        middleware=[Middleware(Guard, token=token, port=port)],
        exception_handlers={HTTPException: refused, Exception: failed},
    )
    app.router.redirect_slashes = False
    return app


async def _body(request: "Request") -> bytes:
    """Read a request up to `MAX_BODY`; what is longer is read to its end, so that the answer is."""
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size <= MAX_BODY:
                parts.append(part)
            elif size > 8 * MAX_BODY:
                break
    except ClientDisconnect:
        raise HTTPException(400, "the painting broke off") from None  # to nobody
    if size > MAX_BODY:
        raise HTTPException(413, f"a painting must be at most {MAX_BODY} bytes")
    return b"".join(parts)


class Guard:
    """Refuses requests without the token, to another host, or from another origin's pages."""

    def __init__(self, app: "ASGIApp", *, token: str, port: int) -> None:
        self._app, self._token = app, token.encode()
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import JSONResponse

        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        problem = self._problem(Headers(scope=scope), scope["path"])
        if problem is None:
            await self._app(scope, receive, send_with_headers)
        else:
            answer = JSONResponse({"error": problem}, 403)
            await answer(scope, receive, send_with_headers)

    def _problem(self, headers: Mapping[str, str], path: str) -> str | None:
        if headers.get("host") not in self._hosts:
            return "this server answers at 127.0.0.1 alone"
        if headers.get("origin", next(iter(self._origins))) not in self._origins:
            return "other origins have no access"
        elsewhere = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if elsewhere and headers.get("sec-fetch-mode") != "navigate":
            return "other sites have no access"
        given = path.split("/")[1] if path.startswith("/") else ""
        if not secrets.compare_digest(given.encode("utf-8", "replace"), self._token):
            return "wrong token: open the address that `jaxdissect paint` printed"
        return None
