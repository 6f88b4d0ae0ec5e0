"""GraphiQL: what the page is made of, what its policy lets in, and that it works in a real browser."""

import base64
import gzip
import hashlib
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx
import pytest
from graphql import parse, validate
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Route, WebSocket, expect, sync_playwright
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request

from app.core.settings import Settings
from app.graph.examples import graphiql_page
from app.graph.graphiql.page import (
    DemoSignIn,
    Example,
    GraphiQL,
    assets_version,
    content_security_policy,
    redirect_browser,
    routes,
)
from app.graph.schema import core_schema
from tests.identity.builders import PARTNER_TOKEN

BUNDLE = Path(__file__).parents[2] / "app" / "graph" / "graphiql" / "bundle"
ASSETS = f"/graphiql/assets/{assets_version()}"
AWKWARD = "# </script><script>alert(1)</script> <!-- & \u2028\nquery Walk { __typename }"


class ElementsOfPage(HTMLParser):
    """Collects the addresses a page refers to, and the text of its inline scripts with their types."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline_scripts: list[tuple[str | None, str]] = []
        self._script_type: str | None = None
        self._inside_script = False
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.addresses += [value for name in ("src", "href") if (value := attributes.get(name))]
        if tag == "script" and "src" not in attributes:
            self._inside_script, self._script_type = True, attributes.get("type")

    def handle_data(self, data: str) -> None:
        if self._inside_script:
            self.inline_scripts.append((self._script_type, data))

    def handle_endtag(self, tag: str) -> None:
        self._inside_script = self._inside_script and tag != "script"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    page = GraphiQL(
        examples=[
            Example(
                name="A walk",
                query=AWKWARD,
                variables={"slug": "</script>"},
                headers={"Authorization": "Bearer <&>"},
            )
        ],
        demo=DemoSignIn(label="Sign in as </script>", authorization="Bearer <&>"),
    )
    transport = httpx.ASGITransport(app=Starlette(routes=routes(page)))
    async with httpx.AsyncClient(transport=transport, base_url="http://trove.test") as client:
        yield client


async def test_the_page_holds_its_settings_as_data(client: httpx.AsyncClient) -> None:
    elements = ElementsOfPage((await client.get("/graphiql")).text)

    ((script_type, document),) = elements.inline_scripts
    assert script_type == "application/json"
    settings = json.loads(document)
    assert settings["endpoint"] == settings["subscriptionEndpoint"] == "/graphql"
    assert settings["demo"] == {"label": "Sign in as </script>", "authorization": "Bearer <&>"}
    assert settings["examples"] == [
        {
            "name": "A walk",
            "operationName": "Walk",
            "query": AWKWARD,
            "variables": {"slug": "</script>"},
            "headers": {"Authorization": "Bearer <&>"},
        }
    ]


async def test_the_page_refers_to_its_own_files_only_and_each_is_there(client: httpx.AsyncClient) -> None:
    addresses = ElementsOfPage((await client.get("/graphiql")).text).addresses

    own = [address for address in addresses if address != "data:,"]
    assert len(own) == 6
    for address in own:
        assert address.startswith(f"{ASSETS}/")
        assert (await client.get(address)).status_code == 200


async def test_the_page_may_not_be_kept_framed_or_read_by_others(client: httpx.AsyncClient) -> None:
    headers = (await client.get("/graphiql")).headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_the_policy_lets_in_our_own_origin_only() -> None:
    policy = content_security_policy("trove.test:8000", "abc")

    assert policy.split("; ") == [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'nonce-abc'",
        "connect-src 'self' ws://trove.test:8000 wss://trove.test:8000",
        "font-src 'self' data:",
        "img-src 'self' data:",
        "worker-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


@pytest.mark.parametrize("host", ["", "trove.test; script-src *", "trove.test *", "trove.test:8000/path"])
def test_a_malformed_host_does_not_reach_the_policy(host: str) -> None:
    assert "connect-src 'self';" in content_security_policy(host, "abc")


async def test_each_page_has_a_nonce_of_its_own(client: httpx.AsyncClient) -> None:
    first, second = [await client.get("/graphiql") for _ in range(2)]

    assert first.headers["Content-Security-Policy"] != second.headers["Content-Security-Policy"]
    ((_, document),) = ElementsOfPage(first.text).inline_scripts
    assert f"'nonce-{json.loads(document)['styleNonce']}'" in first.headers["Content-Security-Policy"]


async def test_a_file_may_be_kept_for_good_and_comes_compressed(client: httpx.AsyncClient) -> None:
    address = f"{ASSETS}/graphiql/graphiql.min.js"
    published = (BUNDLE / "graphiql" / "graphiql.min.js").read_bytes()

    async with client.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
        body = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert len(body) < len(published) / 2
    assert gzip.decompress(body) == published

    plain = await client.get(address, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.content == published


@pytest.mark.parametrize(
    "address",
    [
        "/graphiql/assets/another-version/page.js",
        f"{ASSETS}/page.py",
        f"{ASSETS}/manifest.json",
        f"{ASSETS}/graphiql/LICENSE",
        f"{ASSETS}/%2e%2e/page.py",
        f"{ASSETS}//etc/passwd",
    ],
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, address: str) -> None:
    assert (await client.get(address)).status_code == 404


def test_the_copy_equals_its_manifest() -> None:
    packages = json.loads((BUNDLE / "manifest.json").read_text())["packages"]
    listed = {file["path"]: file for package in packages for file in package["files"]}
    present = {path.relative_to(BUNDLE).as_posix() for path in BUNDLE.rglob("*") if path.is_file()}

    assert present == {"manifest.json", *listed}
    for path, file in listed.items():
        content = (BUNDLE / path).read_bytes()
        assert len(content) == file["bytes"], path
        assert "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode() == file["integrity"], path
    for package in packages:
        assert f"{package['name']}/LICENSE" in listed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"headers": {"Authori zation": "Bearer abc"}}, "is not a header name"),
        ({"headers": {"Authorization": 'Bearer "abc"'}}, "must be printable ASCII"),
        ({"headers": {"Authorization": "Bearer abc\r\nX: y"}}, "must be printable ASCII"),
        ({"query": "{ __typename }"}, "needs a name"),
        ({"query": "query A { __typename } query B { __typename }"}, "holds 2 operations"),
    ],
)
def test_an_example_that_could_not_work_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Example(**({"name": "A walk", "query": "query Walk { __typename }"} | change))


def test_a_token_of_the_demo_that_could_not_be_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="Authorization of the demo must be printable ASCII"):
        DemoSignIn(label="Sign in", authorization='Bearer "abc"')


def test_the_examples_fit_the_graph_and_those_that_need_a_token_have_it() -> None:
    page = graphiql_page(Settings(environment="development", demo_token=SecretStr("trove_pat_demo")))

    signed_in = {"Who am I", "What I own", "Where things are", "What I am told", "Send a price"}
    assert {example.name for example in page.examples if example.headers} == signed_in
    for example in page.examples:
        assert validate(core_schema, parse(example.query)) == []
        assert set(example.headers.values()) <= {"Bearer trove_pat_demo"}
    assert "trove_pat_demo" not in repr(page)


def test_without_a_token_of_the_demo_nobody_is_signed_in_by_a_click() -> None:
    page = graphiql_page(Settings(environment="development"))

    assert page.demo is None
    assert not any(example.headers for example in page.examples)


@pytest.mark.parametrize(
    ("method", "accept", "query_string", "leads_to_page"),
    [
        ("GET", b"text/html,application/xhtml+xml,*/*;q=0.8", b"", True),
        ("GET", b"text/html", b"query=%7B__typename%7D", False),
        ("GET", b"application/graphql-response+json", b"", False),
        ("POST", b"text/html", b"", False),
    ],
)
def test_a_person_at_the_endpoint_is_led_to_the_page(
    method: str, accept: bytes, query_string: bytes, leads_to_page: bool
) -> None:
    scope = {"type": "http", "method": method, "headers": [(b"accept", accept)], "query_string": query_string}

    answer = redirect_browser(Request(scope))

    assert (answer is not None) == leads_to_page
    if answer is not None:
        assert (answer.status_code, answer.headers["Location"]) == (307, "/graphiql")


# In a browser

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="No Chromium found; install it or set CHROMIUM to its path to test GraphiQL in a browser."
)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_SECONDS = 15.0
QUERY_EDITOR = ".graphiql-query-editor"
HEADER_EDITOR = ".graphiql-editor-tool .graphiql-editor >> nth=1"
RESPONSE = ".result-window"
TABS = ["A walk", "Who am I", "What I own", "Where things are", "What I am told", "Send a price", "Watch prices"]
NOBODY = "This tab asks as nobody in particular."

Found = TypeVar("Found")


class LiveServer(Protocol):
    """A running Trove on loopback."""

    @property
    def url(self) -> str: ...


class Browser:
    """A fresh browser that may reach one origin only and writes down whatever went wrong."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url.rstrip("/")
        self.troubles: list[str] = []
        self._host = urlsplit(url).netloc
        self._context = context
        context.route("**/*", self._let_pass_to_our_host)
        context.on("console", self._note_console)
        context.on("weberror", lambda error: self.troubles.append(f"uncaught: {error.error}"))

    def open_page(self) -> Page:
        page = self._context.new_page()
        page.on("websocket", self._note_socket)
        page.goto(f"{self.url}/graphiql")
        expect(page.locator(".graphiql-tab-button").first).to_be_visible()
        return page

    def _let_pass_to_our_host(self, route: Route) -> None:
        if self._note_address(route.request.url):
            route.continue_()
        else:
            route.abort()

    def _note_socket(self, socket: WebSocket) -> None:
        self._note_address(socket.url)

    def _note_address(self, address: str) -> bool:
        is_ours = urlsplit(address).netloc == self._host or address.startswith("data:")
        if not is_ours:
            self.troubles.append(f"left the origin: {address}")
        return is_ours

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.troubles.append(f"console: {message.text}")


@pytest.fixture
def browser(live_server: LiveServer, demo_world: None) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        yield Browser(context, live_server.url)
        chromium.close()


def wait_for(look: Callable[[], Found | None], page: Page, what: str) -> Found:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        page.wait_for_timeout(50)
    pytest.fail(f"Waited {PATIENCE_SECONDS:g} s for {what}.")


def text_of(page: Page, editor: str) -> str:
    """The whole text of a CodeMirror editor, also the lines it does not draw."""
    text: str = page.locator(editor).locator(".CodeMirror").evaluate("element => element.CodeMirror.getValue()")
    return text


def result_of(page: Page) -> dict[str, Any] | None:
    text = text_of(page, RESPONSE)
    result: dict[str, Any] | None = json.loads(text) if text.strip() else None
    return result


def choose_tab(page: Page, name: str) -> None:
    """Clicks a tab and waits until GraphiQL has read its document, which it does a tenth of a second later."""
    page.locator(".graphiql-tab-button", has_text=name).click()
    settings = json.loads(page.locator("#settings").text_content() or "")
    (operation,) = (example["operationName"] for example in settings["examples"] if example["name"] == name)
    query_editor = page.locator(QUERY_EDITOR).locator(".CodeMirror")
    wait_for(
        lambda: query_editor.evaluate("element => element.CodeMirror.operationName") == operation,
        page,
        f"the operation {operation}",
    )


def run(page: Page) -> None:
    page.get_by_label("Execute query").click()


def run_to_result(page: Page) -> dict[str, Any]:
    run(page)
    expect(page.locator(".graphiql-spinner")).to_have_count(0)
    result = wait_for(lambda: result_of(page), page, "a result")
    assert "errors" not in result, result
    assert result["data"], result
    return result


@needs_chromium
def test_the_tabs_work_under_the_policy(browser: Browser) -> None:
    page = browser.open_page()
    assert page.locator(".graphiql-tab-button").all_inner_texts() == TABS
    expect(page.get_by_label("Headers", exact=True).first).to_be_visible()

    choose_tab(page, "A walk")
    run_to_result(page)

    choose_tab(page, "Who am I")
    assert run_to_result(page)["data"]["viewer"]["username"] == "partner"

    choose_tab(page, "Send a price")
    assert json.loads(text_of(page, HEADER_EDITOR))["Authorization"].startswith("Bearer ")
    for payload in run_to_result(page)["data"].values():
        assert not payload.get("userErrors"), payload

    watching = browser.open_page()
    choose_tab(watching, "Watch prices")
    with watching.expect_websocket():
        run(watching)
    seen: list[dict[str, Any]] = []
    for _ in range(10):
        run_to_result(page)
        page.wait_for_timeout(300)
        result = result_of(watching)
        if result is not None and result not in seen:
            assert "errors" not in result, result
            seen.append(result)
        if len(seen) >= 2:
            break
    assert len(seen) >= 2, f"The subscription did not move: {seen}"

    watching.get_by_label("Stop query").click()
    assert browser.troubles == []


@needs_chromium
def test_every_panel_opens_under_the_policy(browser: Browser) -> None:
    page = browser.open_page()

    page.get_by_label("Show Documentation Explorer").click()
    expect(page.get_by_text("Root Types")).to_be_visible()
    page.get_by_label("Show History").click()
    for dialog in ("Open short keys dialog", "Open settings dialog"):
        page.get_by_label(dialog).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)

    assert browser.troubles == []


@needs_chromium
def test_tabs_outlive_a_reload_and_tokens_stay_out_of_local_storage(browser: Browser) -> None:
    page = browser.open_page()
    choose_tab(page, "Send a price")
    headers = text_of(page, HEADER_EDITOR)
    token = json.loads(headers)["Authorization"]
    kept = "JSON.parse(localStorage['trove:graphiql:tabState'] ?? '{}').activeTabIndex"
    wait_for(lambda: page.evaluate(kept) == TABS.index("Send a price"), page, "the tabs to be kept")

    assert token.removeprefix("Bearer ") not in page.evaluate("JSON.stringify({...localStorage})")
    page.reload()
    expect(page.locator(".graphiql-tab-button")).to_have_text(TABS)
    assert text_of(page, HEADER_EDITOR) == headers
    assert browser.troubles == []


def headers_in(page: Page) -> dict[str, str]:
    """What stands in the header editor of the open tab."""
    headers: dict[str, str] = json.loads(text_of(page, HEADER_EDITOR) or "{}")
    return headers


def write_headers(page: Page, headers: dict[str, str]) -> None:
    """Put others into the header editor of the open tab, as somebody who types."""
    editor = page.locator(HEADER_EDITOR).locator(".CodeMirror")
    editor.evaluate("(element, text) => element.CodeMirror.setValue(text)", json.dumps(headers))


@needs_chromium
def test_one_click_signs_in_every_tab_and_another_signs_out(browser: Browser) -> None:
    authorization = f"Bearer {PARTNER_TOKEN.text}"
    page = browser.open_page()
    who = page.locator("#who-asks")
    sign_in = page.get_by_role("button", name="Sign in as the demo collector")
    sign_out = page.get_by_role("button", name="Sign out")
    expect(who).to_have_text(NOBODY)
    expect(sign_out).to_be_hidden()

    sign_in.click()
    expect(who).to_have_text("Signed in as partner.")
    expect(sign_in).to_be_hidden()
    expect(page.locator(".graphiql-tab-button")).to_have_text(TABS)
    for name in TABS:
        choose_tab(page, name)
        assert headers_in(page) == {"Authorization": authorization}
    page.get_by_label("New tab").click()
    expect(page.locator(".graphiql-tab-button")).to_have_count(len(TABS) + 1)
    wait_for(lambda: headers_in(page) == {"Authorization": authorization}, page, "the headers of a new tab")
    assert PARTNER_TOKEN.text not in page.evaluate("JSON.stringify({...localStorage})")

    choose_tab(page, "Watch prices")
    sign_out.click()
    expect(who).to_have_text(NOBODY)
    for name in TABS:
        choose_tab(page, name)
        assert headers_in(page) == {}
    expect(page.locator(".graphiql-tab-button")).to_have_count(len(TABS) + 1)
    assert browser.troubles == []


@needs_chromium
def test_a_signed_in_page_stays_so_after_a_reload_and_its_sockets_begin_with_the_token(browser: Browser) -> None:
    page = browser.open_page()
    choose_tab(page, "Watch prices")
    page.get_by_role("button", name="Sign in as the demo collector").click()
    expect(page.locator("#who-asks")).to_have_text("Signed in as partner.")
    page.reload()
    expect(page.locator("#who-asks")).to_have_text("Signed in as partner.")

    choose_tab(page, "Watch prices")
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    run(page)
    wait_for(lambda: sent, page, "the first message of a socket")
    assert json.loads(sent[0]) == {
        "type": "connection_init",
        "payload": {"Authorization": f"Bearer {PARTNER_TOKEN.text}"},
    }
    page.get_by_label("Stop query").click()
    assert browser.troubles == []


@needs_chromium
def test_the_page_tells_of_a_token_that_does_not_hold_and_leaves_other_headers_alone(browser: Browser) -> None:
    page = browser.open_page()
    write_headers(page, {"Trove-Execution": "resolvers", "authorization": "Bearer nonsense"})
    expect(page.locator("#who-asks")).to_contain_text("This token does not hold")

    page.get_by_role("button", name="Sign in as the demo collector").click()
    expect(page.locator("#who-asks")).to_have_text("Signed in as partner.")
    assert headers_in(page) == {"Authorization": f"Bearer {PARTNER_TOKEN.text}", "Trove-Execution": "resolvers"}
    page.get_by_role("button", name="Sign out").click()
    wait_for(lambda: headers_in(page) == {"Trove-Execution": "resolvers"}, page, "the headers without a token")
    # The browser itself notes that the API answered 401.
    assert all("401" in trouble for trouble in browser.troubles), browser.troubles
