"""Sphinx configuration for `./reproduce.sh docs`; ccutils.chain.site prepares the sources."""

import sys
from pathlib import Path

from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
project = "Contrastive contexts"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = project
html_show_copyright = False
html_copy_source = False
html_static_path = html_css_files = ["pages.css"]
exclude_patterns = ["docs/conf.py"]

# Notebooks are already executed. Their sliders need a kernel, so the pages show static charts.
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_output_stderr = "remove"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# In docstrings, a name between single backticks is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True
suppress_warnings = ["docutils", "misc.highlighting_failure", "mystnb.unknown_mime_type", "myst.header"]

html_math_renderer = "mathml"


def inline_math(translator, node) -> None:
    translator.body.append(convert(node.astext()))


def block_math(translator, node) -> None:
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')


def skip_rest(write):
    """Build a visitor that writes a node without its children."""
    from docutils.nodes import SkipNode

    def visit(translator, node) -> None:
        write(translator, node)
        raise SkipNode

    return visit


def setup(app) -> None:
    """Write formulas as MathML, which browsers render without a network."""
    app.add_html_math_renderer("mathml", (skip_rest(inline_math), None), (skip_rest(block_math), None))
