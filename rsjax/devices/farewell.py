"""What a process tells the others when it must end before the work is done, and what they do then.

A process that waits for one that is gone learns it within a moment, as a rule, because the connection breaks.
But if it waits for a connection that was not made yet, it learns nothing until, after a hundred seconds, JAX's
coordination service misses the other, and ends the process with a trace. So whoever ends early says so to the
service, which each process asks every half second.
"""

import contextlib
import os
import sys
import threading
import time
from typing import Any

_KEY = "rsjax/ended"
_EVERY = 0.5  # seconds between two questions
_PATIENCE = 5.0  # seconds that the main thread has to learn it by itself
_end = os._exit

MEND = "start all processes again, and they continue"


def watch() -> None:
  """Ends this process with 1 soon after another one has said farewell; call it once, after they have joined."""
  client = _client()
  if client is not None:
    threading.Thread(target=_watch, args=(client,), daemon=True).start()


def say(index: int) -> None:
  """Tells the others, if there are any, that this process, `index`, ends now; takes a second at most."""
  if (client := _client()) is not None:
    telling = threading.Thread(target=_tell, args=(client, index), daemon=True)
    telling.start()
    telling.join(1.0)


def _tell(client: Any, index: int) -> None:
  with contextlib.suppress(Exception):  # the service is gone, and with it process 0: the others know
    client.key_value_set(_KEY, str(index), allow_overwrite=True)


def _client() -> Any:
  """The client of JAX's coordination service, which has no public name; None without other processes."""
  from jax._src import distributed

  return distributed.global_state.client


def _watch(client: Any) -> None:
  while True:
    time.sleep(_EVERY)
    try:
      index = client.key_value_try_get(_KEY)
      break
    except Exception as error:
      if "NOT_FOUND" not in str(error):
        return  # the service has ended, as this process does
  time.sleep(_PATIENCE)
  print(
    f"\nanother process ended or cannot be reached (process {index} was stopped): {MEND}",
    file=sys.stderr,
    flush=True,
  )
  _end(1)
