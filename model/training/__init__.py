"""The recipe that made the embedded model, and its evaluation. Reads labelled data from a path that it is given."""
