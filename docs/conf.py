"""Settings of Sphinx, which builds these pages and those of the API: make docs."""

from celeba_lab import __version__

project = "celeba_lab"
author = "celeba_lab contributors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "celeba_lab"

# One page for each package, that is, for each room of the house. They are generated into docs/api/ and are not in git.
apidoc_modules = [
    {
        "path": "../celeba_lab",
        "destination": "api",
        "max_depth": 2,
        "separate_modules": False,
        "module_first": True,
        "include_private": False,
        "automodule_options": {"members"},
    }
]
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # An overridden hook without a docstring is documented by Lightning, not here.
autodoc_typehints_format = "short"
napoleon_use_ivar = True

# Every reference to a name of this package must be found. Those of other libraries are not linked.
nitpicky = True
nitpick_ignore_regex = []

myst_heading_anchors = 3
