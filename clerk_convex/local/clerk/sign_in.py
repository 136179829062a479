"""Render the HTML page for signing in at the local Clerk: a choice of users, without passwords or scripts."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from starlette.responses import HTMLResponse

__all__ = ["Choice", "error_page", "sign_in_page"]

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f5f2; --card: #fff; --text: #1d1c1a; --soft: #5d5a55; --line: #dcd8d1; --accent: #4b3fc6;
  --accent-soft: #eceafb; --on-accent: #352b9c; --alarm: #a01c1c; --alarm-soft: #fbebe9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #161618; --card: #1f1f23; --text: #edecea; --soft: #aaa7a1; --line: #38373d; --accent: #a79ff5;
    --accent-soft: #2c2a45; --on-accent: #d3cffb; --alarm: #f5a8a0; --alarm-soft: #3b2221;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
main {
  width: 100%; max-width: 27rem; padding: 2rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 1rem;
}
h1 { margin: 0 0 .5rem; font-size: 1.375rem; line-height: 1.3; letter-spacing: -.01em; text-wrap: balance; }
p { margin: 0; color: var(--soft); text-wrap: pretty; }
form { display: grid; gap: .75rem; margin: 1.5rem 0; }
button {
  display: grid; grid-template-columns: auto 1fr; gap: 0 1rem; align-items: center;
  width: 100%; padding: 1rem; text-align: start; font: inherit; color: inherit; cursor: pointer;
  background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
}
button:hover:enabled { border-color: var(--accent); background: var(--accent-soft); }
button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
button:disabled { cursor: not-allowed; border-style: dashed; }
.initials {
  grid-row: span 3; display: grid; place-items: center; width: 3rem; height: 3rem; border-radius: 50%;
  font-weight: 600; background: var(--accent-soft); color: var(--on-accent);
}
button:hover:enabled .initials { background: var(--card); }
button:disabled .initials { background: none; border: 1px dashed var(--line); color: var(--soft); }
.name { font-weight: 600; }
@media (max-width: 26rem) {
  body { padding: .75rem; }
  main { padding: 1.25rem 1rem; }
  button { gap: 0 .75rem; padding: .75rem; }
}
.email, .may { font-size: .875rem; color: var(--soft); }
.why, .problem { font-size: .875rem; color: var(--alarm); }
.problem { margin-top: 1rem; padding: .75rem 1rem; border-radius: .5rem; background: var(--alarm-soft); }
footer { padding-top: 1rem; border-top: 1px solid var(--line); font-size: .8125rem; color: var(--soft); }
"""
HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


@dataclass(frozen=True, slots=True)
class Choice:
    """A user to pick.

    may: the text about the user's rights.
    refused: the reason why the user cannot sign in, or an empty string.
    """

    account: str
    name: str
    email: str
    may: str
    refused: str = ""


def sign_in_page(
    choices: Iterable[Choice],
    *,
    redirect_url: str,
    goes_to: str,
    current: str | None = None,
    problem: str = "",
    status: int = 200,
) -> HTMLResponse:
    """Return the page with the choices as buttons of one form.

    redirect_url, goes_to: the address after signing in, and its origin; both may be empty.
    current: the name of the user who is signed in, if any.
    problem: the reason why the last choice was refused, or an empty string.
    """
    buttons = "\n".join(_button(choice) for choice in choices)
    alert = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    now = f"<p>You are {escape(current)} at the moment.</p>" if current else ""
    where = f"<p>From here you go to {escape(goes_to)}.</p>" if goes_to else ""
    return _page(
        "Local Clerk: pick who you are",
        f"""<p>It stands in for Clerk on this machine: no password, and nothing leaves it.</p>
{alert}
<form method="post" action="/sign-in">
<input type="hidden" name="redirect_url" value="{escape(redirect_url)}">
{buttons}
</form>
<footer>{now}{where}<p>Programs can be anyone: POST /v1/sessions.</p></footer>""",
        status,
        goes_to,
    )


def error_page(status: int, title: str, text: str) -> HTMLResponse:
    return _page(title, f"<p>{escape(text)}</p>", status)


def _button(choice: Choice) -> str:
    initials = "".join(word[0] for word in choice.name.split()[:2]).upper()
    last = f'<span class="may">{escape(choice.may)}</span>'
    if choice.refused:
        last = f'<span class="why">{escape(choice.refused)}</span>'
    return f"""<button name="account" value="{choice.account}"{" disabled" if choice.refused else ""}>
<span class="initials" aria-hidden="true">{escape(initials)}</span>
<span class="name">{escape(choice.name)}</span>
<span class="email">{escape(choice.email)}</span>
{last}
</button>"""


def _page(title: str, body: str, status: int, goes_to: str = "") -> HTMLResponse:
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{body}
</main>
</body>
</html>
"""
    policy = (
        *("default-src 'none'", f"style-src 'sha256-{HASH}'", "img-src data:"),
        # Browsers apply form-action also to the redirect that answers the form.
        f"form-action 'self' {goes_to}".rstrip(),
        *("frame-ancestors 'none'", "base-uri 'none'"),
    )
    headers = {
        "content-security-policy": "; ".join(policy),
        "cache-control": "no-store",
        # "no-referrer" would make browsers send the form with `Origin: null`.
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(page, status, headers)
