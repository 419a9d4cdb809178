"""The command line: arguments in, lines and an exit code out; one file per command, imported when it is used."""
