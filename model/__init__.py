"""Pure inference: plain arguments in, arrays out. Reads no settings and knows no queue."""
