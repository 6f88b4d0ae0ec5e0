"""The worker: jobs by arq, each thin. A job opens a transaction and calls a room's commands.

`settings` runs the process, `runner` finds work that waits, and the others hold the jobs of the rooms they are named
after, `mail` those of identity's outbox. `erasure` and `exports` go through all rooms that keep something of people.
May call: the rooms and core.
"""
