"""The rules and writes of identity, one module for each thing that changes.

What is done to an account is written into the audit log in the same transaction.
"""
