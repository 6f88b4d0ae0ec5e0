"""Usernames and e-mail addresses: what is taken, what is refused and with which words, what is suggested."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.identity.names import (
    DisplayNameRefused,
    EmailRefused,
    UsernameRefused,
    display_name_of,
    is_reserved,
    normalise_email,
    parse_display_name,
    parse_username,
    suggest_username,
    with_random_digits,
)

usernames = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{2,29}", fullmatch=True)


@pytest.mark.parametrize("username", ["Bob", "b0b", "007", "a_b-c", "a--", "x" * 30, "admin1", "Trovelover"])
def test_a_username_is_taken_as_it_was_typed(username: str) -> None:
    assert parse_username(username) == username


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ab",
        "x" * 31,
        "_bob",
        "-bob",
        "bob!",
        "bo b",
        " bob",
        "bob\n",
        "böb",
        "воb",
        "bob\u200b",
        "ｂｏｂ",
        "٣٤٥",
        "b.o.b",
    ],
)
def test_what_has_not_the_shape_of_a_username_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(UsernameRefused, match="3 to 30 of the letters A to Z") as refused:
        parse_username(text)
    assert refused.value.argument == "username"


@pytest.mark.parametrize(
    "username", ["admin", "ADMIN", "Trove", "tr-ove", "trove_support", "a_d_m_i_n", "mailer-daemon"]
)
def test_a_reserved_name_is_refused_however_it_is_spelled(username: str) -> None:
    with pytest.raises(UsernameRefused, match="reserved"):
        parse_username(username)


@pytest.mark.parametrize(
    ("words", "username"),
    [
        (["Ada Lovelace"], "Ada-Lovelace"),
        (["Jörg Müller-Lüdenscheidt"], "Jorg-Muller-Ludenscheidt"),
        (["Łukasz Straße"], "Lukasz-Strasse"),
        (["Siobhán O'Brien"], "Siobhan-OBrien"),
        (["Ｆｕｌｌ　Ｗｉｄｔｈ"], "Full-Width"),
        (["Иван", "ivan@example.com", "Ivan"], "Ivan"),
        (["", "@", "  ", "Bo", "Bo Bo"], "Bo-Bo"),
        (["Admin", "Root", "Grace"], "Grace"),
        (["__snake__"], "snake"),
        (["a" * 29 + " " + "b"], "a" * 29),
        (["x" * 300], "x" * 30),
    ],
)
def test_a_username_is_suggested_from_the_first_word_that_makes_one(words: list[str], username: str) -> None:
    assert suggest_username(words) == username


@pytest.mark.parametrize(
    "words", [[], [""], ["Иван Петров"], ["李"], ["Admin"], ["ada.lovelace+trove@example.com"], ["🙂🙂🙂"]]
)
def test_where_no_word_makes_a_username_a_random_one_is_suggested(words: list[str]) -> None:
    suggested = suggest_username(words)
    assert re.fullmatch(r"collector-[0-9]{6}", suggested)
    assert len({suggest_username(words) for _ in range(20)}) > 1


@given(st.lists(st.text() | st.emails(), max_size=3))
def test_whatever_the_words_are_the_suggestion_is_a_username(words: list[str]) -> None:
    suggested = suggest_username(words)
    assert parse_username(suggested) == suggested


@given(usernames)
def test_a_taken_username_gets_random_digits_and_stays_one(username: str) -> None:
    another = with_random_digits(username)
    assert parse_username(another) == another
    assert re.fullmatch(r".*-[0-9]{6}", another)
    assert username.startswith(another[:-7])


@given(usernames)
def test_only_names_that_spell_a_reserved_one_are_reserved(username: str) -> None:
    assert is_reserved(username) == is_reserved(f"{username.upper()}-_")


@pytest.mark.parametrize(
    ("text", "shown", "key"),
    [
        ("ada@example.com", "ada@example.com", "ada@example.com"),
        ("  Ada.Lovelace@Example.COM\n", "Ada.Lovelace@example.com", "ada.lovelace@example.com"),
        ("ada+trove@example.com", "ada+trove@example.com", "ada+trove@example.com"),
        ("POSTMASTER@example.com", "postmaster@example.com", "postmaster@example.com"),
        ("ada@Bücher.example", "ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@bu\u0308cher.example", "ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@例え。jp", "ada@例え.jp", "ada@xn--r8jz45g.jp"),
        ("o'brien@example.com", "o'brien@example.com", "o'brien@example.com"),
    ],
)
def test_an_address_is_shown_as_it_is_read_and_keyed_without_its_spelling(text: str, shown: str, key: str) -> None:
    address = normalise_email(text)
    assert (address.shown, address.key) == (shown, key)


def test_a_domain_that_only_looks_like_another_has_another_key() -> None:
    assert normalise_email("ada@аpple.com").key != normalise_email("ada@apple.com").key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@example",
        "ada@@example.com",
        "ada @example.com",
        "ada@exa mple.com",
        "ada@example.com, eve@example.com",
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@example.com\0",
        "Ada <ada@example.com>",
        '"ada lovelace"@example.com',
        '"ada"@example.com',
        "ada@[127.0.0.1]",
        "ada@[IPv6:::1]",
        "ada@127.0.0.1",
        "ada@localhost",
        "ada@trove.local",
        ".ada@example.com",
        "ada.@example.com",
        "a..da@example.com",
        "аda@example.com",
        "ädä@example.com",
        "ada\u200b@example.com",
        "ada@exam\u202eple.com",
        "ada@-example.com",
        "ada@example..com",
        "ada@\ud800.com",
        "\udfff@example.com",
        "a" * 65 + "@example.com",
        "ada@" + "a" * 64 + ".com",
        "a" * 288 + "@example.com",
        "ada@" + "example." * 37 + "com",
    ],
)
def test_what_cannot_be_written_to_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(EmailRefused) as refused:
        normalise_email(text)
    assert refused.value.argument == "email"
    assert refused.value.message.endswith(".")
    assert refused.value.message.encode()


@given(st.text() | st.emails() | st.tuples(st.text(), st.text()).map("@".join))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = normalise_email(text)
    except EmailRefused:
        return
    assert address.key.isascii()
    assert normalise_email(address.shown) == address
    assert normalise_email(address.key).key == address.key


def test_an_address_is_not_in_its_representation() -> None:
    assert "ada" not in repr(normalise_email("ada@example.com"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("👩‍💻 Ada", "👩‍💻 Ada"),
        ("Ada\nLovelace\t\u202eevil", "Ada Lovelace evil"),
        ("x" * 100, "x" * 60),
        (" \u2028 ", None),
        ("", None),
    ],
)
def test_a_name_from_elsewhere_becomes_one_that_one_could_give_oneself(text: str, shown: str | None) -> None:
    assert display_name_of(text) == shown
    assert shown is None or parse_display_name(shown) == shown


@pytest.mark.parametrize("text", ["", "  ", "x" * 61, "two\nlines", "turned \u202e round"])
def test_what_cannot_stand_where_names_are_read_is_refused(text: str) -> None:
    with pytest.raises(DisplayNameRefused):
        parse_display_name(text)
