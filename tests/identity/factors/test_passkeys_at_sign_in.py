"""Passkeys over HTTP, by an authenticator of software: registered, signed in with, and every lie refused alike."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.identity.builders import PARTNER_TOKEN
from tests.identity.public_server import Person, PublicServer, answer_alone
from tests.identity.software_authenticator import PRESENT, Json, Lies, SoftwarePasskey, create, decode, get

NOT_IN = {
    "field": [],
    "message": "This does not let you in: check what you gave, and try again.",
    "code": "INVALID_CREDENTIALS",
}
NOT_REGISTERED = {
    "field": ["input", "response"],
    "message": "This passkey could not be verified; begin again with `beginPasskeyRegistration`.",
    "code": "INVALID_PASSKEY",
}


async def second_factor(person: Person, passkey: SoftwarePasskey, **how: Any) -> Json:
    """The input of `completeSignIn` by this passkey."""
    challenge, options = await person.asked_for_second_factor()
    response = get(options, passkey, origin=how.pop("origin", person.server.url), **how)
    return {"challenge": challenge, "passkey": response, "deliver": "BODY"}


async def test_a_passkey_alone_lets_its_owner_in_and_counts_as_two_factors(server: PublicServer, ada: Person) -> None:
    passkey, _ = await ada.add_passkey()
    await ada.enable_totp()
    payload = await server.done("signInWithPasskey", **await answer_alone(server, passkey))
    assert payload["secondFactor"] is None
    assert payload["session"]["viewer"]["username"] == "ada"
    await server.done("beginPasskeyRegistration", payload["session"]["accessToken"])
    assert await server.actions(ada.id) == [
        "signed_in",
        "passkey_registered",
        "totp_enabled",
        "recovery_codes_made",
        "signed_in",
    ]
    assert await server.kept_count(passkey) == passkey.sign_count == 2


async def test_a_passkey_is_asked_for_by_address_where_its_owner_gives_it(server: PublicServer, ada: Person) -> None:
    passkey, _ = await ada.add_passkey()
    begun = await server.done("beginPasskeySignIn", email="Ada@Example.org")
    (named,) = begun["options"]["allowCredentials"]
    assert decode(named["id"]) == passkey.credential_id
    assert begun["options"]["userVerification"] == "required"
    response = get(begun["options"], passkey, origin=server.url)
    await server.done("signInWithPasskey", challenge=begun["challenge"], response=response, deliver="BODY")


async def test_an_address_that_nobody_has_is_answered_like_one_that_somebody_has(
    server: PublicServer, ada: Person, eve: Person
) -> None:
    passkey, _ = await ada.add_passkey()
    known = (await server.done("beginPasskeySignIn", email=ada.email))["options"]
    seen: dict[str, tuple[str, ...]] = {}
    for email in ("nobody@example.org", "somebody@example.org", eve.email, "no address", ""):
        begun = await server.done("beginPasskeySignIn", email=email)
        again = await server.done("beginPasskeySignIn", email=email)
        named = begun["options"]["allowCredentials"]
        assert named == again["options"]["allowCredentials"]
        assert begun["options"].keys() == known.keys()
        assert all(one.keys() == known["allowCredentials"][0].keys() for one in named)
        response = get(begun["options"], passkey, origin=server.url)
        given = {"challenge": begun["challenge"], "response": response, "deliver": "BODY"}
        assert await server.refusal("signInWithPasskey", **given) == NOT_IN
        seen[email] = tuple(one["id"] for one in named)
    assert len({*seen.values(), (known["allowCredentials"][0]["id"],)}) == len(seen)
    assert seen["no address"] == seen[""]


async def test_neither_the_number_nor_the_make_of_passkeys_tells_that_nobody_has_the_address(
    server: PublicServer,
) -> None:
    numbers, makes, ids = set[int](), set[tuple[str, ...]](), list[str]()
    for number in range(40):
        begun = await server.done("beginPasskeySignIn", email=f"nobody-{number}@example.org")
        named = begun["options"]["allowCredentials"]
        numbers.add(len(named))
        makes.update(tuple(one["transports"]) for one in named)
        ids.extend(one["id"] for one in named)
    assert numbers == {1, 2, 3}
    assert len(makes) > 2
    assert len(set(ids)) == len(ids)


async def test_a_passkey_that_does_not_verify_its_holder_completes_a_sign_in_and_never_stands_alone(
    server: PublicServer, ada: Person
) -> None:
    passkey, _ = await ada.add_passkey(flags=PRESENT)
    await ada.enable_totp()
    assert await server.refusal("signInWithPasskey", **await answer_alone(server, passkey, flags=PRESENT)) == NOT_IN
    payload = await server.done("completeSignIn", **await second_factor(ada, passkey, flags=PRESENT))
    assert payload["session"]["viewer"]["username"] == "ada"


async def test_a_passkey_is_offered_as_second_factor_to_who_has_one(server: PublicServer, ada: Person) -> None:
    await ada.enable_totp()
    challenge = await ada.first_factor()
    assert (await server.refusal("beginPasskeySecondFactor", challenge=challenge))["code"] == "INVALID_TOKEN"
    await ada.add_passkey()
    payload = await server.done("signIn", email=ada.email, password="correct horse battery staple", deliver="BODY")
    assert payload["secondFactor"]["methods"] == ["TOTP", "RECOVERY_CODE", "PASSKEY"]


Given = Callable[[PublicServer, SoftwarePasskey, SoftwarePasskey], Awaitable[Json]]


async def for_another_challenge(server: PublicServer, own: SoftwarePasskey, _: SoftwarePasskey) -> Json:
    """An answer to what was asked somewhere else."""
    elsewhere = await server.done("beginPasskeySignIn")
    return await answer_alone(server, own) | {"challenge": elsewhere["challenge"]}


async def with_a_copied_count(server: PublicServer, own: SoftwarePasskey, _: SoftwarePasskey) -> Json:
    """An answer with the count that was given last."""
    return await answer_alone(server, own, lies=Lies(sign_count=own.sign_count))


async def signed_by_another_key(server: PublicServer, own: SoftwarePasskey, other: SoftwarePasskey) -> Json:
    """An answer of one passkey that another has signed."""
    return await answer_alone(server, own, lies=Lies(signed_by=other))


async def with_the_handle_of_another_person(server: PublicServer, own: SoftwarePasskey, other: SoftwarePasskey) -> Json:
    """An answer that names another person."""
    given = await answer_alone(server, own)
    response = given["response"]
    stolen = get({"challenge": ""}, other, origin=server.url)["response"]["userHandle"]
    return given | {"response": response | {"response": response["response"] | {"userHandle": stolen}}}


async def of_another_origin(server: PublicServer, own: SoftwarePasskey, _: SoftwarePasskey) -> Json:
    """An answer that was given to another site."""
    return await answer_alone(server, own, origin="https://trove.evil.example")


async def of_another_party(server: PublicServer, own: SoftwarePasskey, _: SoftwarePasskey) -> Json:
    """An answer for another party."""
    return await answer_alone(server, own, lies=Lies(rp_id="evil.example"))


async def of_a_registration(server: PublicServer, own: SoftwarePasskey, _: SoftwarePasskey) -> Json:
    """An answer that says it makes a passkey."""
    return await answer_alone(server, own, lies=Lies(type="webauthn.create"))


async def of_an_unknown_passkey(server: PublicServer, own: SoftwarePasskey, _: SoftwarePasskey) -> Json:
    """An answer of a passkey that nobody registered."""
    stranger = SoftwarePasskey(own.private_key, own.rp_id, own.user_handle)
    return await answer_alone(server, stranger)


async def of_nothing(server: PublicServer, own: SoftwarePasskey, _: SoftwarePasskey) -> Json:
    """No answer at all."""
    return await answer_alone(server, own) | {"response": ["nonsense", None, {"id": 1}]}


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (for_another_challenge, "challenge"),
        (with_a_copied_count, "sign count"),
        (signed_by_another_key, "signature"),
        (with_the_handle_of_another_person, "of another user"),
        (of_another_origin, "origin"),
        (of_another_party, "RP ID"),
        (of_a_registration, "client data type"),
        (of_an_unknown_passkey, "no such passkey"),
        (of_nothing, "an object was expected"),
    ],
)
async def test_a_lying_answer_lets_nobody_in_and_only_the_log_says_why(
    server: PublicServer, ada: Person, eve: Person, lie: Given, reason: str
) -> None:
    passkey, _ = await ada.add_passkey()
    of_eve, _ = await eve.add_passkey()
    given = await lie(server, passkey, of_eve)
    kept = await server.kept_count(passkey)
    assert await server.refusal("signInWithPasskey", **given) == NOT_IN
    assert await server.kept_count(passkey) == kept
    is_nobodys = lie in (of_an_unknown_passkey, of_nothing)
    (logged,) = await server.reasons(None if is_nobodys else ada.id)
    assert reason.lower() in logged.lower()


async def test_a_challenge_of_a_passkey_is_used_once_in_its_time_and_for_its_own_purpose(
    server: PublicServer, ada: Person
) -> None:
    passkey, _ = await ada.add_passkey()
    await ada.enable_totp()
    used = await answer_alone(server, passkey)
    expired = await answer_alone(server, passkey)
    await server.done("signInWithPasskey", **expired)
    expired = await answer_alone(server, passkey)
    assert await server.refusal("signInWithPasskey", **used) == NOT_IN
    beside = await second_factor(ada, passkey)
    registering = await server.done("beginPasskeyRegistration", ada.token)
    for given in (
        {"challenge": beside["challenge"], "response": beside["passkey"]},
        {
            "challenge": registering["challenge"],
            "response": get(registering["options"], passkey, origin=server.url),
        },
        {"challenge": "", "response": beside["passkey"]},
    ):
        assert await server.refusal("signInWithPasskey", deliver="BODY", **given) == NOT_IN
    alone = await answer_alone(server, passkey)
    as_second = {"challenge": alone["challenge"], "passkey": alone["response"], "deliver": "BODY"}
    assert await server.refusal("completeSignIn", **as_second) == NOT_IN
    await server.expire_challenges()
    assert await server.refusal("signInWithPasskey", **expired) == NOT_IN
    assert await server.refusal("completeSignIn", **beside) == NOT_IN


async def test_of_many_who_come_with_one_answer_at_once_one_is_let_in(server: PublicServer, ada: Person) -> None:
    passkey, _ = await ada.add_passkey()
    given = await answer_alone(server, passkey)
    payloads = await asyncio.gather(*(server.ask("signInWithPasskey", **given) for _ in range(4)))
    assert sorted(payload["session"] is None for payload in payloads) == [False, True, True, True]


async def test_of_a_passkey_and_its_copies_that_come_at_once_one_is_let_in(server: PublicServer, ada: Person) -> None:
    passkey, _ = await ada.add_passkey()
    answers = [await answer_alone(server, passkey, lies=Lies(sign_count=7)) for _ in range(4)]
    payloads = await asyncio.gather(*(server.ask("signInWithPasskey", **given) for given in answers))
    assert sorted(payload["session"] is None for payload in payloads) == [False, True, True, True]


async def test_a_passkey_that_never_counts_is_let_in_again_and_one_that_stops_counting_is_not(
    server: PublicServer, ada: Person
) -> None:
    silent, _ = await ada.add_passkey(counts=False)
    counting, _ = await ada.add_passkey()
    for _ in range(2):
        await server.done("signInWithPasskey", **await answer_alone(server, silent))
    await server.done("signInWithPasskey", **await answer_alone(server, counting))
    stopped = await answer_alone(server, counting, lies=Lies(sign_count=0))
    assert await server.refusal("signInWithPasskey", **stopped) == NOT_IN


async def test_the_second_factor_is_a_passkey_of_the_same_person_and_one_that_was_asked_for(
    server: PublicServer, ada: Person, eve: Person
) -> None:
    passkey, _ = await ada.add_passkey()
    of_eve, _ = await eve.add_passkey()
    await ada.enable_totp()
    given = await second_factor(ada, passkey)
    for passkey_of, how in (
        (of_eve, {}),
        (passkey, {"origin": "https://trove.evil.example"}),
        (passkey, {"lies": Lies(signed_by=of_eve)}),
        (passkey, {"lies": Lies(sign_count=1)}),
    ):
        assert await server.refusal("completeSignIn", **await second_factor(ada, passkey_of, **how)) == NOT_IN
    unasked = given | {"challenge": await ada.first_factor()}
    assert await server.refusal("completeSignIn", **unasked) == NOT_IN
    assert (await server.reasons(ada.id))[-1] == "no passkey was asked for"
    await server.done("completeSignIn", **await second_factor(ada, passkey))


async def test_what_was_asked_for_first_holds_no_longer_once_it_is_asked_again(
    server: PublicServer, ada: Person
) -> None:
    passkey, _ = await ada.add_passkey()
    await ada.enable_totp()
    challenge, options = await ada.asked_for_second_factor()
    again = (await server.done("beginPasskeySecondFactor", challenge=challenge))["options"]
    assert again["challenge"] != options["challenge"]
    for asked, is_let_in in ((options, False), (again, True)):
        response = get(asked, passkey, origin=server.url)
        payload = await server.ask("completeSignIn", challenge=challenge, passkey=response, deliver="BODY")
        assert (payload["session"] is not None) == is_let_in


async def test_the_fifth_wrong_answer_of_a_passkey_ends_its_challenge(server: PublicServer, ada: Person) -> None:
    passkey, _ = await ada.add_passkey()
    begun = await server.done("beginPasskeySignIn")
    wrong = get(begun["options"], passkey, origin="https://trove.evil.example")
    for _ in range(5):
        given = {"challenge": begun["challenge"], "response": wrong, "deliver": "BODY"}
        assert await server.refusal("signInWithPasskey", **given) == NOT_IN
    right = get(begun["options"], passkey, origin=server.url)
    given = {"challenge": begun["challenge"], "response": right, "deliver": "BODY"}
    assert await server.refusal("signInWithPasskey", **given) == NOT_IN
    assert (await server.reasons(ada.id))[-1] == "no such challenge"


async def test_a_registration_is_its_own_persons_once_in_its_time_and_honest(
    server: PublicServer, ada: Person, eve: Person
) -> None:
    begun = await server.done("beginPasskeyRegistration", ada.token)
    alone = await server.done("beginPasskeySignIn")
    expired = await server.done("beginPasskeyRegistration", ada.token)
    assert decode(begun["options"]["user"]["id"]) == ada.id.bytes
    _, response = create(begun["options"], origin=server.url)
    given = {"challenge": begun["challenge"], "response": response, "name": "Key"}
    lies = [
        (eve, given),
        (ada, given | {"challenge": alone["challenge"]}),
        (ada, given | {"challenge": expired["challenge"]}),
        (ada, given | {"response": create(begun["options"], origin="https://evil.example")[1]}),
        (ada, given | {"response": {}}),
    ]
    for person, lie in lies:
        assert await server.refusal("registerPasskey", person.token, **lie) == NOT_REGISTERED
    assert len(await server.reasons(ada.id)) == 4
    assert await server.reasons(eve.id) == ["passkey not registered: no such challenge of this person"]
    payload = await server.done("registerPasskey", ada.token, **given)
    assert payload["passkey"]["name"] == "Key"
    assert await server.refusal("registerPasskey", ada.token, **given) == NOT_REGISTERED
    _, late = create(expired["options"], origin=server.url)
    await server.expire_challenges()
    too_late = {"challenge": expired["challenge"], "response": late, "name": "Key"}
    assert await server.refusal("registerPasskey", ada.token, **too_late) == NOT_REGISTERED


async def test_a_passkey_that_somebody_has_is_registered_by_nobody_else(
    server: PublicServer, ada: Person, eve: Person
) -> None:
    passkey, _ = await ada.add_passkey()
    begun = await server.done("beginPasskeyRegistration", eve.token)
    _, response = create(begun["options"], origin=server.url, lies=Lies(attested_id=passkey.credential_id))
    claimed = get(begun["options"], passkey, origin=server.url)
    response |= {"id": claimed["id"], "rawId": claimed["rawId"]}
    given = {"challenge": begun["challenge"], "response": response, "name": "Key"}
    assert await server.refusal("registerPasskey", eve.token, **given) == NOT_REGISTERED
    assert await server.reasons(eve.id) == ["passkey not registered: registered before"]
    payload = await server.done("signInWithPasskey", **await answer_alone(server, passkey))
    assert payload["session"]["viewer"]["username"] == "ada"


async def test_an_authenticator_that_holds_a_passkey_already_is_told_to_sit_out(
    server: PublicServer, ada: Person
) -> None:
    passkey, _ = await ada.add_passkey()
    begun = await server.done("beginPasskeyRegistration", ada.token)
    assert [decode(each["id"]) for each in begun["options"]["excludeCredentials"]] == [passkey.credential_id]


async def test_a_person_has_twenty_passkeys_and_no_more(server: PublicServer, ada: Person) -> None:
    begun = [await server.done("beginPasskeyRegistration", ada.token) for _ in range(21)]
    for number, each in enumerate(begun):
        _, response = create(each["options"], origin=server.url)
        given = {"challenge": each["challenge"], "response": response, "name": "Key"}
        payload = await server.ask("registerPasskey", ada.token, **given)
        assert [error["code"] for error in payload["userErrors"]] == (["TOO_MANY"] if number == 20 else [])
    assert (await server.refusal("beginPasskeyRegistration", ada.token))["code"] == "TOO_MANY"


async def test_a_passkey_is_renamed_and_removed_by_its_owner_alone(
    server: PublicServer, ada: Person, eve: Person
) -> None:
    passkey, passkey_id = await ada.add_passkey()
    payload = await server.done("renamePasskey", ada.token, id=passkey_id, name="  My telephone ")
    assert payload["passkey"] == {"id": passkey_id, "name": "My telephone"}
    for name in ("", " ", "n" * 81):
        refusal = await server.refusal("renamePasskey", ada.token, id=passkey_id, name=name)
        assert (refusal["code"], refusal["field"]) == ("INVALID_INPUT", ["input", "name"])
    for mutation, given in (("renamePasskey", {"name": "Mine"}), ("removePasskey", {})):
        refusal = await server.refusal(mutation, eve.token, id=passkey_id, **given)
        assert (refusal["code"], refusal["field"]) == ("NOT_FOUND", ["input", "id"])
    await server.done("signInWithPasskey", **await answer_alone(server, passkey))
    removed = await server.done("removePasskey", ada.token, id=passkey_id)
    assert removed["account"] == {"passkeys": []}
    assert await server.refusal("signInWithPasskey", **await answer_alone(server, passkey)) == NOT_IN
    assert (await server.refusal("removePasskey", ada.token, id=passkey_id))["code"] == "NOT_FOUND"
    assert {"passkey_renamed", "passkey_removed"} <= set(await server.actions(ada.id))


async def test_one_address_begins_a_hundred_sign_ins_by_passkey_and_then_waits(server: PublicServer) -> None:
    for _ in range(100):
        await server.done("beginPasskeySignIn")
    (error,) = (await server.response("beginPasskeySignIn"))["errors"]
    assert error["extensions"]["code"] == "RATE_LIMITED"


async def test_what_changes_how_one_gets_in_needs_a_session(server: PublicServer, partner: None) -> None:
    for mutation, given in (
        ("enableTotp", {}),
        ("confirmTotp", {"code": "123456"}),
        ("disableTotp", {"code": "123456"}),
        ("createRecoveryCodes", {"code": "123456"}),
        ("beginPasskeyRegistration", {}),
        ("registerPasskey", {"challenge": "", "response": {}, "name": "Key"}),
        ("renamePasskey", {"id": "", "name": "Key"}),
        ("removePasskey", {"id": ""}),
    ):
        for token, code in ((None, "UNAUTHENTICATED"), (PARTNER_TOKEN.text, "FORBIDDEN")):
            (error,) = (await server.response(mutation, token, **given))["errors"]
            assert (mutation, error["extensions"]["code"]) == (mutation, code)
