"""One-time and recovery codes over HTTP: turned on, asked for, and every way to cheat with them refused alike."""

import asyncio
import base64
from uuid import UUID

from sqlalchemy import select, update

from app.core.secrets import KeyRing, Secrets, place_of
from app.identity.models import TotpSecret
from app.identity.sign_in import store_password_hash
from tests.identity.builders import SECRETS
from tests.identity.public_server import Person, PublicServer

NOT_IN = {
    "field": [],
    "message": "This does not let you in: check what you gave, and try again.",
    "code": "INVALID_CREDENTIALS",
}
WRONG_CODE = {
    "field": ["input", "code"],
    "message": "This code does not hold, or was used before; wait for the next one, and try again.",
    "code": "INVALID_CODE",
}


async def test_a_code_completes_what_a_password_began(server: PublicServer, ada: Person) -> None:
    await ada.enable_totp()
    payload = await server.done("signIn", email=ada.email, password="correct horse battery staple", deliver="BODY")
    assert payload["session"] is None
    assert payload["secondFactor"]["methods"] == ["TOTP", "RECOVERY_CODE"]
    challenge = payload["secondFactor"]["challenge"]
    completed = await server.done("completeSignIn", challenge=challenge, totpCode=ada.code(1), deliver="BODY")
    assert completed["session"]["viewer"]["username"] == "ada"
    assert completed["session"]["refreshToken"].startswith("trove_refresh_")
    await server.done("beginPasskeyRegistration", completed["session"]["accessToken"])
    assert await server.actions(ada.id) == ["signed_in", "totp_enabled", "recovery_codes_made", "signed_in"]


async def test_a_browser_gets_its_refresh_token_in_a_cookie_that_no_script_reads(
    server: PublicServer, ada: Person
) -> None:
    await ada.enable_totp()
    completed = await server.done("completeSignIn", challenge=await ada.first_factor(), totpCode=ada.code(1))
    assert completed["session"]["refreshToken"] is None
    (cookie,) = server.http.cookies.jar
    assert cookie.name == "trove_refresh"
    assert cookie.has_nonstandard_attr("HttpOnly")


async def test_nothing_is_asked_for_before_a_first_code_has_confirmed_the_app(
    server: PublicServer, ada: Person
) -> None:
    await server.done("enableTotp", ada.token)
    await ada.sign_in()
    replaced = await server.done("enableTotp", ada.token)
    assert await server.refusal("confirmTotp", ada.token, code="not one") == WRONG_CODE
    await ada.sign_in()
    assert replaced["uri"].startswith("otpauth://totp/Trove:ada?")
    await ada.enable_totp()
    assert (await server.refusal("enableTotp", ada.token))["code"] == "ALREADY_DONE"
    assert (await server.refusal("confirmTotp", ada.token, code=ada.code(1)))["code"] == "ALREADY_DONE"


async def test_an_app_that_was_not_set_up_can_neither_be_confirmed_nor_turned_off(
    server: PublicServer, ada: Person
) -> None:
    for mutation in ("confirmTotp", "disableTotp", "createRecoveryCodes"):
        assert (await server.refusal(mutation, ada.token, code="123456"))["code"] == "NOT_FOUND"
    await server.done("enableTotp", ada.token)
    for mutation in ("disableTotp", "createRecoveryCodes"):
        assert (await server.refusal(mutation, ada.token, code="123456"))["code"] == "NOT_FOUND"


async def test_a_code_works_once_and_the_one_that_confirmed_the_app_counts_too(
    server: PublicServer, ada: Person
) -> None:
    await ada.enable_totp()
    confirming, fresh = ada.code(), ada.code(1)
    challenge = await ada.first_factor()
    assert await server.refusal("completeSignIn", challenge=challenge, totpCode=confirming, deliver="BODY") == NOT_IN
    await server.done("completeSignIn", challenge=challenge, totpCode=fresh, deliver="BODY")
    challenge = await ada.first_factor()
    assert await server.refusal("completeSignIn", challenge=challenge, totpCode=fresh, deliver="BODY") == NOT_IN
    assert await server.refusal("disableTotp", ada.token, code=fresh) == WRONG_CODE
    await ada.forget_step()
    await server.done("completeSignIn", challenge=challenge, totpCode=fresh, deliver="BODY")
    assert await server.reasons(ada.id) == ["wrong one-time code", "wrong one-time code", "wrong code for a change"]


async def test_of_many_who_come_with_one_code_at_once_one_is_let_in(server: PublicServer, ada: Person) -> None:
    await ada.enable_totp()
    challenges = [await ada.first_factor() for _ in range(4)]
    code = ada.code(1)
    payloads = await asyncio.gather(
        *(server.ask("completeSignIn", challenge=each, totpCode=code, deliver="BODY") for each in challenges)
    )
    assert sorted(payload["session"] is None for payload in payloads) == [False, True, True, True]


async def test_of_many_who_come_with_one_recovery_code_at_once_one_is_let_in(server: PublicServer, ada: Person) -> None:
    await ada.enable_totp()
    challenges = [await ada.first_factor() for _ in range(4)]
    code = ada.recovery_codes[0]
    payloads = await asyncio.gather(
        *(server.ask("completeSignIn", challenge=each, recoveryCode=code, deliver="BODY") for each in challenges)
    )
    assert sorted(payload["session"] is None for payload in payloads) == [False, True, True, True]


async def test_one_challenge_lets_in_once_however_many_come_with_right_answers(
    server: PublicServer, ada: Person
) -> None:
    await ada.enable_totp()
    challenge = await ada.first_factor()
    payloads = await asyncio.gather(
        *(
            server.ask("completeSignIn", challenge=challenge, recoveryCode=code, deliver="BODY")
            for code in ada.recovery_codes[:4]
        )
    )
    assert sorted(payload["session"] is None for payload in payloads) == [False, True, True, True]


async def test_codes_of_another_person_or_another_time_let_nobody_in(
    server: PublicServer, ada: Person, eve: Person
) -> None:
    await ada.enable_totp()
    await eve.enable_totp()
    challenge = await ada.first_factor()
    for answer in (
        {"totpCode": eve.code(1)},
        {"totpCode": ada.code(-2)},
        {"recoveryCode": eve.recovery_codes[0]},
        {"totpCode": ada.recovery_codes[0]},
    ):
        assert await server.refusal("completeSignIn", challenge=challenge, deliver="BODY", **answer) == NOT_IN
    # Neither was eve's code spent by that, nor ada's challenge ended.
    await server.done(
        "completeSignIn", challenge=await eve.first_factor(), recoveryCode=eve.recovery_codes[0], deliver="BODY"
    )
    await server.done("completeSignIn", challenge=challenge, totpCode=ada.code(1), deliver="BODY")
    assert set(await server.reasons(ada.id)) == {"wrong one-time code", "wrong recovery code"}


async def test_a_challenge_that_is_none_used_expired_of_another_kind_or_person_lets_nobody_in(
    server: PublicServer, ada: Person, eve: Person
) -> None:
    await ada.enable_totp()
    await eve.enable_totp()
    used, expired, of_eve = await ada.first_factor(), await ada.first_factor(), await eve.first_factor()
    codes = iter(ada.recovery_codes)
    await server.done("completeSignIn", challenge=used, recoveryCode=next(codes), deliver="BODY")
    of_another_kind = (await server.done("beginPasskeySignIn"))["challenge"]
    for challenge in (used, of_eve, of_another_kind, "trove_challenge_nonsense", "", ada.token):
        given = {"challenge": challenge, "recoveryCode": next(codes), "deliver": "BODY"}
        assert await server.refusal("completeSignIn", **given) == NOT_IN
    await server.expire_challenges()
    code = next(codes)
    assert await server.refusal("completeSignIn", challenge=expired, recoveryCode=code, deliver="BODY") == NOT_IN
    # The code itself was right.
    await server.done("completeSignIn", challenge=await ada.first_factor(), recoveryCode=code, deliver="BODY")
    assert await server.reasons(None) == ["no such challenge"] * 6
    assert await server.reasons(eve.id) == ["wrong recovery code"]


async def test_the_fifth_wrong_answer_ends_a_challenge(server: PublicServer, ada: Person) -> None:
    await ada.enable_totp()
    spared, challenge = await ada.first_factor(), await ada.first_factor()
    for _ in range(4):
        assert await server.refusal("completeSignIn", challenge=spared, totpCode="nonsense", deliver="BODY") == NOT_IN
    for _ in range(5):
        assert await server.refusal("completeSignIn", challenge=challenge, totpCode="wrong", deliver="BODY") == NOT_IN
    right = {"recoveryCode": ada.recovery_codes[0], "deliver": "BODY"}
    assert await server.refusal("completeSignIn", challenge=challenge, **right) == NOT_IN
    await server.done("completeSignIn", challenge=spared, **right)


async def test_an_account_takes_ten_codes_an_hour_over_all_challenges_and_a_right_one_begins_anew(
    server: PublicServer, ada: Person
) -> None:
    await ada.enable_totp()
    for _ in range(2):
        challenge = await ada.first_factor()
        for _ in range(4):
            await server.refusal("completeSignIn", challenge=challenge, totpCode="wrong", deliver="BODY")
    await server.done("completeSignIn", challenge=challenge, totpCode=ada.code(1), deliver="BODY")
    for _ in range(10):
        assert await server.refusal("disableTotp", ada.token, code="wrong") == WRONG_CODE
    challenge = await ada.first_factor()
    given = {"challenge": challenge, "recoveryCode": ada.recovery_codes[0], "deliver": "BODY"}
    for mutation, token, variables in (
        ("completeSignIn", None, given),
        ("disableTotp", ada.token, {"code": ada.recovery_codes[0]}),
    ):
        response = await server.response(mutation, token, **variables)
        (error,) = response["errors"]
        assert error["extensions"]["code"] == "RATE_LIMITED"
        assert 0 < error["extensions"]["retryAfter"] <= 3600


async def test_a_recovery_code_works_once_however_it_is_typed(server: PublicServer, ada: Person) -> None:
    await ada.enable_totp()
    first, second, *_ = ada.recovery_codes
    assert len(set(ada.recovery_codes)) == 10
    typed = first.lower().replace("-", " ")
    await server.done("completeSignIn", challenge=await ada.first_factor(), recoveryCode=typed, deliver="BODY")
    challenge = await ada.first_factor()
    assert await server.refusal("completeSignIn", challenge=challenge, recoveryCode=first, deliver="BODY") == NOT_IN
    await server.done("completeSignIn", challenge=challenge, recoveryCode=second, deliver="BODY")
    assert (await server.actions(ada.id)).count("recovery_code_used") == 2


async def test_new_recovery_codes_take_the_place_of_the_old_ones(server: PublicServer, ada: Person) -> None:
    await ada.enable_totp()
    assert await server.refusal("createRecoveryCodes", ada.token, code="wrong") == WRONG_CODE
    made = await server.done("createRecoveryCodes", ada.token, code=ada.code(1))
    assert len(made["recoveryCodes"]) == 10
    assert set(made["recoveryCodes"]).isdisjoint(ada.recovery_codes)
    challenge = await ada.first_factor()
    for code in ada.recovery_codes[:2]:
        assert await server.refusal("completeSignIn", challenge=challenge, recoveryCode=code, deliver="BODY") == NOT_IN
    await server.done("completeSignIn", challenge=challenge, recoveryCode=made["recoveryCodes"][0], deliver="BODY")


async def test_codes_that_are_turned_off_are_asked_for_no_longer_and_complete_nothing(
    server: PublicServer, ada: Person
) -> None:
    await ada.enable_totp()
    challenge = await ada.first_factor()
    payload = await server.done("disableTotp", ada.token, code=ada.recovery_codes[0])
    assert payload["account"] == {"totp": None}
    for answer in ({"totpCode": ada.code(1)}, {"recoveryCode": ada.recovery_codes[1]}):
        assert await server.refusal("completeSignIn", challenge=challenge, deliver="BODY", **answer) == NOT_IN
    await ada.sign_in()
    assert "totp_disabled" in await server.actions(ada.id)


async def test_codes_whose_seed_cannot_be_read_any_more_are_wrong_and_a_recovery_code_turns_them_off(
    server: PublicServer, ada: Person
) -> None:
    await ada.enable_totp()
    lost = Secrets(KeyRing.fresh()).encrypt(b"a seed of twenty byt", place_of(TotpSecret.secret, ada.id))
    async with server.database.transaction() as transaction:
        await transaction.connection.execute(update(TotpSecret).values(secret=lost))
    assert await server.refusal("disableTotp", ada.token, code=ada.code(1)) == WRONG_CODE
    payload = await server.done("disableTotp", ada.token, code=ada.recovery_codes[0])
    assert payload["account"] == {"totp": None}


async def test_a_sign_in_that_a_password_began_cannot_be_completed_once_that_has_changed(
    server: PublicServer, ada: Person, password_hash: str
) -> None:
    await ada.enable_totp()
    before = await ada.first_factor()
    async with server.database.transaction() as transaction:
        await store_password_hash(transaction, SECRETS, ada.id, password_hash)
    given = {"recoveryCode": ada.recovery_codes[0], "deliver": "BODY"}
    assert await server.refusal("completeSignIn", challenge=before, **given) == NOT_IN
    await server.done("completeSignIn", challenge=await ada.first_factor(), **given)
    assert await server.reasons(ada.id) == ["the first factor holds no longer"]


async def test_one_answer_is_given_and_no_other(server: PublicServer, ada: Person) -> None:
    await ada.enable_totp()
    challenge = await ada.first_factor()
    both = {"totpCode": ada.code(1), "recoveryCode": ada.recovery_codes[0]}
    for answers in ({}, both):
        refusal = await server.refusal("completeSignIn", challenge=challenge, deliver="BODY", **answers)
        assert refusal["code"] == "INVALID_INPUT"
    await server.done("completeSignIn", challenge=challenge, totpCode=both["totpCode"], deliver="BODY")


async def test_a_text_that_no_code_can_be_is_wrong_and_nothing_worse(server: PublicServer, ada: Person) -> None:
    await ada.enable_totp()
    challenge = await ada.first_factor()
    for code in ("", "１２３４５６", "\0", "1" * 100_000):
        assert await server.refusal("completeSignIn", challenge=challenge, totpCode=code, deliver="BODY") == NOT_IN


async def test_the_seed_is_kept_encrypted_and_shown_by_enabling_alone(server: PublicServer, ada: Person) -> None:
    await ada.enable_totp()
    challenge = await ada.first_factor()
    await server.refusal("completeSignIn", challenge=challenge, totpCode="wrong", deliver="BODY")
    await server.done("completeSignIn", challenge=challenge, totpCode=ada.code(1), deliver="BODY")
    await server.refusal("disableTotp", ada.token, code="wrong")
    await server.done("disableTotp", ada.token, code=ada.recovery_codes[0])
    later = await server.done("enableTotp", ada.token)
    kept = await kept_seed(server, ada.id)
    seeds = {ada.seed, base64.b32decode(later["secret"].replace(" ", ""))}
    assert len(seeds) == 2
    for seed in seeds:
        assert seed not in kept
        text = base64.b32encode(seed).decode()
        grouped = " ".join(text[start : start + 4] for start in range(0, len(text), 4))
        shown = (text, grouped, seed.hex(), base64.b64encode(seed).decode())
        said_elsewhere = "".join(said for mutation, said in server.answers if mutation != "enableTotp")
        logged = server.log.read_text()
        assert [form for form in shown if form in said_elsewhere or form in logged] == []
        assert any(grouped in said for mutation, said in server.answers if mutation == "enableTotp")
    said_later = "".join(said for mutation, said in server.answers if mutation != "confirmTotp")
    assert [code for code in ada.recovery_codes if code in said_later or code in server.log.read_text()] == []


async def kept_seed(server: PublicServer, user_id: UUID) -> bytes:
    """What the table holds of a person's seed."""
    async with server.database.transaction() as transaction:
        kept: bytes = (
            await transaction.connection.execute(select(TotpSecret.secret).where(TotpSecret.user_id == user_id))
        ).scalar_one()
    return kept
