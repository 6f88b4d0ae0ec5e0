"""Where a request came from: its address as it is written down, and what tries from there are counted under."""

import pytest

from app.identity.viewer import NOWHERE, ClientInfo


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/trove.sock", NOWHERE),
        (None, NOWHERE),
    ],
)
def test_tries_are_counted_by_address_and_of_ipv6_by_network(peer: str | None, key: str) -> None:
    assert ClientInfo.of_peer(peer, "test").limit_key == key


def test_the_address_that_is_written_down_is_the_whole_one() -> None:
    assert ClientInfo.of_peer("2001:db8:1:2::1", "test").address == "2001:db8:1:2::1"
