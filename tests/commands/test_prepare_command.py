"""The command prepare, as users type it."""

from original_files import assert_is, write_cifar10

from rsjax import prepare


def test_originals_must_be_the_published_ones(places, capsys):
  folder, data_dir = places
  write_cifar10(folder)
  assert prepare.main(["cifar10", "--from", str(folder), "--data-dir", str(data_dir)]) == 2
  error = capsys.readouterr().err
  assert "not the published file" in error
  assert error.count("\n") == 1
  assert not data_dir.exists()
  assert prepare.main(["cifar10", "--from", str(folder), "--data-dir", str(data_dir), "--unverified"]) == 0
  assert "train 60, test 23" in capsys.readouterr().out


def test_a_full_disk_is_one_line_and_continues(places, monkeypatch, capsys):
  from tensorflow_datasets.core import file_adapters

  def full(path, records):
    raise RuntimeError("write() failed: No space left on device")

  write_cifar10(places[0])
  arguments = ["cifar10", "--from", str(places[0]), "--data-dir", str(places[1]), "--unverified"]
  with monkeypatch.context() as patch:
    patch.setattr(file_adapters.ArrayRecordFileAdapter, "write_examples", full)
    assert prepare.main(arguments) == 1
  assert "No space left on device); the same command continues" in capsys.readouterr().err
  assert prepare.main(arguments) == 0
  assert_is("cifar10", places[1])
