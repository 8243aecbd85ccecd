"""The site of the documentation: the pages of this folder, and a reference made from the code."""

import sys
from pathlib import Path

import sos_plugins

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

project = "sos-plugins"
author = "The sos-plugins authors"
release = sos_plugins.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "site_reference",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"sos-plugins {release}"
html_show_sphinx = False
html_show_copyright = False
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
