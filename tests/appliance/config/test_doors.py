"""The doors' sections as they come out: nothing is open that nobody asked for."""

from appliance.config.doors import Access, Box, Dns, Proxy, Tls, Web


def test_the_ports_are_those_that_clients_ask_on() -> None:
    assert (Dns().port, Tls().port, Proxy().port, Web().ports) == (53, 443, 3128, (80, 8080))


def test_nobody_can_log_in_and_nobody_but_the_neighbours_may_ask() -> None:
    assert Web().admin_password_file is None
    assert Access().allow == ()


def test_the_box_finds_its_addresses_itself() -> None:
    assert (Box().address, Box().listen, Box().state_dir) == (None, (), None)
