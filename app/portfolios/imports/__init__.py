"""Reads what people export elsewhere: bytes become rows, each a trade or the reason why it is none.

Nothing in here looks anything up.
"""
