"""`python -m retinue` → the command line."""

from retinue.cli import main

main()
