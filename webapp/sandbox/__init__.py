"""A process with limits for what a web process must not do itself: parse spreadsheets, zip files and Parquet, whose
parsers are native code that a few bytes can make take gigabytes or minutes, and write spreadsheets and make reports,
which takes long.

    web process (`process`)                 python -m webapp.sandbox (`__main__`)
    the upload, in an unnamed file  ---->   standard input
    head, rows, pieces, the end     <----   standard output (`messages`)
"""
