"""No test leaves this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

ELSEWHERE = ["192.0.2.1", "8.8.8.8", "0.0.0.0", "2001:db8::1", "::ffff:8.8.8.8", "fe80::1%eth0"]  # noqa: S104 - no bind
CALLS: dict[str, Callable[[socket.socket, tuple[str, int]], object]] = {
    "connect": lambda sock, address: sock.connect(address),
    "connect_ex": lambda sock, address: sock.connect_ex(address),
    "sendto": lambda sock, address: sock.sendto(b"x", address),
    "sendto with flags": lambda sock, address: sock.sendto(b"x", 0, address),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_socket_cannot_reach_another_machine(host: str, call: str) -> None:
    """Every way to give a socket an address is closed, and says so."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if "sendto" in call else socket.SOCK_STREAM
    with socket.socket(family, kind) as sock, pytest.raises(RuntimeError, match="loopback alone"):
        CALLS[call](sock, (host, 9))


@pytest.mark.parametrize("host", ["api-singapore.klingai.com", "example.org", *ELSEWHERE])
def test_a_name_elsewhere_is_not_looked_up(host: str) -> None:
    """A question to a name server would leave the machine already."""
    for look_up in (lambda: socket.getaddrinfo(host, 443), lambda: socket.gethostbyname(host)):
        with pytest.raises(RuntimeError, match="loopback alone"):
            look_up()


@pytest.mark.parametrize("host", ["files.test", "nowhere.invalid", "a..b", "%5B", "x" * 64 + ".org"])
def test_a_name_that_nobody_can_have_is_not_found(host: str) -> None:
    """What any name server would answer, without asking one: for tests of hosts that do not exist."""
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(host, 443)


async def _open(host: str) -> None:
    await asyncio.open_connection(host, 443)


def test_asyncio_is_held_too() -> None:
    """The event loop looks up and connects through the same doors."""
    with pytest.raises(RuntimeError, match="loopback alone"):
        asyncio.run(_open("example.org"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost"])
def test_the_loopback_is_open(host: str) -> None:
    """A server of the test's own can be reached, by number and by name."""
    with socket.create_server((host, 0)) as server, socket.create_connection((host, server.getsockname()[1])) as one:
        assert one.getpeername()[0].startswith("127.")


def test_sockets_that_are_no_network_are_left_alone(tmp_path: object) -> None:
    """Unix sockets have a path for an address."""
    path = f"{tmp_path}/s"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        assert client.getpeername() == path
