"""What every room stands on; no domain in here.

Holds: settings, the database, clock, ids, money, paging, errors, events, jobs, tasks, secrets, mail, telemetry and the
private services of a laptop. May call: nothing else of Trove.
"""
