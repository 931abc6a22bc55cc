"""Delivery: the table row by row, and an oracle that knows what each client ever shipped accepts.

The oracle is written from what clients were seen to do, generation by generation, and shares
nothing with the code but the words for what may be answered.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.delivery import (
    Circumstances,
    Delivery,
    DeliveryPolicy,
    Door,
    Fallback,
    Urls,
    choose_delivery,
    refuses_private,
)
from appliance.protocol.clients import Version, parse_client

POLICY = DeliveryPolicy(refuse_private_from=(0, 35, 2))
REFUSING = replace(POLICY, fallback=Fallback.REFUSE)
PLAIN = replace(POLICY, urls=Urls.PLAIN)
ENCRYPTED = replace(POLICY, urls=Urls.TLS)

FIRST = "ollama/0.1.2"
PER_RANGE = "ollama/0.3.0 (amd64 linux) Go/go1.22.5"
ONLY_307 = "ollama/0.3.9 (amd64 linux) Go/go1.22.5"
EARLY = "ollama/0.5.6 (amd64 linux) Go/go1.23.4"
MIDDLE = "ollama/0.5.7 (amd64 linux) Go/go1.23.4"
LAST_OLD = "ollama/0.35.1 (amd64 linux) Go/go1.26.6"
LAST_OLD_RC = "ollama/0.35.1-rc3 (amd64 linux) Go/go1.26.6"
THRESHOLD_RC = "ollama/0.35.2-rc0 (amd64 linux) Go/go1.26.6"
THRESHOLD = "ollama/0.35.2 (amd64 linux) Go/go1.26.6"
NEWER = "ollama/1.0.0 (arm64 darwin) Go/go1.27.0"
UNVERSIONED = "ollama/0.0.0 (amd64 linux) Go/go1.26.6"
UNPARSABLE = "ollama/0.36.0+dirty"
TENSOR = "ollama-transfer/1.0"
EXPERIMENT = "ollama/v0.6.0 (amd64 linux) Go/go1.24.0"
EXPERIMENT_UNVERSIONED = "ollama/v0.0.0 (amd64 linux) Go/go1.24.0"
CURL = "curl/8.5.0"
NOBODY = ""

PRE_STEP = (FIRST, PER_RANGE)
OLD = (*PRE_STEP, ONLY_307, EARLY, MIDDLE, LAST_OLD, LAST_OLD_RC)
NEWEST = (THRESHOLD_RC, THRESHOLD, NEWER, UNVERSIONED, UNPARSABLE)
EXPERIMENTS = (EXPERIMENT, EXPERIMENT_UNVERSIONED)
STRANGERS = (CURL, NOBODY)
EVERYBODY = (*OLD, *NEWEST, TENSOR, *EXPERIMENTS, *STRANGERS)

CLEAR = Circumstances(Door.HTTP)
BY_ADDRESS = replace(CLEAR, dialled_by_address=True)
BY_DNS = Circumstances(Door.HTTPS)
WITH_BLOB_HOST = replace(BY_DNS, is_blob_host_offered=True)
BY_PROXY = Circumstances(Door.PROXY, is_blob_host_offered=True)
CUT_OFF = replace(BY_DNS, is_origin_reachable=False)


def having_missed(circumstances: Circumstances, *missed: Delivery) -> Circumstances:
    return replace(circumstances, missed=frozenset(missed))


# The operator's choice, how it came, who it is, and so: what it is told.
TABLE = [
    # In the clear everybody takes the plain URL, and tools need no redirect.
    *((POLICY, CLEAR, each, Delivery.REDIRECT) for each in (*OLD, *NEWEST, TENSOR)),
    *((POLICY, CLEAR, each, Delivery.INLINE) for each in (*STRANGERS, *EXPERIMENTS)),
    *((REFUSING, CLEAR, each, Delivery.REDIRECT) for each in (*OLD, *NEWEST)),
    *((ENCRYPTED, CLEAR, each, Delivery.REDIRECT) for each in (*OLD, *NEWEST)),
    # Who named the box by the address that the plain URL names is not sent there by redirect.
    *((POLICY, BY_ADDRESS, each, Delivery.INLINE) for each in (*STRANGERS, *EXPERIMENTS)),
    *((POLICY, BY_ADDRESS, each, Delivery.INLINE) for each in (*PRE_STEP, EARLY)),
    (POLICY, BY_ADDRESS, ONLY_307, Delivery.RESPELLED),
    *((POLICY, BY_ADDRESS, each, Delivery.LOCATION) for each in (MIDDLE, LAST_OLD)),
    *((POLICY, BY_ADDRESS, each, Delivery.LOCATION) for each in (THRESHOLD, NEWER)),
    # They say no version, and the tensor path needs the whole body.
    *((POLICY, BY_ADDRESS, each, Delivery.INLINE) for each in (UNVERSIONED, TENSOR)),
    # By https the old take the plain URL still, whatever else there is.
    *((POLICY, BY_DNS, each, Delivery.REDIRECT) for each in OLD + STRANGERS + EXPERIMENTS),
    *((POLICY, WITH_BLOB_HOST, each, Delivery.REDIRECT) for each in OLD + STRANGERS),
    *((POLICY, BY_PROXY, each, Delivery.REDIRECT) for each in OLD + STRANGERS),
    *((REFUSING, CUT_OFF, each, Delivery.REDIRECT) for each in OLD + STRANGERS),
    # The newest take the blob host, or nothing of ours.
    *((POLICY, WITH_BLOB_HOST, each, Delivery.TLS) for each in (*NEWEST, TENSOR)),
    *((POLICY, BY_PROXY, each, Delivery.TLS) for each in (*NEWEST, TENSOR)),
    *((REFUSING, WITH_BLOB_HOST, each, Delivery.TLS) for each in NEWEST),
    *((POLICY, BY_DNS, each, Delivery.ORIGIN) for each in NEWEST),
    *((POLICY, CUT_OFF, each, Delivery.REFUSE) for each in NEWEST),
    # Tensors may come from the registry's own name, wherever that is.
    *((each, BY_DNS, TENSOR, Delivery.INLINE) for each in (POLICY, REFUSING, ENCRYPTED)),
    *((REFUSING, BY_DNS, each, Delivery.REFUSE) for each in NEWEST),
    # What the operator insists on.
    *((PLAIN, BY_DNS, each, Delivery.REDIRECT) for each in EVERYBODY),
    *((PLAIN, BY_PROXY, each, Delivery.REDIRECT) for each in EVERYBODY),
    *((ENCRYPTED, WITH_BLOB_HOST, each, Delivery.TLS) for each in (ONLY_307, *NEWEST, TENSOR)),
    *((ENCRYPTED, BY_PROXY, each, Delivery.TLS) for each in (EARLY, LAST_OLD, THRESHOLD)),
    *((ENCRYPTED, BY_DNS, each, Delivery.LOCATION) for each in (MIDDLE, LAST_OLD)),
    *((ENCRYPTED, BY_DNS, each, Delivery.ORIGIN) for each in (ONLY_307, EARLY, *NEWEST)),
    *((ENCRYPTED, BY_DNS, each, Delivery.INLINE) for each in (*STRANGERS, *PRE_STEP)),
    *((ENCRYPTED, BY_DNS, each, Delivery.INLINE) for each in EXPERIMENTS),
]

MISSED_PLAIN, MISSED_TLS = (Delivery.REDIRECT,), (Delivery.TLS,)
MISSED_BOTH = (*MISSED_PLAIN, *MISSED_TLS)

# What it was given and left alone, and so: what it is told next.
LEARNT = [
    (POLICY, WITH_BLOB_HOST, LAST_OLD, MISSED_PLAIN, Delivery.TLS),
    # Another URL at a private address would most likely be a second failed pull.
    (POLICY, WITH_BLOB_HOST, LAST_OLD, MISSED_BOTH, Delivery.ORIGIN),
    (POLICY, BY_DNS, LAST_OLD, MISSED_PLAIN, Delivery.ORIGIN),
    (ENCRYPTED, BY_DNS, LAST_OLD, (Delivery.LOCATION,), Delivery.ORIGIN),
    (REFUSING, BY_DNS, LAST_OLD, MISSED_PLAIN, Delivery.LOCATION),
    (REFUSING, BY_DNS, LAST_OLD, (*MISSED_PLAIN, Delivery.LOCATION), Delivery.REDIRECT),
    (POLICY, WITH_BLOB_HOST, TENSOR, MISSED_TLS, Delivery.INLINE),
    (POLICY, BY_DNS, EARLY, MISSED_PLAIN, Delivery.ORIGIN),
    (REFUSING, BY_DNS, EARLY, MISSED_PLAIN, Delivery.REDIRECT),
    (POLICY, CUT_OFF, EARLY, MISSED_PLAIN, Delivery.REDIRECT),
    (POLICY, WITH_BLOB_HOST, NEWER, MISSED_TLS, Delivery.ORIGIN),
    (REFUSING, WITH_BLOB_HOST, NEWER, MISSED_TLS, Delivery.TLS),
    (POLICY, replace(BY_PROXY, is_origin_reachable=False), NEWER, MISSED_TLS, Delivery.TLS),
]

versions = st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 12))
agents = st.sampled_from(EVERYBODY) | versions.map("ollama/{0[0]}.{0[1]}.{0[2]} (x)".format)
thresholds = st.tuples(st.integers(0, 1), st.integers(32, 40), st.integers(0, 12))
policies = st.builds(DeliveryPolicy, thresholds, st.sampled_from(Fallback), st.sampled_from(Urls))
circumstances = st.builds(
    Circumstances,
    st.sampled_from(Door),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.frozensets(st.sampled_from([Delivery.REDIRECT, Delivery.TLS, Delivery.LOCATION])),
)


@pytest.mark.parametrize(("policy", "came", "user_agent", "delivery"), TABLE)
def test_the_table(
    policy: DeliveryPolicy, came: Circumstances, user_agent: str, delivery: Delivery
) -> None:
    assert choose_delivery(policy, parse_client(user_agent), came) is delivery


@pytest.mark.parametrize(("policy", "came", "user_agent", "missed", "delivery"), LEARNT)
def test_what_was_left_alone_gives_way_to_the_next(
    policy: DeliveryPolicy,
    came: Circumstances,
    user_agent: str,
    missed: tuple[Delivery, ...],
    delivery: Delivery,
) -> None:
    came = having_missed(came, *missed)
    assert choose_delivery(policy, parse_client(user_agent), came) is delivery


def reached(came: Circumstances) -> set[Delivery]:
    """The redirects that lead anywhere, for somebody who came so."""
    found = {Delivery.REDIRECT, Delivery.RESPELLED}
    if came.door is Door.HTTP:
        return found - {Delivery.REDIRECT} if came.dialled_by_address else found  # A loop.
    if came.is_blob_host_offered:
        found.add(Delivery.TLS)
    if came.is_origin_reachable:
        found.add(Delivery.ORIGIN)
    return found


def accepted(user_agent: str, threshold: Version, came: Circumstances) -> set[Delivery]:
    """What such a client can pull by, if it comes so. From the clients' own rules alone."""
    redirects, in_the_clear = reached(came), came.door is Door.HTTP
    to_https = redirects if in_the_clear else redirects - {Delivery.REDIRECT, Delivery.RESPELLED}
    version = parse_client(user_agent).version or (9999, 0, 0)
    if user_agent.startswith("ollama-transfer/"):
        # Its generation is not known, and it may be one that takes only https from elsewhere.
        return {*to_https, Delivery.INLINE}
    if not user_agent.startswith("ollama/"):
        return {Delivery.REDIRECT, *redirects, Delivery.INLINE}
    if user_agent.startswith("ollama/v0.") or version < (0, 3, 1):
        return {*redirects, Delivery.INLINE}
    if version < (0, 3, 10):
        return redirects
    if version < (0, 5, 7):  # It may want the 200's body, which https does not bring.
        return {*redirects, *([Delivery.INLINE] if in_the_clear else [])}
    if in_the_clear:
        return {*redirects, Delivery.INLINE, Delivery.LOCATION}
    return {*redirects, Delivery.LOCATION} if version < threshold else to_https


@given(policies, agents, circumstances)
def test_every_client_is_told_what_it_accepts(
    policy: DeliveryPolicy, user_agent: str, came: Circumstances
) -> None:
    told = choose_delivery(policy, parse_client(user_agent), came)
    fit = accepted(user_agent, policy.refuse_private_from, came)
    if told is Delivery.REFUSE:
        allowed = {Delivery.ORIGIN} if policy.fallback is Fallback.REFUSE else set()
        if policy.urls is Urls.TLS:  # Every other URL was ruled out by the operator.
            allowed |= {Delivery.REDIRECT, Delivery.RESPELLED}
        assert fit <= allowed, "there was a way"
    elif policy.urls is Urls.PLAIN and came.door is not Door.HTTP:
        assert told is Delivery.REDIRECT, "as the operator insists; a warning says who refuses it"
    else:
        assert told in fit


@given(policies, agents, circumstances)
def test_no_refuser_is_sent_from_https_to_http(
    policy: DeliveryPolicy, user_agent: str, came: Circumstances
) -> None:
    policy = replace(policy, urls=Urls.AUTO if policy.urls is Urls.PLAIN else policy.urls)
    client = parse_client(user_agent)
    told = choose_delivery(policy, client, came)
    if came.door is not Door.HTTP and refuses_private(policy, client):
        assert told in (Delivery.TLS, Delivery.INLINE, Delivery.ORIGIN, Delivery.REFUSE)


@given(policies, agents, circumstances)
def test_what_the_operator_rules_out_is_never_told(
    policy: DeliveryPolicy, user_agent: str, came: Circumstances
) -> None:
    told = choose_delivery(policy, parse_client(user_agent), came)
    if policy.fallback is Fallback.REFUSE:
        assert told is not Delivery.ORIGIN
    if policy.urls is Urls.TLS and came.door is not Door.HTTP:
        assert told not in (Delivery.REDIRECT, Delivery.RESPELLED)


@given(policies, agents, circumstances)
def test_a_box_that_cannot_send_over_tls_names_no_such_url(
    policy: DeliveryPolicy, user_agent: str, came: Circumstances
) -> None:
    told = choose_delivery(policy, parse_client(user_agent), replace(came, can_send_inline=False))
    if came.door is not Door.HTTP:
        assert told in (Delivery.REDIRECT, Delivery.ORIGIN, Delivery.REFUSE)


@given(policies, agents, circumstances)
def test_in_the_clear_everybody_is_served_by_the_box(
    policy: DeliveryPolicy, user_agent: str, came: Circumstances
) -> None:
    told = choose_delivery(policy, parse_client(user_agent), replace(came, door=Door.HTTP))
    assert told not in (Delivery.TLS, Delivery.ORIGIN, Delivery.REFUSE)


@given(policies, agents, circumstances)
def test_a_lesson_never_makes_a_refusal(
    policy: DeliveryPolicy, user_agent: str, came: Circumstances
) -> None:
    client = parse_client(user_agent)
    unlearnt = choose_delivery(policy, client, having_missed(came))
    told = choose_delivery(policy, client, came)
    assert (told is Delivery.REFUSE) == (unlearnt is Delivery.REFUSE)


@given(policies, versions, versions)
def test_once_clients_refuse_all_newer_ones_do(
    policy: DeliveryPolicy, one: Version, other: Version
) -> None:
    older, newer = (parse_client("ollama/{}.{}.{}".format(*each)) for each in sorted((one, other)))
    if older.version is not None:
        assert refuses_private(policy, older) <= refuses_private(policy, newer)


@given(policies)
def test_an_unknown_version_is_taken_for_the_newest(policy: DeliveryPolicy) -> None:
    for each in (UNVERSIONED, "ollama/x", TENSOR):
        assert refuses_private(policy, parse_client(each))
    for each in (*STRANGERS, *EXPERIMENTS):
        assert not refuses_private(policy, parse_client(each))
