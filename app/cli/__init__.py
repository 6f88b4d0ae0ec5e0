"""The command line: `trove up | api | worker | migrate | import | schema | doctor`.

May call: everything below; nothing calls it.
"""
