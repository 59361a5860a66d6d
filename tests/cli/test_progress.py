"""What the bars leave in a file."""

from rsjax.runs import progress


def test_in_a_file_each_state_of_a_bar_is_a_line(capsys):
  bar = progress.bar(1000, " draws")
  bar.set_description("compiling")
  bar.set_description("1/10 images", refresh=False)
  bar.update(1000)
  bar.close()
  lines = capsys.readouterr().err.split("\n")
  assert lines.pop() == ""
  assert [line for line in lines if line != line.strip() or not line] == []
  assert "\r" not in "".join(lines)
  assert lines[1].startswith("compiling: 0") and lines[-1].startswith("1/10 images: 1.00k/1.00k [")
