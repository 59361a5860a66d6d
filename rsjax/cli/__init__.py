"""The commands' shell: exit codes and error lines (console), arguments, progress, interrupts.

Nothing heavy is imported here before a command has read its arguments.
"""
