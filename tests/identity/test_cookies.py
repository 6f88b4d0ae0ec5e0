"""Cookies: what is read of a browser's header, and what is written to keep ours ours."""

from datetime import timedelta

import pytest

from app.core.cookies import LARGEST_COOKIES, REFRESH_TOKEN, Cookies, read_cookies


def test_cookies_are_read_by_name() -> None:
    assert read_cookies("trove_refresh=abc; theme=dark") == {"trove_refresh": "abc", "theme": "dark"}


@pytest.mark.parametrize(
    "others",
    ['state={"a":[1,2]}', "café=olé", "=nameless", "no-equals-sign", "bad[name]=x", ";;;", 'quoted="a', "a=b=c"],
)
def test_what_others_set_does_not_hide_ours(others: str) -> None:
    for header in (f"{others}; trove_refresh=abc", f"trove_refresh=abc; {others}"):
        assert read_cookies(header)["trove_refresh"] == "abc"


def test_the_first_of_two_by_one_name_counts() -> None:
    assert read_cookies("trove_refresh=first; trove_refresh=second")["trove_refresh"] == "first"


def test_a_header_that_is_too_large_is_not_read() -> None:
    assert read_cookies("trove_refresh=abc; " + "a" * LARGEST_COOKIES) == {}


def test_over_https_a_cookie_is_bound_to_this_host_by_its_name() -> None:
    cookies = Cookies({"__Host-trove_refresh": "ours", "trove_refresh": "planted"}, is_secure=True)
    assert cookies.get(REFRESH_TOKEN) == "ours"
    cookies.set(REFRESH_TOKEN, "trove_refresh_abc", lasts=timedelta(days=7))
    assert cookies.to_set[REFRESH_TOKEN] == (
        "__Host-trove_refresh=trove_refresh_abc; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure"
    )


def test_without_https_a_cookie_says_nothing_of_it() -> None:
    cookies = Cookies({"trove_refresh": "ours"}, is_secure=False)
    assert cookies.get(REFRESH_TOKEN) == "ours"
    cookies.delete(REFRESH_TOKEN)
    assert cookies.to_set[REFRESH_TOKEN] == "trove_refresh=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"


def test_a_page_that_is_not_allowed_brings_no_cookies() -> None:
    cookies = Cookies({"trove_refresh": "ours"}, is_secure=False, is_from_page_allowed=False)
    assert cookies.get(REFRESH_TOKEN) is None


@pytest.mark.parametrize("value", ["a; Domain=example.org", "a\r\nSet-Cookie: b=c", 'a"b', "a b", ""])
def test_a_value_that_would_say_more_than_itself_is_not_written(value: str) -> None:
    cookies = Cookies({}, is_secure=True)
    with pytest.raises(ValueError, match="quoted"):
        cookies.set(REFRESH_TOKEN, value, lasts=timedelta(days=7))
    assert cookies.to_set == {}
