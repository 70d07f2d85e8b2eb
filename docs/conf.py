"""Settings of the documentation's site; `make docs` builds it."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import cnn_jax  # noqa: E402 (found by the path above)

project = "cnn_jax"
author = "the cnn_jax authors"
copyright = author
version = release = cnn_jax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "myst_nb",
    "scripts.docs.site",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
suppress_warnings = ["config.cache"]

# Markdown: headings can be linked to as on GitHub; notebooks are shown with the outputs that they were saved with.
myst_enable_extensions = ["dollarmath", "html_image", "colon_fence", "deflist"]
myst_heading_anchors = 4
smartquotes_action = "D"
default_role = "code"
nb_execution_mode = "off"

# Reference: docstrings in Google's style; types as they are written.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]
napoleon_attr_annotations = True
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90

html_theme = "sphinx_book_theme"
html_title = f"cnn_jax {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
# The pages of other versions lie beside this one's; `scripts/docs/site.py` lists them in versions.json.
html_theme_options = {
    "switcher": {"json_url": "../versions.json", "version_match": release},
    "check_switcher": False,
    "navbar_start": [],
    "navbar_persistent": [],
    "primary_sidebar_end": ["version-switcher"],
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
}
