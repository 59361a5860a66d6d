"""Running CERTIFY or PREDICT for a command: processes, progress and warnings around `runs.split`."""

import sys
from typing import Any

from rsjax import files
from rsjax.cli import arguments, interrupts, noises
from rsjax.cli.progress import Notes, RunProgress
from rsjax.errors import InputError, UnfinishedError
from rsjax.runs.progress import Progress

_ROW, _VOTE = 80, 9  # bytes of a row of a result file without its votes, and of the votes for a class: about


def execute(args: Any, procedure: Any, seconds: float | None = None) -> tuple[Any, Any]:
  """Runs the job that the arguments of `arguments.run_parser` describe, with a bar, for `seconds` at most.

  The procedure is CERTIFY or PREDICT, or an `Attack`. If there is none, certificates are exact, from all draws
  of the noise.

  Returns:
    (results, RunProgress); results is None in processes that do not write.
  """
  kind = noises.of(args)
  files.local(args.outfile)
  import jax

  from rsjax import devices
  from rsjax.devices import farewell, processes
  from rsjax.runs import attack, certification, finding, split
  from rsjax.smoothing import Execution

  cluster = (args.coordinator, args.processes, args.process)
  if args.distributed:
    processes.start(*cluster)
    interrupts.before_ending(lambda: farewell.say(jax.process_index()))
  elif any(value is not None for value in cluster):
    raise InputError("--coordinator, --processes and --process need --distributed")
  devices.use_onednn(not args.no_onednn)
  if args.compilation_cache:
    devices.keep_compiled(args.compilation_cache)
  alone = jax.process_count() == 1  # else others would wait for a process that stopped
  progress = RunProgress(finish_images=alone) if processes.first() else Progress()
  try:
    job = split.job_of(
      args.dataset,
      args.checkpoint,
      kind,
      procedure,
      arguments.selection(args),
      seed=args.seed,
      data_dir=args.data_dir,
      split=args.split,
      dtype=args.dtype,
      denoiser=args.denoiser,
    )
    job, how = attack.of_job(job, Execution(args.batch))
    if args.dry_run:
      _say_what_it_takes(job, args.outfile, *certification.dry_run(job, args.outfile, how, Notes()))
      return None, progress
    results = certification.into_file(job, args.outfile, how, progress, seconds)
  except jax.errors.JaxRuntimeError as error:
    if alone:
      raise
    processes.leave_without_others(1)
    reason = str(error).splitlines()[0][:200]
    raise OSError(f"another process ended or cannot be reached ({reason}): {farewell.MEND}") from error
  finally:
    progress.close()
  if results is not None and (told := finding.not_finite(results)):
    print(f"warning: {told}", file=sys.stderr)
  return results, progress


def exit_code(results: Any) -> int:
  """The exit code after a result file was written; says if Ctrl-C ended the run for good.

  Raises:
    KeyboardInterrupt: if the run was interrupted, and the same command continues.
    UnfinishedError: if a time budget left images out.
  """
  code = interrupts.code()
  if code and results.complete and "plan" in results.settings:
    told = "ended by Ctrl-C: each image has the certificate of its last look, and these rows are final"
    print(told, file=sys.stderr)
    return code
  interrupts.check()
  if not results.complete:
    others = "the others" if len(results) else "any of them"
    raise UnfinishedError(
      f"{results.path} has {len(results)} of {results.expected} images; the time was too short for a first "
      f"look at {others}: the same command continues"
    )
  return 0


def _say_what_it_takes(job: Any, outfile: str, taken: Any, done: int) -> None:
  """Prints what a run would take, for --dry-run."""
  from rsjax.devices import processes
  from rsjax.results import plural
  from rsjax.runs.estimate import in_bytes

  if not processes.first():
    return
  most = "at most " if job.procedure.n_varies else ""
  before = f", {done:,} of them already done" if done else ""
  each = plural(job.procedure.most_draws, "draw")
  print(f"{plural(len(job.indices), 'image')}{before}; {most}{each} per image, {taken.count:,} in all")
  print(f"{most or 'about '}{taken}" if taken.count else "nothing to do")
  size = in_bytes(len(job.indices) * (_ROW + 2 * _VOTE * min(20, job.num_classes)))
  print(f"would write {outfile}, about {size}, and {outfile}.json; nothing was written")
