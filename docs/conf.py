"""The documentation's site: scripts/docs"""

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


def show_examples(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Mark what a docstring indents, after an empty line, as code."""
    for number in range(len(lines) - 1, 0, -1):
        before, line = lines[number - 1], lines[number]
        if line.startswith("    ") and not before.strip() and not _continues(lines[:number]):
            lines[number:number] = [".. code-block:: text", ""]


def _continues(lines: list[str]) -> bool:
    """Whether the last paragraph is indented itself."""
    return next((line.startswith(" ") for line in reversed(lines) if line.strip()), False)


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", show_examples, priority=400)
