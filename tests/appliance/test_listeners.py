"""Real ports on loopback: taken, given back, and refused with a hint."""

import errno
import socket

import pytest

from appliance import listeners
from appliance.demo.ports import choose_port
from appliance.listeners import PortUnavailableError, open_listener


def test_every_address_is_listened_on() -> None:
    listener = open_listener(("127.0.0.1", "127.0.0.2"), choose_port(), key="tls.port")
    try:
        for address in ("127.0.0.1", "127.0.0.2"):
            with socket.create_connection((address, listener.port), timeout=5):
                pass
        assert all(not each.getblocking() for each in listener.sockets)
    finally:
        listener.close()


def test_without_addresses_both_families_are_listened_on() -> None:
    listener = open_listener((), choose_port(), key="tls.port")
    families = {each.family for each in listener.sockets}
    listener.close()
    assert socket.AF_INET in families
    assert families <= {socket.AF_INET, socket.AF_INET6}


def test_a_port_that_is_taken_says_who_to_look_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnavailableError) as caught:
            open_listener(("127.0.0.1",), port, key="web.ports")
    assert str(port) in str(caught.value)
    assert caught.value.port == port
    assert "ss -ltnp" in caught.value.hint
    assert "web.ports" in caught.value.hint


def test_one_address_that_fails_gives_the_others_back() -> None:
    port = choose_port()
    with pytest.raises(PortUnavailableError, match=str(port)) as caught:
        open_listener(("127.0.0.1", "192.0.2.77"), port, key="tls.port")
    assert "box.listen" in caught.value.hint
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_port_for_root_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str, port: int) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(listeners, "_open", refuse)
    with pytest.raises(PortUnavailableError, match="Permission denied") as caught:
        open_listener((), 443, key="tls.port")
    assert "above 1023" in caught.value.hint


def test_a_machine_without_ipv6_is_listened_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    really = listeners._open

    def refuse(address: str, port: int) -> socket.socket:
        if ":" in address:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
        return really("127.0.0.1", port)

    monkeypatch.setattr(listeners, "_open", refuse)
    listener = open_listener((), choose_port(), key="tls.port")
    assert [each.family for each in listener.sockets] == [socket.AF_INET]
    listener.close()


def test_a_machine_without_any_network_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str, port: int) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported")

    monkeypatch.setattr(listeners, "_open", refuse)
    with pytest.raises(PortUnavailableError):
        open_listener((), 443, key="tls.port")
