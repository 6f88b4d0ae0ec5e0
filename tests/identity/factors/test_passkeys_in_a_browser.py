"""Passkeys in a real browser: Chromium makes one for a page of ours, and signs in with it."""

import os
import shutil

import pytest
from playwright.async_api import async_playwright

from tests.identity.public_server import Person, PublicServer, document_of

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="No Chromium found; install it or set CHROMIUM to its path to test passkeys in a browser."
)
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
ASK = """
    async function ask(mutation, query, input, token) {
        const headers = {"Content-Type": "application/json"};
        if (token) headers.Authorization = `Bearer ${token}`;
        const answer = await fetch("/graphql", {
            method: "POST", headers, body: JSON.stringify({query, variables: {input}}),
        });
        const {data, errors} = await answer.json();
        if (errors || data[mutation].userErrors.length) throw new Error(JSON.stringify([errors, data]));
        return data[mutation];
    }
"""
REGISTER = f"""async ({{documents, token}}) => {{
    {ASK}
    const begun = await ask("beginPasskeyRegistration", documents.beginPasskeyRegistration, null, token);
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(begun.options);
    const passkey = await navigator.credentials.create({{publicKey}});
    const input = {{challenge: begun.challenge, response: passkey.toJSON(), name: "This browser"}};
    return await ask("registerPasskey", documents.registerPasskey, input, token);
}}"""
SIGN_IN = f"""async ({{documents, email}}) => {{
    {ASK}
    const begun = await ask("beginPasskeySignIn", documents.beginPasskeySignIn, {{email}});
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(begun.options);
    const passkey = await navigator.credentials.get({{publicKey}});
    const input = {{challenge: begun.challenge, response: passkey.toJSON()}};
    return await ask("signInWithPasskey", documents.signInWithPasskey, input);
}}"""
MUTATIONS = ("beginPasskeyRegistration", "registerPasskey", "beginPasskeySignIn", "signInWithPasskey")


@needs_chromium
async def test_a_browser_makes_a_passkey_and_signs_in_with_it(server: PublicServer, ada: Person) -> None:
    documents = {mutation: document_of(mutation) for mutation in MUTATIONS}
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        context = await chromium.new_context()
        page = await context.new_page()
        devtools = await context.new_cdp_session(page)
        await devtools.send("WebAuthn.enable")
        await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        await page.goto(f"{server.url}/graphiql")

        registered = await page.evaluate(REGISTER, {"documents": documents, "token": ada.token})
        assert registered["passkey"]["name"] == "This browser"
        for email in (None, ada.email):
            signed_in = await page.evaluate(SIGN_IN, {"documents": documents, "email": email})
            assert signed_in["session"]["viewer"]["username"] == "ada"
            assert signed_in["session"]["refreshToken"] is None
        (cookie,) = await context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("trove_refresh", True, "Lax")
        await chromium.close()
    assert (await server.actions(ada.id)).count("signed_in") == 3
