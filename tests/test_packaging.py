"""What is published, built from a copy of this folder: source distribution, wheel, and page on an index."""

import configparser
import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from helpers import ROOT

import rsjax

FOLDERS = (".ci", "docs", "experiments", "notebooks", "rsjax", "tests")
IGNORED = shutil.ignore_patterns(
  *(line.rstrip("/").split("/")[-1] for line in (ROOT / ".gitignore").read_text().splitlines()), ".*cache"
)
# The address of a repository of rsjax.
ADDRESS = re.compile(r"\w+://[^\s\"'`<>)\]]*/rsjax\b")


def url():
  metadata = configparser.ConfigParser()
  metadata.read(ROOT / "setup.cfg")
  return metadata["metadata"]["url"]


def files(folder):
  return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
  """A copy of what a clone holds, without what was built or left there."""
  pytest.importorskip("setuptools", minversion="77", reason="pip install -e '.[test]'")
  copy = tmp_path_factory.mktemp("clone")
  for name in FOLDERS:
    shutil.copytree(ROOT / name, copy / name, ignore=IGNORED)
  for path in ROOT.iterdir():
    if path.is_file() and path.name != "PKG-INFO" and not IGNORED(ROOT, [path.name]):
      shutil.copy(path, copy)
  return copy


@pytest.fixture(scope="module")
def held(clone):
  """The files that a clone holds."""
  return files(clone)


@pytest.fixture(scope="module")
def built(clone, held, tmp_path_factory):
  """(files of the source distribution, the wheel's folder): the wheel is built from the source distribution."""
  out = tmp_path_factory.mktemp("built")
  build = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
  run = lambda kind, cwd: subprocess.run([sys.executable, "-c", build, kind, out], cwd=cwd, check=True)
  run("build_sdist", clone)
  [archive] = out.glob("*.tar.gz")
  with tarfile.open(archive) as tar:
    tar.extractall(out, filter="data")
  source = out / archive.name.removesuffix(".tar.gz")
  in_source = files(source)
  run("build_wheel", source)
  [archive] = out.glob("*.whl")
  with zipfile.ZipFile(archive) as wheel:
    wheel.extractall(out / "wheel")
  return in_source, out / "wheel"


@pytest.fixture(scope="module")
def metadata(built):
  [path] = built[1].glob("*.dist-info/METADATA")
  return email.message_from_string(path.read_text("utf-8"))


def test_the_source_distribution_has_every_file_of_a_clone(built, held):
  more = [name for name in built[0] if name not in held]
  assert [name for name in held if name not in built[0]] == []
  assert [name for name in more if name != "PKG-INFO" and not name.startswith("rsjax.egg-info/")] == []


def test_the_wheel_has_every_file_of_the_package_and_no_other(built, held):
  packaged = [name for name in files(built[1]) if ".dist-info/" not in name]
  assert packaged == [name for name in held if name.startswith("rsjax/")]


def test_the_wheel_runs_without_the_clone(built, tmp_path):
  environment = os.environ | {"PYTHONPATH": str(built[1])}
  code = "import rsjax; from rsjax.__main__ import main; print(rsjax.__file__); main(['--version']); main([])"
  ran = subprocess.run(
    [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
  )
  home, version, *_ = ran.stdout.splitlines()
  assert home == str(built[1] / "rsjax/__init__.py")
  assert version == f"rsjax {rsjax.__version__}"


def test_the_metadata_name_authors_and_addresses(metadata):
  assert metadata["Author"] == "the rsjax authors"
  assert metadata["Home-page"] == url()
  addresses = dict(entry.split(", ") for entry in metadata.get_all("Project-URL"))
  assert set(addresses) == {"Source", "Changelog", "Issues"}
  assert all(address.startswith(url()) for address in addresses.values())


def test_the_page_on_an_index_has_no_relative_link(metadata):
  assert metadata["Description-Content-Type"] == "text/markdown"
  page, readme = metadata.get_payload(), (ROOT / "README.md").read_text()
  targets, here = (re.findall(r"\]\(([^)\s]+)\)", text) for text in (page, readme))
  assert len(targets) == len(here)
  for target, was in zip(targets, here):
    if re.match(r"[a-z]+:|#", was):
      assert target == was
    else:
      assert target in (f"{url()}/blob/HEAD/{was}", f"{url()}/raw/HEAD/{was}")
  pictures = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page)
  assert pictures and all("/blob/" not in target for target in pictures)
  code = lambda text: re.findall(r"```.*?```", text, re.DOTALL)
  assert code(page) == code(readme)


def test_the_address_is_set_in_one_place(clone, held):
  elsewhere = {}
  for name in held:
    text = (clone / name).read_text("utf-8", errors="ignore")
    if name != "setup.cfg" and (url() in text or ADDRESS.search(text)):
      elsewhere[name] = ADDRESS.findall(text)
  assert elsewhere == {}
  assert (ROOT / "setup.cfg").read_text().count(url()) == 1
