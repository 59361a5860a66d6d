"""Sphinx's settings: `python -m sphinx -W -b html docs docs/_build`, with pip install -e '.[docs]'."""

import configparser
import importlib
import os
import pathlib
import re

from docutils import nodes
from docutils.parsers.rst import Directive

import rsjax

DOCS = pathlib.Path(__file__).parent
ROOT = DOCS.parent
# Pages that are elsewhere in the repository. They are copied here, to repository/, and links to them follow.
ELSEWHERE = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "experiments/README.md")]
ELSEWHERE += [*sorted(ROOT.glob("experiments/results/**/summary.md")), *sorted(ROOT.glob("notebooks/*.ipynb"))]
COPIES = {path: DOCS / "repository" / path.relative_to(ROOT) for path in ELSEWHERE}

metadata = configparser.ConfigParser()
metadata.read(ROOT / "setup.cfg")

project = "rsjax"
author = metadata["metadata"]["author"]
copyright = author  # Sphinx's name for it
release = rsjax.__version__

extensions = [
  "myst_nb",
  "sphinx.ext.autodoc",
  "sphinx.ext.napoleon",
  "sphinx.ext.viewcode",
  "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"rsjax {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
  "footer_icons": [{"name": "Source", "url": metadata["metadata"]["url"], "html": "Source", "class": ""}]
}
myst_heading_anchors = 3
nb_execution_mode = "off"  # a notebook is shown as one run left it
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # shapes and dtypes are in the text
autodoc_mock_imports = []
linkcheck_timeout = 20


def copy_pages():
  """Copies the pages that are elsewhere, where they changed."""
  for path, copy in COPIES.items():
    if not copy.exists() or copy.read_bytes() != path.read_bytes():
      copy.parent.mkdir(parents=True, exist_ok=True)
      copy.write_bytes(path.read_bytes())


def follow_links(app, docname, source):
  """A page's links hold where it is in the repository: makes them lead to the same from its copy."""
  page = pathlib.Path(app.env.doc2path(docname))
  home = next((path for path, copy in COPIES.items() if copy == page), page)

  def moved(link):
    target = (home.parent / link[1]).resolve()
    if not target.exists():
      return link[0]
    return f"]({os.path.relpath(COPIES.get(target, target), page.parent)}"

  source[0] = re.sub(r"\]\(([^)\s:#]+)", moved, source[0])
  if home.name == "summary.md":  # it has no heading, and a page needs one
    source[0] = f"# {home.parent.name}\n\n{source[0]}"


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
  copy_pages()
  app.add_directive("command-help", CommandHelp)
  app.connect("source-read", follow_links)
