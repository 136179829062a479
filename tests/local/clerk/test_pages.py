import html
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest

from clerk_convex.local.clerk.faults import Faults
from clerk_convex.local.clerk.http import MAX_BODY
from clerk_convex.local.clerk.instance import ClerkInstance
from clerk_convex.local.clerk.pages import ACCOUNTS
from tests.support.local_clerk import served

APP = "http://127.0.0.1:5173"


class Browser:
    """Keeps cookies and sends the origin of its page, as a browser does. It follows no redirects by
    itself."""

    def __init__(self, clerk: ClerkInstance) -> None:
        self.clerk = clerk
        self.http = httpx.Client(base_url=clerk.url, trust_env=False)

    def sign_in(
        self, account: str = "admin", redirect_url: str = "", origin: str | None = None
    ) -> httpx.Response:
        headers = {"origin": self.clerk.url if origin is None else origin}
        form = {"account": account, "redirect_url": redirect_url}
        return self.http.post("/sign-in", data=form, headers=headers)

    def call(self, method: str, path: str = "", origin: str | None = APP) -> httpx.Response:
        headers = {} if origin is None else {"origin": origin}
        return self.http.request(method, f"/v1/client{path}", headers=headers)

    def client(self) -> dict[str, Any]:
        answer = self.call("GET")
        assert answer.status_code == 200, answer.text
        response: dict[str, Any] = answer.json()["response"]
        return response


@pytest.fixture
def clerk() -> Iterator[ClerkInstance]:
    with served() as clerk:
        yield clerk


@pytest.fixture
def browser(clerk: ClerkInstance) -> Iterator[Browser]:
    browser = Browser(clerk)
    with browser.http:
        yield browser


def account(clerk: ClerkInstance, name: str) -> dict[str, Any]:
    """Return the user of one of the two accounts."""
    (user,) = [it for it in clerk.users() if it["external_id"] == ACCOUNTS[name]["external_id"]]
    return user


def text_of(answer: httpx.Response) -> str:
    """Return the visible text of a page, one line for each piece."""
    body = answer.text.partition("<body>")[2]
    return "\n".join(html.unescape(it).strip() for it in re.split(r"<[^>]*>", body) if it.strip())


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert [error["code"] for error in answer.json()["errors"]] == [code]


def test_public_keys_are_public(clerk: ClerkInstance, browser: Browser) -> None:
    """They need no key, are open to pages of any origin, and are at the address that discovery names."""
    configuration = browser.http.get("/.well-known/openid-configuration")
    assert configuration.json()["issuer"] == clerk.issuer
    assert configuration.json()["id_token_signing_alg_values_supported"] == ["RS256"]
    jwks = browser.http.get(configuration.json()["jwks_uri"])
    assert jwks.json() == clerk.jwks()
    for answer in (configuration, jwks):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["content-type"] == "application/json"
        assert len(answer.headers.get_list("date")) == 1


def test_public_calls_are_not_counted(browser: Browser) -> None:
    """The rate limit belongs to the secret key."""
    assert {browser.http.get("/.well-known/jwks.json").status_code for _ in range(110)} == {200}
    key = {"authorization": f"Bearer {browser.clerk.secret_key}"}
    assert browser.http.get("/v1/users", headers=key).status_code == 200


def test_everything_else_is_the_backend_api(browser: Browser) -> None:
    """A path that is not public belongs to the Backend API: it needs the key, or does not exist."""
    for path in ("/v1/jwks", "/v1/users", "/v1/instance"):
        assert_refused(browser.http.get(path), 401, "authentication_invalid")
    for path in ("/", "/v1/client-x", "/sign-in/x", "/x/.well-known/jwks.json"):
        assert_refused(browser.http.get(path), 404, "resource_not_found")
    assert_refused(browser.http.get("/v1/clients"), 501, "not_implemented")
    for path in ("/.well-known/nothing", "/v1/client/nothing"):
        assert_refused(browser.http.get(path), 404, "resource_not_found")
    assert_refused(browser.http.put("/sign-in"), 405, "method_not_allowed")


def test_faults_of_both_sides_are_apart(clerk: ClerkInstance, browser: Browser) -> None:
    """A fault of the Backend API does not affect a page that fetches its token, and the other way round."""
    key = {"authorization": f"Bearer {clerk.secret_key}"}
    clerk.faults = Faults(status=409, times=1)
    assert browser.http.get("/.well-known/jwks.json").status_code == 200
    assert browser.http.get("/v1/users", headers=key).status_code == 409
    clerk.frontend_faults = Faults(status=503, times=1)
    assert browser.http.get("/v1/users", headers=key).status_code == 200
    assert browser.http.get("/.well-known/jwks.json").status_code == 503
    assert browser.http.get("/.well-known/jwks.json").status_code == 200


def test_the_page_offers_two_users(clerk: ClerkInstance, browser: Browser) -> None:
    """It explains itself, and names the users and their permissions. They are created with the first
    request."""
    answer = browser.http.get("/sign-in", params={"redirect_url": f"{APP}/dashboard/users"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    text = text_of(answer)
    assert text.startswith("Local Clerk: pick who you are\n")
    assert "AA\nAda Admin\nada.admin@example.com\nSees all users and may change them.\n" in text
    assert "OO\nOtto Ordinary\notto.ordinary@example.com\nMay sign in, but not see the users.\n" in text
    assert f"From here you go to {APP}." in text
    assert "at the moment" not in text
    assert [user["public_metadata"] for user in clerk.users()] == [{"role": "admin"}, {}]
    assert "disabled" not in answer.text.partition("<body>")[2]
    users = clerk.users()
    browser.http.get("/sign-in")
    assert clerk.users() == users


def test_creating_the_two_users_sends_events(clerk: ClerkInstance, browser: Browser) -> None:
    """By user.created, as for any user."""
    clerk.webhooks.add_endpoint("http://127.0.0.1:9/")
    browser.http.get("/sign-in")
    assert clerk.webhooks.stats.sent == 2


def test_picking_a_user_signs_them_in(clerk: ClerkInstance, browser: Browser) -> None:
    """There is a session, a cookie that scripts and other sites cannot read, and a way back to the earlier
    page."""
    back = f"{APP}/dashboard/users?q=a%26b&user=x#top"
    answer = browser.sign_in("admin", back)
    assert (answer.status_code, answer.headers["location"]) == (303, back)
    admin = account(clerk, "admin")
    (session,) = clerk.sessions(user_id=admin["id"])
    assert session["status"] == "active"
    (cookie,) = answer.headers.get_list("set-cookie")
    name, *attributes = cookie.split("; ")
    assert re.fullmatch(rf"__client_{clerk.url.rpartition(':')[2]}=[\w-]{{43}}", name)
    assert attributes == ["HttpOnly", "Path=/", "SameSite=lax"]
    assert session["client_id"] not in cookie
    text = text_of(browser.http.get("/sign-in"))
    assert "You are Ada Admin at the moment." in text
    assert "From here" not in text


def test_the_way_back_is_the_page_itself_if_none_is_given(browser: Browser) -> None:
    """It names the user who is signed in."""
    assert browser.sign_in("ordinary").headers["location"] == "/sign-in"
    assert "You are Otto Ordinary" in text_of(browser.http.get("/sign-in"))


def test_a_browser_has_one_user_at_a_time(clerk: ClerkInstance, browser: Browser) -> None:
    """A sign-in as another user signs the first one out. Other browsers keep their user."""
    with Browser(clerk).http as http:
        other = Browser(clerk)
        other.http = http
        other.sign_in("admin")
        browser.sign_in("admin")
        before, cookie = browser.client(), dict(browser.http.cookies)
        browser.sign_in("ordinary")
        after = browser.client()
        assert clerk.get_session(before["last_active_session_id"])["status"] == "removed"
        assert [it["user"]["first_name"] for it in after["sessions"]] == ["Otto"]
        assert after["id"] == before["id"] != other.client()["id"]
        assert [it["user"]["first_name"] for it in other.client()["sessions"]] == ["Ada"]
        assert dict(browser.http.cookies) != cookie
        browser.http.cookies.clear()
        browser.http.cookies.update(cookie)
        assert browser.client()["id"] is None


@pytest.mark.parametrize(
    "redirect_url",
    [
        "http://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/dashboard",
        "javascript:alert(1)",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:80@evil.example/",
        "http://127.0.0.1\\@evil.example/",
        "http://127.0.0.1\t.evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example",
        "http://evil.example/http://127.0.0.1/",
        "http:127.0.0.1",
        "HTTP://127.0.0.1/",
        "ftp://127.0.0.1/",
        " http://127.0.0.1/",
        "http://127.0.0.1/\r\nx: y",
        "http://127.0.0.1/é",
        "http://127.0.0.1:5173/\n",
    ],
)
def test_it_redirects_to_no_other_machine(clerk: ClerkInstance, browser: Browser, redirect_url: str) -> None:
    """However the address is disguised: a readable 400, and no sign-in."""
    for answer in (
        browser.http.get("/sign-in", params={"redirect_url": redirect_url}),
        browser.sign_in("admin", redirect_url),
        browser.sign_in("nobody", redirect_url),
    ):
        assert answer.status_code == 400
        assert text_of(answer).startswith("Not that way\n")
        assert "set-cookie" not in answer.headers
    assert clerk.sessions() == []


@pytest.mark.parametrize(
    "redirect_url",
    ["http://localhost", "https://localhost:5173/a", "http://127.0.0.1?a=1", "http://127.0.0.1:1#a"],
)
def test_it_redirects_to_this_machine(browser: Browser, redirect_url: str) -> None:
    """To any port and path."""
    assert browser.http.get("/sign-in", params={"redirect_url": redirect_url}).status_code == 200
    assert browser.sign_in("admin", redirect_url).headers["location"] == redirect_url


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", "http://127.0.0.1.evil.example"])
def test_pages_of_other_sites_cannot_sign_in(clerk: ClerkInstance, browser: Browser, origin: str) -> None:
    """A form from another site, or without an origin, is refused."""
    answer = browser.sign_in("admin", origin=origin)
    assert answer.status_code == 403
    assert text_of(answer).startswith("Not from there\n")
    assert clerk.sessions() == []
    assert "set-cookie" not in answer.headers


def test_no_other_user_can_be_picked(clerk: ClerkInstance, browser: Browser) -> None:
    """The page is shown again with the reason. A malformed or too large body is no server error."""
    answer = browser.sign_in("root", f"{APP}/back")
    assert answer.status_code == 400
    assert "There is no user of that name. Pick one of these." in text_of(answer)
    assert f'value="{APP}/back"' in answer.text
    headers = {"origin": clerk.url}
    assert browser.http.post("/sign-in", content=b"\xff=%ff", headers=headers).status_code == 400
    answer = browser.http.post("/sign-in", content=b" " * (MAX_BODY + 1), headers=headers)
    assert_refused(answer, 413, "request_body_too_large")
    assert clerk.sessions() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [(ClerkInstance.ban, "banned"), (ClerkInstance.deprovision, "deprovisioned")],
)
def test_users_who_may_not_sign_in(
    clerk: ClerkInstance, browser: Browser, change: Callable[[ClerkInstance, str], object], reason: str
) -> None:
    """A banned, deprovisioned or locked user cannot be picked, and the page says why. A form is refused."""
    browser.http.get("/sign-in")
    change(clerk, account(clerk, "admin")["id"])
    clerk.lock(account(clerk, "ordinary")["id"])
    answer = browser.http.get("/sign-in")
    text = text_of(answer)
    for name, choice, why in (("admin", "Ada Admin", reason), ("ordinary", "Otto Ordinary", "locked")):
        assert f"{choice} is {why} and cannot sign in." in text
        assert f'value="{name}" disabled>' in answer.text
        refused = browser.sign_in(name)
        assert refused.status_code == 403
        assert f'role="alert">{choice} is {why} and cannot sign in.<' in refused.text
    assert "May sign in" not in text
    assert clerk.sessions() == []


def test_a_lock_ends_by_itself(
    clerk: ClerkInstance, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its end the page refuses a sign-in, and afterwards it allows one, without a change in between."""
    browser.http.get("/sign-in")
    clerk.lock(account(clerk, "ordinary")["id"], seconds=60)
    assert browser.sign_in("ordinary").status_code == 403
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 59_000_000_000)
    assert browser.sign_in("ordinary").status_code == 403
    monkeypatch.setattr(time, "time_ns", lambda: now + 61_000_000_000)
    assert "cannot sign in" not in text_of(browser.http.get("/sign-in"))
    assert browser.sign_in("ordinary").status_code == 303


def test_a_deprovisioned_user_gets_no_token(clerk: ClerkInstance, browser: Browser) -> None:
    """The sessions have ended: 401 with Clerk's code and message, and 404 once the user is deleted."""
    browser.sign_in("ordinary")
    (session,) = clerk.sessions(status="active")
    path = f"/v1/client/sessions/{session['id']}/tokens"
    headers = {"origin": APP}
    assert browser.http.post(path, headers=headers).status_code == 200
    clerk.deprovision(session["user_id"])
    answer = browser.http.post(path, headers=headers)
    assert_refused(answer, 401, "deprovisioned")
    assert answer.json()["errors"][0]["long_message"] == "Your account is deprovisioned"
    assert browser.client()["sessions"] == []
    clerk.delete_user(session["user_id"])
    assert_refused(browser.http.post(path, headers=headers), 404, "resource_not_found")


def test_the_page_shows_the_current_users(clerk: ClerkInstance, browser: Browser) -> None:
    """Current names, addresses and permissions, escaped."""
    browser.http.get("/sign-in")
    admin, ordinary = (account(clerk, name)["id"] for name in ACCOUNTS)
    clerk.update_metadata(admin, public_metadata={"role": None})
    clerk.update_metadata(ordinary, public_metadata={"role": "admin"})
    clerk.update_user(admin, first_name='<b id="x">', last_name="\ud83d", email_address=['"&<i>@example.com'])
    clerk.update_user(ordinary, first_name=None, last_name=None, email_address=[])
    answer = browser.http.get("/sign-in")
    text = text_of(answer)
    assert '<b id="x"> \N{REPLACEMENT CHARACTER}\n"&<i>@example.com\nMay sign in, but not see' in text
    assert f"U\n{ordinary}\nSees all users and may change them." in text
    assert "<b" not in answer.text.replace("<body", "").replace("<button", "")
    assert "<i>" not in answer.text


def test_the_two_users_are_found_again(clerk: ClerkInstance, browser: Browser) -> None:
    """By external id, or by address if the id was removed. A deleted user is created again."""
    browser.http.get("/sign-in")
    admin, ordinary = (account(clerk, name)["id"] for name in ACCOUNTS)
    clerk.update_user(admin, external_id=None)
    clerk.delete_user(ordinary)
    browser.http.get("/sign-in")
    assert clerk.count == 2
    assert clerk.get_user(admin)["external_id"] is None
    assert account(clerk, "ordinary")["id"] != ordinary
    browser.sign_in("admin")
    assert browser.client()["sessions"][0]["user_id"] == admin


def test_pages_are_closed_to_other_sites(browser: Browser) -> None:
    """No script, no frame around the page, no referrer, and only its own form and way back."""
    answer = browser.http.get("/sign-in", params={"redirect_url": f"{APP}/;script-src"})
    policy = answer.headers["content-security-policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {f"form-action 'self' {APP}", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
    assert "form-action 'self'" in browser.http.get("/sign-in").headers["content-security-policy"].split("; ")
    assert "script" not in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_client_has_its_sessions(clerk: ClerkInstance, browser: Browser) -> None:
    """With the user's own data. There is none before the sign-in and after the end of the session."""
    nobody: dict[str, Any] = {"object": "client", "id": None, "sessions": [], "last_active_session_id": None}
    assert browser.client() == nobody
    browser.sign_in("admin")
    admin = account(clerk, "admin")
    clerk.update_metadata(admin["id"], private_metadata={"note": "secret"})
    client = browser.client()
    (session,) = client["sessions"]
    user = session.pop("user")
    assert session == clerk.get_session(session["id"])
    assert user == {k: v for k, v in clerk.get_user(admin["id"]).items() if k != "private_metadata"}
    assert client["last_active_session_id"] == session["id"]
    clerk.ban(admin["id"])
    assert browser.client() == {**nobody, "id": client["id"]}


def test_a_client_gets_tokens(clerk: ClerkInstance, browser: Browser) -> None:
    """For its own active sessions, with the origin of the page that asks."""
    browser.sign_in("admin")
    session_id = browser.client()["last_active_session_id"]
    path = f"/sessions/{session_id}/tokens"
    (key,) = clerk.jwks()["keys"]
    for url in (path, f"{path}/convex"):
        answer = browser.call("POST", url)
        assert answer.json()["object"] == "token"
        token = jwt.decode(answer.json()["jwt"], jwt.PyJWK(key), algorithms=["RS256"], audience="convex")
        assert (token["azp"], token["sub"]) == (APP, account(clerk, "admin")["id"])
        assert token.get("sid") == (session_id if url == path else None)
    assert_refused(browser.call("POST", f"{path}/hasura"), 404, "resource_not_found")
    stranger = clerk.sign_in(account(clerk, "admin")["id"])["id"]
    assert_refused(browser.call("POST", f"/sessions/{stranger}/tokens"), 404, "resource_not_found")
    clerk.revoke_session(session_id)
    assert_refused(browser.call("POST", path), 404, "resource_not_found")
    browser.http.cookies.clear()
    assert_refused(browser.call("POST", path), 401, "authentication_invalid")


def test_a_client_signs_out(clerk: ClerkInstance, browser: Browser) -> None:
    """From its own session, which ends."""
    browser.sign_in("admin")
    session_id = browser.client()["last_active_session_id"]
    stranger = clerk.sign_in(account(clerk, "admin")["id"])["id"]
    assert_refused(browser.call("POST", f"/sessions/{stranger}/remove"), 404, "resource_not_found")
    answer = browser.call("POST", f"/sessions/{session_id}/remove")
    assert answer.json()["response"] == clerk.get_session(session_id)
    assert clerk.get_session(session_id)["status"] == "removed"
    assert clerk.get_session(stranger)["status"] == "active"
    assert browser.client()["sessions"] == []


def test_instances_have_cookies_of_their_own(clerk: ClerkInstance, browser: Browser) -> None:
    """All instances on a machine share 127.0.0.1: a browser can sign in at two, each with its own cookie."""
    with served() as other:
        browser.sign_in("admin")
        visitor = Browser(other)
        with visitor.http as http:
            http.cookies = browser.http.cookies
            assert visitor.client()["sessions"] == []
            visitor.sign_in("ordinary")
            assert [it["user"]["first_name"] for it in visitor.client()["sessions"]] == ["Otto"]
            browser.http.cookies = http.cookies
        assert [it["user"]["first_name"] for it in browser.client()["sessions"]] == ["Ada"]


PATHS = ["", "/sessions/sess_1/tokens", "/sessions/sess_1/tokens/convex", "/sessions/sess_1/remove"]


@pytest.mark.parametrize("origin", [APP, "http://localhost:3000", "https://127.0.0.1"])
@pytest.mark.parametrize("path", PATHS)
def test_pages_of_this_machine_may_call(browser: Browser, path: str, origin: str) -> None:
    """With cookies, after a preflight. They can read refusals too."""
    method = "POST" if path else "GET"
    preflight, answer = browser.call("OPTIONS", path, origin), browser.call(method, path, origin)
    assert preflight.status_code == 204
    assert method in preflight.headers["access-control-allow-methods"]
    assert "content-type" in preflight.headers["access-control-allow-headers"]
    assert answer.status_code == (401 if path else 200)
    for each in (preflight, answer):
        assert each.headers["access-control-allow-origin"] == origin
        assert each.headers["access-control-allow-credentials"] == "true"
        assert each.headers["vary"] == "origin"
        assert each.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1.evil.example"])
@pytest.mark.parametrize("path", PATHS)
def test_pages_of_other_machines_may_not_call(browser: Browser, path: str, origin: str) -> None:
    """They get a refusal, which their browsers would not show."""
    browser.sign_in("admin")
    for method in ("OPTIONS", "POST" if path else "GET"):
        answer = browser.call(method, path, origin)
        assert_refused(answer, 403, "origin_invalid")
        assert "access-control-allow-origin" not in answer.headers
    assert len(browser.client()["sessions"]) == 1


def test_a_call_with_an_effect_needs_an_origin(browser: Browser) -> None:
    """A POST without an Origin is not from a browser. A GET without one is of the same origin."""
    for path in PATHS[1:]:
        assert_refused(browser.call("POST", path, None), 403, "origin_invalid")
    answer = browser.call("GET", "", None)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
