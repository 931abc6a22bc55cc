"""The box's own CA: made once, believed for a few names only, and the leaves it issues.

Theory of operation. The CA lets the box stand in for the registry, so it must be worth nothing to
whoever steals it. Its certificate says, critically, that it may speak for the names it was made
for and for no address and no mailbox at all; verifiers enforce that, not we. (By RFC 5280
§4.2.1.10 a name permits its subdomains too: `a.registry.ollama.ai` passes, `evilregistry.ollama.ai`
and `ollama.ai` do not.) The permitted mailbox domain exists nowhere: leaving mail out would
permit all of it, and Go refuses an empty constraint.

Key and certificate appear together or not at all: both are written and synced in a directory beside
the final one, which is then renamed into place, and a rename never replaces a directory that holds
something. Leaves have keys of their own and live in memory only.

Whoever makes an authority must hold the lock of the state directory.
"""

import ipaddress
import shutil
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.private_files import keep_private, sync_directory, write_private

AUTHORITY_LIFE = timedelta(days=3650)  # Clients trust it by hand: once, for the life of the box.
LEAF_LIFE = timedelta(days=199)  # CA/Browser Forum: at most 200 days from March 2026.
BACKDATED = timedelta(days=2)  # Clients whose clocks are behind must not find it unborn.
CLOCK_FLOOR = datetime.fromisoformat("2023-07-01T00:00:00Z")  # No Ollama was out before.
COMMON_NAME_LENGTH_MAX = 64  # X.520's upper bound; the SAN is what counts.

AUTHORITY_FOLDER = "ca"  # In the state directory.
CERTIFICATE_FILE = "ca.pem"
KEY_FILE = "ca.key"

_PRODUCT = "Ollama LAN Appliance"
_NO_MAILBOX = x509.RFC822Name("email.invalid")
_EVERY_ADDRESS = [x509.IPAddress(ipaddress.ip_network(each)) for each in ("0.0.0.0/0", "::/0")]
_UNREADABLE = (
    *(OSError, ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion),
    *(x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)


class AuthorityError(Exception):
    """Something is wrong with the box's CA; `hint` says what to type."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class AuthorityMissingError(AuthorityError):
    """No CA has been made yet."""


class AuthorityNamesError(AuthorityError):
    """A name is asked for that the CA's constraints do not permit."""


class AuthorityDamagedError(AuthorityError):
    """The CA's files are incomplete, unreadable, or do not belong together."""


class AuthorityPrivateError(AuthorityError):
    """The CA's files belong to another user, and are as closed as they should be."""


class AuthorityExpiredError(AuthorityError):
    """The CA has come to its end, or the clock is wrong."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate for the box's names and its key, kept in memory."""

    certificate: x509.Certificate
    private_key: EllipticCurvePrivateKey = field(repr=False)

    @property
    def not_after(self) -> datetime:
        return self.certificate.not_valid_after_utc

    @property
    def pem(self) -> bytes:
        """Key and certificate in one text, as `ssl.SSLContext.load_cert_chain` takes them."""
        return _key_pem(self.private_key) + _certificate_pem(self.certificate)

    def is_due(self, now: datetime) -> bool:
        """Whether a third of its life or less is left: time for the next."""
        life = self.not_after - self.certificate.not_valid_before_utc
        return now >= self.not_after - life / 3


@dataclass(frozen=True, slots=True)
class AuthorityCertificate:
    """What everybody may know of the CA."""

    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> bytes:
        return _certificate_pem(self.certificate)

    @property
    def fingerprint(self) -> str:
        """The certificate's SHA-256, `AB:CD:…`, as browsers and `openssl x509` show it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def not_after(self) -> datetime:
        return self.certificate.not_valid_after_utc

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names it may speak for, in the order it was made with."""
        constraints = self.certificate.extensions.get_extension_for_class(x509.NameConstraints)
        permitted = constraints.value.permitted_subtrees or []
        return tuple(each.value for each in permitted if isinstance(each, x509.DNSName))

    def permits(self, name: str) -> bool:
        """Whether verifiers would accept a leaf for `name`."""
        return any(name == base or name.endswith(f".{base}") for base in self.names)


@dataclass(frozen=True, slots=True)
class Authority(AuthorityCertificate):
    """The CA with its key: what issues leaves."""

    directory: Path
    private_key: EllipticCurvePrivateKey = field(repr=False)

    def issue(self, names: tuple[str, ...], *, now: datetime) -> Leaf:
        """Make a leaf with a new key for `names`, the first of them its common name.

        Raises:
            AuthorityNamesError: the CA may not speak for one of them.
            AuthorityExpiredError: the leaf would be dead at birth.
        """
        _check_names(self, names, self.directory)
        _check_alive(self, now, self.directory)
        private_key = generate_private_key(SECP256R1())
        not_before = now - BACKDATED
        certificate = (
            _builder(private_key, not_before, min(not_before + LEAF_LIFE, self.not_after))
            .subject_name(_name(names[0][:COMMON_NAME_LENGTH_MAX]))
            .issuer_name(self.certificate.subject)
            .add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names))), False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(_key_usage(digital_signature=True), True)
            .add_extension(_issued_by(self.certificate), False)
            .sign(self.private_key, hashes.SHA256())
        )
        return Leaf(certificate, private_key)


def parse_leaf(pem: bytes) -> Leaf:
    """The leaf whose `pem` this is."""
    private_key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(private_key, EllipticCurvePrivateKey), "all of ours are"
    return Leaf(x509.load_pem_x509_certificate(pem), private_key)


def parse_authority(pem: bytes) -> AuthorityCertificate:
    """What is public of a CA that somebody sent.

    Raises:
        ValueError: it is no certificate, or no CA that is bound to names.
    """
    authority = AuthorityCertificate(x509.load_pem_x509_certificate(pem))
    try:
        is_bound = bool(authority.names)
    except x509.ExtensionNotFound as error:
        raise ValueError("the certificate is bound to no names") from error
    if not is_bound:
        raise ValueError("the certificate is bound to no names")
    return authority


def open_authority(directory: Path, names: tuple[str, ...], *, now: datetime) -> Authority:
    """Read the CA in `directory`, or make one for exactly `names` where there is none. Blocks.

    An existing CA is never written over, whatever is wrong with it.

    Raises:
        AuthorityNamesError: the CA that is there may not speak for one of `names`.
        AuthorityDamagedError: its files are incomplete, unreadable, or do not match.
        AuthorityPrivateError: they belong to another user.
        AuthorityExpiredError: it is past its end, or the clock is not set.
    """
    try:
        is_new = not any(directory.iterdir())
    except FileNotFoundError:
        is_new = True
    except OSError as error:
        raise _unreadable(directory, ".", error) from error
    if is_new:
        _make_authority(directory, names, now)
    authority = _read_with_key(directory)
    _check_names(authority, names, directory)
    _check_alive(authority, now, directory)
    return authority


def read_authority(directory: Path) -> AuthorityCertificate:
    """Read what is public of the CA, never its key. Blocks.

    Raises:
        AuthorityMissingError: none has been made yet.
        AuthorityDamagedError: there is one that cannot be read.
        AuthorityPrivateError: it belongs to another user.
    """
    try:
        content = (directory / CERTIFICATE_FILE).read_bytes()
        authority = AuthorityCertificate(x509.load_pem_x509_certificate(content))
        is_ours = bool(authority.names)
    except FileNotFoundError:
        raise AuthorityMissingError(
            f"there is no CA in {directory} yet", "ollama-appliance run   (makes it on first start)"
        ) from None
    except _UNREADABLE as error:
        raise _unreadable(directory, CERTIFICATE_FILE, error) from error
    if not is_ours:
        raise _damaged(directory, f"{CERTIFICATE_FILE} is for no names")
    return authority


def read_authority_pem(directory: Path) -> bytes:
    """The CA's certificate for whoever runs without the box; raises as `read_authority`."""
    return read_authority(directory).certificate_pem


def _make_authority(directory: Path, names: tuple[str, ...], now: datetime) -> None:
    if now < CLOCK_FLOOR:
        message = f"the clock says {now:%Y-%m-%d}: a CA made now would be dead once it is right"
        raise AuthorityExpiredError(message, "timedatectl set-ntp true")
    private_key = generate_private_key(SECP256R1())
    certificate = _sign_authority(private_key, names, now - BACKDATED)
    scratch = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700, parents=True)
    write_private(scratch / KEY_FILE, _key_pem(private_key))
    write_private(scratch / CERTIFICATE_FILE, _certificate_pem(certificate))
    sync_directory(scratch)
    scratch.rename(directory)
    sync_directory(directory.parent)


def _sign_authority(
    private_key: EllipticCurvePrivateKey, names: tuple[str, ...], not_before: datetime
) -> x509.Certificate:
    identifier = x509.SubjectKeyIdentifier.from_public_key(private_key.public_key())
    subject = _name(f"{_PRODUCT} CA {identifier.digest[:4].hex()}")  # Several boxes, several names.
    permitted = [*map(x509.DNSName, names), _NO_MAILBOX]
    return (
        _builder(private_key, not_before, not_before + AUTHORITY_LIFE)
        .subject_name(subject)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), True)
        .add_extension(x509.NameConstraints(permitted, _EVERY_ADDRESS), True)
        .add_extension(identifier, False)
        .sign(private_key, hashes.SHA256())
    )


def _read_with_key(directory: Path) -> Authority:
    try:
        public = read_authority(directory)
        content = (directory / KEY_FILE).read_bytes()
        private_key = serialization.load_pem_private_key(content, password=None)
    except AuthorityMissingError as error:
        raise _damaged(directory, f"{CERTIFICATE_FILE} is missing") from error
    except _UNREADABLE as error:
        raise _unreadable(directory, KEY_FILE, error) from error
    if not isinstance(private_key, EllipticCurvePrivateKey):
        raise _damaged(directory, f"{KEY_FILE} is no key of ours")
    if private_key.public_key() != public.certificate.public_key():
        raise _damaged(directory, f"{KEY_FILE} does not belong to {CERTIFICATE_FILE}")
    keep_private(directory, 0o700)
    keep_private(directory / KEY_FILE, 0o600)
    return Authority(public.certificate, directory, private_key)


def _check_names(authority: AuthorityCertificate, names: tuple[str, ...], directory: Path) -> None:
    foreign = [name for name in names if not authority.permits(name)]
    if foreign:
        message = f"the CA in {directory} is for {', '.join(authority.names)}, not {foreign[0]}"
        raise AuthorityNamesError(message, _start_over(directory))


def _check_alive(authority: AuthorityCertificate, now: datetime, directory: Path) -> None:
    if now >= authority.not_after:
        message = f"the CA in {directory} ended on {authority.not_after:%Y-%m-%d}"
        raise AuthorityExpiredError(message, _start_over(directory))


def _damaged(directory: Path, what: str) -> AuthorityDamagedError:
    return AuthorityDamagedError(
        f"the CA in {directory} cannot be used: {what}", _start_over(directory)
    )


def _unreadable(directory: Path, file: str, error: Exception) -> AuthorityError:
    if not isinstance(error, PermissionError):
        return _damaged(directory, f"{file}: {error}")
    message = f"the CA in {directory} belongs to another user, the box's own"
    return AuthorityPrivateError(
        message, "the same with sudo   (or from any machine: curl http://BOX/ca.pem)"
    )


def _start_over(directory: Path) -> str:
    return f"mv {directory} {directory}.old   (the next start makes a new CA, for clients to trust)"


def _builder(
    private_key: EllipticCurvePrivateKey, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _PRODUCT),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(private_key: EllipticCurvePrivateKey) -> bytes:
    return private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
