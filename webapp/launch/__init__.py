"""`sentiq serve`, which is what `make run` runs: starts every process of a Sentiq and watches over them."""
