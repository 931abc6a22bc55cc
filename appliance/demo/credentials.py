"""Keys and certificates for the demo's Internet; nothing here reaches any trust store.

The certificate authority is new for every run and signs only the two scripted sites. Its dates are
fixed and wide, so that no clock is asked.
"""

import base64
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NOT_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(2049, 12, 31, tzinfo=UTC)  # The last year that UTCTime can say.
_KEY_KIND = b"ssh-ed25519"


class DemoAuthority:
    """A certificate authority and the leaves it signs, as files in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name("Demo Internet CA")
        certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = directory / "demo-internet-ca.pem"
        self.ca_file.write_bytes(_pem(certificate))

    def server_context(self, names: Sequence[str]) -> ssl.SSLContext:
        """A TLS context for a server with these names: HTTP/1.1 only, new key and leaf."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        leaf = (
            _builder(_common_name(names[0]), self._name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, names)]), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._directory / f"{names[0]}.pem"
        file.touch(mode=0o600)
        file.write_bytes(_private_pem(key) + _pem(leaf))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["http/1.1"])
        return context


class ClientKey:
    """An Ollama user's Ed25519 key, which signs requests for tokens."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    @property
    def public_key(self) -> str:
        """The base64 of the key in OpenSSH's wire format, as in an id_ed25519.pub."""
        raw = self._key.public_key().public_bytes_raw()
        return base64.b64encode(_length_prefixed(_KEY_KIND) + _length_prefixed(raw)).decode()

    def sign(self, text: str) -> str:
        """The base64 of the signature over `text`."""
        return base64.b64encode(self._key.sign(text.encode())).decode()


def is_signed(public_key: str, signature: str, text: str) -> bool:
    """Whether `signature` over `text` is by the owner of `public_key`; False for any nonsense."""
    try:
        raw = base64.b64decode(public_key, validate=True)[-32:]
        Ed25519PublicKey.from_public_bytes(raw).verify(
            base64.b64decode(signature, validate=True), text.encode()
        )
    except (ValueError, InvalidSignature):
        return False
    return True


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _length_prefixed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content
