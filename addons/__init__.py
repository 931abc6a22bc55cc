"""mitmproxy's hooks, each thin: translate, ask the registry, translate back.

In the order in which a request meets them:

- `tunnel`: the proxy door, where a CONNECT is opened, tunnelled or refused; not mitmproxy's.
- `intercept`: which connections and TLS names we open, and with which certificate.
- `guard`: the layer that reads HTTP, with bounds that mitmproxy's own has not.
- `registry`: pulls to the registry, all else to the true origin.
- `passages`: how long the origin may take for them.
- `inline`: a blob's bytes as the body of a response, sent by a pump thread.
- `report`: one line in the log for each request.

`responses` is to mitmproxy's HTTP client what `guard` is to its server, and `refusals` gives its
errors the registry's shape. `hooks` calls those addons that listen, and no others. `master` runs
mitmproxy with exactly these, on sockets handed to it;
`doors` tells by which of them a client came; `flows` is the one file that knows both mitmproxy's
flows and our values.
"""

from addons.internals import skip_unused_addons

skip_unused_addons()  # Before any module here imports one of mitmproxy's.
