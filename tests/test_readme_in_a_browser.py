"""What the README tells a page developer to write signs somebody in, keeps them so, and takes a refusal well."""

import re
import shutil
from collections.abc import Iterator
from os import environ
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from app.core.settings import Settings
from app.demo.people import EMAIL, DemoSecrets, ensure_demo_person
from tests.conftest import Server

README = Path(__file__).resolve().parents[1] / "README.md"
CHROMIUM = environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="No Chromium found; install it or set CHROMIUM to its path.")


@pytest.fixture
def demo(live_server: Server, trove_settings: Settings, tmp_path: Path) -> DemoSecrets:
    """The demo person, in the database of the server."""
    return ensure_demo_person(trove_settings, tmp_path)


@pytest.fixture
def page(live_server: Server, demo: DemoSecrets) -> Iterator[Page]:
    """A page of the API's own origin, with the code of the README in it."""
    code = next(block for block in re.findall(r"```js\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL))
    code = code.replace("http://localhost:8000", live_server.url).replace("let accessToken", "var accessToken")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page()
        page.goto(f"{live_server.url}/healthz")
        page.evaluate(f"{code}\nObject.assign(window, {{ask, signIn, refresh}})")
        yield page
        chromium.close()


def who(page: Page) -> object:
    """Whom the page takes part as."""
    return page.evaluate("ask('{ viewer { username } }').then(({data}) => data.viewer)")


def test_a_page_signs_in_and_refreshes_by_a_cookie_that_it_cannot_read(page: Page, demo: DemoSecrets) -> None:
    assert who(page) is None
    answer = page.evaluate("([email, password]) => signIn(email, password)", [EMAIL, demo.password])
    assert answer["userErrors"] == []
    assert answer["session"]["viewer"] == {"username": "demo-collector"}
    assert who(page) == {"username": "demo-collector"}
    assert page.evaluate("document.cookie") == ""

    first = page.evaluate("accessToken")
    assert page.evaluate("refresh()")
    assert page.evaluate("accessToken") != first
    assert who(page) == {"username": "demo-collector"}

    page.evaluate("accessToken = 'nonsense'")
    assert page.evaluate("ask('{ __typename }').then(({status}) => status)") == 401
    assert page.evaluate("refresh()")
    assert (
        page.evaluate("ask('mutation { signOut { userErrors { code } } }').then(({errors}) => errors ?? null)") is None
    )
    assert not page.evaluate("refresh()")
    assert who(page) is None


def test_a_wrong_password_is_told_in_user_errors(page: Page, demo: DemoSecrets) -> None:
    answer = page.evaluate("([email, password]) => signIn(email, password)", [EMAIL, f"{demo.password}x"])
    assert answer["session"] is None
    assert answer["userErrors"][0]["code"] == "INVALID_CREDENTIALS"
    assert page.evaluate("accessToken") is None
