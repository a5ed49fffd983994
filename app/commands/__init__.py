"""What the commands of cli.py do: one file a command, each printing to the terminal or starting something."""
