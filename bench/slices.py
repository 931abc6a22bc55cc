"""nginx as lancache runs it: a cache of slices, before an origin that redirects to a CDN.

Each slice of 1 MiB is fetched once, whoever asks first; who asks for the same meanwhile waits. A
redirect is followed by nginx itself, and the slices after it go to the CDN straight away.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from appliance.demo.outside import REGISTRY_NAME, Outside
from appliance.demo.ports import choose_port
from bench.servers import LOOPBACK, running_nginx

_CACHED = """
            slice 1m;
            proxy_cache slices; proxy_cache_key $uri$slice_range;
            proxy_cache_lock on; proxy_cache_lock_age 2m; proxy_cache_lock_timeout 1h;
            proxy_cache_valid 200 206 1d; proxy_cache_valid 301 302 307 0;
            proxy_ignore_headers Expires Cache-Control Set-Cookie Vary;
            proxy_set_header Range $slice_range;
            proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_ssl_server_name on;
"""


@contextlib.contextmanager
def run_slices(directory: Path, program: str, outside: Outside) -> Iterator[tuple[int, int]]:
    """Its process and its port, in the clear."""
    port = choose_port()
    sites = f"""
    sendfile on; tcp_nopush on; keepalive_requests 1000000;
    resolver {outside.names.address}:{outside.names.port} ipv6=off;
    proxy_cache_path {directory}/slices levels=2:2 keys_zone=slices:64m inactive=1d;
    upstream registry {{ server {outside.registry.address}:{outside.registry.port}; keepalive 16; }}
    server {{
        listen {LOOPBACK}:{port} backlog=4096;
        location / {{
            {_CACHED}
            proxy_set_header Host {REGISTRY_NAME};
            proxy_ssl_name {REGISTRY_NAME};
            proxy_pass https://registry;
            proxy_intercept_errors on; error_page 301 302 307 = @cdn;
        }}
        location @cdn {{
            set $cdn $upstream_http_location;
            {_CACHED}
            proxy_pass $cdn;
        }}
    }}
"""
    with running_nginx(directory, program, sites, port) as pid:
        yield pid, port
