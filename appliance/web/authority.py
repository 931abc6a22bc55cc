"""The box's CA in the forms that systems take it in; which takes what is in docs/OPERATING.md."""

import plistlib
import ssl
import uuid
from typing import Any

from aiohttp import web

from appliance.web.facts import Facts

# Ours alone: the same CA makes the same identifiers, so that a profile replaces its like.
_NAMESPACE = uuid.UUID("5b1c3a0e-6d0f-5f0a-9d9e-0a2a6c1f7b44")
CERTIFICATE_TYPE = (
    "application/x-x509-ca-cert"  # What browsers on Android and Windows offer to install.
)
PROFILE_TYPE = "application/x-apple-aspen-config"
_IDENTIFIER = "ollama-appliance.ca"
_NAME = "Ollama appliance"


class Authority:
    """The handlers. Each answer carries the fingerprint, for who compares it with the box's own."""

    def __init__(self, facts: Facts) -> None:
        self._pem = facts.ca_pem
        self._fingerprint = facts.ca_fingerprint

    async def pem(self, request: web.Request) -> web.Response:
        return self._answer(self._pem, "application/x-pem-file")

    async def crt(self, request: web.Request) -> web.Response:
        """The same text: update-ca-certificates takes files of this name, and no other encoding."""
        return self._answer(self._pem, CERTIFICATE_TYPE)

    async def der(self, request: web.Request) -> web.Response:
        return self._answer(self._der(), CERTIFICATE_TYPE)

    async def mobileconfig(self, request: web.Request) -> web.Response:
        profile = describe_profile(self._der(), self._fingerprint)
        return self._answer(plistlib.dumps(profile), PROFILE_TYPE)

    def _der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self._pem.decode("ascii"))

    def _answer(self, body: bytes, content_type: str) -> web.Response:
        fields = {"X-CA-Fingerprint": f"SHA256:{self._fingerprint}"}
        return web.Response(body=body, content_type=content_type, headers=fields)


def describe_profile(der: bytes, fingerprint: str) -> dict[str, Any]:
    """A configuration profile that makes iOS and macOS know the CA; they still ask their user."""
    return {
        **_payload("Configuration", _IDENTIFIER, "profile", fingerprint),
        "PayloadDescription": f"Lets this device pull models through the box. SHA256:{fingerprint}",
        "PayloadRemovalDisallowed": False,
        "PayloadContent": [
            {
                **_payload("com.apple.security.root", f"{_IDENTIFIER}.root", "root", fingerprint),
                "PayloadCertificateFileName": "ollama-appliance.cer",
                "PayloadContent": der,
            }
        ],
    }


def _payload(kind: str, identifier: str, part: str, fingerprint: str) -> dict[str, Any]:
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid.uuid5(_NAMESPACE, f"{part} {fingerprint}")).upper(),
        "PayloadDisplayName": _NAME,
    }
