"""Where the numbers of many machines come together: databases that are not a file of the store, named by a URL.

Training processes never see one: they write segments, and one process per store delivers them.
"""
