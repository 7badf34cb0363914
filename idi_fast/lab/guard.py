"""Who may use the lab: requests from this machine's browser that know the token of its address."""

import hmac
import secrets

from flask import Flask, Response, redirect, request

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:"
)
"""Of a report: without an origin of its own it can ask the lab for nothing."""


class Guard:
    """Refuses every request but those to the lab's own address that carry its token.

    The token is in the address that is printed, and from then on in a cookie that no script can read. Another Host
    header is refused, since a site could have its name lead to this machine (DNS rebinding), and so is another Origin.

    token: 256 random bits; port: of the server, once it is known; scripts: hashes of inline scripts that the page has.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.port = 0
        self.scripts: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Where the lab is opened."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The cookie's name; with the port, for cookies are shared by all ports of a host."""
        return f"idi-fast-lab-{self.port}"

    def install(self, server: Flask) -> None:
        """Watch over all routes of a server."""
        server.before_request(self._refuse)
        server.after_request(self._seal)

    def _refuse(self) -> Response | None:
        own = [f"{name}:{self.port}" for name in NAMES]
        if request.host not in own:
            return _refusal(f"this is the lab of {HOST}:{self.port}")
        origin = request.headers.get("Origin")
        if origin is not None and origin not in [f"http://{name}" for name in own]:
            return _refusal("the lab answers its own page only")
        if request.path == "/" and "token" in request.args:
            if not self._is_token(request.args["token"]):
                return _refusal("the token is wrong; open the address that `idi-fast lab` printed")
            answer = redirect("/")
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="Strict")
            return answer  # pyright: ignore[reportReturnType] -- werkzeug's response, which Flask's is
        if not self._is_token(request.cookies.get(self.cookie, "")):
            return _refusal("open the address that `idi-fast lab` printed, with its token")
        return None

    def _is_token(self, given: str) -> bool:
        # In constant time, and as bytes: of texts with other signs than ASCII it raises.
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _seal(self, answer: Response) -> Response:
        scripts = " ".join(("'self'", *self.scripts))
        policy = (
            f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
            "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        answer.headers.setdefault("Content-Security-Policy", policy)
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return answer


def _refusal(why: str) -> Response:
    return Response(f"refused: {why}\n", 403, mimetype="text/plain")
