"""The documentation's site: scripts/docs"""

import re

from sphinx.application import Sphinx

from clerk_convex import __version__

project = "clerk-convex"
author = copyright = "the authors of clerk-convex"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = True  # a reference that leads nowhere is an error
# What pydantic, Starlette and asyncio document is theirs, and the build asks no other host for it.
nitpick_ignore_regex = [("py:.*", r"(?!clerk_convex\.).*"), ("py:.*", r"clerk_convex\.settings\._.*")]
default_role = "code"  # docstrings write `name`

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "clerk-convex"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#4f46e5", "color-brand-content": "#4f46e5"},
    "dark_css_variables": {"color-brand-primary": "#a5a0ff", "color-brand-content": "#a5a0ff"},
}


def as_markup(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn a docstring into reStructuredText: its examples are code, its `name: meaning` lines a list."""
    found: list[str] = []
    is_item = False
    for number, line in enumerate(lines):
        begins = number == 0 or not lines[number - 1].strip()
        named = re.match(r"(\w+(?:, \w+)*): (\S.*)", line) if begins or is_item else None
        is_item = bool(line.strip()) and (is_item or named is not None)
        if begins and line.startswith("    ") and not _is_indented(found):
            found += [".. code-block:: text", ""]
        if named is not None:
            found += ["", f"- {_names(named[1])}: {_plain(named[2])}"]
        elif is_item:
            found.append(f"  {_plain(line.strip())}")
        else:
            found.append(_plain(line))
    lines[:] = found


def _names(text: str) -> str:
    return ", ".join(f"``{name}``" for name in text.split(", "))


def _plain(line: str) -> str:
    """Escape a word that ends with an underscore, which would be a link."""
    return re.sub(r"(?<=[A-Za-z0-9])_(?![\w`])", r"\\_", line)


def _is_indented(lines: list[str]) -> bool:
    """Return whether the last paragraph is indented, so that the next text continues it."""
    return next((line.startswith(" ") for line in reversed(lines) if line.strip()), False)


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", as_markup, priority=400)  # before napoleon
