"""Training and evaluation of the embedded model, on labelled data from a given folder."""
