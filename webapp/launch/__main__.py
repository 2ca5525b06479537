"""`python -m webapp.launch`."""

from webapp.launch.launcher import main

main()
