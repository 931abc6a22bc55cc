"""The registry's side of a push, as far as a client sees it: nothing that is pushed is kept.

An upload is begun, its parts are sent or, for who can be redirected, sent to the CDN by a URL of
its own; then the upload is ended, and the manifest names what was uploaded.
"""

from aiohttp import web

UPLOAD_STATE = "_state=b%2Fc+d%3d"  # Spelt as no encoder would: whoever touches it, is seen.


def answer_push(request: web.BaseRequest, *, base_url: str, cdn_url: str) -> web.Response:
    """Answer a POST, PATCH, PUT or DELETE."""
    path = request.raw_path.partition("?")[0]
    if request.method == "POST":
        return web.Response(status=202, headers={"Location": f"{base_url}{path}1?{UPLOAD_STATE}"})
    if request.method == "PATCH" and request.headers.get("X-Redirect-Uploads") == "1":
        return web.Response(
            status=307, headers={"Location": f"{cdn_url}{path}?part={UPLOAD_STATE}"}
        )
    if request.method == "PUT":
        return web.Response(status=201)
    return web.Response(status=202)
