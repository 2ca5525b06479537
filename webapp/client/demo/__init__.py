"""`sentiq demo`: three streams and a file of texts that were made up for it, so that there is something to look at."""
