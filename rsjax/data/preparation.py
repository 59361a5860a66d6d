"""Builds a TFDS data set from its originals, without TensorFlow, as TFDS's own builder would.

    prepare("cifar10", "downloads")

The result has the same name, version, features and order on disk; the official builder can read it. It is
written shard by shard: if the build is stopped and started again, it goes on with the first missing shard. The
data set appears only when it is complete.
"""

import json
import os
import pathlib

import numpy as np

from rsjax import files
from rsjax.data import named, originals
from rsjax.errors import InputError

SHARD_BYTES = 2**27


class Progress:
  """What a preparation reports while it runs; this class is silent."""

  def start(self, split: str, size: int, done: int) -> None:
    """A split of `size` images is about to be written; `done` of them were written earlier."""

  def images(self, count: int) -> None:
    """`count` more images were written."""


def prepare(
  name: str,
  source: str | pathlib.Path,
  data_dir: str | pathlib.Path | None = None,
  *,
  unverified: bool = False,
  progress: Progress = Progress(),
) -> tuple[pathlib.Path, dict[str, int]]:
  """Builds the data set, or continues building it, or finds it already built.

  Args:
    name: a key of `named.SETS`.
    source: the folder with the originals.
    data_dir: where TFDS keeps its data sets; None: its default.
    unverified: whether originals that are not the published ones may be used; the result is then marked.
    progress: a `Progress`.

  Returns:
    (the data set's folder, {TFDS split: images}).

  Raises:
    InputError: for originals that are missing or not the published ones; nothing has been written then.
  """
  if name not in named.SETS:
    raise InputError(f"unknown data set {name!r}: give one of {', '.join(named.SETS)}")
  source = files.local(source).absolute()
  if not source.is_dir():
    raise InputError(f"{source} is not a folder: give the folder that holds the originals of {name}")
  builder = named.builder(name, data_dir)
  target = files.without_patterns(builder.data_dir, "the data directory")
  _prepared(name, builder)
  found = originals.find(name, source, None if unverified else _checksums(builder))
  _check(name, builder, found, unverified)
  partial = target.with_name(f"{target.name}.partial")
  with files.alone(partial.parent / f".{partial.name}.lock", partial):
    builder = named.builder(name, data_dir)  # as it is now that nobody else writes
    prepared = _prepared(name, builder)
    missing = {split: examples for split, examples in found.splits.items() if split not in prepared}
    if missing:
      _start(partial, found, unverified)
      lengths = {s: _write_split(builder, partial, s, e, progress) for s, e in missing.items()}
      _finish(builder, partial, found, lengths, unverified)
  # Reads every record back, and keeps the order beside the data.
  return target, {split: len(_read_back(name, split, data_dir)) for split in found.splits}


def _prepared(name, builder):
  """The splits that exist."""
  if not named.is_prepared(builder):
    return {}
  if builder.info.file_format is None or builder.info.file_format.value != named.FORMAT:
    raise InputError(
      f"{builder.data_dir} holds {name} in another format ({builder.info.file_format}): give another "
      "`data_dir`, or move it away"
    )
  return dict(builder.info.splits)


def _checksums(builder):
  """File name -> SHA-256 of what TFDS downloads."""
  return {url.rsplit("/", 1)[-1]: info.checksum for url, info in builder.url_infos.items()}


def _check(name, builder, found, unverified):
  for feature, names in found.names.items():
    wanted = builder.info.features[feature].num_classes
    if len(names) != wanted:
      raise InputError(f"{name}: {feature} has {len(names)} class names, expected {wanted}")
  for split, examples in found.splits.items():
    wanted = named.SETS[name].counts[split]
    if not len(examples):
      raise InputError(f"{name}: the {split} split has no images")
    if not unverified and len(examples) != wanted:
      raise InputError(
        f"{name}: the {split} split has {len(examples):,} images, expected {wanted:,}; give "
        "`unverified` to use it as it is"
      )


def _start(partial, found, unverified):
  """Empties a folder that was begun from other originals."""
  files = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in found.files]
  counts = {split: [len(examples), examples.identity] for split, examples in found.splits.items()}
  stamp = json.dumps([files, counts, unverified])
  partial.mkdir(exist_ok=True)
  path = partial / "originals.json"
  if not path.exists() or path.read_text() != stamp:
    for file in partial.iterdir():
      file.unlink()
    path.write_text(stamp)


def _write_split(builder, partial, split, examples, progress):
  """Writes the shards that are missing; returns the length of each."""
  from tensorflow_datasets.core import example_serializer, file_adapters

  features = builder.info.features
  serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
  order = named.hash_order(examples.keys, split)
  parts = np.array_split(order, min(len(order), max(1, round(examples.size / SHARD_BYTES))))
  paths = [partial / _template(builder, split).sharded_filepath(shard_index=k, num_shards=len(parts)).name
           for k in range(len(parts))]  # fmt: skip
  progress.start(split, len(order), sum(len(part) for part, path in zip(parts, paths) if path.exists()))
  for part, path in zip(parts, paths):
    if path.exists():
      continue

    def records(part=part):
      for i in part:
        try:
          record = serializer.serialize_example(features.encode_example(examples.example(int(i))))
        except ValueError as error:
          raise InputError(f"image {i} of {split} does not fit {builder.name}: {error}") from error
        yield i, record
        progress.images(1)

    new = path.with_name(f"{path.name}.new")
    try:
      file_adapters.ArrayRecordFileAdapter.write_examples(new, records())
    except RuntimeError as error:  # array_record's, of a full disk
      raise OSError(f"{new} cannot be written ({error}); the same command continues from here") from error
    os.replace(new, path)
  return [len(part) for part in parts]


def _template(builder, split):
  from tensorflow_datasets.core import naming

  return naming.ShardedFileTemplate(
    data_dir=builder.data_path, dataset_name=builder.name, split=split, filetype_suffix=named.FORMAT
  )


def _finish(builder, partial, found, lengths, unverified):
  """Puts the shards in place, and then the files that make TFDS see them."""
  from tensorflow_datasets.core import splits

  target = pathlib.Path(builder.data_dir)
  target.mkdir(exist_ok=True)
  infos = list(builder.info.splits.values())
  for split, counts in lengths.items():
    size = 0
    for k in range(len(counts)):
      path = pathlib.Path(_template(builder, split).sharded_filepath(shard_index=k, num_shards=len(counts)))
      os.replace(partial / path.name, path)
      size += path.stat().st_size
    infos.append(splits.SplitInfo(name=split, shard_lengths=counts, num_bytes=size))
  if unverified:
    (target / named.UNVERIFIED).write_text("prepared with --unverified: not known to be the published images\n")
  for feature, names in found.names.items():
    builder.info.features[feature].names = names
  builder.info.set_splits(splits.SplitDict(infos))
  with named.quiet():
    builder.info.write_to_directory(target)
  (partial / "originals.json").unlink()
  partial.rmdir()


def _read_back(name, split, data_dir):
  entry = named.SETS[name]
  return named.load(name, "test" if split == entry.test else split, data_dir)
