"""The documentation's site: scripts/docs"""

from clerk_convex import __version__

project = "clerk-convex"
author = copyright = "the authors of clerk-convex"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = True  # a reference that leads nowhere is an error
# What pydantic, Starlette and asyncio document is theirs, and the build asks no other host for it.
nitpick_ignore_regex = [("py:.*", r"(?!clerk_convex\.).*")]

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
