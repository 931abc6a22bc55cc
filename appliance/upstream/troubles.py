"""What goes wrong on the way to the origin, said without the URL: that may be presigned."""

import aiohttp

from appliance.policy.addresses import AddressRefusedError
from appliance.upstream.resolver import NameUnresolvableError
from appliance.upstream.source import OriginUnreachableError

# ValueError is what aiohttp and TLS make of a URL whose parts cannot be sent.
TROUBLE = (
    aiohttp.ClientError,
    OSError,
    ValueError,
    AddressRefusedError,
    NameUnresolvableError,
)
_MISDATED = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID and _CERT_HAS_EXPIRED of OpenSSL.


def is_misdated(error: Exception) -> bool:
    """Whether the origin's certificate was not of today by our clock."""
    if not isinstance(error, aiohttp.ClientConnectorCertificateError):
        return False
    return getattr(error.certificate_error, "verify_code", 0) in _MISDATED


def describe_trouble(error: Exception) -> OriginUnreachableError:
    """What went wrong, in words of our own: aiohttp's may hold the URL."""
    if isinstance(error, AddressRefusedError | NameUnresolvableError):
        return OriginUnreachableError(str(error), hint=error.hint)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return OriginUnreachableError(
            f"the origin's certificate is not trusted: {error.certificate_error}",
            hint="is something inspecting TLS? then set origin.ca_file to its CA",
        )
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return OriginUnreachableError(
            f"the proxy answers {error.status} instead of connecting",
            hint="correct origin.proxy, or have that proxy let this box out",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return OriginUnreachableError(f"cannot connect to {error.host}: {error.os_error}")
    if isinstance(error, TimeoutError):
        return OriginUnreachableError("the origin does not answer in time")
    return OriginUnreachableError(f"the connection to the origin failed: {type(error).__name__}")
