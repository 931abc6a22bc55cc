"""The CA in each form, by real requests."""

import plistlib
import ssl

import pytest
import trustme

from appliance.web.authority import describe_profile
from tests.appliance.web.conftest import Door, OpenDoor

DER = b"a certificate"


@pytest.mark.parametrize(
    ("target", "content_type"),
    [
        ("/ca.pem", "application/x-pem-file"),
        ("/ca.crt", "application/x-x509-ca-cert"),
        ("/ca.der", "application/x-x509-ca-cert"),
        ("/ca.mobileconfig", "application/x-apple-aspen-config"),
    ],
)
async def test_each_form_names_the_fingerprint(door: Door, target: str, content_type: str) -> None:
    answer = await door.ask(target)
    assert answer.status == 200
    assert answer.fields["Content-Type"] == content_type
    assert answer.fields["X-Ca-Fingerprint"] == "SHA256:AB:CD"


async def test_each_form_holds_the_same_certificate(door: Door) -> None:
    assert (await door.ask("/ca.pem")).body == door.facts.ca_pem
    assert (await door.ask("/ca.crt")).body == door.facts.ca_pem
    assert (await door.ask("/ca.der")).body == DER
    profile = plistlib.loads((await door.ask("/ca.mobileconfig")).body)
    (root,) = profile["PayloadContent"]
    assert (root["PayloadType"], root["PayloadContent"]) == ("com.apple.security.root", DER)


async def test_a_real_certificate_comes_as_the_bytes_it_is(open_door: OpenDoor) -> None:
    pem = trustme.CA().cert_pem.bytes()
    async with open_door(ca_pem=pem) as door:
        der = (await door.ask("/ca.der")).body
    ssl.create_default_context().load_verify_locations(cadata=der)
    assert ssl.DER_cert_to_PEM_cert(der).encode() == pem


def test_a_profile_has_what_apple_demands_of_each_payload() -> None:
    profile = describe_profile(DER, "AB:CD")
    for payload in (profile, *profile["PayloadContent"]):
        assert payload.keys() >= {
            *("PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID"),
            "PayloadDisplayName",
        }
    assert profile["PayloadType"] == "Configuration"


def test_the_same_ca_makes_the_same_profile_and_another_makes_another() -> None:
    def identifiers(fingerprint: str) -> list[str]:
        profile = describe_profile(DER, fingerprint)
        return [each["PayloadUUID"] for each in (profile, *profile["PayloadContent"])]

    assert identifiers("AB:CD") == identifiers("AB:CD")
    assert len({*identifiers("AB:CD"), *identifiers("EF:01")}) == 4
