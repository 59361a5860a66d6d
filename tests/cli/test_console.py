"""How commands end, and how they name parameters."""

import contextlib
import signal

import pytest

from rsjax.cli import console
from rsjax.errors import DivergedError, InputError


def test_an_interrupt_that_becomes_an_import_error_is_an_interrupt(capsys):
  """What extension modules make of one that comes while they are imported."""

  def body(args):
    try:
      signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt as error:
      raise ImportError("initialization failed") from error

  assert console.run("certify", body, None) == 143
  assert "the same command continues" in capsys.readouterr().err


def test_an_interrupt_that_a_library_turns_into_an_error_is_still_one(capsys):
  def body(args):
    with contextlib.suppress(KeyboardInterrupt):
      signal.raise_signal(signal.SIGINT)
    raise InputError("cannot be read")

  assert console.run("certify", body, None) == 130
  assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("error", "code", "said"),
  [
    (InputError("give fewer `rows`\n  or more"), 2, "rsjax.certify: error: give fewer --batch or more\n"),
    (DivergedError("the loss is nan"), 1, "rsjax.certify: the loss is nan\n"),
    (OSError("no room"), 1, "rsjax.certify: no room\n"),
    (
      OSError(28, "No space left", "x.tsv"),
      1,
      "rsjax.certify: x.tsv cannot be read or written: No space left\n",
    ),
    (OSError(9, "Bad descriptor", 3), 1, "rsjax.certify: [Errno 9] Bad descriptor: 3\n"),
  ],
)
def test_an_error_is_one_line_and_an_exit_code(error, code, said, capsys):
  def body(args):
    raise error

  assert console.run("certify", body, None) == code
  assert capsys.readouterr() == ("", said)


def test_other_errors_are_not_hidden():
  def body(args):
    raise KeyError("a bug")

  with pytest.raises(KeyError):
    console.run("certify", body, None)


@pytest.mark.parametrize(
  ("message", "typed"),
  [
    ("give `unverified` to use it", "give --unverified to use it"),
    ("another `data_dir`", "another --data-dir"),
    ("`init_from`: the arch", "--init-from: the arch"),
    ("`address`, `count` and `index`", "--coordinator, --processes and --process"),
  ],
)
def test_parameters_between_backquotes_are_typed_as_flags(message, typed):
  assert console.in_flags(message) == typed
