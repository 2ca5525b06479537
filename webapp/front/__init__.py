"""The life of a request, the same for every endpoint: admission, headers, access log, counts, errors."""
