"""What setup.cfg cannot say: the README as an index shows it, with the repository's address in its links."""

import configparser
import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent


def readme(text: str, url: str) -> str:
  """Markdown whose links to files of the repository, and pictures, are absolute: they work on any page."""
  text = re.sub(r"(!\[[^\]]*\]\()(?![a-z]+:|#)", rf"\g<1>{url}/raw/HEAD/", text)
  return re.sub(r"((?<!!)\[[^\]]*\]\()(?![a-z]+:|#)", rf"\g<1>{url}/blob/HEAD/", text)


if __name__ == "__main__":
  metadata = configparser.ConfigParser()
  metadata.read(HERE / "setup.cfg")
  setuptools.setup(
    long_description=readme((HERE / "README.md").read_text("utf-8"), metadata["metadata"]["url"]),
    long_description_content_type="text/markdown",
  )
