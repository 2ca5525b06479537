"""Reports: what the texts of a finished job say together, by segment and over time, as JSON or as a page.

A report of a million lines is computed in a process of its own (`webapp.sandbox`), because it takes long:

    web process                              python -m webapp.sandbox
    the job's lines (`lines`), one row each ---->  read into arrays (`table`)
                                                   figures (`figures`, by `model.shares`)
    JSON or HTML                            <----  `body` or `page` with its drawings (`charts`)
"""
