"""`make run`: starts every process of a Sentiq and watches over them."""
