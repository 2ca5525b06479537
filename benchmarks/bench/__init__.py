"""`make bench`: compares Sentiq with what people would otherwise use, in one run in which the systems take turns."""
