"""`make bench`: Sentiq side by side with what people would otherwise use, in one run, the systems taking turns."""
