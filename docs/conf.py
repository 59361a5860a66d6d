"""Sphinx's settings: `python -m sphinx -W -b html docs docs/_build`, with pip install -e '.[docs]'."""

import importlib

from docutils import nodes
from docutils.parsers.rst import Directive

import rsjax

project = "rsjax"
author = "the rsjax authors"
copyright = author  # Sphinx's name for it
release = rsjax.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "rsjax"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # shapes and dtypes are in the text
autodoc_mock_imports = []
linkcheck_timeout = 20
suppress_warnings = ["myst.xref_missing"]  # links to files outside docs/, which tests/test_docs.py checks


class CommandHelp(Directive):
  """The help text of a command, as it prints it."""

  required_arguments = 1

  def run(self):
    parser = importlib.import_module(f"rsjax.{self.arguments[0]}").parser()
    text = parser.format_help()
    block = nodes.literal_block(text, text)
    block["language"] = "text"
    return [block]


def setup(app):
  app.add_directive("command-help", CommandHelp)
